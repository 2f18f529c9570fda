//! Reads what is there of a journal, and says which spans are missing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shown;
use crate::drive::event::{ActRecord, Count};
use crate::roll::run::Wish;
use crate::roll::wait::{Reason, Wait};

/// How many lines are read. A run of 5,000 nodes writes a fourth of them.
const LINES: usize = 500_000;
/// How many missing spans are listed; the last one says how many more there are.
const SPANS: usize = 200;

/// A piece of a journal.
#[derive(Debug, Clone, Default)]
pub struct Piece {
    /// Which part it is in the cluster; none for the file of an operator, which has lines of one machine.
    pub number: Option<u32>,
    pub lines: String,
}

/// What is there of a journal.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// What happened, in order.
    pub(super) entries: Vec<Entry>,
    pub(super) missing: Vec<MissingSpan>,
}

/// A span of which a journal lacks lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MissingSpan {
    /// The last time before it; none if it has no beginning.
    pub after: Option<String>,
    /// The first time after it; none if it has no end.
    pub before: Option<String>,
    /// What is missing.
    pub why: String,
}

/// A line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// When it was written, by the holder's clock.
    pub(super) time: Timestamp,
    /// What happened.
    pub(super) event: JournalEvent,
}

/// What happened. Readers of journals know the names of these events and of their keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub(super) enum JournalEvent {
    /// A program holds the run from now on.
    Holds {
        #[serde(rename = "by")]
        holder: String,
        plan: String,
        /// Its command line named the plan.
        #[serde(rename = "approved")]
        is_approved: bool,
        /// Its version.
        program: String,
    },
    /// A call was made.
    Acted { act: ActRecord, outcome: String },
    /// The run waits.
    Waits { wait: Wait },
    /// It no longer does.
    Over { object: String, reason: Reason },
    /// What is attached to the nodes.
    Counted { count: Count },
    /// A wish was taken up.
    Wished { wish: Wish, refused: Option<String> },
    /// The program refused its own decision.
    Broken {
        /// What must never happen.
        invariant: String,
        /// What would have broken it.
        why: String,
    },
    /// The run goes on by another plan; the line of its holder names it.
    Replanned {},
    /// The old CNI is fenced off or removed, after the run.
    Finished { object: String },
}

impl JournalEvent {
    /// Whether a node was asked for a phase.
    pub(super) fn asks_for_a_phase(&self) -> bool {
        matches!(self, Self::Acted { act: ActRecord::Patch { desired: Some(_), .. }, outcome } if outcome == "Done")
    }

    /// Whether the last pass was done.
    pub(super) fn ends_the_run(&self) -> bool {
        matches!(self, Self::Acted { act: ActRecord::Record { to: None, .. }, outcome } if outcome == "Done")
    }
}

/// A line as it was found: what happened, or when something that cannot be read did.
enum Line {
    Entry(Box<Entry>),
    /// It has a time, and an event that this program does not know.
    Unknown,
    Damaged,
}

fn line(text: &str) -> Line {
    #[derive(Deserialize)]
    struct JournalLine {
        #[serde(flatten)]
        event: JournalEvent,
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Line::Damaged };
    let at = value.get("at").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
    match (at, serde_json::from_value::<JournalLine>(value)) {
        (Some(at), Ok(JournalLine { event })) => Line::Entry(Box::new(Entry { time: at, event })),
        (Some(_), Err(_)) => Line::Unknown,
        (None, _) => Line::Damaged,
    }
}

/// Lines in a row that cannot be read, or parts in a row that are not there.
#[derive(Debug, Default)]
struct Hole {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    why: String,
}

/// Reads the pieces, in whatever order they are.
pub(super) fn read(pieces: &[Piece]) -> Journal {
    let mut holes: Vec<Hole> = Vec::new();
    let mut read = Reader::default();
    let mut parts: Vec<(u32, &str)> =
        pieces.iter().filter_map(|piece| Some((piece.number?, piece.lines.as_str()))).collect();
    parts.sort_unstable();
    let mut next = 1;
    let mut last = None;
    for (number, lines) in parts {
        let gone = number.saturating_sub(next);
        next = number.saturating_add(1);
        let why = match gone {
            0 => String::new(),
            1 => format!("part {} of the journal", number - 1),
            _ => format!("parts {} to {} of the journal", number - gone, number - 1),
        };
        read.piece(lines, &mut last, why, &mut holes);
    }
    let mut files = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.number.is_none()) {
        let mut last = None;
        let begin = read.piece(&piece.lines, &mut last, String::new(), &mut holes);
        files.extend(begin.zip(last));
    }
    let is_filled = |hole: &Hole| {
        files.iter().any(|(begin, end)| {
            hole.after.map_or(hole.before.is_some_and(|before| *begin < before), |after| *begin <= after)
                && hole.before.is_some_and(|before| before <= *end)
        })
    };
    holes.retain(|hole| !is_filled(hole));
    read.entries.sort_by_key(|entry| entry.time);
    if read.entries.is_empty() && holes.is_empty() {
        holes.push(Hole { why: "the journal".into(), ..Hole::default() });
    }
    if read.is_full {
        let after = read.entries.last().map(|entry| entry.time);
        holes.push(Hole { after, before: None, why: format!("all lines beyond {LINES}") });
    }
    let more = holes.len().saturating_sub(SPANS);
    holes.truncate(SPANS);
    let span = |Hole { after, before, why }: Hole| MissingSpan {
        after: after.map(shown),
        before: before.map(shown),
        why,
    };
    let mut missing: Vec<MissingSpan> = holes.into_iter().map(span).collect();
    if more > 0 {
        missing.push(MissingSpan { after: None, before: None, why: format!("{more} more spans") });
    }
    Journal { entries: read.entries, missing }
}

#[derive(Debug, Default)]
struct Reader<'a> {
    entries: Vec<Entry>,
    /// Lines that were read: an operator's file has those of the cluster once more.
    lines: BTreeSet<&'a str>,
    is_full: bool,
}

impl<'a> Reader<'a> {
    /// Reads a piece, and gives the time of its first line; `last` is the last time before it, and then the last one in it. `gone` is missing before it.
    fn piece(
        &mut self,
        text: &'a str,
        last: &mut Option<Timestamp>,
        gone: String,
        holes: &mut Vec<Hole>,
    ) -> Option<Timestamp> {
        let mut first = None;
        let mut hole = (!gone.is_empty()).then_some(Hole { after: *last, before: None, why: gone });
        let (mut damaged, mut unknown) = (0_usize, 0_usize);
        let count = |number: usize| if number == 1 { "a line".into() } else { format!("{number} lines") };
        let close = |hole: &mut Option<Hole>, damaged: &mut usize, unknown: &mut usize, before| {
            let mut why = Vec::new();
            why.extend(hole.as_ref().map(|hole| hole.why.clone()).filter(|why| !why.is_empty()));
            why.extend((*damaged > 0).then(|| format!("{} that cannot be read", count(*damaged))));
            why.extend((*unknown > 0).then(|| format!("{} with events of another version", count(*unknown))));
            (*damaged, *unknown) = (0, 0);
            hole.take().map(|hole| Hole { before, why: why.join(", "), ..hole })
        };
        for text in text.lines().filter(|text| !text.trim().is_empty()) {
            if self.entries.len() >= LINES {
                self.is_full = true;
                break;
            }
            let (at, entry) = match line(text) {
                Line::Entry(entry) => (entry.time, *entry),
                Line::Unknown => {
                    unknown += 1;
                    hole.get_or_insert(Hole { after: *last, ..Hole::default() });
                    continue;
                }
                Line::Damaged => {
                    damaged += 1;
                    hole.get_or_insert(Hole { after: *last, ..Hole::default() });
                    continue;
                }
            };
            holes.extend(close(&mut hole, &mut damaged, &mut unknown, Some(at)));
            first.get_or_insert(at);
            *last = Some(last.map_or(at, |last| last.max(at)));
            if self.lines.insert(text) {
                self.entries.push(entry);
            }
        }
        holes.extend(close(&mut hole, &mut damaged, &mut unknown, None));
        first
    }
}
