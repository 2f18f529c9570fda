//! The loop: observe, decide, apply, report, and requeue. An event is debounced and never interpreted: whatever it was, the node is observed
//! anew.

mod apply;
mod count;
mod gather;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use convergence::failure::Failure;
use convergence::node::paths::STATUS;
use convergence::node::settings::Settings;
use convergence::publish::report::{NodeEvent, NodeReport};
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::facts::RuntimeFacts;
use convergence::watch::count::CountPace;
use convergence::watch::debounce::{AT_MOST, Debounce};
use convergence::watch::decide::{WatchDecision, decide};
use convergence::watch::desired::DesiredProgress;
use convergence::watch::memory::Memory;
use convergence::watch::observation::Observation;
use sd_notify::NotifyState;
use shim::host::process::Process;
use tracing::info;
use types::command::exit::Exit;
use types::node::Mode;
use types::status::{ConfState, Reason};

use self::count::Basis;
use super::{Scope, pod};
use crate::host::events::{Events, WakeReason, signals};
use crate::node::agent::status_file;
use crate::publish::report::Publish;
use crate::watch::observe;

/// Between two looks at a node on which all is well.
const STEADY: Duration = Duration::from_secs(20);
/// Between two looks at a node that waits for something.
const WAITING: Duration = Duration::from_secs(1);
/// Pause between two questions to a runtime that uses Crossfade's conf, while there are no events.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// Pause between two passes where no inotify instance is available.
const POLLING: Duration = Duration::from_secs(2);
/// A round that finds new directories to watch looks again at once, so often.
const LOOKS: usize = 4;

/// Runs until a signal ends it, or Crossfade is switched off.
///
/// # Errors
/// The loop cannot start.
pub(crate) fn run(scope: &Scope, settings: Settings) -> Result<Exit, Failure> {
    let (wake, wakes) = channel();
    signals(wake.clone())?;
    let mut watch = Watch::new(scope, settings, wake)?;
    let mut wait = watch.reconcile(true);
    let notify = |state: &[NotifyState<'_>]| {
        // Without a supervisor there is no socket to notify.
        let _ = sd_notify::notify(state);
    };
    notify(&[NotifyState::Ready]);
    loop {
        notify(&[NotifyState::Watchdog, NotifyState::Status(&watch.status_line)]);
        // A pod that ends is started again, and would say so for ever.
        if let Some(exit) = watch.exit.filter(|_| !scope.in_pod) {
            return Ok(exit);
        }
        if scope.in_pod && pod::unit_runs(&scope.root) {
            info!(event = "GivesWay", "{}", pod::GIVES_WAY);
            return Ok(Exit::Done);
        }
        let Some(changed) = watch.next_pass(&wakes, wait) else { break };
        wait = watch.reconcile(changed);
    }
    notify(&[NotifyState::Stopping]);
    Ok(Exit::Done)
}

/// The runtime as an earlier pass found it.
#[derive(Debug, Default)]
struct RuntimeState {
    /// Its configuration, and the endpoint to ask; its answer is in [`Watch::answer`].
    runtime: RuntimeFacts,
    /// The life of the runtime in which the directories were observed.
    life: Option<Option<String>>,
    /// node.json's `runtime` at that time.
    settings: Option<types::node::Runtime>,
}

struct Watch<'a> {
    scope: &'a Scope,
    /// node.json as it was in force in the last pass.
    settings: Settings,
    started: Instant,
    process: Process,
    wake: Sender<WakeReason>,
    events: Events,
    debounce: Debounce,
    count_pace: CountPace,
    /// What the last count of the attachments went by.
    basis: Option<Basis>,
    memory: Memory,
    facts: Option<Observation>,
    /// The runtime, as its configuration and node.json describe it.
    runtime: Option<RuntimeState>,
    /// The runtime's last answer, and its moment.
    answer: (RuntimeAnswer, Duration),
    prints: BTreeMap<PathBuf, Option<String>>,
    publisher: Option<Box<dyn Publish>>,
    reported: Option<NodeReport>,
    desired: DesiredProgress,
    /// Happenings outside of a pass, which the next pass reports.
    pending: Vec<NodeEvent>,
    status_line: String,
    /// The loop ends with this exit status.
    exit: Option<Exit>,
}

impl<'a> Watch<'a> {
    fn new(scope: &'a Scope, settings: Settings, wake: Sender<WakeReason>) -> Result<Self, Failure> {
        let process = Process::current().map_err(|e| Failure::new(Exit::Failed, e))?;
        let before = status_file::read_of_this_boot(&scope.root.join(STATUS));
        Ok(Self {
            scope,
            started: Instant::now(),
            process,
            events: Events::new(wake.clone()),
            publisher: scope.publisher(&settings, &wake),
            settings,
            wake,
            debounce: Debounce::default(),
            count_pace: CountPace::default(),
            basis: None,
            memory: Memory::from_status(before.as_ref()),
            facts: None,
            runtime: None,
            answer: (RuntimeAnswer::NotAsked, Duration::ZERO),
            prints: BTreeMap::new(),
            reported: None,
            desired: DesiredProgress::default(),
            pending: Vec::new(),
            status_line: String::new(),
            exit: None,
        })
    }

    /// Takes the event that woke the loop, and those that come right behind it. Returns whether files may have changed; none is the end.
    fn debounce(&mut self, first: WakeReason, wakes: &Receiver<WakeReason>) -> Option<bool> {
        let started = Instant::now();
        let (quiet, at_most) = match first {
            WakeReason::Changed => self.debounce_for(),
            WakeReason::Records
            | WakeReason::Hangup
            | WakeReason::Stop
            | WakeReason::Desired(_)
            | WakeReason::NotStarted(..) => (Duration::ZERO, Duration::ZERO),
        };
        let mut next = Some(first);
        loop {
            match next.take() {
                Some(WakeReason::Stop) => return None,
                Some(WakeReason::Desired(phase)) => self.desired.set(phase),
                Some(WakeReason::NotStarted(unit, why)) => self.note_not_started(&unit, why),
                Some(WakeReason::Records) => self.count_pace.note_changed(self.started.elapsed()),
                Some(WakeReason::Changed | WakeReason::Hangup) | None => {}
            }
            let remaining =
                at_most.saturating_sub(started.elapsed()).min(quiet.saturating_sub(self.events.quiet_for()));
            match wakes.recv_timeout(remaining) {
                Ok(wake) => next = Some(wake),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let done = started.elapsed() >= at_most || self.events.quiet_for() >= quiet;
                    if done {
                        return Some(true);
                    }
                    // The thread counts events instead of sending them, until the loop observes again.
                }
            }
        }
    }

    /// How long to gather events. A foreign conf in the private directory is in force until it is removed, so `watch` gathers nothing then,
    /// and a storm does not delay the next pass.
    fn debounce_for(&mut self) -> (Duration, Duration) {
        let (quiet, at_most) = self.debounce.gather(self.started.elapsed());
        match &self.facts {
            Some(facts) if observe::is_intruded(facts) => (Duration::ZERO, Duration::ZERO),
            Some(facts) if facts.is_private() => (quiet.min(AT_MOST), at_most.min(AT_MOST)),
            _ => (quiet, at_most),
        }
    }

    /// Runs one pass. `changed` says that files may have changed; a quiet tick detects changes by stat. Returns how long to wait for the
    /// next pass if there is no event.
    fn reconcile(&mut self, changed: bool) -> Duration {
        let mut facts = self.observe(changed);
        if changed && self.publisher.is_none() {
            // kubelet may have come to this node, or node.json have said otherwise, since.
            self.publisher = self.scope.publisher(&facts.node.node_json(), &self.wake);
            self.reported = None;
        }
        if self.follow_desired(&facts) {
            self.facts = Some(facts);
            facts = self.observe(true);
        }
        if facts.node.settings.conf_dir == Mode::Without {
            // What is in force stays as it is until the next boot. The unit starts this program once more, which then notes that and stays down.
            info!(event = "Ended", "node.json says confDir none: there is nothing to watch");
            self.exit = Some(Exit::Done);
            return Duration::ZERO;
        }
        self.count(&facts);
        self.memory.polls = self.events.polls();
        self.memory.unmet = self.desired.unmet_phase().cloned();
        let mut decision = decide(&facts, &self.memory, self.process);
        let failed = self.apply(&mut decision);
        if failed != self.memory.failed {
            decision.memory.failed.clone_from(&failed);
        }
        if let Some(why) = &failed {
            decision.note_failed(why);
        }
        self.memory = decision.memory.clone();
        // By this status, and not by the unit's conditions alone, systemd knows that the unit stays down.
        self.exit = (decision.report.reason == Reason::SwitchedOff).then_some(Exit::No);
        let wait = self.requeue_after(&decision, failed.is_some());
        let unmeasured = self.memory.unmeasured.clone();
        self.report(&facts, decision);
        self.facts = Some(facts);
        // What the report itself met is a finding of the next round.
        if self.memory.unmeasured == unmeasured { wait } else { wait.min(WAITING) }
    }

    fn requeue_after(&self, decision: &WatchDecision, failed: bool) -> Duration {
        let waits = matches!(
            decision.report.reason,
            Reason::WaitingForNetwork
                | Reason::BootFailed
                | Reason::BadSettings
                | Reason::ConfNotLoaded
                | Reason::PluginMissing
                | Reason::RuntimeUnknown
        );
        let lost = decision.document.conf.state == ConfState::NoDirectory;
        let usual = match () {
            () if waits || lost || failed => WAITING,
            () if self.events.polls() => POLLING,
            () => STEADY,
        };
        let usual = self.desired.wait(self.started.elapsed()).map_or(usual, |due| usual.min(due));
        // systemd asks for a sign of life twice in its time.
        sd_notify::watchdog_enabled().map_or(usual, |watchdog| usual.min(watchdog / 2))
    }
}
