//! Calls that were made at once: what was seen of them must look as if they had been made in some order.
//!
//! A GC or sweep is not one step of such an order but a sequence of closes, and another call may come between any two. What
//! comes between matters to an ADD alone: an attachment that is still there keeps the interface name of its secondary. So
//! only the closes of containers that get an ADD are put anywhere in the order; all others commute with every other call.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use super::candidates::{add_new, surviving};
use super::{Collector, Progress, Reference, code};
use crate::history::{Call, Key, List, Verb};
use crate::stage::{CallObservation, CallOutcome};

/// Calls made at once, with what the runtime listed to each and what was seen of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConcurrentCalls<'a> {
    pub(crate) calls: &'a [Call],
    pub(crate) valid: &'a [Vec<Key>],
    pub(crate) seen: &'a [CallObservation],
}

/// A close that a GC or sweep may make before its turn ends: whose it is, and of which attachment.
#[derive(Debug, Clone, Copy)]
struct Close {
    by: usize,
    collector: Collector,
    key: Key,
}

impl Reference {
    /// The states after calls that were made at once: of each order of them that explains what was seen and the records that
    /// are there then.
    ///
    /// # Errors
    /// Why each order in which every GC and sweep is one step does not explain it; then no other does either.
    pub(crate) fn explain(&self, together: ConcurrentCalls<'_>, papers: &BTreeSet<Key>) -> Result<Vec<Self>> {
        let closes = closes(together);
        let (mut explained, mut why) = (Vec::new(), Vec::new());
        for order in orders(together.calls.len()) {
            let turn = |by: usize| order.iter().position(|index| *index == by).unwrap_or_default();
            let last: Vec<usize> = closes.iter().map(|close| turn(close.by)).collect();
            for (number, turns) in up_to(&last).into_iter().enumerate() {
                let early: Vec<(usize, Close)> = turns.into_iter().zip(closes.iter().copied()).collect();
                match self.explain_in(together, &order, &early, papers) {
                    Ok(references) => add_new(&mut explained, references),
                    Err(error) if number == 0 => why.push(format!("in the order {order:?}: {error:#}")),
                    Err(_) => {}
                }
            }
        }
        if explained.is_empty() { Err(anyhow!("{}", why.join("\n"))) } else { Ok(explained) }
    }

    /// The states after the calls in this order, each of the closes at the beginning of its turn.
    fn explain_in(
        &self,
        together: ConcurrentCalls<'_>,
        order: &[usize],
        closes: &[(usize, Close)],
        papers: &BTreeSet<Key>,
    ) -> Result<Vec<Self>> {
        let ConcurrentCalls { calls, valid, seen } = together;
        let mut reference = self.clone();
        reference.in_play = calls.iter().filter_map(Call::key).collect();
        if calls.iter().filter(|call| call.key().is_none()).count() > 1 {
            reference.in_play.extend(Key::all());
        }
        reference.unread_in_play = self.has_unread(&reference.in_play);
        reference.at_once = true;
        reference.passing = passing(together);
        reference.passing.extend(reference.rewritten(together));
        reference.freed = freed(together);
        reference.busy = busy(calls);
        reference.found_free = found_free(together);
        let progress: Vec<Progress> = seen.iter().map(Progress::new).collect();
        let mut states = vec![(reference, progress)];
        for (turn, index) in order.iter().enumerate() {
            let mut next: Vec<Result<_>> = Vec::new();
            for (mut reference, mut progress) in states {
                let closed = closes.iter().filter(|(at, _)| *at == turn).try_for_each(|(_, close)| {
                    let Close { by, collector, key } = *close;
                    let listed = valid[by].iter().copied().collect();
                    reference.collect(collector, key, &listed, calls[by].faults(), &mut progress[by])
                });
                let judged = closed.and_then(|()| {
                    reference.judge_all(
                        &calls[*index],
                        &valid[*index],
                        &seen[*index],
                        progress[*index].clone(),
                    )
                });
                match judged {
                    Ok(all) => next.extend(all.into_iter().map(|after| Ok((after, progress.clone())))),
                    Err(error) => next.push(Err(error)),
                }
            }
            states = all_or_errors(next)?;
        }
        surviving(states.into_iter().map(|(mut reference, _)| {
            reference.compare(papers)?;
            reference.in_play.clear();
            reference.unread_in_play = false;
            reference.at_once = false;
            reference.passing.clear();
            reference.freed.clear();
            reference.busy.clear();
            reference.found_free.clear();
            Ok(reference)
        }))
    }
}

impl Reference {
    /// Whether a record of these may be one that cannot be read.
    fn has_unread(&self, keys: &BTreeSet<Key>) -> bool {
        self.attachments
            .iter()
            .any(|(key, attachment)| keys.contains(key) && attachment.paper != super::Paper::Sound)
    }

    /// The names that DELs of records which cannot be read write down until they are done: the damaged record says none, and the sound one
    /// that takes its place says those that are asked for.
    fn rewritten(&self, ConcurrentCalls { calls, seen, .. }: ConcurrentCalls<'_>) -> Vec<(Key, String)> {
        let is_unread = |key: &Key| {
            self.attachments.get(key).is_some_and(|attachment| attachment.paper != super::Paper::Sound)
        };
        let dels = calls.iter().zip(seen).filter(|(call, _)| matches!(call, Call::Del { .. }));
        let keyed = dels.filter_map(|(call, seen)| Some((call.key().filter(is_unread)?, &seen.calls)));
        keyed
            .flat_map(|(key, calls)| calls.iter().map(move |call| (key, call.var("CNI_IFNAME").to_owned())))
            .collect()
    }
}

/// Those that are not refuted; why, if all are.
fn all_or_errors<T>(all: Vec<Result<T>>) -> Result<Vec<T>> {
    let (values, refuted): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    if values.is_empty() { refuted.into_iter().collect() } else { values.into_iter().collect() }
}

/// The closes whose place in the order an ADD, JOIN or LEAVE can tell.
fn closes(ConcurrentCalls { calls, .. }: ConcurrentCalls<'_>) -> Vec<Close> {
    let added: BTreeSet<u8> = calls
        .iter()
        .filter(|call| matches!(call, Call::Add { .. } | Call::Join { .. } | Call::Leave { .. }))
        .filter_map(|call| call.key().map(|key| key.container))
        .collect();
    let keys = || Key::all().filter(|key| added.contains(&key.container));
    let collectors = calls.iter().enumerate().filter_map(|(by, call)| match call {
        // Without a list it closes nothing.
        Call::Gc { list: List::Missing, .. } => None,
        Call::Gc { .. } => Some((by, Collector::Gc)),
        Call::Sweep { .. } => Some((by, Collector::Sweep)),
        _ => None,
    });
    collectors.flat_map(|(by, collector)| keys().map(move |key| Close { by, collector, key })).collect()
}

/// The secondary names that ADDs had until they were undone. Another ADD of the container finds them taken or free, by its moment.
fn passing(ConcurrentCalls { calls, seen, .. }: ConcurrentCalls<'_>) -> Vec<(Key, String)> {
    let failed = calls.iter().zip(seen).filter(|(_, seen)| seen.ended != CallOutcome::Success);
    let keyed = failed.filter_map(|(call, seen)| Some((call.key()?, &seen.calls)));
    keyed
        .flat_map(|(key, calls)| {
            let added = calls.iter().filter(|call| call.verb() == Verb::Add.name());
            added.map(move |call| (key, call.var("CNI_IFNAME").to_owned()))
        })
        .collect()
}

/// The secondary names that JOINs gave back at their beginning. Another ADD of the container finds them taken or free, by its moment.
fn freed(ConcurrentCalls { calls, seen, .. }: ConcurrentCalls<'_>) -> Vec<(Key, String)> {
    let joins = calls.iter().zip(seen).filter(|(call, _)| matches!(call, Call::Join { .. }));
    let keyed = joins.filter_map(|(call, seen)| Some((call.key()?, &seen.calls)));
    keyed
        .flat_map(|(key, calls)| {
            let dels = calls.iter().filter(|call| call.verb() == Verb::Del.name());
            dels.map(move |call| (key, call.var("CNI_IFNAME").to_owned()))
        })
        .collect()
}

/// The attachments whose lock another call may hold.
fn busy(calls: &[Call]) -> BTreeSet<Key> {
    let locks = |call: &Call, key: Key| match call {
        Call::Status { .. } => false,
        Call::Gc { .. } | Call::Sweep { .. } => true,
        _ => call.key() == Some(key),
    };
    Key::all().filter(|key| calls.iter().filter(|call| locks(call, *key)).count() > 1).collect()
}

/// The attachments whose ADDs were not refused for a record: none was there by then.
fn found_free(ConcurrentCalls { calls, seen, .. }: ConcurrentCalls<'_>) -> BTreeSet<Key> {
    let adds = calls.iter().zip(seen).filter(|(call, _)| matches!(call, Call::Add { .. }));
    let free =
        adds.filter(|(_, seen)| !matches!(seen.ended, CallOutcome::Code(code::EXISTS) | CallOutcome::Killed));
    free.filter_map(|(call, _)| call.key()).collect()
}

/// Every row of numbers that are at most these, these themselves first.
fn up_to(most: &[usize]) -> Vec<Vec<usize>> {
    most.iter().fold(vec![Vec::new()], |rows, most| {
        let longer = |row: Vec<usize>| (0..=*most).rev().map(move |next| [row.as_slice(), &[next]].concat());
        rows.into_iter().flat_map(longer).collect()
    })
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for at in 0..count {
            let mut order = shorter.clone();
            order.insert(at, count - 1);
            all.push(order);
        }
    }
    all
}
