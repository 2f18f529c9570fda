//! Calls of a holder: they leave, may get lost, and their answers come back later.

use std::sync::Arc;

use migration::drive::Outcome;
use migration::roll::step::{Act, FRESH};

use super::LookBasis;
use crate::cluster::api::LONGEST;
use crate::cluster::truth::duration_of;
use crate::disturb::fault::CallFault;
use crate::history::History;
use crate::history::event::{Event, Flight, Reply};
use crate::history::queue::SECOND;
use crate::tamper::Tamper;

impl History {
    /// Makes a call; at once an outcome if it is not made.
    pub(super) fn send(&mut self, holder: usize, number: u64, act: Act) -> Option<Outcome> {
        let now = self.now;
        let driver = &self.holders[holder];
        let is_stale = duration_of(now - driver.renewed_at) >= FRESH && !self.is_blind(Tamper::Lease);
        if is_stale {
            return Some(Outcome::Failed("the Lease was not renewed in time".into()));
        }
        if driver.away_until > now {
            let late = Outcome::Failed("no answer".into());
            let reply = Reply { number, outcome: late, census: None };
            self.schedule_within(SECOND, 10 * SECOND, Event::Answer(holder, Box::new(reply)));
            return None;
        }
        let LookBasis { looked_at, nodes, pods, is_gated, is_gated_beside, is_bridged } = driver.look_basis;
        let flight = Flight {
            holder,
            number,
            decided_at: looked_at,
            sent: now,
            nodes_seen: nodes,
            pods_seen: pods,
            is_gated,
            is_gated_beside,
            is_bridged,
            version: driver.version,
            is_lost: false,
            act,
        };
        if let Act::Record(run) = &flight.act {
            self.holders[holder].own_runs.push((**run).clone());
        }
        if self.strikes(CallFault::CrashBefore) {
            self.crash(holder);
            return None;
        }
        let is_lost = self.strikes(CallFault::LostAnswer);
        let longest = if is_lost { LONGEST } else { 150 };
        self.schedule_within(3, longest, Event::Arrive(Box::new(Flight { is_lost, ..flight })));
        if self.strikes(CallFault::CrashAfter) {
            self.crash(holder);
        }
        None
    }

    /// The answer of a call arrives.
    pub(crate) fn answer(&mut self, holder: usize, reply: Reply) {
        let driver = &mut self.holders[holder];
        if driver.drive.is_none() {
            return;
        }
        if driver.asleep > self.now {
            let wait = driver.asleep - self.now;
            self.schedule_after(wait, Event::Answer(holder, Box::new(reply)));
            return;
        }
        let Reply { number, outcome, census } = reply;
        if let Some(census) = census {
            Arc::make_mut(&mut driver.world).census = Some(census);
            driver.has_news = true;
        }
        driver.mail.borrow_mut().outcomes.insert(number, outcome);
        self.run_on(holder);
    }
}
