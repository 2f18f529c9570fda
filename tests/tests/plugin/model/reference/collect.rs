//! GC and the sweep: records that the runtime no longer lists, and each delegate's own list.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Call as StubCall;

use super::{
    Attachment, Certainty, Debt, Ends, Failure, Owing, Paper, Reading, Reference, code, failure, hangs,
    reading::list_of,
};
use crate::history::{Disk, Fault, Key, Part, Side, Verb};
use crate::stage::CallObservation;

/// Who collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collector {
    Gc,
    Sweep,
}

/// What a GC or sweep has been judged for so far: it closes one attachment after the other, and other calls may come between.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(super) reading: Reading,
    failures: Vec<Failure>,
    /// What it has tried to close; it tries each once, also where that failed.
    tried: BTreeSet<Key>,
}

impl Progress {
    pub(crate) fn new(seen: &CallObservation) -> Self {
        Self { reading: Reading::new(seen), failures: Vec::new(), tried: BTreeSet::new() }
    }
}

impl Reference {
    pub(super) fn gc(
        &mut self,
        valid: &BTreeSet<Key>,
        faults: &[Fault],
        progress: &mut Progress,
    ) -> Result<Ends> {
        if self.broken {
            return Ok(Ends::code(code::CONFIG));
        }
        for key in self.unlisted(valid) {
            self.collect(Collector::Gc, key, valid, faults, progress)?;
        }
        if self.policy.forward {
            let late = gc_may_be_late(faults);
            let failures = self.forwarded(valid, late, faults, &mut progress.reading)?;
            progress.failures.extend(failures);
        }
        Ok(Ends::any_of(&progress.failures))
    }

    pub(super) fn sweep(
        &mut self,
        valid: &BTreeSet<Key>,
        faults: &[Fault],
        progress: &mut Progress,
    ) -> Result<Ends> {
        if self.broken {
            return Ok(Ends::code(code::BAD_SETTINGS));
        }
        for key in self.unlisted(valid) {
            self.collect(Collector::Sweep, key, valid, faults, progress)?;
        }
        let failures: Vec<Failure> =
            progress.failures.iter().map(|failure| Failure { code: 1, ..*failure }).collect();
        let ends = Ends::any_of(&failures);
        // Temporary files that cannot be removed are reported as well.
        Ok(if self.disk == Disk::Sound { ends } else { ends.or(Ends::code(1)) })
    }

    /// One close of a GC or sweep. An attachment that it has no reason to close is left alone.
    pub(crate) fn collect(
        &mut self,
        collector: Collector,
        key: Key,
        valid: &BTreeSet<Key>,
        faults: &[Fault],
        progress: &mut Progress,
    ) -> Result<()> {
        if self.broken || !self.unlisted(valid).contains(&key) {
            return Ok(());
        }
        let perhaps = match collector {
            Collector::Gc => gc_may_be_late(faults),
            Collector::Sweep => {
                let Some(attachment) = self.attachments.get(&key) else { return Ok(()) };
                let served = |side: Side| self.is_up(side) || self.policy.retired && side == Side::Old;
                let waits =
                    |debt: Debt| attachment.legs.iter().any(|leg| leg.debt == debt && !served(leg.side));
                if waits(Debt::Owed) {
                    return Ok(());
                }
                waits(Debt::Doubtful)
            }
        };
        if !progress.tried.insert(key) {
            return Ok(());
        }
        let rivals: Vec<Key> = self
            .unlisted(valid)
            .into_iter()
            .filter(|other| *other != key && other.container == key.container)
            .collect();
        let failures = self.collected(key, perhaps, &rivals, faults, &mut progress.reading)?;
        progress.failures.extend(failures);
        Ok(())
    }

    /// Attachments that are to be closed: not listed, and past the grace or of an earlier boot. Damaged ones wait for a DEL.
    fn unlisted(&self, valid: &BTreeSet<Key>) -> Vec<Key> {
        let due = |attachment: &Attachment| self.policy.no_grace || attachment.boot < self.boot;
        let all = self.attachments.iter().filter(|(key, _)| !valid.contains(key));
        all.filter(|(_, attachment)| due(attachment) && attachment.paper != Paper::Damaged)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Closes one of them; with `perhaps` it may be left alone. `rivals` are other attachments of its container that are due.
    fn collected(
        &mut self,
        key: Key,
        perhaps: bool,
        rivals: &[Key],
        faults: &[Fault],
        reading: &mut Reading,
    ) -> Result<Vec<Failure>> {
        let Some(attachment) = self.attachments.get(&key).cloned() else { return Ok(Vec::new()) };
        let id = key.id();
        let calls = reading.take_chosen(|calls| self.own_dels(key, &attachment, rivals, calls));
        let perhaps = perhaps || self.in_play.contains(&key) || attachment.paper == Paper::Either;
        let untouched = calls.is_empty() && (perhaps || reading.is_of_killed());
        if untouched {
            // Nothing may be owed by then; a close that calls no delegate shows in that an ADD found no record.
            let owes = attachment.legs.iter().any(|leg| leg.debt == Debt::Owed);
            if !owes && self.found_free.contains(&key) {
                self.attachments.remove(&key);
                return Ok(Vec::new());
            }
            self.unsure.insert(key);
            self.perhaps_given_up(key);
            // A DEL whose binary is missing fails without a call.
            for leg in self.attachments.get_mut(&key).into_iter().flat_map(|attachment| &mut attachment.legs)
            {
                if leg.leaving == Certainty::No {
                    leg.leaving = Certainty::Perhaps;
                }
            }
            if perhaps && !reading.is_of_killed() {
                // It may have failed without calling a delegate.
                return Ok(vec![
                    Failure { code: code::BINARY, certain: false },
                    Failure { code: code::DEADLINE, certain: false },
                ]);
            }
            return Ok(Vec::new());
        }
        let here = self.netns[usize::from(key.container)];
        // None outlives its boot, and its number may come again.
        let same = attachment.netns.is_some() && attachment.netns == here && attachment.boot == self.boot;
        let path = self.netns_paths[usize::from(key.container)].clone();
        let netns = if same { path } else { String::new() };
        let owing = Owing { id: &id, netns: Some(&netns), netns_gone: !same, faults };
        let mut own = reading.with_calls(calls);
        let ends = self.close(key, attachment, &owing, &mut own).with_context(|| format!("closing {key}"))?;
        own.finished()?;
        Ok(ends.failures())
    }

    /// A retired network whose binary is missing is given up without a call, so that no call shows whether it was.
    fn perhaps_given_up(&mut self, key: Key) {
        let missing = !self.has_binary(Part::Old) && self.policy.retired && !self.broken;
        let Some(attachment) = self.attachments.get_mut(&key).filter(|_| missing) else { return };
        for leg in attachment.legs.iter_mut().filter(|leg| leg.side == Side::Old && leg.debt != Debt::Settled)
        {
            leg.debt = Debt::Doubtful;
            self.forced.1 += 1;
            if self.disk != Disk::Sound {
                self.told_journal.insert((key.id(), leg.side.network().to_owned()));
            }
        }
    }

    fn has_leg(&self, attachment: &Attachment, call: &StubCall) -> bool {
        attachment.legs.iter().any(|leg| {
            let chain = self.setup.chain_of(leg.side);
            chain.iter().any(|part| part.plugin() == call.name) && leg.ifname == call.var("CNI_IFNAME")
        })
    }

    /// Which of these calls are DELs of this attachment. A record that could not be read is asked for under a name that may be
    /// another one's as well: a call under both is the sound record's, and a second one is the other's.
    fn own_dels(&self, key: Key, attachment: &Attachment, rivals: &[Key], calls: &[StubCall]) -> Vec<bool> {
        let is_of_container =
            |call: &StubCall| call.verb() == Verb::Del.name() && call.var("CNI_CONTAINERID") == key.id();
        let rivals: Vec<&Attachment> = rivals.iter().filter_map(|key| self.attachments.get(key)).collect();
        let is_disputed = |call: &StubCall| rivals.iter().any(|rival| self.has_leg(rival, call));
        // The sound record knows what its ADD answered.
        let is_told = |call: &StubCall| call.conf().is_ok_and(|conf| !conf["prevResult"].is_null());
        let is_of_sound = |call: &StubCall| {
            let same = |other: &&StubCall| {
                is_of_container(other)
                    && other.name == call.name
                    && other.var("CNI_IFNAME") == call.var("CNI_IFNAME")
            };
            let first = calls.iter().find(same);
            let output = calls.iter().filter(same).find(|other| is_told(other));
            output.or(first).is_some_and(|chosen| std::ptr::eq(chosen, call))
        };
        let is_sound = attachment.paper == Paper::Sound;
        let is_own = |call: &StubCall| {
            is_of_container(call)
                && self.has_leg(attachment, call)
                && (!is_disputed(call) || is_of_sound(call) == is_sound)
        };
        calls.iter().map(is_own).collect()
    }

    /// Every network that knows GC gets its own list.
    fn forwarded(
        &self,
        valid: &BTreeSet<Key>,
        late: bool,
        faults: &[Fault],
        reading: &mut Reading,
    ) -> Result<Vec<Failure>> {
        let mut failures = Vec::new();
        let mut doubtful = late;
        // A delegate releases what its list lacks, and a record that cannot be read does not say what its pod has.
        let is_damaged = |(key, attachment): (&Key, &Attachment)| {
            attachment.paper == Paper::Damaged && !self.in_play.contains(key)
        };
        if self.attachments.iter().any(is_damaged) {
            let calls = reading.take(|call| call.verb() == Verb::Gc.name());
            ensure!(calls.is_empty(), "GC was passed on beside a damaged record: {calls:?}");
            return Ok(failures);
        }
        doubtful |= self.unread_in_play
            || self.attachments.values().any(|attachment| attachment.paper != Paper::Sound);
        for side in Side::BOTH {
            let knows = self.setup.speaks(side, "1.1.0");
            if !self.agents[side.index()].conf {
                continue;
            }
            let mut stopped = false;
            for part in self.setup.chain_of(side) {
                if !self.has_binary(*part) {
                    failures.push(Failure { code: code::BINARY, certain: knows && !doubtful && !stopped });
                    stopped = true;
                    continue;
                }
                if !knows {
                    continue;
                }
                let calls = reading.take(|call| call.verb() == Verb::Gc.name() && call.name == part.plugin());
                ensure!(calls.len() <= 1, "{part:?} got {} GCs", calls.len());
                match calls.first() {
                    None => ensure!(stopped || doubtful || reading.is_of_killed(), "{part:?} got no GC"),
                    Some(call) => self.own_list(side, valid, call)?,
                }
                if let Some(code) = failure(faults, *part, Verb::Gc) {
                    failures.push(Failure { code, certain: !calls.is_empty() });
                    stopped = true;
                    doubtful |= hangs(faults, *part, Verb::Gc);
                }
            }
        }
        // A delegate whose turn came too late failed by the deadline.
        if doubtful {
            failures.push(Failure { code: code::DEADLINE, certain: false });
        }
        Ok(failures)
    }

    /// A network's list has everything it may still hold, under its own ifnames, and nothing of the other network.
    fn own_list(&self, side: Side, valid: &BTreeSet<Key>, call: &StubCall) -> Result<()> {
        self.own_conf(
            side,
            if call.name == Part::Map.plugin() { Part::Map } else { self.setup.chain_of(side)[0] },
            call,
        )?;
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for key in Key::all() {
            let own = (key.id(), key.ifname());
            let sure = !self.in_play.contains(&key);
            let Some(attachment) = self.attachments.get(&key) else {
                if valid.contains(&key) {
                    let _new = if sure { must.insert(own) } else { may.insert(own) };
                }
                continue;
            };
            let unknown = attachment.paper != Paper::Sound;
            if unknown && valid.contains(&key) {
                may.insert(own);
            }
            for leg in attachment.legs.iter().filter(|leg| leg.side == side && leg.debt != Debt::Settled) {
                let entry = (key.id(), leg.ifname.clone());
                let sure = sure && leg.debt == Debt::Owed && !unknown && !self.unsure.contains(&key);
                let _new = if sure { must.insert(entry) } else { may.insert(entry) };
            }
        }
        let listed = list_of(call)?;
        let lacking: Vec<_> = must.difference(&listed).collect();
        ensure!(lacking.is_empty(), "{} would lose {lacking:?}: its list is {listed:?}", side.name());
        let in_play: BTreeSet<String> = self.in_play.iter().map(|key| key.id()).collect();
        let foreign: Vec<_> = listed
            .iter()
            .filter(|entry| !must.contains(*entry) && !may.contains(*entry) && !in_play.contains(&entry.0))
            .collect();
        ensure!(foreign.is_empty(), "{} has nothing of {foreign:?}: its list is {listed:?}", side.name());
        Ok(())
    }
}

/// A delegate that hangs uses up the time of those after it.
fn gc_may_be_late(faults: &[Fault]) -> bool {
    Part::ALL.iter().any(|part| hangs(faults, *part, Verb::Del))
}
