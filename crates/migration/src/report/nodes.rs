//! The time that nodes took.

use serde::Serialize;
use types::api::step::State;

use super::lanes::{Lane, Span};

/// How long nodes took, from the first act on a node to the last one in a pass. A node that waited for a person is no measure of anything, and does not count.
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

/// Seconds of many moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Seconds {
    /// Half of them took no longer.
    pub median: u64,
    /// The longest.
    pub most: u64,
}

/// How long nodes took; none if no node came to its phase.
pub(super) fn times(lanes: &[Lane]) -> Option<NodeTimes> {
    let (mut all, mut beyond) = (Vec::new(), Vec::new());
    let is_held = |span: &Span| span.state == State::Held;
    for lane in lanes {
        // Each move ends with `done`, whose time counts for nothing.
        for spans in lane.spans.split_inclusive(|span| span.state == State::Done) {
            let Some((done, spans)) = spans.split_last() else { continue };
            if done.state != State::Done || spans.is_empty() || spans.iter().any(is_held) {
                continue;
            }
            let sum = |is_counted: &dyn Fn(&Span) -> bool| -> Option<u64> {
                spans.iter().filter(|span| is_counted(span)).map(|span| span.seconds).sum()
            };
            let (Some(seconds), Some(rest)) =
                (sum(&|_| true), sum(&|span| !matches!(span.state, State::Moving | State::Waiting)))
            else {
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

impl Seconds {
    fn from_all(mut all: Vec<u64>) -> Option<Self> {
        all.sort_unstable();
        Some(Self { median: *all.get((all.len().checked_sub(1)?) / 2)?, most: *all.last()? })
    }
}
