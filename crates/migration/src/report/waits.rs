//! The waits of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::journal::{Entry, JournalEvent};
use super::{shown, text};
use crate::roll::wait::{Reason, Wait};

/// Something that the run waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WaitSpan {
    /// The object: `Node/b7`, `Pod/default/web`, `Gate/dns`.
    pub object: String,
    /// Why.
    pub reason: Reason,
    /// What was seen, in one sentence.
    pub what: String,
    /// A person had to act.
    pub is_held: bool,
    /// When the journal says it first. A wait that goes by itself had lasted for ten seconds then.
    pub since: String,
    /// When it was over; none if the journal does not say it.
    pub until: Option<String>,
    /// How long it lasted from then on, in seconds; none if the journal does not say it.
    pub seconds: Option<u64>,
}

/// All waits of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReasonTotal {
    /// The reason.
    pub reason: Reason,
    /// How many there were.
    pub waits: usize,
    /// How many of them needed a person.
    pub held: usize,
    /// Seconds of the longest whose end is known; none if no end is.
    pub longest: Option<u64>,
}

/// The waits in the order of their beginnings. A holder that takes the run up knows nothing of what the one before waited for.
pub(super) fn waits(entries: &[Entry]) -> Vec<WaitSpan> {
    let mut spans: Vec<WaitSpan> = Vec::new();
    let mut open: BTreeMap<(String, Reason), (usize, Timestamp)> = BTreeMap::new();
    for Entry { time: at, event } in entries {
        let over = match event {
            JournalEvent::Holds { .. } => {
                open.clear();
                continue;
            }
            JournalEvent::Over { object, reason } => open.remove(&(object.clone(), *reason)),
            JournalEvent::Waits { wait } => open.remove(&(wait.object.to_string(), wait.reason)),
            JournalEvent::Acted { .. }
            | JournalEvent::Counted { .. }
            | JournalEvent::Wished { .. }
            | JournalEvent::Broken { .. }
            | JournalEvent::Replanned {}
            | JournalEvent::Finished { .. } => continue,
        };
        if let Some((index, since)) = over {
            spans[index].until = Some(shown(*at));
            spans[index].seconds = u64::try_from(at.duration_since(since).as_secs()).ok();
        }
        if let JournalEvent::Waits { wait } = event {
            open.insert((wait.object.to_string(), wait.reason), (spans.len(), *at));
            spans.push(span(wait, *at));
        }
    }
    spans
}

fn span(wait: &Wait, at: Timestamp) -> WaitSpan {
    WaitSpan {
        object: text(&wait.object.to_string()),
        reason: wait.reason,
        what: text(&wait.what),
        is_held: wait.is_held,
        since: shown(at),
        until: None,
        seconds: None,
    }
}

/// The waits by reason, those that were most often first.
pub(super) fn totals(spans: &[WaitSpan]) -> Vec<ReasonTotal> {
    let mut by_reason: BTreeMap<Reason, ReasonTotal> = BTreeMap::new();
    for span in spans {
        let empty = ReasonTotal { reason: span.reason, waits: 0, held: 0, longest: None };
        let total = by_reason.entry(span.reason).or_insert(empty);
        total.waits += 1;
        total.held += usize::from(span.is_held);
        total.longest = total.longest.max(span.seconds);
    }
    let mut totals: Vec<ReasonTotal> = by_reason.into_values().collect();
    totals.sort_by_key(|total| std::cmp::Reverse((total.waits, total.held)));
    totals
}
