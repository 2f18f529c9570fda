//! A live cluster as a driver works with it: it waits until something is known, carries out acts, and keeps the journal.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use migration::drive::event::{ActRecord, Count};
use migration::drive::{Cluster, EndReason, Event, Observation, Outcome};
use migration::plan::{Plan, canon};
use migration::roll::run::Run;
use migration::roll::step::Act;
use migration::roll::wait::{Reason, Wait};
use serde::Serialize;
use types::command::problem::Problem;

use super::LOOK;
use crate::live::interrupt::Interrupt;
use crate::live::lease::{self, Standing};
use crate::live::session::Session;
use crate::live::session::calls::Outcome as Done;
use crate::live::session::clock::{self, Clock};
use crate::live::session::health::BlindSpot;
use crate::live::session::outage::Outage;
use crate::live::store::{Journal, UnreadableRun, Verdicts};

/// A live cluster, as a driver works with it.
pub(super) struct LiveCluster<'a> {
    pub(super) session: &'a mut Session,
    pub(super) journal: Journal,
    pub(super) verdicts: Verdicts,
    pub(super) interrupt: Interrupt,
    /// The last write of the journal failed.
    pub(super) is_unwritten: bool,
    pub(super) outage: Outage,
    /// The hash of the run as this holder found it, and of every run that it wrote or meant to write: any other one was written by another user or program.
    pub(super) own_hashes: RefCell<BTreeSet<String>>,
    /// One of these was seen in the cluster.
    pub(super) has_seen_own: bool,
    pub(super) report: &'a RefCell<dyn FnMut(&Event) + 'a>,
}

/// A line of the journal.
#[derive(Debug, Serialize)]
struct JournalLine<'a> {
    /// When, in RFC 3339, by this machine's clock: for people.
    #[serde(rename = "at")]
    time: String,
    #[serde(flatten)]
    entry: JournalEntry<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "event")]
enum JournalEntry<'a> {
    Holds { by: &'a str, plan: &'a str, approved: bool, program: &'static str },
    Acted { act: &'a ActRecord, outcome: String },
    Waits { wait: &'a Wait },
    Over { object: &'a str, reason: Reason },
    Counted { count: &'a Count },
    Wished { wish: &'a migration::roll::run::Wish, refused: Option<&'a str> },
    Broken { act: &'a ActRecord, invariant: &'a str, why: &'a str },
    Replanned { before: &'a str, plan: &'a str },
}

impl LiveCluster<'_> {
    /// Writes the journal, and gives what it lacks in the cluster. A journal is a history, so the run goes on without it; the operator is told when its
    /// writes begin to fail, and when they work again.
    pub(super) async fn flush(&mut self, is_last: bool) -> Option<Problem> {
        let Err((_, problem)) = self.journal.flush(is_last).await else {
            if std::mem::take(&mut self.is_unwritten) {
                (self.report.borrow_mut())(&Event::Journal(
                    "the journal is written to the cluster again".into(),
                ));
            }
            return None;
        };
        let what = format!("{}; the run goes on, and {}", problem.what, self.journal.describe_fallback());
        let problem = Problem { what, ..problem };
        if !std::mem::replace(&mut self.is_unwritten, true) {
            (self.report.borrow_mut())(&Event::Journal(problem.to_string()));
        }
        Some(problem)
    }

    /// Whether the cluster has no run, asked of the API server itself.
    async fn is_gone(&self) -> bool {
        matches!(self.session.store().run().await, Ok(None))
    }

    /// Says why nothing happens.
    async fn cannot_see(&mut self, blind: &BlindSpot) {
        let standing = self.session.lease().map(lease::HeldLease::standing);
        let now = Clock::from_machine().now();
        if let Some(wait) = self.outage.next_wait(blind, standing.as_ref(), now) {
            let event = Event::Waits(wait);
            self.note(&event).await;
            (self.report.borrow_mut())(&event);
        }
    }
}

/// Stands for a run, which is long in a large cluster.
pub(super) fn identity(run: &Run) -> String {
    canon::sha256(&canon::bytes(run))
}

/// The run's ConfigMap was deleted.
fn run_gone_reason(run: &Run) -> EndReason {
    let what = format!(
        "ConfigMap crossfade-run, which kept run {}, was deleted; nodes in transit stay as they are",
        run.id
    );
    let plan = canon::shorten_hash(&run.plan);
    let fix = format!(
        "put it back from a backup of the namespace crossfade, then go on; or take the annotation crossfade/step from each node that bears a step of run {}, and begin anew: kubectl crossfade roll --plan {plan}",
        run.id
    );
    EndReason::Unreadable(what, fix)
}

impl Cluster for LiveCluster<'_> {
    async fn look(&mut self, run: &Run, plan: &Plan) -> Result<Observation, EndReason> {
        loop {
            if self.interrupt.is_set() {
                let measured = self.session.take_measured();
                return Ok(Observation { measured, is_interrupted: true, ..Observation::default() });
            }
            if let Some(Standing::Lost(why)) = self.session.lease().map(lease::HeldLease::standing) {
                return Err(EndReason::Gone(format!("the Lease is lost: {why}")));
            }
            let looked = tokio::select! {
                looked = self.session.look(run, plan, LOOK) => looked,
                () = self.interrupt.wait() => continue,
            };
            self.flush(false).await;
            let world = match looked {
                Ok(world) => world,
                // What is not known well enough decides nothing; the watches go on.
                Err(blind) => {
                    self.cannot_see(&blind).await;
                    continue;
                }
            };
            self.verdicts.flush(plan, &world).await;
            self.outage.end();
            let stored = match self.session.take_up() {
                Some(Ok(stored)) => stored,
                Some(Err(UnreadableRun { problem, .. })) => {
                    return Err(EndReason::Unreadable(problem.what, problem.fix));
                }
                None if self.has_seen_own || self.is_gone().await => return Err(run_gone_reason(run)),
                // The watch does not tell yet what this holder wrote when it began.
                None => continue,
            };
            let is_own = self.own_hashes.borrow().contains(&identity(&stored.run));
            self.has_seen_own |= is_own;
            if !self.has_seen_own {
                // The watch does not tell yet what this holder wrote when it began.
                continue;
            }
            if stored.run.id != run.id {
                return Err(EndReason::Gone(format!("the cluster's run is {} now", stored.run.id)));
            }
            if !is_own {
                return Err(EndReason::Gone("another program has written the run".into()));
            }
            let wishes = stored.wishes.into_iter().filter(|wish| wish.seq > run.wish).collect();
            let measured = self.session.take_measured();
            return Ok(Observation { world, run: Some(stored.run), wishes, measured, is_interrupted: false });
        }
    }

    fn act(&self, act: &Act) -> impl Future<Output = Outcome> + 'static {
        if let Act::Record(run) = act {
            self.own_hashes.borrow_mut().insert(identity(run));
        }
        let work = self.session.act(act);
        async move {
            match work.await {
                Done::Done | Done::Counted(_) => Outcome::Done,
                Done::Changed | Done::Gone => Outcome::Conflict,
                Done::Pod(_, answer) => Outcome::Answered(answer),
                Done::Barred(why) | Done::Failed(why) => Outcome::Failed(why),
            }
        }
    }

    fn cpu_time(&self) -> Duration {
        clock::worked()
    }

    async fn note(&mut self, event: &Event) {
        let reported = match event {
            Event::Acted { act, outcome } => JournalEntry::Acted { act, outcome: outcome.to_string() },
            Event::Holds { holder, plan, is_approved } => {
                let program = env!("CARGO_PKG_VERSION");
                JournalEntry::Holds { by: holder, plan, approved: *is_approved, program }
            }
            Event::Waits(wait) => JournalEntry::Waits { wait },
            Event::Over { object, reason } => JournalEntry::Over { object, reason: *reason },
            Event::Counted(count) => JournalEntry::Counted { count },
            Event::Wished { wish, refused } => JournalEntry::Wished { wish, refused: refused.as_deref() },
            Event::Broken { act, broken } => {
                JournalEntry::Broken { act, invariant: broken.name, why: &broken.why }
            }
            Event::Replanned { before, plan } => JournalEntry::Replanned { before, plan },
            Event::Status(_) | Event::Journal(_) => return,
        };
        let line = JournalLine { time: Clock::from_machine().wall().to_string(), entry: reported };
        if let Err(problem) = self.journal.note(&line) {
            (self.report.borrow_mut())(&Event::Journal(problem.to_string()));
        }
    }
}

#[cfg(test)]
mod tests;
