//! Each node over time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use types::api::step::State;
use types::policy::Phase;

use super::journal::{Entry, JournalEvent};
use super::{shown, text};
use crate::drive::event::ActRecord;
use crate::plan::Plan;

/// How many spans of one node are listed.
const SPANS: usize = 1_000;
/// How many nodes have a lane: names in a journal come from others.
const NODES: usize = 50_000;

/// A node over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lane {
    /// Its name.
    pub node: String,
    /// Its wave in the plan; none if the plan does not have it.
    pub wave: Option<String>,
    /// Its states, in order. Empty if the run did not touch it.
    pub spans: Vec<Span>,
}

/// How long a node was in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Span {
    /// The state.
    pub state: State,
    /// The phase that the node was brought to; none if the journal does not say it.
    pub to: Option<Phase>,
    /// When it began.
    pub since: String,
    /// When the next one began; none if there was none.
    pub until: Option<String>,
    /// How long it took, in seconds; none if it has no end.
    pub seconds: Option<u64>,
}

/// The lanes of all nodes: first those of the plan, in its order.
pub(super) fn lanes(entries: &[Entry], plan: Option<&Plan>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for wave in plan.iter().flat_map(|plan| &plan.waves) {
        for planned in &wave.nodes {
            index.insert(text(&planned.name), lanes.len());
            lanes.push(Lane {
                node: text(&planned.name),
                wave: Some(text(&wave.name.to_string())),
                spans: Vec::new(),
            });
        }
    }
    let mut since: BTreeMap<usize, Timestamp> = BTreeMap::new();
    for Entry { time: at, event } in entries {
        let JournalEvent::Acted { act: ActRecord::Patch { node, state: Some(state), to, .. }, outcome } =
            event
        else {
            continue;
        };
        let name = text(node);
        if outcome != "Done" || !index.contains_key(&name) && lanes.len() >= NODES {
            continue;
        }
        let number = *index.entry(name.clone()).or_insert(lanes.len());
        if number == lanes.len() {
            lanes.push(Lane { node: name, wave: None, spans: Vec::new() });
        }
        let spans = &mut lanes[number].spans;
        if spans.last().is_some_and(|last| last.state == *state && last.to == *to) || spans.len() >= SPANS {
            continue;
        }
        if let Some(last) = spans.last_mut().filter(|last| last.state != State::Done) {
            last.until = Some(shown(*at));
            let seconds = since.get(&number).map(|since| at.duration_since(*since).as_secs());
            last.seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        }
        since.insert(number, *at);
        spans.push(Span { state: *state, to: *to, since: shown(*at), until: None, seconds: None });
    }
    lanes
}
