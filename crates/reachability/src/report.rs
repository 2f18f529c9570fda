//! Results: what an agent tells its hub, and what a hub prints.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::class::{Class, Packet};
use crate::peer::{Kind, Peer};

/// The most troubles of an agent, and of all agents, in one report.
pub const MAX_TROUBLES: usize = 100;

/// What became of the probes of one class, or of one stream, within an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Counts {
    /// Probes that were answered within a second.
    pub answered: u64,
    /// Probes that were answered later, within ten seconds.
    pub late: u64,
    /// Probes that were not answered, though the target was there before and after.
    pub lost: u64,
    /// Probes that were not answered since the target ended.
    pub restarting: u64,
    /// Times of three seconds and more without any answer.
    pub outages: u64,
    /// Connections that ended unasked.
    pub broken: u64,
    /// The longest time from one answer to the next, where an answer was late or lost between; milliseconds.
    pub longest_gap: u64,
}

impl Counts {
    /// Probes of which the outcome is known and that tell something of the network.
    #[must_use]
    pub const fn judged(&self) -> u64 {
        self.answered + self.late + self.lost
    }

    /// Probes that were lost or, of packets that a policy denies, answered.
    #[must_use]
    pub const fn failures(&self, packet: Packet) -> u64 {
        match packet {
            Packet::DeniedUdp => self.answered + self.late,
            Packet::Udp | Packet::LargeUdp | Packet::Connect | Packet::HeldTcp => self.lost,
        }
    }

    /// Whether every probe was answered in time or, of packets that a policy denies, none.
    #[must_use]
    pub const fn is_clean(&self, packet: Packet) -> bool {
        let is_in_time = self.late == 0 && self.outages == 0 && self.broken == 0;
        self.failures(packet) == 0 && (is_in_time || matches!(packet, Packet::DeniedUdp))
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.answered = self.answered.saturating_add(other.answered);
        self.late = self.late.saturating_add(other.late);
        self.lost = self.lost.saturating_add(other.lost);
        self.restarting = self.restarting.saturating_add(other.restarting);
        self.outages = self.outages.saturating_add(other.outages);
        self.broken = self.broken.saturating_add(other.broken);
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }
}

/// An agent in a trouble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    pub name: String,
    pub node: String,
    pub kind: Kind,
}

impl From<&Peer> for End {
    fn from(peer: &Peer) -> Self {
        Self { name: peer.name.clone(), node: peer.node.clone(), kind: peer.kind }
    }
}

/// A stream between two agents whose counts are not clean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Trouble {
    pub from: End,
    /// `None` behind a cluster IP.
    pub to: Option<End>,
    pub class: Class,
    pub counts: Counts,
    /// Whether questions of the target arrive at the agent that asks.
    pub hears_target: bool,
    /// Whether the target says that questions of the agent arrive there; `None` if it says nothing.
    pub heard_by_target: Option<bool>,
}

/// The probes of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCounts {
    pub class: Class,
    pub counts: Counts,
}

/// What an agent sends to its hubs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum ToHub {
    /// The first line of a connection.
    Register(Peer),
    /// What its probes of the last interval came to.
    Summary { classes: Vec<ClassCounts>, troubles: Vec<Trouble> },
    /// It ends because it was asked to.
    Goodbye,
}

/// What a hub sends to an agent: whom it is to probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Targets {
    pub peers: Vec<Peer>,
}

/// An agent that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Departure {
    pub agent: End,
    /// It took its leave, or its process ended; otherwise it fell silent.
    pub is_ended: bool,
}

/// The results of an interval, as a hub prints them: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Report {
    /// The hub's name.
    pub hub: String,
    /// The number of this interval since the hub began.
    pub interval: u64,
    /// How long an interval is, in milliseconds.
    pub length: u64,
    /// The node of each registered agent, by kind, sorted. A node with two agents of a kind is there twice.
    pub agents: BTreeMap<Kind, Vec<String>>,
    /// Every agent probes every other one; otherwise a sample of them.
    pub is_full: bool,
    pub classes: Vec<ClassCounts>,
    /// Classes of which no packet has been answered since the hub began: nothing says that they ever passed.
    pub unproven: Vec<Class>,
    /// The worst ones, at most [`MAX_TROUBLES`].
    pub troubles: Vec<Trouble>,
    /// Troubles that are not in the list.
    pub more_troubles: usize,
    pub arrived: Vec<End>,
    pub departed: Vec<Departure>,
}

impl Report {
    /// How many agents are registered.
    #[must_use]
    pub fn count_agents(&self) -> usize {
        self.agents.values().map(Vec::len).sum()
    }
}

/// Results of several agents or intervals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub classes: BTreeMap<Class, Counts>,
    /// The worst ones, in no order.
    pub troubles: Vec<Trouble>,
    /// Troubles that are not in the list any more.
    pub more_troubles: usize,
}

impl Totals {
    pub fn add(&mut self, classes: &[ClassCounts], troubles: Vec<Trouble>) {
        for row in classes {
            *self.classes.entry(row.class).or_default() += row.counts;
        }
        self.troubles.extend(troubles);
        // A thousand agents may have a hundred each.
        if self.troubles.len() > 2 * MAX_TROUBLES {
            self.keep_worst_troubles();
        }
    }

    /// Every class with its counts.
    #[must_use]
    pub fn rows(&self) -> Vec<ClassCounts> {
        self.classes.iter().map(|(class, counts)| ClassCounts { class: *class, counts: *counts }).collect()
    }

    fn keep_worst_troubles(&mut self) {
        self.troubles.sort_by_key(|trouble| {
            let Counts { late, longest_gap, broken, .. } = trouble.counts;
            std::cmp::Reverse((trouble.counts.failures(trouble.class.packet), broken, longest_gap, late))
        });
        self.more_troubles += self.troubles.len().saturating_sub(MAX_TROUBLES);
        self.troubles.truncate(MAX_TROUBLES);
    }

    /// The worst troubles first, and how many are left out.
    #[must_use]
    pub fn worst_troubles(mut self) -> (Vec<Trouble>, usize) {
        self.keep_worst_troubles();
        (self.troubles, self.more_troubles)
    }
}

#[cfg(test)]
mod tests {
    use types::policy::Phase;

    use super::*;
    use crate::class::{Family, Place, Target};

    const LOST: Counts =
        Counts { answered: 0, late: 0, lost: 2, restarting: 0, outages: 1, broken: 0, longest_gap: 9_000 };

    fn trouble(packet: Packet, counts: Counts) -> Trouble {
        let kind = Kind::Pod(Phase::Old);
        let (to, place, family) = (Target::Agent(kind), Place::OtherNode, Family::IPv4);
        Trouble {
            from: End { name: "agent".to_owned(), node: "n1".to_owned(), kind },
            to: None,
            class: Class { from: kind, to, place, family, packet },
            counts,
            hears_target: false,
            heard_by_target: None,
        }
    }

    #[test]
    fn of_a_denied_packet_the_answer_is_the_failure() {
        let answered = Counts { answered: 3, ..Counts::default() };
        let late = Counts { late: 1, ..Counts::default() };
        for (packet, counts, is_clean) in [
            (Packet::Udp, answered, true),
            (Packet::Udp, LOST, false),
            (Packet::Udp, late, false),
            (Packet::DeniedUdp, LOST, true),
            (Packet::DeniedUdp, answered, false),
            (Packet::DeniedUdp, late, false),
        ] {
            assert_eq!(counts.is_clean(packet), is_clean, "{packet}: {counts:?}");
        }
    }

    #[test]
    fn leaks_and_losses_come_before_what_is_late() {
        let late = trouble(Packet::Udp, Counts { late: 9, longest_gap: 9_000, ..Counts::default() });
        let leak = trouble(Packet::DeniedUdp, Counts { answered: 1, ..Counts::default() });
        let loss = trouble(Packet::Udp, LOST);
        let troubles = vec![late.clone(), leak.clone(), loss.clone()];
        let totals = Totals { troubles, ..Totals::default() };
        assert_eq!(totals.worst_troubles(), (vec![loss, leak, late], 0));
    }

    #[test]
    fn the_worst_troubles_of_many_agents_are_kept_and_the_others_counted() {
        let mut totals = Totals::default();
        for agent in 1..=100 {
            let loss = |lost| trouble(Packet::Udp, Counts { lost, ..Counts::default() });
            totals.add(&[], (0..100).map(|_| loss(agent)).collect());
            assert!(totals.troubles.len() <= 2 * MAX_TROUBLES, "{} are kept", totals.troubles.len());
        }
        let (worst, more) = totals.worst_troubles();
        assert!(worst.len() == MAX_TROUBLES && worst.iter().all(|trouble| trouble.counts.lost == 100));
        assert_eq!(more, 9_900);
    }
}
