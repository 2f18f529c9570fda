//! The time that nodes took that moved in place, and the nodes that pipelines replaced.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use types::api::step::State;
use types::policy::Phase;

use super::journal::{Entry, JournalEvent};
use super::lanes::{Lane, Span};
use crate::drive::event::ActRecord;

/// How long nodes took that moved in place, from the first act on a node to the last one in a pass. A node that waited for a person is no measure of anything, and
/// does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeTimes {
    /// How often a node came to its phase.
    pub moves: usize,
    /// How often one waited for a person.
    pub held: usize,
    /// Seconds that a move took: in the middle, and the longest.
    pub seconds: Seconds,
    /// The same without the time in which pods moved.
    pub beyond_moving: Seconds,
}

/// Nodes that pipelines replaced. The journal has no line for a Node that is gone, and does not say which new node took whose place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Replacements {
    /// Nodes that the run let pipelines take away, without those that it held again; none without a line of the journal.
    pub permitted: Option<usize>,
    /// New nodes that were proven; none without a line of the journal.
    pub proven: Option<usize>,
    /// Seconds from the turn of a node to the proof of a new one, the first turn with the first proof after it, and so on; none without such a pair, or if the
    /// journal lacks lines.
    pub seconds: Option<Seconds>,
}

/// Seconds of many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Seconds {
    /// Half of them took no longer.
    pub median: u64,
    /// The longest.
    pub most: u64,
}

/// How long nodes took; none if no node came to its phase in place.
pub(super) fn times(lanes: &[Lane]) -> Option<NodeTimes> {
    let (mut all, mut beyond) = (Vec::new(), Vec::new());
    let is_held = |span: &Span| span.state == State::Held;
    let is_replaced = |span: &Span| span.state.is_left_to_pipeline();
    for lane in lanes {
        // Each move ends with `done`, whose time counts for nothing.
        for spans in lane.spans.split_inclusive(|span| span.state == State::Done) {
            let Some((done, spans)) = spans.split_last() else { continue };
            if done.state != State::Done || spans.iter().all(is_replaced) || spans.iter().any(is_held) {
                continue;
            }
            let sum = |is_counted: &dyn Fn(&Span) -> bool| -> Option<u64> {
                spans.iter().filter(|span| is_counted(span)).map(|span| span.seconds).sum()
            };
            let (Some(seconds), Some(rest)) = (
                sum(&|span| !is_replaced(span)),
                sum(&|span| !is_replaced(span) && span.state != State::Moving),
            ) else {
                continue;
            };
            all.push(seconds);
            beyond.push(rest);
        }
    }
    let held = lanes.iter().flat_map(|lane| &lane.spans).filter(|span| is_held(span)).count();
    let moves = all.len();
    Some(NodeTimes {
        moves,
        held,
        seconds: Seconds::from_all(all)?,
        beyond_moving: Seconds::from_all(beyond)?,
    })
}

/// What is known of the nodes that pipelines replaced; none if neither the plan nor the journal has such nodes. A journal that is not whole has nodes of which it lacks
/// the states before the last one.
pub(super) fn replacements(entries: &[Entry], is_planned: bool, is_whole: bool) -> Option<Replacements> {
    let mut states: BTreeMap<&str, (State, Option<Phase>)> = BTreeMap::new();
    let mut open: BTreeMap<&str, Timestamp> = BTreeMap::new();
    let (mut turns, mut proofs, mut is_kept) = (Vec::new(), Vec::new(), false);
    for Entry { time, event } in entries {
        let JournalEvent::Acted { act: ActRecord::Patch { node, state: Some(state), to, .. }, outcome } =
            event
        else {
            continue;
        };
        if outcome != "Done" {
            continue;
        }
        let before = states.insert(node, (*state, *to));
        if before == Some((*state, *to)) {
            continue;
        }
        is_kept |= state.is_left_to_pipeline();
        match state {
            State::Permitted => {
                open.insert(node, *time);
            }
            State::Waiting => {
                open.remove(&**node);
            }
            State::Done => {
                turns.extend(open.remove(&**node));
                let is_at_rest = |(state, _): (State, _)| state == State::Done || state.is_left_to_pipeline();
                proofs.extend(before.is_none_or(is_at_rest).then_some(*time));
            }
            State::Claimed
            | State::Flipped
            | State::Moving
            | State::Proving
            | State::Settling
            | State::Held => {}
        }
    }
    let is_rotation = is_planned || is_kept || is_whole && !proofs.is_empty();
    if !is_rotation {
        return None;
    }
    turns.extend(open.into_values());
    turns.sort_unstable();
    let has_lines = !entries.is_empty();
    let counted = |times: &[Timestamp]| has_lines.then_some(times.len());
    let (permitted, proven) = (counted(&turns), counted(&proofs));
    let mut turns = turns.into_iter().peekable();
    let since_turn = |proof: Timestamp| {
        let turn = turns.next_if(|turn| *turn <= proof)?;
        u64::try_from(proof.duration_since(turn).as_secs()).ok()
    };
    let seconds: Vec<u64> = proofs.into_iter().filter_map(since_turn).collect();
    let seconds = Seconds::from_all(seconds).filter(|_| is_whole);
    Some(Replacements { permitted, proven, seconds })
}

impl Seconds {
    fn from_all(mut all: Vec<u64>) -> Option<Self> {
        all.sort_unstable();
        Some(Self { median: *all.get((all.len().checked_sub(1)?) / 2)?, most: *all.last()? })
    }
}
