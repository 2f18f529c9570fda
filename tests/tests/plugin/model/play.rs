//! Plays a history: everything happens on a node and in the reference, and after each step both must agree.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::case::invariants::{self, ExpectedAdd, Leavings};

use crate::history::{
    CONTAINERS, Call, Disk, FailureKind, History, Key, List, Operation, Policy, Side, Thing,
};
use crate::reference::{Candidates, ConcurrentCalls, Reference};
use crate::stage::{CallObservation, CallOutcome, Programs, Stage, TornPart};
use crate::tally::Tally;

/// A node, what the promises say of it, and what happened so far.
struct Play {
    stage: Stage,
    candidates: Candidates,
    /// Everything that the stubs were called with.
    steps: Vec<invariants::Step>,
    /// Containers one of whose records lost its first line: who attached them under which name is not known any more.
    lost: BTreeSet<String>,
}

/// Plays a history to its end, where the runtime deletes everything and nothing may be left.
///
/// # Errors
/// The step at which node and reference part, in words.
pub(crate) fn play(
    history: &History,
    programs: &Programs,
    boot_file: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let stage = Stage::new(&history.setup, programs, boot_file)?;
    let paths = (0..CONTAINERS).map(|container| stage.netns_path(container)).collect();
    let candidates = Candidates::new(Reference::new(&history.setup, paths));
    let mut play = Play { stage, candidates, steps: Vec::new(), lost: BTreeSet::new() };
    for (number, operation) in history.operations.iter().enumerate() {
        tally.step(operation.name());
        play.step(operation, tally).with_context(|| format!("operation {} ({operation:?})", number + 1))?;
    }
    play.end(tally).context("after the history, when everything is deleted")
}

/// Counts how a call ended, and whether a second network joined or left by it.
fn count(tally: &mut Tally, call: &Call, seen: &CallObservation) {
    tally.outcome(call.name(), seen.ended);
    if seen.ended == CallOutcome::Success && !seen.calls.is_empty() {
        match call {
            Call::Join { .. } => tally.changed(true),
            Call::Leave { .. } => tally.changed(false),
            _ => {}
        }
    }
}

impl Play {
    fn step(&mut self, operation: &Operation, tally: &mut Tally) -> Result<()> {
        if self.candidates.any().disk == Disk::Full {
            // What a DEL has freed meanwhile is used up by another process.
            self.stage.set_disk(Disk::Full)?;
        }
        match operation {
            Operation::Call(call) => {
                let call = self.bounded(call);
                let valid = self.valid(&call);
                let seen = self.stage.run(&call, &valid)?;
                self.judge(&call, &valid, &seen, tally)?;
            }
            Operation::Killed { call, syscall, nth } => {
                let valid = self.valid(call);
                let seen = self.stage.run_killed(call, &valid, syscall, *nth)?;
                self.judge(call, &valid, &seen, tally)?;
            }
            Operation::Orphaned { call, part, hangs } => {
                let seen = self.stage.run_orphaned(call, *part, *hangs)?;
                self.judge(call, &[], &seen, tally)?;
            }
            Operation::Together(calls) => self.together(calls, tally)?,
            Operation::Flip(policy) => {
                self.stage.write_policy(policy, false)?;
                self.candidates.each(|candidate| candidate.flip(*policy));
            }
            Operation::Break(how) => {
                self.stage.break_policy(*how)?;
                self.candidates.each(|candidate| candidate.broken = true);
            }
            Operation::Mend => {
                self.stage.hurry(false)?;
                self.candidates.each(|candidate| candidate.broken = false);
            }
            Operation::Agent { side, thing, there } => self.agent(*side, *thing, *there)?,
            Operation::Disk(disk) => {
                self.stage.set_disk(*disk)?;
                self.candidates.each(|candidate| candidate.disk = *disk);
            }
            Operation::Tear { key, permille } => self.tear(*key, *permille)?,
            Operation::Netns { container, another } => {
                self.stage.netns_gone(*container)?;
                if *another {
                    self.stage.make_netns(*container)?;
                }
            }
            Operation::Reboot => {
                self.stage.reboot()?;
                self.candidates.each(Reference::reboot);
            }
        }
        self.look();
        Ok(())
    }

    /// Without a policy there are no deadlines but the defaults, which are too long to wait for.
    fn bounded(&self, call: &Call) -> Call {
        let mut call = call.clone();
        if self.candidates.any().broken {
            for fault in call.faults_mut().iter_mut().filter(|fault| fault.how == FailureKind::Hang) {
                fault.how = FailureKind::Silent;
            }
        }
        call
    }

    fn valid(&self, call: &Call) -> Vec<Key> {
        match call {
            Call::Gc { list, .. } | Call::Sweep { list, .. } => self.candidates.any().listed(*list),
            _ => Vec::new(),
        }
    }

    fn look(&mut self) {
        for container in 0..CONTAINERS {
            let netns = self.stage.netns_id(container);
            self.candidates.each(|candidate| candidate.netns[usize::from(container)] = netns);
        }
    }

    fn papers(&self) -> Result<BTreeSet<Key>> {
        Ok(self.stage.papers()?.into_keys().collect())
    }

    fn judge(&mut self, call: &Call, valid: &[Key], seen: &CallObservation, tally: &mut Tally) -> Result<()> {
        count(tally, call, seen);
        self.look();
        self.steps.extend(invariants::steps(&seen.calls)?);
        let papers = self.papers()?;
        let judged = self.candidates.become_those(|before| before.judged(call, valid, seen, &papers));
        judged.with_context(|| format!("{seen}; records {papers:?}"))
    }

    /// Whatever happens at once must look as if it had happened in some order, in which a GC or sweep may be in pieces.
    fn together(&mut self, calls: &[Call], tally: &mut Tally) -> Result<()> {
        let faults = calls.first().map(|call| call.faults().to_vec()).unwrap_or_default();
        let mut calls = calls.to_vec();
        for call in &mut calls {
            faults.clone_into(call.faults_mut());
        }
        let valid: Vec<Vec<Key>> = calls.iter().map(|call| self.valid(call)).collect();
        // As a runtime does before it calls: no other call may find the netns made meanwhile.
        for key in calls.iter().filter(|call| matches!(call, Call::Add { .. })).filter_map(Call::key) {
            self.stage.make_netns(key.container)?;
        }
        let seen = self.stage.run_together(&calls, &valid)?;
        for (call, seen) in calls.iter().zip(&seen) {
            count(tally, call, seen);
        }
        self.look();
        let mut all: Vec<_> = seen.iter().flat_map(|seen| seen.calls.clone()).collect();
        // Calls of one attachment come one after the other, whichever process makes them; between attachments their order says nothing.
        all.sort_by_key(|call| call.pid);
        self.steps.extend(invariants::steps(&all)?);
        let papers = self.papers()?;
        let together = ConcurrentCalls { calls: &calls, valid: &valid, seen: &seen };
        self.candidates.become_those(|before| before.explain(together, &papers)).with_context(|| {
            let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
            format!("no order explains\n  {}\nrecords {papers:?}", seen.join("\n  "))
        })
    }

    fn agent(&mut self, side: Side, thing: Thing, there: bool) -> Result<()> {
        match thing {
            Thing::Conf => self.stage.set_conf(side, there)?,
            Thing::Binary => self.stage.set_binary(side, there)?,
            Thing::Socket => self.stage.set_socket(side, there)?,
        }
        self.candidates.each(|candidate| candidate.agent(side, thing, there));
        Ok(())
    }

    fn tear(&mut self, key: Key, permille: u16) -> Result<()> {
        match self.stage.tear(key, permille)? {
            TornPart::Nothing => {}
            TornPart::Head => {
                self.lost.insert(key.id());
                self.candidates.each(|candidate| candidate.head_torn(key));
            }
            TornPart::Tail => self.candidates.each(|candidate| candidate.tail_torn(key)),
        }
        Ok(())
    }

    /// The runtime deletes everything, the sweep follows, and nothing is left.
    fn end(&mut self, tally: &mut Tally) -> Result<()> {
        self.stage.set_disk(Disk::Sound)?;
        self.candidates.each(|candidate| candidate.disk = Disk::Sound);
        for side in Side::BOTH {
            for thing in [Thing::Conf, Thing::Binary, Thing::Socket] {
                self.agent(side, thing, true)?;
            }
        }
        self.step(&Operation::Flip(Policy::everything_new()), tally)?;
        for key in Key::all() {
            let call = Call::Del { key, without_netns: false, faults: Vec::new() };
            let seen = self.stage.run(&call, &[])?;
            ensure!(seen.ended == CallOutcome::Success, "the DEL of {key} does not succeed: {}", seen.said);
            self.judge(&call, &[], &seen, tally)?;
        }
        let sweep = Call::Sweep { list: List::Empty, faults: Vec::new() };
        self.step(&Operation::Call(sweep), tally)?;
        tally.outlived(self.candidates.any().outlived);
        self.hold()
    }

    /// The shared invariants, by one of the states.
    fn hold(&self) -> Result<()> {
        self.candidates.hold(|reference| self.hold_by(reference))
    }

    fn hold_by(&self, reference: &Reference) -> Result<()> {
        let (state, run) = (self.stage.path("state"), self.stage.path("run"));
        let records = invariants::records(&state)?;
        let mut findings = invariants::orphans(&records, &BTreeSet::new());
        let given_up = self.stage.given_up()?;
        let counts = |step: &&invariants::Step| {
            let whose = (step.part.id.clone(), step.part.network.clone());
            let given_up = given_up.contains(&whose) || reference.told_journal.contains(&whose);
            !given_up && !self.lost.contains(&step.part.id)
        };
        let steps: Vec<_> = self.steps.iter().filter(counts).cloned().collect();
        // Where each ADD and DEL may go is the reference's business, which knows the policy at every step.
        let named: Vec<ExpectedAdd> = steps
            .iter()
            .map(|step| ExpectedAdd {
                id: step.part.id.clone(),
                parts: vec![(step.part.network.clone(), step.part.ifname.clone())],
                succeeded: false,
            })
            .collect();
        findings.extend(invariants::ledger(&steps, &named, &records));
        let left = Leavings::gather(&self.stage.path("leases"), &state, &run)?;
        findings.extend(left.with_processes(self.stage.processes()).findings());
        invariants::hold(&findings)?;
        let (least, most) = reference.forced;
        let forced = given_up.len();
        ensure!(
            (least..=most).contains(&forced),
            "{forced} lines of given-up networks, expected {least} to {most}"
        );
        Ok(())
    }
}
