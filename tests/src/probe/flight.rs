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
        out.tally(&self.course, probe.phase).count(self.carrier).sent += 1;
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
        out.tally(&self.course, probe.phase).count(self.carrier).answered += 1;
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
        out.tally(&self.course, probe.phase).count(self.carrier).lost += 1;
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
            out.tally(&self.course, probe.phase).count(self.carrier).excused += 1;
        }
    }

    /// Slots passed without this agent being run; nothing was sent in them.
    pub(super) fn late(&mut self, slots: u64, out: &mut Outbox) {
        let phase = out.phase;
        out.tally(&self.course, phase).count(self.carrier).late += slots;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn flight() -> Flight {
        let course = Course { dst: "b".to_owned(), address: IpAddr::from([10, 0, 0, 2]) };
        Flight::new(course, Carrier::Udp)
    }

    fn tally(out: &Outbox) -> Tally {
        out.tallies.values().copied().next().unwrap_or_default()
    }

    #[test]
    fn a_probe_is_overdue_two_seconds_after_it_left_and_not_before() {
        let (mut flight, mut out) = (flight(), Outbox::default());
        let (first, sent_ns) = flight.launch(&mut out);
        let (second, _) = flight.launch(&mut out);
        flight.depart(first, sent_ns);
        flight.depart(second, sent_ns + 1);
        let due_ns = sent_ns + ms(ANSWER_WITHIN_MS);
        assert_eq!(flight.due_ns(), Some(due_ns));
        assert!(flight.overdue(due_ns - 1).is_empty());
        assert_eq!(flight.overdue(due_ns), BTreeSet::from([first]));
        assert_eq!(flight.overdue(due_ns + 1), BTreeSet::from([first, second]));
    }

    #[test]
    fn every_probe_ends_once() {
        let (mut flight, mut out) = (flight(), Outbox::default());
        let seqs: Vec<u64> = (0..4).map(|_| flight.launch(&mut out).0).collect();
        assert_eq!(seqs, [1, 2, 3, 4]);
        flight.answer(1, &mut out);
        flight.answer(1, &mut out);
        flight.note(2, "another pod answered".to_owned());
        flight.lose(2, "no answer in time", &mut out);
        flight.answer(2, &mut out);
        flight.lose(1, "no answer in time", &mut out);
        flight.excuse(&mut out);
        flight.lose_where(|_| true, "no answer in time", &mut out);
        let udp = tally(&out).udp;
        assert_eq!((udp.sent, udp.answered, udp.lost, udp.excused), (4, 1, 1, 2));
        assert!(flight.is_empty() && flight.due_ns().is_none());
        assert_eq!(out.losses.len(), 1);
        assert_eq!(out.losses[0].cause, "no answer in time; another pod answered");
    }

    #[test]
    fn a_probe_counts_in_the_phase_in_which_it_was_sent() {
        let (mut flight, mut out) = (flight(), Outbox::default());
        flight.launch(&mut out);
        out.phase = 1;
        flight.lose(1, "no answer in time", &mut out);
        out.broken(&flight.course, 1, "closed");
        let phases: Vec<(usize, u64, u64)> =
            out.tallies.iter().map(|((phase, _), tally)| (*phase, tally.udp.lost, tally.broken)).collect();
        assert_eq!(phases, [(0, 1, 0), (1, 0, 1)]);
        assert_eq!(out.losses.iter().map(|loss| loss.phase).collect::<Vec<_>>(), [0, 1]);
    }
}
