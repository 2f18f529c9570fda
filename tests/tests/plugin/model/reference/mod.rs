//! The reference: what an attachment owes to whom, and what each operation may do and answer.
//!
//! It is written from the promises (docs/architecture.md and the design's sections 3 to 5), not from the shim. It keeps one
//! small thing per attachment: the networks whose ADD has begun and whose DEL has not succeeded since. Everything else
//! is how that is recorded and what is doubtful about it after a kill, a full disk or a torn record. Where a promise leaves
//! a choice, both are accepted; where it does not, exactly one is.
//!
//! An operation is judged by what was seen of it: which plugins were called, in which order, and how it ended. A caller that
//! was killed may have stopped anywhere, so its calls may end early, and nothing else about them changes.

mod add;
mod candidates;
mod collect;
mod del;
mod ends;
mod live;
mod look;
mod reading;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::history::{
    Attach, Call, Disk, FailureKind, Fault, Key, List, Part, Policy, Setup, Side, Thing, Verb,
};
use crate::stage::{CallObservation, CallOutcome, NetnsId};

pub(crate) use candidates::Candidates;
use candidates::surviving;
use collect::{Collector, Progress};
use del::Owing;
pub(crate) use ends::{Ends, Failure};
use live::Change;
pub(crate) use reading::{ExpectedCall, Reading};
pub(crate) use together::ConcurrentCalls;

/// What an error object means.
pub(crate) mod code {
    pub(crate) const UNKNOWN: u64 = 3;
    pub(crate) const ENVIRONMENT: u64 = 4;
    pub(crate) const IO: u64 = 5;
    pub(crate) const DECODE: u64 = 6;
    pub(crate) const CONFIG: u64 = 7;
    pub(crate) const TRY_LATER: u64 = 11;
    pub(crate) const NOT_AVAILABLE: u64 = 50;
    pub(crate) const LIMITED: u64 = 51;
    pub(crate) const DELEGATE: u64 = 100;
    pub(crate) const BINARY: u64 = 101;
    pub(crate) const EXISTS: u64 = 102;
    pub(crate) const MISSING: u64 = 106;
    pub(crate) const DEADLINE: u64 = 103;
    pub(crate) const RESTART: u64 = 107;
    /// The node's program: settings that cannot be used.
    pub(crate) const BAD_SETTINGS: u64 = 78;
}

/// What is known of a thing that is true or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    No,
    Perhaps,
    Yes,
}

/// Whether a network is owed its DEL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Debt {
    /// Its ADD has begun, and no DEL has succeeded since.
    Owed,
    /// Nothing is owed, but the record may say so: a DEL too many is harmless, and may come or not.
    Doubtful,
    /// Nothing is owed and the record knows.
    Settled,
}

/// One network's part in an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) side: Side,
    pub(crate) ifname: String,
    pub(crate) debt: Debt,
    /// Whether its ADD succeeded and the record has the result.
    pub(crate) result: Certainty,
    /// Whether the record says that a DEL of it has begun.
    pub(crate) leaving: Certainty,
    /// Plugins of its chain at which the next DEL may begin; more than one where the record may not know.
    pub(crate) resume: BTreeSet<usize>,
}

/// What the record's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paper {
    Sound,
    /// Its first line cannot be read.
    Damaged,
    /// One of the two.
    Either,
}

/// An attachment with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) paper: Paper,
    /// Whether a line behind its first cannot be read.
    pub(crate) torn: bool,
    /// In the order of ADD.
    pub(crate) legs: Vec<Leg>,
    /// Whether the record says that the ADD succeeded as a whole.
    pub(crate) attached: Certainty,
    /// The boot in which it was begun.
    pub(crate) boot: u32,
    /// The netns it was begun in.
    pub(crate) netns: Option<NetnsId>,
}

/// What a network's agent has put on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) conf: bool,
    pub(crate) binary: bool,
    pub(crate) socket: bool,
}

/// The state of the node as the promises see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) setup: Setup,
    pub(crate) policy: Policy,
    pub(crate) broken: bool,
    pub(crate) agents: [Agent; 2],
    /// Whether a network was ready once in this boot.
    pub(crate) ready: [Certainty; 2],
    pub(crate) disk: Disk,
    pub(crate) boot: u32,
    pub(crate) attachments: BTreeMap<Key, Attachment>,
    /// What the runtime would list: ADDs that succeeded or were killed, without a DEL that succeeded since.
    pub(crate) sandboxes: BTreeSet<Key>,
    /// Which netns is at each container's path.
    pub(crate) netns: Vec<Option<NetnsId>>,
    /// Networks that were given up locally so far; at least and at most.
    pub(crate) forced: (usize, usize),
    /// Container and network of each that was given up while the ledger could not be written; the journal has it instead.
    pub(crate) told_journal: BTreeSet<(String, String)>,
    /// Plugins whose DEL failed on a netns that is gone, and counted as done.
    pub(crate) outlived: usize,
    /// Attachments on which another call works at the same time.
    pub(crate) in_play: BTreeSet<Key>,
    /// A record of these could not be read before, or perhaps not.
    pub(crate) unread_in_play: bool,
    /// Whether what is judged ran at the same time as something else.
    pub(crate) at_once: bool,
    /// Secondary names that ADDs took at the same time and gave back, because they failed: whose, and which.
    pub(crate) passing: Vec<(Key, String)>,
    /// Secondary names that JOINs had in use at the same time, until the DELs that they began with: whose, and which.
    pub(crate) freed: Vec<(Key, String)>,
    /// Attachments on which more than one call works at the same time.
    pub(crate) busy: BTreeSet<Key>,
    /// Attachments of which an ADD made at once found no record.
    pub(crate) found_free: BTreeSet<Key>,
    /// Records that may be gone or there after the last operation.
    pub(crate) unsure: BTreeSet<Key>,
    /// CNI_NETNS of each container.
    pub(crate) netns_paths: Vec<String>,
}

impl Reference {
    pub(crate) fn new(setup: &Setup, netns_paths: Vec<String>) -> Self {
        Self {
            setup: setup.clone(),
            policy: setup.policy,
            broken: false,
            agents: [Agent { conf: true, binary: true, socket: true }; 2],
            ready: [Certainty::No; 2],
            disk: Disk::Sound,
            boot: 0,
            attachments: BTreeMap::new(),
            sandboxes: BTreeSet::new(),
            netns: vec![None; usize::from(crate::history::CONTAINERS)],
            forced: (0, 0),
            told_journal: BTreeSet::new(),
            outlived: 0,
            in_play: BTreeSet::new(),
            unread_in_play: false,
            at_once: false,
            passing: Vec::new(),
            freed: Vec::new(),
            busy: BTreeSet::new(),
            found_free: BTreeSet::new(),
            unsure: BTreeSet::new(),
            netns_paths,
        }
    }

    /// What the runtime lists.
    pub(crate) fn listed(&self, list: List) -> Vec<Key> {
        let all = self.sandboxes.iter().copied();
        match list {
            List::Complete => all.collect(),
            List::Without(key) => all.filter(|other| *other != key).collect(),
            List::Empty | List::Missing => Vec::new(),
        }
    }

    /// Judges a call, and takes in what it did.
    ///
    /// `valid` is what the runtime listed to a GC or sweep.
    pub(crate) fn judge(&mut self, call: &Call, valid: &[Key], seen: &CallObservation) -> Result<()> {
        self.judge_rest(call, valid, seen, Progress::new(seen))
    }

    /// The state after a call, and [`Self::compare`] with the records that are there then.
    pub(crate) fn judged(
        &self,
        call: &Call,
        valid: &[Key],
        seen: &CallObservation,
        papers: &BTreeSet<Key>,
    ) -> Result<Vec<Self>> {
        let after = self.judge_all(call, valid, seen, Progress::new(seen))?;
        surviving(after.into_iter().map(|mut after| after.compare(papers).map(|()| after)))
    }

    /// Every state that a call may have left by what was seen of it. What the record may say decides about a CHECK, a JOIN and a LEAVE, so that
    /// each possible record is judged for itself.
    fn judge_all(
        &self,
        call: &Call,
        valid: &[Key],
        seen: &CallObservation,
        progress: Progress,
    ) -> Result<Vec<Self>> {
        match call {
            Call::Join { key, annotation, faults } => {
                self.change(Change::new(*key, *annotation, faults, true), seen, &progress.reading)
            }
            Call::Leave { key, annotation, faults } => {
                self.change(Change::new(*key, *annotation, faults, false), seen, &progress.reading)
            }
            Call::Check { key, .. } => {
                let judge = |mut world: Self| world.judge_rest(call, valid, seen, progress.clone());
                surviving(self.worlds(*key).into_iter().map(judge))?;
                Ok(vec![self.clone()])
            }
            _ => {
                let mut after = self.clone();
                after.judge_rest(call, valid, seen, progress)?;
                Ok(vec![after])
            }
        }
    }

    /// [`Self::judge`] for a call whose `progress` has been judged already; only a GC or sweep has any.
    fn judge_rest(
        &mut self,
        call: &Call,
        valid: &[Key],
        seen: &CallObservation,
        mut progress: Progress,
    ) -> Result<()> {
        let reading = &mut progress.reading;
        let listed = || valid.iter().copied().collect();
        let ends = match call {
            Call::Add { key, annotation, faults } => self.add((*key, *annotation), faults, seen, reading)?,
            Call::Del { key, without_netns, faults } => self.del(*key, *without_netns, faults, reading)?,
            Call::Check { key, faults } => self.check(*key, faults, reading)?,
            Call::Status { faults } => self.status(faults, reading)?,
            Call::Join { .. } | Call::Leave { .. } => bail!("{} has more than one outcome", call.name()),
            Call::Gc { list: List::Missing, .. } if !self.broken => Ends::success(),
            Call::Gc { faults, .. } => self.gc(&listed(), faults, &mut progress)?,
            Call::Sweep { faults, .. } => self.sweep(&listed(), faults, &mut progress)?,
        };
        progress.reading.finished().with_context(|| format!("{} called more than it may", call.name()))?;
        ensure!(
            ends.allow(seen.ended),
            "ended with {:?}, allowed is {:?}: {}",
            seen.ended,
            ends.0,
            seen.said
        );
        match (call, seen.ended) {
            (Call::Del { key, .. }, CallOutcome::Success) => {
                self.sandboxes.remove(key);
            }
            // A sandbox whose ADD was killed is deleted by its runtime.
            (Call::Add { key, .. }, CallOutcome::Success | CallOutcome::Killed) => {
                self.sandboxes.insert(*key);
            }
            _ => {}
        }
        Ok(())
    }

    /// Compares with the records that are there. After a kill a record may be gone or there; then it is taken as it is,
    /// but never gone while a DEL is owed.
    pub(crate) fn compare(&mut self, papers: &BTreeSet<Key>) -> Result<()> {
        let unsure = std::mem::take(&mut self.unsure);
        for key in Key::all() {
            let attachment = self.attachments.get(&key);
            match (attachment, papers.contains(&key)) {
                (Some(attachment), false) => {
                    let owed: Vec<&Leg> =
                        attachment.legs.iter().filter(|leg| leg.debt == Debt::Owed).collect();
                    ensure!(owed.is_empty(), "the record of {key} is gone, and still owed is {owed:?}");
                    ensure!(unsure.contains(&key), "the record of {key} is gone: {attachment:?}");
                    self.attachments.remove(&key);
                }
                (None, true) => bail!("there is a record of {key}, which has nothing attached"),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn agent(&mut self, side: Side, thing: Thing, there: bool) {
        let agent = &mut self.agents[side.index()];
        match thing {
            Thing::Conf => agent.conf = there,
            Thing::Binary => agent.binary = there,
            Thing::Socket => agent.socket = there,
        }
    }

    pub(crate) fn flip(&mut self, policy: Policy) {
        self.policy = policy;
        self.broken = false;
    }

    /// No event of an earlier boot is trusted to be complete: what had not begun, as far as the record knows, may have.
    pub(crate) fn reboot(&mut self) {
        self.boot += 1;
        self.ready = [Certainty::No; 2];
    }

    /// Notes that a network is ready. Of calls that run at once, one may have looked before and go on asking.
    pub(crate) fn is_ready(&mut self, side: Side, certain: bool) {
        let ready = &mut self.ready[side.index()];
        if *ready != Certainty::Yes {
            *ready = if certain && !self.at_once { Certainty::Yes } else { Certainty::Perhaps };
        }
    }

    /// A record that lost its end: nothing that was appended is certain any more.
    pub(crate) fn tail_torn(&mut self, key: Key) {
        let Some(attachment) = self.attachments.get_mut(&key) else { return };
        let less = |known: Certainty| if known == Certainty::Yes { Certainty::Perhaps } else { known };
        attachment.torn = true;
        attachment.attached = less(attachment.attached);
        for leg in &mut attachment.legs {
            leg.result = less(leg.result);
            leg.leaving = less(leg.leaving);
            leg.resume = (0..self.setup.chain_of(leg.side).len()).collect();
            if leg.debt == Debt::Settled {
                leg.debt = Debt::Doubtful;
            }
        }
    }

    pub(crate) fn head_torn(&mut self, key: Key) {
        if let Some(attachment) = self.attachments.get_mut(&key) {
            attachment.paper = Paper::Damaged;
        }
    }

    /// Whether a network's conf is there and its probe holds.
    pub(crate) fn is_up(&self, side: Side) -> bool {
        let agent = self.agents[side.index()];
        agent.conf && (agent.socket || !self.setup.probes[side.index()])
    }

    /// Whether the binary of this plugin is there.
    pub(crate) fn has_binary(&self, part: Part) -> bool {
        match part {
            Part::Old => self.agents[Side::Old.index()].binary,
            Part::New => self.agents[Side::New.index()].binary,
            Part::Map => true,
        }
    }

    /// Where the DEL of a whole chain begins.
    pub(crate) fn end_of_chain(&self, side: Side) -> BTreeSet<usize> {
        [self.setup.chain_of(side).len() - 1].into()
    }

    /// Who attaches a pod: its annotation where that is allowed, else the first rule that matches, else `attach`.
    pub(crate) fn choice(&self, key: Key, annotation: Option<Attach>) -> Attach {
        match (annotation, self.policy.rule) {
            (Some(Attach::Both), _) if self.policy.annotation => Attach::Both,
            (_, Some(rule)) if key.is_special() => rule,
            _ => self.policy.attach,
        }
    }
}

/// The code with which this plugin fails at this verb, if it does.
pub(crate) fn failure(faults: &[Fault], part: Part, verb: Verb) -> Option<u64> {
    let how = faults.iter().find(|fault| fault.part == part && fault.verb == verb)?.how;
    match how {
        FailureKind::Error(code) => Some(u64::from(code)),
        FailureKind::NotFound | FailureKind::NetnsMissing => Some(999),
        FailureKind::Silent | FailureKind::Signal => Some(code::DELEGATE),
        // Only ADD has anything to say.
        FailureKind::Garbage | FailureKind::Nothing => (verb == Verb::Add).then_some(code::DECODE),
        FailureKind::Hang => Some(match verb {
            Verb::Add => code::TRY_LATER,
            Verb::Status => code::NOT_AVAILABLE,
            Verb::Del | Verb::Check | Verb::Gc => code::DEADLINE,
        }),
    }
}

/// Whether this plugin's DEL fails for want of the netns.
pub(crate) fn wants_netns(faults: &[Fault], part: Part) -> bool {
    let fault = faults.iter().find(|fault| fault.part == part && fault.verb == Verb::Del);
    fault.is_some_and(|fault| fault.how == FailureKind::NetnsMissing)
}

/// Whether this plugin hangs at this verb.
pub(crate) fn hangs(faults: &[Fault], part: Part, verb: Verb) -> bool {
    let fault = faults.iter().find(|fault| fault.part == part && fault.verb == verb);
    fault.is_some_and(|fault| fault.how == FailureKind::Hang)
}
