//! The holder of a run: the real driver, with a view of the cluster that is as old as its watches.

mod calls;
pub(crate) mod delivery;
pub(crate) mod lease;
pub(crate) mod pending_changes;
pub(crate) mod port;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use migration::drive::{self, DriveEnd, EndReason, Observation};
use migration::plan::{Gate, GateSource};
use migration::roll::run::{Run, Wish};
use migration::roll::wait::Wait;
use migration::roll::world::{Availability, Color, Verdict, World};

use self::pending_changes::PendingChanges;
use self::port::{Mail, Port};
use super::history::History;
use super::tamper::Tamper;
use crate::cluster::truth::duration_of;
use crate::history::event::{Event, Stream};
use crate::history::queue::{Millis, SECOND};

/// How long a driver waits for more changes once it has heard of one, as the real one does.
const BURST: Millis = 200;
/// A holder decides nothing if a watch has brought nothing for longer, as the real one does.
pub(crate) const STALE: Millis = 30 * SECOND;

pub(super) struct Holder {
    pub(super) state: HolderState,
    pub(super) world: Arc<World>,
    /// Wishes that it knows of.
    pub(super) wishes: Vec<Wish>,
    /// The run that it knows to be written.
    pub(super) stored: Option<Run>,
    /// Runs that it read when it began, wrote, or meant to write: any other one was written by another user or program.
    pub(super) own_runs: Vec<Run>,
    /// The version of the run's ConfigMap that it knows.
    pub(super) version: u64,
    pub(super) epoch: u64,
    /// When it renewed the Lease last.
    pub(super) renewed_at: Millis,
    /// Its machine sleeps until then.
    pub(super) asleep: Millis,
    /// It does not reach the API server until then.
    pub(super) away_until: Millis,
    /// Its watches bring nothing until then.
    pub(super) deaf: Millis,
    /// Since when it sleeps, or does not reach the API server, or its watches bring nothing.
    pub(super) late_since: Millis,
    /// One of its watches brings nothing: which, since when, and until when.
    pub(super) silent: Option<(Stream, Millis, Millis)>,
    /// How long its watches take, from and to.
    pub(super) lag: (Millis, Millis),
    /// Changes of Nodes that it does not know yet.
    pub(super) nodes: PendingChanges<usize>,
    /// Changes of Machines of these nodes that it does not know yet.
    pub(super) machines: PendingChanges<usize>,
    /// Changes of Pods that it does not know yet.
    pub(super) pods: PendingChanges<u32>,
    /// Workloads whose pods have changed.
    pub(super) workloads: PendingChanges<usize>,
    /// What it knows of each workload.
    pub(super) available: BTreeMap<usize, Availability>,
    /// Workloads of pods on nodes that it moved, and those that earlier holders did.
    pub(super) touched: BTreeMap<usize, TouchedWorkload>,
    /// Whether it does not know the newest run.
    pub(super) record: PendingChanges<()>,
    /// Nodes in transit, whose pods it watches.
    pub(super) watched: BTreeSet<usize>,
    /// New nodes of the pass, whose pods it watches as well.
    pub(super) arriving: BTreeSet<usize>,
    /// A person asked it to end.
    pub(super) is_interrupted: bool,
    pub(super) looks: u64,
    /// What its last look was made on.
    look_basis: LookBasis,
    has_news: bool,
    /// It has heard of a change, and waits for more.
    is_in_burst: bool,
    has_acted: bool,
    is_looking: bool,
    mail: Rc<RefCell<Mail>>,
    drive: Option<Drive>,
}

/// A workload that a run has touched.
#[derive(Debug, Clone, Copy)]
pub(super) struct TouchedWorkload {
    /// How many pods it wanted when it had all of them last.
    pub(super) desired: u32,
    /// Since when the holder knows that the run has touched it.
    pub(super) since: Millis,
}

/// What a look was made on.
#[derive(Debug, Clone, Copy, Default)]
struct LookBasis {
    looked_at: Millis,
    nodes: Millis,
    pods: Millis,
    is_gated: bool,
    is_gated_beside: bool,
    is_bridged: bool,
}

type Drive = Pin<Box<dyn Future<Output = DriveEnd>>>;

/// How a holder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HolderState {
    /// It waits for the Lease: which holder, epoch and renewal it saw, since when, and until when it waits.
    Waiting {
        /// What it saw of the Lease.
        lease: (Option<usize>, u64, u64),
        /// Since when.
        since: Millis,
        /// Until when it waits.
        until: Millis,
        is_forced: bool,
    },
    /// It holds the run.
    Holding,
    Ended,
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("stand", &self.state)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Holder {
    /// Until when this watch brings nothing.
    pub(crate) fn delay(&self, stream: Stream) -> Millis {
        let silent =
            self.silent.filter(|(silent_stream, ..)| *silent_stream == stream).map_or(0, |(.., until)| until);
        self.asleep.max(self.away_until).max(self.deaf).max(silent)
    }

    /// Up to when everything of Nodes and their Machines is known.
    fn nodes_complete_until(&self, now: Millis) -> Millis {
        self.nodes.complete_until(now).min(self.machines.complete_until(now))
    }

    /// Up to when everything that happened is known.
    fn synced_at(&self, now: Millis) -> Millis {
        let late = self.asleep.max(self.away_until).max(self.deaf);
        let all = if late > now { self.late_since } else { now };
        let silent = self.silent.filter(|(.., until)| *until > now).map_or(now, |(_, since, _)| since);
        let known_times = [
            self.nodes_complete_until(now),
            self.pods.complete_until(now),
            self.workloads.complete_until(now),
            self.record.complete_until(now),
        ];
        known_times.into_iter().fold(all.min(silent), Millis::min)
    }

    /// A candidate for the Lease.
    pub(super) fn new(stand: HolderState, lag: (Millis, Millis)) -> Self {
        Self {
            state: stand,
            world: Arc::default(),
            wishes: Vec::new(),
            stored: None,
            own_runs: Vec::new(),
            version: 0,
            epoch: 0,
            renewed_at: 0,
            asleep: 0,
            away_until: 0,
            deaf: 0,
            late_since: 0,
            silent: None,
            lag,
            nodes: PendingChanges::default(),
            machines: PendingChanges::default(),
            pods: PendingChanges::default(),
            workloads: PendingChanges::default(),
            available: BTreeMap::new(),
            touched: BTreeMap::new(),
            record: PendingChanges::default(),
            watched: BTreeSet::new(),
            arriving: BTreeSet::new(),
            is_interrupted: false,
            looks: 0,
            look_basis: LookBasis::default(),
            has_news: false,
            is_in_burst: false,
            has_acted: false,
            is_looking: false,
            mail: Rc::default(),
            drive: None,
        }
    }

    /// What its run waits for, as it saw it last.
    pub(super) fn waits(&self) -> Vec<Wait> {
        self.mail.borrow().waits.clone()
    }

    pub(super) fn holds(&self) -> bool {
        self.state == HolderState::Holding
    }
}

impl History {
    /// The holder begins to drive the run as it stands.
    pub(super) fn take_up(&mut self, holder: usize) {
        self.replan();
        self.authorize();
        let Some(run) = self.truth.record.run.clone() else { return };
        self.holders[holder].own_runs.push(run.clone());
        self.take_up_moved(holder, &run);
        self.read_everything(holder);
        let (plan, hash) = (Rc::clone(&self.plan), self.hash.clone());
        let plan =
            if self.is_blind(Tamper::Reach) { Rc::new(super::tamper::bridge_plan(&plan)) } else { plan };
        let driver = &mut self.holders[holder];
        driver.state = HolderState::Holding;
        let mail = Rc::clone(&driver.mail);
        driver.drive = Some(Box::pin(async move {
            let mut port = Port(Rc::clone(&mail));
            let mut report = |event: &drive::Event| {
                if let drive::Event::Status(status) = event {
                    mail.borrow_mut().waits.clone_from(&status.waits);
                }
            };
            drive::drive(&mut port, run, &plan, &hash, &mut report).await
        }));
        driver.has_news = true;
        self.run_on(holder);
    }

    /// Lets the driver go on until it waits for something.
    pub(super) fn run_on(&mut self, holder: usize) {
        let waker = Waker::noop();
        loop {
            let driver = &mut self.holders[holder];
            driver.mail.borrow_mut().wake();
            let Some(drive) = driver.drive.as_mut() else { return };
            if let Poll::Ready(ended) = drive.as_mut().poll(&mut Context::from_waker(waker)) {
                self.end_holder(holder, &ended);
                return;
            }
            let (asks, calls) = {
                let mut mail = driver.mail.borrow_mut();
                (std::mem::take(&mut mail.is_looking), std::mem::take(&mut mail.calls))
            };
            let mut goes_on = false;
            driver.has_acted |= !calls.is_empty();
            for (number, act) in calls {
                if let Some(outcome) = self.send(holder, number, act) {
                    self.holders[holder].mail.borrow_mut().outcomes.insert(number, outcome);
                    goes_on = true;
                }
                if self.holders[holder].drive.is_none() {
                    return;
                }
            }
            if asks {
                let driver = &mut self.holders[holder];
                driver.is_looking = true;
                if !driver.is_interrupted {
                    if driver.has_news {
                        self.plan_look(holder)
                    } else {
                        self.plan_moment(holder)
                    }
                    return;
                }
                self.show(holder);
                goes_on = true;
            }
            if !goes_on {
                return;
            }
        }
    }

    /// A driver that waits for a change looks again after a moment, or when one of its waits is over.
    fn plan_moment(&mut self, holder: usize) {
        let now = self.now;
        let driver = &mut self.holders[holder];
        driver.looks += 1;
        let until = driver.mail.borrow().waits.iter().filter_map(|wait| wait.until).min();
        let until = until.and_then(|until| Millis::try_from(until.as_millis()).ok());
        let wait = until.map_or(60 * SECOND, |until| until.saturating_sub(now).clamp(SECOND, 60 * SECOND));
        // What it just did may have brought new waits.
        let wait = if std::mem::take(&mut driver.has_acted) { SECOND } else { wait };
        let number = driver.looks;
        self.schedule_after(wait, Event::Moment(holder, number));
    }

    /// The moment is over.
    pub(super) fn moment(&mut self, holder: usize, number: u64) {
        let now = self.now;
        let driver = &self.holders[holder];
        if driver.looks != number || !driver.is_looking {
            return;
        }
        if driver.asleep > now {
            self.schedule_after(driver.asleep - now, Event::Moment(holder, number));
            return;
        }
        if now.saturating_sub(driver.synced_at(now)) > STALE
            && !driver.is_interrupted
            && !self.is_blind(Tamper::Silence)
        {
            self.schedule_after(2 * SECOND, Event::Moment(holder, number));
            return;
        }
        self.show(holder);
        self.run_on(holder);
    }

    /// Something is known that was not known before.
    pub(super) fn news(&mut self, holder: usize) {
        let driver = &mut self.holders[holder];
        if !driver.holds() {
            return;
        }
        driver.has_news = true;
        if driver.is_looking {
            self.plan_look(holder);
        }
    }

    /// A driver that heard of a change waits a little for more of them.
    fn plan_look(&mut self, holder: usize) {
        let driver = &mut self.holders[holder];
        if driver.is_in_burst {
            return;
        }
        driver.is_in_burst = true;
        driver.looks += 1;
        let number = driver.looks;
        self.schedule_after(BURST, Event::Moment(holder, number));
    }

    /// Shows the driver what its holder knows.
    fn show(&mut self, holder: usize) {
        self.tally.looks += 1;
        let (is_open, now) = (self.truth.is_open, self.now);
        let (is_gated, is_bridged) = (self.is_gated(holder, |_| true), self.is_bridged(holder));
        let is_gated_beside = self.is_gated(holder, |gate| gate.source != GateSource::Workload);
        let driver = &self.holders[holder];
        let synced = duration_of(driver.synced_at(now));
        let owner = |(workload, touched): (&usize, &TouchedWorkload)| {
            let availability = driver.available.get(workload)?;
            let desired = availability.desired.min(touched.desired);
            let owner = self.truth.workloads[*workload].blueprint.owner.clone();
            Some((owner, Availability { desired, ready: availability.ready }))
        };
        let owners = driver.touched.iter().filter_map(owner).collect();
        let driver = &mut self.holders[holder];
        driver.look_basis = LookBasis {
            looked_at: now,
            nodes: driver.nodes_complete_until(now),
            pods: driver.pods.complete_until(now),
            is_gated,
            is_gated_beside,
            is_bridged,
        };
        driver.looks += 1;
        (driver.has_news, driver.is_in_burst, driver.is_looking) = (false, false, false);
        let world = Arc::make_mut(&mut driver.world);
        world.now = duration_of(self.now);
        world.wall =
            jiff::Timestamp::from_millisecond(self.now.try_into().unwrap_or(i64::MAX)).unwrap_or_default();
        world.renewed_at = duration_of(driver.renewed_at);
        world.epoch = driver.epoch;
        world.is_open = is_open;
        world.synced = synced;
        world.owners = owners;
        if driver.stored.as_ref().is_some_and(|stored| !driver.own_runs.contains(stored)) {
            driver.mail.borrow_mut().observation =
                Some(Err(EndReason::Gone("another holder wrote the run".into())));
            return;
        }
        let last_wish = driver.mail.borrow().last_wish;
        let wishes = driver.wishes.iter().filter(|wish| wish.seq > last_wish).cloned().collect();
        let run = driver.stored.clone();
        let mut observation = Observation {
            world: Arc::clone(&driver.world),
            run,
            wishes,
            measured: Vec::new(),
            is_interrupted: driver.is_interrupted,
        };
        if let Some(tamper) = self.tamper {
            tamper.apply(&mut observation, &self.plan.policies);
        }
        self.holders[holder].mail.borrow_mut().observation = Some(Ok(observation));
    }

    /// Tells the driver that it cannot go on.
    pub(super) fn refuse(&mut self, holder: usize, why: &str) {
        let driver = &mut self.holders[holder];
        driver.mail.borrow_mut().observation = Some(Err(EndReason::Gone(why.to_owned())));
        if driver.is_looking {
            driver.is_looking = false;
            self.run_on(holder);
        }
    }

    /// The holder's process ends in the middle; a person starts it anew later.
    pub(super) fn crash(&mut self, holder: usize) {
        self.note(|_| format!("holder {holder} crashes"));
        self.tally.count("a holder that crashed");
        let driver = &mut self.holders[holder];
        (driver.drive, driver.state) = (None, HolderState::Ended);
        self.schedule_within(5 * SECOND, 300 * SECOND, Event::Start);
    }

    /// What a gate says reaches a holder.
    pub(super) fn judge(&mut self, holder: usize, name: &str, color: Color) {
        let now = self.now;
        let driver = &mut self.holders[holder];
        if !driver.holds() || driver.asleep > now {
            return;
        }
        let verdict = Verdict { color, checked_at: duration_of(now), why: String::new() };
        let before = Arc::make_mut(&mut driver.world).verdicts.insert(name.to_owned(), verdict);
        if before.is_none_or(|before| before.color != color) {
            self.news(holder);
        }
    }

    /// Whether such a gate keeps nodes from starting, as this holder knows it: asked of what it really knows.
    fn is_gated(&self, holder: usize, such: impl Fn(&Gate) -> bool) -> bool {
        let verdicts: &BTreeMap<String, Verdict> = &self.holders[holder].world.verdicts;
        self.plan.gates.iter().filter(|gate| such(gate)).any(|gate| {
            let fresh = Millis::from(gate.fresh_seconds) * SECOND;
            verdicts.get(&gate.name).is_none_or(|verdict| {
                verdict.color > Color::Amber
                    || duration_of(self.now).saturating_sub(verdict.checked_at) > duration_of(fresh)
            })
        })
    }

    /// The driver's future is not needed any more.
    pub(super) fn drop_drive(&mut self, holder: usize) {
        let driver = &mut self.holders[holder];
        (driver.drive, driver.state) = (None, HolderState::Ended);
    }
}
