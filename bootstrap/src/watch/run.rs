//! The loop: converge, wait, converge again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use shim::process::Process;
use tracing::{info, warn};
use types::node::Mode;

use super::decide::{Decision, decide};
use super::desired::{self, Desired};
use super::document;
use super::events::{Events, Wake, signals};
use super::facts::{Facts, Known, Usual, prints};
use super::memory::Memory;
use super::pace::{AT_MOST, Pace};
use super::{Scope, apply, plugin, pod, proof, textfile};
use crate::change::Act;
use crate::change::outcome::Outcome;
use crate::cli::exit::{Exit, Failure};
use crate::commands::policy;
use crate::node::mode;
use crate::node::paths::STATUS;
use crate::node::settings;
use crate::publish::report::{Happened, NodeReport, Publish, Reason};
use crate::runtime::asked::Asked;
use crate::runtime::endpoint::Whom;

/// Between two looks at a node on which all is well.
const STEADY: Duration = Duration::from_secs(20);
/// Between two looks at a node that waits for something.
const WAITING: Duration = Duration::from_secs(1);
/// Between two questions to a runtime that uses our conf, where nothing happens.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// Between two looks where no event can be had.
const POLLING: Duration = Duration::from_secs(2);
/// A round that finds new directories to watch looks again at once, so often.
const LOOKS: usize = 4;

/// Runs until it is told to end, or Crossfade is switched off.
///
/// # Errors
/// When it cannot begin.
pub fn run(scope: &Scope) -> Result<Exit, Failure> {
    let (wake, wakes) = channel();
    signals(wake.clone())?;
    let mut watch = Watch::new(scope, wake)?;
    let mut wait = watch.round(true);
    let told = |state: &[NotifyState<'_>]| {
        // Nobody supervises us: nobody to tell.
        let _ = sd_notify::notify(state);
    };
    told(&[NotifyState::Ready]);
    loop {
        told(&[NotifyState::Watchdog, NotifyState::Status(&watch.said)]);
        // A pod that ends is started again, and would say so for ever.
        if watch.off && !scope.in_pod {
            return Ok(Exit::Done);
        }
        if scope.in_pod && pod::unit_runs(&scope.root) {
            info!(event = "GivesWay", "{}", pod::GIVES_WAY);
            return Ok(Exit::Done);
        }
        let changed = match wakes.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) | Ok(Wake::Stop) => break,
            Ok(first) => match watch.hear(first, &wakes) {
                Some(changed) => changed,
                None => break,
            },
        };
        wait = watch.round(changed);
    }
    told(&[NotifyState::Stopping]);
    Ok(Exit::Done)
}

/// The runtime that was found.
#[derive(Debug, Default)]
struct Found {
    /// Its own directories, and whom to ask.
    usual: Usual,
    /// The life of it in which they were looked for.
    life: Option<Option<String>>,
    /// What node.json said of it then.
    wanted: Option<types::node::Runtime>,
}

/// The loop's state.
struct Watch<'a> {
    scope: &'a Scope,
    began: Instant,
    me: Process,
    wake: Sender<Wake>,
    events: Events,
    pace: Pace,
    memory: Memory,
    facts: Option<Facts>,
    /// The runtime, as its configuration and node.json describe it.
    found: Option<Found>,
    /// What the runtime answered, and when.
    asked: (Asked, Duration),
    prints: BTreeMap<PathBuf, Option<String>>,
    publisher: Option<Box<dyn Publish>>,
    reported: Option<NodeReport>,
    desired: Desired,
    /// What happened outside of a round.
    pending: Vec<Happened>,
    said: String,
    off: bool,
}

impl<'a> Watch<'a> {
    fn new(scope: &'a Scope, wake: Sender<Wake>) -> Result<Self, Failure> {
        let me = Process::current().map_err(|e| Failure::new(Exit::Failed, e))?;
        let before = document::of_this_boot(&scope.root.at(STATUS));
        Ok(Self {
            scope,
            began: Instant::now(),
            me,
            events: Events::new(wake.clone()),
            publisher: scope.publisher(&wake),
            wake,
            pace: Pace::default(),
            memory: Memory::after(before.as_ref()),
            facts: None,
            found: None,
            asked: (Asked::NotAsked, Duration::ZERO),
            prints: BTreeMap::new(),
            reported: None,
            desired: Desired::default(),
            pending: Vec::new(),
            said: String::new(),
            off: false,
        })
    }

    /// Takes what woke us, and what comes right behind it. Returns whether files may have changed; none is the end.
    fn hear(&mut self, first: Wake, wakes: &Receiver<Wake>) -> Option<bool> {
        let began = Instant::now();
        let (quiet, at_most) = match first {
            Wake::Changed => self.gathering(),
            _ => (Duration::ZERO, Duration::ZERO),
        };
        let mut next = Some(first);
        loop {
            match next.take() {
                Some(Wake::Stop) => return None,
                Some(Wake::Desired(phase)) => self.desired.set(phase),
                Some(Wake::NotStarted(unit, why)) => self.not_started(&unit, why),
                Some(Wake::Changed | Wake::Hangup) | None => {}
            }
            let left = at_most.saturating_sub(began.elapsed()).min(quiet.saturating_sub(self.events.quiet()));
            match wakes.recv_timeout(left) {
                Ok(wake) => next = Some(wake),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let done = began.elapsed() >= at_most || self.events.quiet() >= quiet;
                    if done {
                        return Some(true);
                    }
                    // Events are counted, not sent, until we look.
                }
            }
        }
    }

    /// How long to gather events. A foreign conf in our own directory is in force until it is removed, so nothing is waited for then, and
    /// a storm does not keep us from looking for one.
    fn gathering(&mut self) -> (Duration, Duration) {
        let (quiet, at_most) = self.pace.gather(self.began.elapsed());
        match &self.facts {
            Some(facts) if facts.is_intruded(&self.scope.root) => (Duration::ZERO, Duration::ZERO),
            Some(facts) if facts.is_private() => (quiet.min(AT_MOST), at_most.min(AT_MOST)),
            _ => (quiet, at_most),
        }
    }

    /// One round. `changed` tells that files may be others than before; a quiet tick finds out by their stat. Returns how
    /// long to wait for the next.
    fn round(&mut self, changed: bool) -> Duration {
        let mut facts = self.look(changed);
        if changed && self.publisher.is_none() {
            // kubelet may have come to this node, or node.json have said otherwise, since.
            self.publisher = self.scope.publisher(&self.wake);
            self.reported = None;
        }
        if self.follow(&facts) {
            self.facts = Some(facts);
            facts = self.look(true);
        }
        if facts.node.conf_dir == Mode::Without {
            // What is in force stays as it is until the next boot; the next start of this program ends at once.
            info!(event = "Ended", "node.json says confDir none: there is nothing to watch");
            self.off = true;
            return Duration::ZERO;
        }
        self.memory.polls = self.events.polls();
        self.memory.unmet = self.desired.unmet().cloned();
        let mut decision = decide(&facts, &self.memory, self.me);
        let failed = self.carry_out(&facts, &mut decision);
        if failed != self.memory.failed {
            decision.memory.failed.clone_from(&failed);
        }
        if let Some(why) = &failed {
            decision.failed(why);
        }
        self.memory = decision.memory.clone();
        self.off = decision.report.reason == Reason::SwitchedOff;
        let wait = self.wait(&decision, failed.is_some());
        let unmeasured = self.memory.unmeasured.clone();
        self.report(&facts, decision);
        self.facts = Some(facts);
        // What the report itself met is a finding of the next round.
        if self.memory.unmeasured == unmeasured { wait } else { wait.min(WAITING) }
    }

    fn look(&mut self, changed: bool) -> Facts {
        let now = |began: Instant| began.elapsed();
        let news = (changed || self.is_due()) && self.ask();
        let changed = changed || news;
        if !changed && let Some(mut facts) = self.facts.take() {
            let files: Vec<PathBuf> = self.prints.keys().cloned().collect();
            if prints(&files) == self.prints {
                facts.ask_again(now(self.began));
                // A try to get events, where there are none.
                if !self.events.polls() || !self.events.arm(facts.directories(&self.scope.root).iter()) {
                    return facts;
                }
            }
            self.facts = Some(facts);
        }
        let known = self.facts.take().map_or_else(|| mode::settings(&self.scope.root), |facts| facts.node);
        let mut looks = 0;
        loop {
            looks += 1;
            self.events.look();
            // Before the look: what changes during it is seen by the next tick.
            let before: Vec<PathBuf> = self.prints.keys().cloned().collect();
            self.prints = prints(&before);
            let found = self.found.get_or_insert_default();
            let good = self.memory.good.as_ref();
            let (usual, asked) = (&found.usual, &self.asked.0);
            let known = Known { node: &known, usual, asked, before: good, in_pod: self.scope.in_pod };
            let facts = Facts::gather(&self.scope.global, known, now(self.began));
            // A runtime that was started again may have been configured anew.
            let life = facts.runtime.clone();
            if life.is_some() && found.life.replace(life.clone()).is_some_and(|was| was != life) {
                let next = Usual::find(&self.scope.root, &facts.node);
                if next != found.usual && looks < LOOKS {
                    found.usual = next;
                    self.ask();
                    continue;
                }
            }
            let mut files = facts.files(&self.scope.root);
            files.sort();
            files.dedup();
            let news = self.events.arm(facts.directories(&self.scope.root).iter()) || files != before;
            if !news || looks >= LOOKS {
                return facts;
            }
            self.prints = files.into_iter().map(|file| (file, None)).collect();
        }
    }

    /// Whether the runtime is to be asked again although nothing has happened: at times where all is well, soon where it is not.
    fn is_due(&self) -> bool {
        let facts = self.facts.as_ref();
        let settled = match &self.asked.0 {
            Asked::NotAsked | Asked::Silent => true,
            Asked::Told(_) => self.memory.used || !matches!(facts.map(|facts| &facts.own), Some(Ok(Some(_)))),
            Asked::Unknown(_) | Asked::Absent(_) | Asked::Unanswered(_) => false,
        };
        let pause = match &self.asked.0 {
            _ if settled => ASK_EVERY,
            Asked::Unknown(_) => STEADY,
            _ => WAITING,
        };
        self.began.elapsed().saturating_sub(self.asked.1) >= pause
    }

    /// Asks the runtime what it uses, and finds it first where node.json describes another one or nobody has found it yet; whether
    /// the answer is another than before.
    fn ask(&mut self) -> bool {
        let known =
            self.facts.as_ref().map_or_else(|| mode::settings(&self.scope.root), |facts| facts.node.clone());
        let node = settings::load(&self.scope.root).unwrap_or(known);
        let is_known = |found: &Found| {
            found.wanted.as_ref() == Some(&node.runtime) && !matches!(found.usual.whom, Whom::Unknown(_))
        };
        if !self.found.as_ref().is_some_and(is_known) {
            let life = self.found.take().and_then(|found| found.life);
            let usual = Usual::find(&self.scope.root, &node);
            self.found = Some(Found { usual, life, wanted: Some(node.runtime) });
        }
        let whom = self.found.as_ref().map_or(Whom::Nobody, |found| found.usual.whom.clone());
        let before = std::mem::replace(&mut self.asked, (Asked::whom(&whom), self.began.elapsed()));
        before.0 != self.asked.0
    }

    /// Applies a decision; what failed, in words.
    fn carry_out(&mut self, facts: &Facts, decision: &mut Decision) -> Option<String> {
        let changes = std::mem::take(&mut decision.changes);
        let done = apply::apply(&facts.layout, changes, |act| self.start(act));
        let mut failed = None;
        for done in &done {
            let change = &done.change;
            match &done.outcome {
                Some(Outcome::Failed(why)) => {
                    let why = format!("{} {}: {why}", change.act.word(), change.target);
                    if self.memory.failed.as_ref() != Some(&why) {
                        let message = why.clone();
                        decision.happened.push(Happened { reason: "Failed", warning: true, message });
                    }
                    failed = Some(why);
                }
                Some(_) => {
                    info!(event = "Changed", target = %change.target, "{}: {}", change.act.word(), change.reason)
                }
                None => {}
            }
        }
        // What we wrote is what the next round has to find.
        if failed.is_none()
            && let Some(conf) = decision.conf.take()
        {
            decision.memory.settled = Some(conf);
            decision.memory.was_there = true;
        }
        failed
    }

    fn start(&self, act: &Act) {
        let Act::Start { unit, .. } = act else { return };
        let (global, act, unit, wake) =
            (self.scope.global.clone(), act.clone(), unit.clone(), self.wake.clone());
        // systemd may be slow; nobody waits for it here.
        let started = std::thread::Builder::new().name("start".into()).spawn(move || {
            if let Err(why) = apply::start_unit(&global, &act) {
                // The loop has ended: nobody wants to know.
                let _ = wake.send(Wake::NotStarted(unit, why));
            }
        });
        if let Err(error) = started {
            warn!(event = "Failed", "start a thread: {error}");
        }
    }

    fn not_started(&mut self, unit: &str, why: String) {
        let now = self.began.elapsed();
        let of = |side: &types::policy::Side| unit == proof::unit(*side);
        if unit == plugin::UNIT {
            let message = format!("our plugin cannot be put back: {why}");
            self.pending.push(Happened { reason: "Failed", warning: true, message });
        } else if let Some(standing) = self.memory.standing.iter_mut().find(|(side, _)| of(side)) {
            standing.1.proofs.did_not_start(now, why);
        } else {
            self.memory.sweeps.did_not_start(why);
        }
    }

    /// Flips the policy to the phase that the Node's annotation asks for, where it is due; whether it was flipped.
    fn follow(&mut self, facts: &Facts) -> bool {
        let held = facts.policy.as_ref().ok();
        let node = desired::Node {
            now: facts.now,
            phase: held.map(|held| held.policy.phase()),
            policy: held.map(|held| held.sha256.as_str()),
            follows: facts.node.follows_desired,
            allowed: &facts.node.allowed,
            is_off: facts.off.is_some(),
        };
        let Some(phase) = self.desired.step(node) else { return false };
        match policy::set(&facts.layout, phase, false, false) {
            Ok(_) => true,
            Err(failure) => {
                let is_no = failure.exit == Exit::No;
                let kind = if is_no { desired::Kind::Refused } else { desired::Kind::Failed };
                self.desired.failed(kind, &failure.lines().join("; "), node);
                false
            }
        }
    }

    fn wait(&self, decision: &Decision, failed: bool) -> Duration {
        let waits = matches!(
            decision.report.reason,
            Reason::WaitingForNetwork
                | Reason::BootFailed
                | Reason::BadSettings
                | Reason::ConfNotLoaded
                | Reason::PluginMissing
                | Reason::RuntimeUnknown
        );
        let lost = decision.document.conf.state == super::own::State::NoDirectory.word();
        let usual = match () {
            () if waits || lost || failed => WAITING,
            () if self.events.polls() => POLLING,
            () => STEADY,
        };
        let usual = self.desired.wait(self.began.elapsed()).map_or(usual, |due| usual.min(due));
        // systemd asks for a sign of life twice in its time.
        sd_notify::watchdog_enabled().map_or(usual, |watchdog| usual.min(watchdog / 2))
    }

    fn report(&mut self, facts: &Facts, mut decision: Decision) {
        decision.happened.splice(0..0, std::mem::take(&mut self.pending));
        for one in &decision.happened {
            let phase = decision.document.phase.as_deref().unwrap_or("unknown");
            if one.warning {
                warn!(event = one.reason, phase, "{}", one.message);
            } else {
                info!(event = one.reason, phase, "{}", one.message);
            }
        }
        let status = apply::report(&self.scope.root.at(STATUS), &decision.document.bytes());
        if let Err(error) = status {
            warn!(event = "Failed", "write {STATUS}: {error}");
        }
        if let Some(path) = &facts.node.report.textfile {
            let text = textfile::text(&decision.document, textfile::booted_secs());
            let written = apply::metrics(path, text.as_bytes());
            self.memory.unmeasured = written.err().map(|error| format!("{}: {error}", path.display()));
        }
        let news = self.reported.as_ref() != Some(&decision.report) || !decision.happened.is_empty();
        if let Some(publisher) = self.publisher.as_ref().filter(|_| news) {
            publisher.publish(&decision.report, &decision.happened);
        }
        self.said = format!("{}: {}", decision.report.reason.as_str(), decision.report.message);
        self.reported = Some(decision.report);
    }
}
