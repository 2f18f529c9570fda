//! What troubles between agents have in common: the node, the direction or the size of the packet that explains them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::class::{Class, Packet};
use crate::report::{Departure, Trouble};

/// What is wrong, as far as the losses tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Diagnosis {
    /// Nothing is heard of the agents of a node any more.
    SilentNode { node: String },
    /// Packets from one node to another do not arrive, those back do.
    OneWay { from: String, to: String },
    /// Packets between two nodes do not arrive, in both directions.
    Apart { first: String, second: String },
    /// Packets between two nodes are lost, and it is not known in which direction.
    Lossy { from: String, to: String },
    /// Small packets pass between two nodes, those that fill the MTU do not.
    LargePackets { from: String, to: String },
    /// Packets pass, but connections end or are refused.
    Connections { from: String, to: String },
    /// A policy denies packets from one node's pods to those of another, and they are answered.
    Open { from: String, to: String },
    /// Answers come later than after a second.
    Late { from: String, to: String },
    /// What is behind a cluster IP does not answer agents of this node.
    Unanswered { class: Class, node: String },
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SilentNode { node } => {
                write!(f, "node {node}: its agents fell silent: is the node up, and does it reach the hubs?")
            }
            Self::OneWay { from, to } => {
                write!(f, "{from} -> {to}: packets do not arrive, while those from {to} to {from} do")
            }
            Self::Apart { first, second } => {
                write!(f, "{first} and {second}: packets arrive in neither direction")
            }
            Self::Lossy { from, to } => write!(f, "{from} -> {to}: packets or their answers are lost"),
            Self::LargePackets { from, to } => {
                write!(
                    f,
                    "{from} -> {to}: small packets pass, packets that fill the MTU do not: compare the MTU of the interfaces with that of the path"
                )
            }
            Self::Connections { from, to } => {
                write!(f, "{from} -> {to}: datagrams pass, TCP connections fail")
            }
            Self::Open { from, to } => {
                write!(f, "{from} -> {to}: a policy denies these packets, and they arrive")
            }
            Self::Late { from, to } => write!(f, "{from} -> {to}: answers take more than a second"),
            Self::Unanswered { class, node } => write!(f, "{node}: {class}: no answer"),
        }
    }
}

/// What the streams from one node to another show.
#[derive(Debug, Default)]
struct Evidence {
    lost: BTreeSet<Packet>,
    broken: bool,
    late: bool,
    /// The other node's questions arrive, and it says that none from here do.
    is_one_way: bool,
    /// The other node's questions do not arrive.
    is_deaf: bool,
}

/// The causes of `troubles` and `departures` of one time. Streams between agents on one node are a pair of this node with itself.
#[must_use]
pub fn diagnose(troubles: &[Trouble], departures: &[Departure]) -> BTreeSet<Diagnosis> {
    let silent = departures.iter().filter(|departure| !departure.is_ended);
    let mut causes: BTreeSet<Diagnosis> =
        silent.map(|departure| Diagnosis::SilentNode { node: departure.agent.node.clone() }).collect();
    let silent_nodes: BTreeSet<&str> = departures
        .iter()
        .filter(|departure| !departure.is_ended)
        .map(|departure| departure.agent.node.as_str())
        .collect();
    let mut pairs: BTreeMap<(&str, &str), Evidence> = BTreeMap::new();
    for trouble in troubles {
        let from = trouble.from.node.as_str();
        let Some(to) = &trouble.to else {
            causes.insert(Diagnosis::Unanswered { class: trouble.class, node: from.to_owned() });
            continue;
        };
        if trouble.class.packet == Packet::DeniedUdp {
            // What is not answered is as it should be, so it tells nothing of the network.
            if !trouble.counts.is_clean(Packet::DeniedUdp) {
                causes.insert(Diagnosis::Open { from: from.to_owned(), to: to.node.clone() });
            }
            continue;
        }
        if silent_nodes.contains(from) || silent_nodes.contains(to.node.as_str()) {
            continue;
        }
        let evidence = pairs.entry((from, to.node.as_str())).or_default();
        evidence.broken |= trouble.counts.broken > 0;
        evidence.late |= trouble.counts.late > 0;
        // An outage after which all answers come, though late, is a delay.
        if trouble.counts.lost > 0 || (trouble.counts.outages > 0 && trouble.counts.late == 0) {
            evidence.lost.insert(trouble.class.packet);
            let is_small = trouble.class.packet == Packet::Udp;
            evidence.is_one_way |= is_small && trouble.hears_target && trouble.heard_by_target == Some(false);
            evidence.is_deaf |= is_small && !trouble.hears_target;
        }
    }
    causes.extend(
        pairs
            .iter()
            .filter_map(|((from, to), evidence)| explain(from, to, evidence, pairs.get(&(*to, *from)))),
    );
    causes
}

/// The cause of what is lost from one node to another; `back` is what is lost between them the other way.
fn explain(from: &str, to: &str, evidence: &Evidence, back: Option<&Evidence>) -> Option<Diagnosis> {
    let (from, to) = (from.to_owned(), to.to_owned());
    if evidence.lost.contains(&Packet::Udp) {
        let is_back_one_way = back.is_some_and(|back| back.is_one_way);
        let is_back_deaf = back.is_some_and(|back| back.is_deaf);
        return match (evidence.is_one_way, is_back_one_way, evidence.is_deaf && is_back_deaf) {
            (true, false, _) => Some(Diagnosis::OneWay { from, to }),
            // Some agents of both nodes say so of each other.
            (true, true, _) => Some(Diagnosis::Lossy { from, to }),
            // The answers are lost the other way, and the other node says so.
            (false, true, _) => None,
            (false, false, true) => {
                let (first, second) = if from <= to { (from, to) } else { (to, from) };
                Some(Diagnosis::Apart { first, second })
            }
            (false, false, false) => Some(Diagnosis::Lossy { from, to }),
        };
    }
    if evidence.lost.contains(&Packet::LargeUdp) {
        return Some(Diagnosis::LargePackets { from, to });
    }
    // A connection that is not made within a second is given up, so late answers explain it.
    if evidence.late {
        return Some(Diagnosis::Late { from, to });
    }
    let has_failed = evidence.broken || !evidence.lost.is_empty();
    has_failed.then_some(Diagnosis::Connections { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Family, Place, Target};
    use crate::peer::Kind;
    use crate::report::{Counts, End};

    fn end(node: &str) -> End {
        End { name: format!("agent-{node}"), node: node.to_owned(), kind: Kind::Host }
    }

    fn trouble(
        from: &str,
        to: &str,
        packet: Packet,
        counts: Counts,
        hears: bool,
        heard: Option<bool>,
    ) -> Trouble {
        let class = Class {
            from: Kind::Host,
            to: Target::Agent(Kind::Host),
            place: Place::OtherNode,
            family: Family::IPv4,
            packet,
        };
        Trouble {
            from: end(from),
            to: Some(end(to)),
            class,
            counts,
            hears_target: hears,
            heard_by_target: heard,
        }
    }

    const LOST: Counts =
        Counts { answered: 0, late: 0, lost: 5, restarting: 0, outages: 1, broken: 0, longest_gap: 5_000 };

    fn words(troubles: &[Trouble]) -> Vec<String> {
        diagnose(troubles, &[]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_loss_in_one_direction_is_named_by_it() {
        let there = trouble("a", "b", Packet::Udp, LOST, true, Some(false));
        let back = trouble("b", "a", Packet::Udp, LOST, false, None);
        let found = diagnose(&[there, back], &[]);
        assert_eq!(found, BTreeSet::from([Diagnosis::OneWay { from: "a".to_owned(), to: "b".to_owned() }]));
    }

    #[test]
    fn losses_one_way_that_both_nodes_see_have_no_direction() {
        let there = trouble("a", "b", Packet::Udp, LOST, true, Some(false));
        let back = trouble("b", "a", Packet::Udp, LOST, true, Some(false));
        let expected =
            ["a -> b: packets or their answers are lost", "b -> a: packets or their answers are lost"];
        assert_eq!(words(&[there, back]), expected);
    }

    #[test]
    fn a_dead_pair_is_named_once() {
        let there = trouble("b", "a", Packet::Udp, LOST, false, None);
        let back = trouble("a", "b", Packet::Udp, LOST, false, None);
        let found = diagnose(&[there, back], &[]);
        assert_eq!(
            found,
            BTreeSet::from([Diagnosis::Apart { first: "a".to_owned(), second: "b".to_owned() }])
        );
    }

    #[test]
    fn a_loss_of_which_only_one_end_tells_has_no_direction() {
        assert_eq!(
            words(&[trouble("a", "b", Packet::Udp, LOST, false, None)]),
            ["a -> b: packets or their answers are lost"]
        );
    }

    #[test]
    fn ends_that_hear_each_other_are_not_apart() {
        let there = trouble("a", "b", Packet::Udp, LOST, true, Some(true));
        let back = trouble("b", "a", Packet::Udp, LOST, true, Some(true));
        let expected =
            ["a -> b: packets or their answers are lost", "b -> a: packets or their answers are lost"];
        assert_eq!(words(&[there, back]), expected);
    }

    #[test]
    fn large_packets_alone_are_the_mtu() {
        let large = trouble("a", "b", Packet::LargeUdp, LOST, true, Some(true));
        let found = diagnose(std::slice::from_ref(&large), &[]);
        assert_eq!(
            found,
            BTreeSet::from([Diagnosis::LargePackets { from: "a".to_owned(), to: "b".to_owned() }])
        );
        let small = trouble("a", "b", Packet::Udp, LOST, false, None);
        assert_eq!(words(&[large, small]), ["a -> b: packets or their answers are lost"]);
    }

    #[test]
    fn connections_and_late_answers_are_told_apart() {
        let broken = Counts { broken: 1, ..Counts::default() };
        assert_eq!(
            words(&[trouble("a", "b", Packet::HeldTcp, broken, true, None)]),
            ["a -> b: datagrams pass, TCP connections fail"]
        );
        let late = Counts { late: 3, ..Counts::default() };
        assert_eq!(
            words(&[trouble("a", "b", Packet::Udp, late, true, None)]),
            ["a -> b: answers take more than a second"]
        );
        let pause = Counts { outages: 1, longest_gap: 4_000, ..late };
        assert_eq!(
            words(&[trouble("a", "b", Packet::Udp, pause, true, None)]),
            ["a -> b: answers take more than a second"]
        );
        let given_up = trouble("a", "b", Packet::Connect, LOST, true, None);
        let slow = trouble("a", "b", Packet::Udp, late, true, None);
        assert_eq!(words(&[given_up, slow]), ["a -> b: answers take more than a second"]);
    }

    #[test]
    fn an_answer_to_a_denied_packet_is_a_leak_and_the_rest_no_loss() {
        let leak = Counts { answered: 1, late: 1, lost: 3, outages: 1, ..Counts::default() };
        let expected = ["a -> b: a policy denies these packets, and they arrive"];
        assert_eq!(words(&[trouble("a", "b", Packet::DeniedUdp, leak, true, Some(false))]), expected);
        let silent = [Departure { agent: end("b"), is_ended: false }];
        let late = Counts { late: 1, ..Counts::default() };
        let causes = diagnose(&[trouble("a", "b", Packet::DeniedUdp, late, false, None)], &silent);
        let open = Diagnosis::Open { from: "a".to_owned(), to: "b".to_owned() };
        assert_eq!(causes, BTreeSet::from([Diagnosis::SilentNode { node: "b".to_owned() }, open]));
        assert_eq!(words(&[trouble("a", "b", Packet::DeniedUdp, LOST, true, Some(false))]), [""; 0]);
    }

    #[test]
    fn a_node_that_fell_silent_explains_all_that_is_lost_to_it() {
        let silent = [Departure { agent: end("b"), is_ended: false }];
        let troubles = [
            trouble("a", "b", Packet::Udp, LOST, false, None),
            trouble("c", "b", Packet::Udp, LOST, false, None),
        ];
        let found = diagnose(&troubles, &silent);
        assert_eq!(found, BTreeSet::from([Diagnosis::SilentNode { node: "b".to_owned() }]));
        let ended = [Departure { agent: end("b"), is_ended: true }];
        assert_eq!(diagnose(&[], &ended), BTreeSet::new());
    }
}
