//! The Lease of a run: it is renewed every ten seconds, and taken by another after sixty without a renewal.

use migration::drive::{DriveEnd, EndReason};
use migration::roll::run::State;
use migration::roll::step::End;

use crate::history::History;
use crate::history::event::Event;
use crate::history::queue::{MINUTE, Millis, SECOND};
use crate::holder::{Holder, HolderState};

/// How often a holder renews the Lease.
const EVERY: Millis = 10 * SECOND;
/// How long a Lease counts without a renewal.
const LASTS: Millis = MINUTE;
/// How often a candidate looks.
const LOOK: Millis = 5 * SECOND;

impl History {
    /// A person starts `roll`, unless a holder drives the run.
    pub(crate) fn start(&mut self) {
        if self.truth.run().is_some_and(|run| run.state == State::Done) {
            self.check_done();
            return;
        }
        if self.holders.iter().any(|holder| holder.state != HolderState::Ended) {
            return;
        }
        self.want_lease(false, HOUR_OF_WAITING);
    }

    /// Another program wants the Lease.
    pub(crate) fn want_lease(&mut self, is_forced: bool, patience: Millis) {
        let stand = HolderState::Waiting {
            lease: self.lease_seen(),
            since: self.now,
            until: self.now + patience,
            is_forced,
        };
        let slow = self.random.chance(200);
        let lag = if slow { (200, 4 * SECOND) } else { (5, 400) };
        self.holders.push(Holder::new(stand, lag));
        let holder = self.holders.len() - 1;
        self.note(|_| format!("holder {holder} wants the Lease"));
        self.schedule_after(0, Event::Acquire(holder));
    }

    const fn lease_seen(&self) -> (Option<usize>, u64, u64) {
        let lease = &self.truth.lease;
        (lease.holder, lease.epoch, lease.renewals)
    }

    /// Looks at the Lease, and takes it if it has no holder.
    pub(crate) fn acquire(&mut self, holder: usize) {
        let now = self.now;
        let lease = self.lease_seen();
        let is_free = self.truth.lease.holder.is_none();
        let HolderState::Waiting { lease: observed_lease, since, until, is_forced } =
            &mut self.holders[holder].state
        else {
            return;
        };
        if *observed_lease != lease {
            (*observed_lease, *since) = (lease, now);
        }
        if is_free || *is_forced || now - *since >= LASTS {
            let lived = !is_free && now - *since < LASTS;
            let lease = &mut self.truth.lease;
            lease.was_forced |= lived;
            (lease.holder, lease.epoch, lease.renewals) = (Some(holder), lease.epoch + 1, lease.renewals + 1);
            lease.taken_at = now;
            let epoch = lease.epoch;
            let driver = &mut self.holders[holder];
            (driver.epoch, driver.renewed_at) = (epoch, now);
            self.tally.count(if lived { "a Lease taken by force" } else { "a Lease taken" });
            self.note(|_| format!("holder {holder} takes the Lease: epoch {epoch}"));
            self.schedule_after(EVERY, Event::Renew(holder));
            self.take_up(holder);
        } else if now >= *until {
            self.holders[holder].state = HolderState::Ended;
        } else {
            self.schedule_after(LOOK, Event::Acquire(holder));
        }
    }

    /// Renews the Lease, or learns that another holder has it.
    pub(crate) fn renew(&mut self, holder: usize) {
        let now = self.now;
        let driver = &mut self.holders[holder];
        if !driver.holds() {
            return;
        }
        if driver.asleep > now {
            let wait = driver.asleep - now;
            self.schedule_after(wait, Event::Renew(holder));
            return;
        }
        if driver.away_until > now {
            self.schedule_within(SECOND, 10 * SECOND, Event::Renew(holder));
            return;
        }
        let was_stale = now - driver.renewed_at >= 40 * SECOND;
        if self.truth.lease.holder != Some(holder) {
            self.note(|_| format!("holder {holder} has lost the Lease"));
            self.tally.count("a Lease lost");
            self.refuse(holder, "another holder has the run");
            return;
        }
        driver.renewed_at = now;
        self.truth.lease.renewals += 1;
        self.schedule_after(EVERY, Event::Renew(holder));
        if was_stale {
            self.news(holder);
        }
    }

    /// A driver has ended.
    pub(crate) fn end_holder(&mut self, holder: usize, ended: &DriveEnd) {
        self.drop_drive(holder);
        self.note(|_| format!("holder {holder} ends: {:?}", ended.reason));
        if self.truth.lease.holder == Some(holder) {
            self.truth.lease.holder = None;
        }
        match &ended.reason {
            EndReason::End(End::Done) => self.check_done(),
            EndReason::End(end) => self.tally.count(&format!("an end: {end:?}")),
            EndReason::Interrupted => self.tally.count("a holder that was interrupted"),
            EndReason::Gone(_) => self.tally.count("a holder whose Lease was taken"),
            EndReason::Unreadable(why, _) => self.broken("the end", why.clone()),
            EndReason::Broken(broken) => {
                self.broken(broken.name, format!("step decided what hold refuses: {}", broken.why));
            }
        }
        if self.truth.lease.holder.is_none()
            && !self.is_over
            && matches!(ended.reason, EndReason::Interrupted)
        {
            self.schedule_within(5 * SECOND, MINUTE, Event::Start);
        }
    }
}

/// How long a command that is to go on with the run waits for the Lease.
const HOUR_OF_WAITING: Millis = 60 * MINUTE;
