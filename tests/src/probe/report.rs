//! The counts of the mesh: per phase, per directed pair, and every loss by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::AddAssign;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Probes of one kind. At rest, sent = answered + lost + excused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Probes that were sent, or refused by the kernel when they were to be sent.
    pub sent: u64,
    /// Answered in time, by the right pod, from the probed address.
    pub answered: u64,
    /// Not answered in time.
    pub lost: u64,
    /// Under way when their source or their destination was retired on purpose.
    pub excused: u64,
    /// Due but never sent, because the agent was not scheduled; not part of `sent`.
    pub late: u64,
}

impl Count {
    /// Probes still under way.
    pub fn pending(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.lost + self.excused)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.lost += other.lost;
        self.excused += other.excused;
        self.late += other.late;
    }
}

/// What one probe was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A datagram.
    Udp,
    /// A heartbeat on the held-open connection.
    Tcp,
    /// The connection itself: refused, not opened in time, reset, closed or given up.
    Connection,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Connection => "connection",
        })
    }
}

/// One loss. Times are those at which the probe was sent; of a connection, those at which it broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The phase in which the probe was sent.
    pub phase: String,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Nanoseconds of `CLOCK_MONOTONIC`, which all pods of a machine share.
    pub monotonic_ns: u64,
    /// Name of the probing pod.
    pub src: String,
    /// Name of the probed pod.
    pub dst: String,
    /// The probed address.
    pub address: IpAddr,
    /// What was lost.
    pub kind: Kind,
    /// Sequence number within this source, destination address and kind, from 1.
    pub seq: u64,
    /// What is known about why.
    pub cause: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {} -> {} ({}) #{} at {} ms, phase {:?}: {}",
            self.kind, self.src, self.dst, self.address, self.seq, self.wall_ms, self.phase, self.cause
        )
    }
}

/// One directed pair in one phase, over all probed addresses of the destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Name of the probing pod.
    pub src: String,
    /// Name of the probed pod.
    pub dst: String,
    /// Datagrams.
    pub udp: Count,
    /// Heartbeats.
    pub tcp: Count,
    /// Connections that broke or could not be opened; each is a loss of kind [`Kind::Connection`].
    pub broken: u64,
}

/// One phase, as the caller named it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// The caller's name of the phase.
    pub name: String,
    /// Every directed pair that was probed in it, sorted by source and destination.
    pub pairs: Vec<Pair>,
    /// The sum over all pairs.
    pub total: Progress,
}

/// Sums over pairs, both kinds together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// UDP and TCP probes sent.
    pub sent: u64,
    /// Answered in time.
    pub answered: u64,
    /// Probes lost, plus broken connections.
    pub lost: u64,
    /// Excused because a pod was retired.
    pub excused: u64,
    /// Due but never sent.
    pub late: u64,
}

impl AddAssign<&Pair> for Progress {
    fn add_assign(&mut self, pair: &Pair) {
        let mut both = pair.udp;
        both += pair.tcp;
        self.sent += both.sent;
        self.answered += both.answered;
        self.lost += both.lost + pair.broken;
        self.excused += both.excused;
        self.late += both.late;
    }
}

/// Everything the mesh saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Phases in the order in which they began.
    pub phases: Vec<PhaseReport>,
    /// Every loss, in the order in which they were noticed.
    pub losses: Vec<Loss>,
    /// The sum over all phases.
    pub total: Progress,
    /// Per pod, the longest time in milliseconds for which this machine did not run its agent.
    pub longest_stall_ms: BTreeMap<String, u64>,
}

impl Report {
    /// Holds if pairs were probed, nothing was lost, nothing is under way, and each directed pair had at least `least_answered` answers
    /// over UDP and as many over TCP in all phases together: a mesh that never probed proves nothing.
    ///
    /// # Errors
    /// Names the first losses, or the pair with too few answers.
    pub fn verify(&self, least_answered: u64) -> Result<()> {
        let first: Vec<String> = self.losses.iter().take(5).map(Loss::to_string).collect();
        ensure!(
            self.total.lost == 0,
            "{} probes lost, expected none; first:\n  {}",
            self.total.lost,
            first.join("\n  ")
        );
        let settled = self.total.answered + self.total.excused;
        ensure!(
            self.total.sent == settled,
            "{} probes sent but only {settled} accounted for; let the mesh come to rest before its report is judged",
            self.total.sent
        );
        let answered = self.answered_by_pair();
        ensure!(!answered.is_empty(), "no pair was probed; let two pods enter at least");
        for ((src, dst), [udp, tcp]) in answered {
            ensure!(
                udp >= least_answered && tcp >= least_answered,
                "{src} -> {dst} was answered {udp} times over UDP and {tcp} over TCP, expected at least \
                 {least_answered} each; probe longer"
            );
        }
        Ok(())
    }

    /// Answers per directed pair over all phases: `[udp, tcp]`.
    fn answered_by_pair(&self) -> BTreeMap<(&str, &str), [u64; 2]> {
        let mut sums = BTreeMap::new();
        for pair in self.phases.iter().flat_map(|phase| &phase.pairs) {
            let sum: &mut [u64; 2] = sums.entry((pair.src.as_str(), pair.dst.as_str())).or_default();
            sum[0] += pair.udp.answered;
            sum[1] += pair.tcp.answered;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of one pair with these counts over UDP, and as many answers over TCP.
    fn report(udp: Count, broken: u64) -> Report {
        let tcp = Count { sent: 10, answered: 10, ..Count::default() };
        let pair = Pair { src: "a".to_owned(), dst: "b".to_owned(), udp, tcp, broken };
        let mut total = Progress::default();
        total += &pair;
        let phase = PhaseReport { name: "only".to_owned(), pairs: vec![pair], total };
        Report { phases: vec![phase], total, ..Report::default() }
    }

    #[test]
    fn only_a_report_without_loss_that_proves_something_passes() {
        let good = Count { sent: 12, answered: 10, excused: 2, late: 5, ..Count::default() };
        assert!(report(good, 0).verify(10).is_ok());
        assert!(report(good, 0).verify(11).is_err(), "too few answers");
        assert!(report(good, 1).verify(10).is_err(), "a broken connection");
        let lost = Count { lost: 1, sent: 13, ..good };
        assert!(report(lost, 0).verify(10).is_err(), "a loss");
        let under_way = Count { sent: 13, ..good };
        assert!(report(under_way, 0).verify(10).is_err(), "a probe under way");
        assert_eq!(under_way.pending(), 1);
        assert!(Report::default().verify(1).is_err(), "no pair at all");
    }
}
