//! One datapath after the other, each wrong in one way, and the nearest one that is right.

use super::*;

use Outcome::{NoAnswer, Passed, Refused, Silent};
use PacketPath::{NodeToPod, PodToDns, PodToNode, PodToPeer, PodToPod};
use Protocol::{Dns, Icmp, Tcp, Udp};

fn exchange(path: PacketPath, protocol: Protocol, from: &str, to: &str) -> Exchange {
    let sized = protocol == Icmp || (protocol == Udp && path != PodToNode);
    Exchange {
        path,
        protocol,
        from: (!from.is_empty()).then(|| from.parse().expect(from)),
        to: to.parse().expect(to),
        outcome: Passed,
        mtu: sized.then_some(1450),
        passes: sized.then_some(1450),
        announced: false,
    }
}

/// Everything passes, in both families.
fn sound() -> Vec<Exchange> {
    let mut all = Vec::new();
    for (a, b, node, dns, peer) in [
        ("10.1.0.2", "10.1.0.3", "192.0.2.1", "10.96.0.10", "10.1.1.0"),
        ("fd00::2", "fd00::3", "fd01::1", "fd02::a", "fd00:1::1"),
    ] {
        for protocol in [Udp, Tcp] {
            all.push(exchange(PodToPod, protocol, a, b));
            all.push(exchange(PodToPod, protocol, b, a));
            all.push(exchange(NodeToPod, protocol, node, a));
            all.push(exchange(PodToNode, protocol, a, node));
        }
        all.push(exchange(PodToDns, Dns, a, dns));
        all.push(exchange(PodToPeer, Icmp, a, peer));
    }
    all
}

/// With what `which` selects changed by `how`.
fn with(which: impl Fn(&Exchange) -> bool, how: impl Fn(&mut Exchange)) -> Vec<Exchange> {
    let mut all = sound();
    let mut changed = 0;
    for one in all.iter_mut().filter(|one| which(one)) {
        how(one);
        changed += 1;
    }
    assert!(changed > 0, "nothing to change");
    all
}

fn ends(outcome: Outcome) -> impl Fn(&mut Exchange) {
    move |one| {
        one.outcome = outcome;
        (one.mtu, one.passes) = (None, None);
    }
}

fn v4(one: &Exchange) -> bool {
    one.to.is_ipv4()
}

fn to(one: &Exchange, address: &str) -> bool {
    one.to == address.parse::<IpAddr>().expect(address)
}

#[test]
fn each_broken_datapath_is_told_apart() {
    let cases: Vec<(&str, Vec<Exchange>, PacketReason, &[&str])> = vec![
        ("sound", sound(), PacketReason::Passed, &[]),
        (
            "nothing",
            with(|_| true, ends(Silent)),
            PacketReason::Silent,
            &["no packet arrives (pod to pod, node to pod)"],
        ),
        ("all refused", with(|_| true, ends(Refused)), PacketReason::Silent, &[]),
        (
            "one direction",
            with(
                |one| v4(one) && one.path == PodToPod,
                |one| ends(if one.protocol == Udp && to(one, "10.1.0.3") { NoAnswer } else { Silent })(one),
            ),
            PacketReason::OneWay,
            &["from 10.1.0.2 to 10.1.0.3, and not from 10.1.0.3 to 10.1.0.2"],
        ),
        (
            "answers of the pod to the node",
            with(
                |one| v4(one) && one.path == NodeToPod,
                |one| ends(if one.protocol == Udp { NoAnswer } else { Silent })(one),
            ),
            PacketReason::OneWay,
            &["from the node to 10.1.0.2, and not back to 192.0.2.1"],
        ),
        (
            "IPv6",
            with(|one| !v4(one), ends(Silent)),
            PacketReason::Family,
            &["no IPv6 packet arrives, and IPv4 packets do"],
        ),
        ("IPv4", with(v4, ends(Silent)), PacketReason::Family, &["no IPv4 packet"]),
        (
            "pods",
            with(|one| v4(one) && one.path == PodToPod, ends(Silent)),
            PacketReason::Pods,
            &["pod to pod"],
        ),
        (
            "node",
            with(|one| v4(one) && one.path == NodeToPod, ends(Silent)),
            PacketReason::Node,
            &["the node at a pod"],
        ),
        (
            "TCP",
            with(|one| one.protocol == Tcp && one.path == PodToPod, ends(Silent)),
            PacketReason::Protocol,
            &["TCP does not pass from 10.1.0.2 to 10.1.0.3, and UDP does"],
        ),
        (
            "large packets between pods",
            with(|one| one.path == PodToPod && one.protocol == Udp, |one| one.passes = Some(1400)),
            PacketReason::Mtu,
            &["packets of 1450 bytes", "has 1400 bytes"],
        ),
        (
            "all but small packets from the node",
            with(|one| one.path == NodeToPod && one.protocol == Udp, |one| one.passes = None),
            PacketReason::Mtu,
            &["only small packets pass"],
        ),
        ("DNS", with(|one| one.path == PodToDns, ends(Silent)), PacketReason::Dns, &["10.96.0.10, fd02::a"]),
        ("one DNS server of two", with(|one| to(one, "fd02::a"), ends(Silent)), PacketReason::Passed, &[]),
        ("DNS refused", with(|one| one.path == PodToDns, ends(Refused)), PacketReason::Passed, &[]),
        (
            "peers",
            with(|one| one.path == PodToPeer && v4(one), ends(Silent)),
            PacketReason::Peers,
            &["over IPv4 (10.1.1.0)"],
        ),
        (
            "large packets to a peer",
            with(|one| one.path == PodToPeer && v4(one), |one| one.passes = Some(1380)),
            PacketReason::PeerMtu,
            &["to 10.1.1.0", "has 1380 bytes"],
        ),
        (
            "an announced size",
            with(
                |one| one.path == PodToPeer && v4(one),
                |one| (one.passes, one.announced) = (Some(1380), true),
            ),
            PacketReason::Passed,
            &[],
        ),
        ("the node's firewall", with(|one| one.path == PodToNode, ends(Silent)), PacketReason::Passed, &[]),
    ];
    for (what, exchanges, reason, words) in cases {
        let told = decide(&exchanges);
        assert_eq!(told.reason, reason, "{what}: {told:?}");
        assert_eq!(told.failed.is_some(), reason != PacketReason::Passed, "{what}");
        let why = told.failed.unwrap_or_default();
        assert!(words.iter().all(|word| why.contains(word)), "{what}: {why}");
    }
}

#[test]
fn what_does_not_count_is_noted_once() {
    for (exchanges, words) in [
        (with(|one| one.path == PodToNode && v4(one), ends(Silent)), "at 192.0.2.1"),
        (with(|one| one.path == PodToDns && v4(one), ends(Refused)), "10.96.0.10 refuses"),
        (
            with(
                |one| one.path == PodToPeer && v4(one),
                |one| (one.passes, one.announced) = (Some(1380), true),
            ),
            "1380 bytes pass, not the 1450",
        ),
    ] {
        let notes = decide(&exchanges).notes;
        assert!(notes.len() == 1 && notes[0].contains(words), "{notes:?}");
    }
    assert!(decide(&sound()).notes.is_empty());
    let both = with(|one| one.path == PodToNode, ends(Silent));
    assert_eq!(decide(&both).notes.len(), 2, "one for each family");
}

/// One that is down must not count for all, and what is wrong on this node counts before anything else.
#[test]
fn one_peer_is_enough_and_this_node_comes_first() {
    let mut exchanges = sound();
    exchanges.push(Exchange { outcome: Silent, ..exchange(PodToPeer, Icmp, "10.1.0.2", "10.1.2.0") });
    assert_eq!(decide(&exchanges).reason, PacketReason::Passed);
    for one in exchanges.iter_mut().filter(|one| matches!(one.path, PodToDns | PodToPeer)) {
        one.outcome = Silent;
    }
    assert_eq!(decide(&exchanges).reason, PacketReason::Dns);
    for one in exchanges.iter_mut().filter(|one| one.path == PodToPod && one.protocol == Udp) {
        one.passes = Some(1400);
    }
    assert_eq!(decide(&exchanges).reason, PacketReason::Mtu);
    assert!(PacketReason::Dns.is_of_others() && !PacketReason::Mtu.is_of_others());
}

/// A CNI that lets only the node reach an attachment without a Pod is judged by that alone.
#[test]
fn what_was_not_tried_does_not_count() {
    let only: Vec<Exchange> = sound().into_iter().filter(|one| one.path == NodeToPod).collect();
    assert_eq!(decide(&only).reason, PacketReason::Passed);
    let silent: Vec<Exchange> = only.into_iter().map(|one| Exchange { outcome: Silent, ..one }).collect();
    let told = decide(&silent);
    assert_eq!(told.reason, PacketReason::Silent);
    assert!(told.failed.is_some_and(|why| why.contains("(node to pod)")));
    assert_eq!(decide(&[]).reason, PacketReason::Passed);
}
