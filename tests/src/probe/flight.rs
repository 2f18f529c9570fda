//! The probes under way to one address, and what becomes of each: answered, lost or excused, exactly one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::IpAddr;

use super::ANSWER_WITHIN_MS;
use super::clock::{monotonic_ns, ms, wall_ms};
use super::report::Kind;
use super::speech::{Carrier, Event, LossEvent, Tally};

/// Where a flight goes to.
#[derive(Debug, Clone)]
pub(super) struct Course {
    /// The probed pod.
    pub(super) dst: String,
    /// The probed address.
    pub(super) address: IpAddr,
}

/// One probe under way.
#[derive(Debug)]
struct Probe {
    phase: usize,
    sent_ns: u64,
    wall_ms: u64,
    /// What was seen of it so far that was not an answer.
    note: Option<String>,
}

/// The probes of one kind under way to one address.
#[derive(Debug)]
pub(super) struct Flight {
    course: Course,
    carrier: Carrier,
    last_seq: u64,
    under_way: BTreeMap<u64, Probe>,
}

impl Flight {
    /// None under way yet.
    pub(super) fn new(course: Course, carrier: Carrier) -> Self {
        Self { course, carrier, last_seq: 0, under_way: BTreeMap::new() }
    }

    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Counts one probe as sent now; its sequence number and its sending time in nanoseconds.
    pub(super) fn launch(&mut self, out: &mut Outbox) -> (u64, u64) {
        self.last_seq += 1;
        let probe = Probe { phase: out.phase, sent_ns: monotonic_ns(), wall_ms: wall_ms(), note: None };
        let sent_ns = probe.sent_ns;
        out.tally(&self.course, probe.phase).of(self.carrier).sent += 1;
        self.under_way.insert(self.last_seq, probe);
        (self.last_seq, sent_ns)
    }

    /// A probe that was counted as sent leaves only now (it waited for its connection): its time runs from here.
    pub(super) fn depart(&mut self, seq: u64, sent_ns: u64) {
        if let Some(probe) = self.under_way.get_mut(&seq) {
            probe.sent_ns = sent_ns;
            probe.wall_ms = wall_ms();
        }
    }

    /// When the time of the oldest probe under way is up.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let (_, oldest) = self.under_way.first_key_value()?;
        Some(oldest.sent_ns + ms(ANSWER_WITHIN_MS))
    }

    /// An answer came; it counts if the probe is still under way.
    pub(super) fn answer(&mut self, seq: u64, out: &mut Outbox) {
        let Some(probe) = self.under_way.remove(&seq) else {
            return;
        };
        out.tally(&self.course, probe.phase).of(self.carrier).answered += 1;
    }

    /// Remembers what was seen of a probe that is not an answer, for the loss it will become.
    pub(super) fn note(&mut self, seq: u64, what: String) {
        if let Some(probe) = self.under_way.get_mut(&seq) {
            probe.note = Some(what);
        }
    }

    /// A probe is lost for a known reason.
    pub(super) fn lose(&mut self, seq: u64, cause: &str, out: &mut Outbox) {
        let Some(probe) = self.under_way.remove(&seq) else {
            return;
        };
        out.tally(&self.course, probe.phase).of(self.carrier).lost += 1;
        let cause = match probe.note {
            Some(note) => format!("{cause}; {note}"),
            None => cause.to_owned(),
        };
        out.losses.push(LossEvent {
            phase: probe.phase,
            wall_ms: probe.wall_ms,
            monotonic_ns: probe.sent_ns,
            dst: self.course.dst.clone(),
            address: self.course.address,
            kind: self.carrier.into(),
            seq,
            cause,
        });
    }

    /// Every probe under way that `chosen` picks is lost for a known reason.
    pub(super) fn lose_where(&mut self, chosen: impl Fn(u64) -> bool, cause: &str, out: &mut Outbox) {
        let picked: Vec<u64> = self.under_way.keys().copied().filter(|s| chosen(*s)).collect();
        for seq in picked {
            self.lose(seq, cause, out);
        }
    }

    /// The probes whose time was up when the sockets had last been read to the end, at `read_ns`. What arrived before
    /// that has been answered, so an agent that slept does not take an answer in its socket for a loss.
    pub(super) fn overdue(&self, read_ns: u64) -> BTreeSet<u64> {
        let limit = read_ns.saturating_sub(ms(ANSWER_WITHIN_MS));
        let due = self.under_way.iter();
        due.take_while(|(_, probe)| probe.sent_ns <= limit).map(|(seq, _)| *seq).collect()
    }

    /// Everything under way is excused.
    pub(super) fn excuse(&mut self, out: &mut Outbox) {
        for (_, probe) in std::mem::take(&mut self.under_way) {
            out.tally(&self.course, probe.phase).of(self.carrier).excused += 1;
        }
    }

    /// Slots passed without this agent being run; nothing was sent in them.
    pub(super) fn late(&mut self, slots: u64, out: &mut Outbox) {
        let phase = out.phase;
        out.tally(&self.course, phase).of(self.carrier).late += slots;
    }
}

/// What the agent has counted and not said yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The present phase.
    pub(super) phase: usize,
    /// The longest stall not said yet.
    pub(super) stall_ms: u64,
    tallies: BTreeMap<(usize, String), Tally>,
    losses: Vec<LossEvent>,
}

impl Outbox {
    fn tally(&mut self, course: &Course, phase: usize) -> &mut Tally {
        self.tallies.entry((phase, course.dst.clone())).or_default()
    }

    /// A connection broke now: a loss of its own, the `seq`-th to that address.
    pub(super) fn broken(&mut self, course: &Course, seq: u64, cause: &str) {
        let phase = self.phase;
        self.tally(course, phase).broken += 1;
        self.losses.push(LossEvent {
            phase,
            wall_ms: wall_ms(),
            monotonic_ns: monotonic_ns(),
            dst: course.dst.clone(),
            address: course.address,
            kind: Kind::Connection,
            seq,
            cause: cause.to_owned(),
        });
    }

    /// Says everything counted so far.
    ///
    /// # Errors
    /// The library is gone.
    pub(super) fn say(&mut self, to: &mut impl Write) -> io::Result<()> {
        let mut lines = Vec::new();
        for loss in std::mem::take(&mut self.losses) {
            write_event(&mut lines, &Event::Loss(loss))?;
        }
        for ((phase, dst), tally) in std::mem::take(&mut self.tallies) {
            write_event(&mut lines, &Event::Count { phase, dst, tally })?;
        }
        if lines.is_empty() {
            return Ok(());
        }
        to.write_all(&lines)?;
        to.flush()
    }
}

/// One event as one line.
///
/// # Errors
/// The library is gone.
pub(super) fn write_event(to: &mut impl Write, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *to, event)?;
    to.write_all(b"\n")
}
