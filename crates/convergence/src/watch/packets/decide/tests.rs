//! Datapaths, each wrong in one way, and the nearest one that is right.

use Outcome::{NoAnswer, Passed, Refused, Silent};
use PacketPath::{NodeToPod, PodToDns, PodToNode, PodToPeer, PodToPod};
use Protocol::{Dns, Icmp, Tcp, Udp};

use crate::watch::packets::decide::*;

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
fn changed(which: impl Fn(&Exchange) -> bool, how: impl Fn(&mut Exchange)) -> Vec<Exchange> {
    let mut all = sound();
    let mut changed = 0;
    for exchange in all.iter_mut().filter(|exchange| which(exchange)) {
        how(exchange);
        changed += 1;
    }
    assert!(changed > 0, "nothing to change");
    all
}

fn ends(outcome: Outcome) -> impl Fn(&mut Exchange) {
    move |exchange| {
        exchange.outcome = outcome;
        (exchange.mtu, exchange.passes) = (None, None);
    }
}

fn v4(exchange: &Exchange) -> bool {
    exchange.to.is_ipv4()
}

fn to(exchange: &Exchange, address: &str) -> bool {
    exchange.to == address.parse::<IpAddr>().expect(address)
}

#[test]
fn each_broken_datapath_is_told_apart() {
    let cases: Vec<(&str, Vec<Exchange>, PacketReason, &[&str])> = vec![
        ("sound", sound(), PacketReason::Passed, &[]),
        (
            "nothing",
            changed(|_| true, ends(Silent)),
            PacketReason::Silent,
            &["no packet arrives (pod to pod, node to pod)"],
        ),
        ("all refused", changed(|_| true, ends(Refused)), PacketReason::Silent, &[]),
        (
            "one direction",
            changed(
                |exchange| v4(exchange) && exchange.path == PodToPod,
                |exchange| {
                    ends(if exchange.protocol == Udp && to(exchange, "10.1.0.3") { NoAnswer } else { Silent })(
                        exchange,
                    )
                },
            ),
            PacketReason::OneWay,
            &["from 10.1.0.2 to 10.1.0.3, and not from 10.1.0.3 to 10.1.0.2"],
        ),
        (
            "answers of the pod to the node",
            changed(
                |exchange| v4(exchange) && exchange.path == NodeToPod,
                |exchange| ends(if exchange.protocol == Udp { NoAnswer } else { Silent })(exchange),
            ),
            PacketReason::OneWay,
            &["from the node to 10.1.0.2, and not back to 192.0.2.1"],
        ),
        (
            "IPv6",
            changed(|exchange| !v4(exchange), ends(Silent)),
            PacketReason::Family,
            &["no IPv6 packet arrives, and IPv4 packets do"],
        ),
        ("IPv4", changed(v4, ends(Silent)), PacketReason::Family, &["no IPv4 packet"]),
        (
            "pods",
            changed(|exchange| v4(exchange) && exchange.path == PodToPod, ends(Silent)),
            PacketReason::Pods,
            &["pod to pod"],
        ),
        (
            "node",
            changed(|exchange| v4(exchange) && exchange.path == NodeToPod, ends(Silent)),
            PacketReason::Node,
            &["the node at a pod"],
        ),
        (
            "TCP",
            changed(|exchange| exchange.protocol == Tcp && exchange.path == PodToPod, ends(Silent)),
            PacketReason::Protocol,
            &["TCP does not pass from 10.1.0.2 to 10.1.0.3, and UDP does"],
        ),
        (
            "large packets between pods",
            changed(
                |exchange| exchange.path == PodToPod && exchange.protocol == Udp,
                |exchange| exchange.passes = Some(1400),
            ),
            PacketReason::Mtu,
            &["packets of 1450 bytes", "has 1400 bytes"],
        ),
        (
            "all but small packets from the node",
            changed(
                |exchange| exchange.path == NodeToPod && exchange.protocol == Udp,
                |exchange| exchange.passes = None,
            ),
            PacketReason::Mtu,
            &["only small packets pass"],
        ),
        (
            "DNS",
            changed(|exchange| exchange.path == PodToDns, ends(Silent)),
            PacketReason::Dns,
            &["10.96.0.10, fd02::a"],
        ),
        (
            "one DNS server of two",
            changed(|exchange| to(exchange, "fd02::a"), ends(Silent)),
            PacketReason::Passed,
            &[],
        ),
        (
            "DNS refused",
            changed(|exchange| exchange.path == PodToDns, ends(Refused)),
            PacketReason::Passed,
            &[],
        ),
        (
            "peers",
            changed(|exchange| exchange.path == PodToPeer && v4(exchange), ends(Silent)),
            PacketReason::Peers,
            &["over IPv4 (10.1.1.0)"],
        ),
        (
            "large packets to a peer",
            changed(
                |exchange| exchange.path == PodToPeer && v4(exchange),
                |exchange| exchange.passes = Some(1380),
            ),
            PacketReason::PeerMtu,
            &["to 10.1.1.0", "has 1380 bytes"],
        ),
        (
            "an announced size",
            changed(
                |exchange| exchange.path == PodToPeer && v4(exchange),
                |exchange| (exchange.passes, exchange.announced) = (Some(1380), true),
            ),
            PacketReason::Passed,
            &[],
        ),
        (
            "the node's firewall",
            changed(|exchange| exchange.path == PodToNode, ends(Silent)),
            PacketReason::Passed,
            &[],
        ),
    ];
    for (what, exchanges, reason, words) in cases {
        let verdict = decide(&exchanges);
        assert_eq!(verdict.reason, reason, "{what}: {verdict:?}");
        assert_eq!(verdict.failed.is_some(), reason != PacketReason::Passed, "{what}");
        let why = verdict.failed.unwrap_or_default();
        assert!(words.iter().all(|word| why.contains(word)), "{what}: {why}");
    }
}

#[test]
fn what_does_not_count_is_noted_once() {
    for (exchanges, words) in [
        (changed(|exchange| exchange.path == PodToNode && v4(exchange), ends(Silent)), "at 192.0.2.1"),
        (changed(|exchange| exchange.path == PodToDns && v4(exchange), ends(Refused)), "10.96.0.10 refuses"),
        (
            changed(
                |exchange| exchange.path == PodToPeer && v4(exchange),
                |exchange| (exchange.passes, exchange.announced) = (Some(1380), true),
            ),
            "1380 bytes pass, not the 1450",
        ),
    ] {
        let notes = decide(&exchanges).notes;
        assert!(notes.len() == 1 && notes[0].contains(words), "{notes:?}");
    }
    assert!(decide(&sound()).notes.is_empty());
    let silent_node = changed(|exchange| exchange.path == PodToNode, ends(Silent));
    assert_eq!(decide(&silent_node).notes.len(), 2, "one for each family");
}

/// One that is down must not count for all, and what is wrong on this node counts before anything else.
#[test]
fn one_peer_is_enough_and_this_node_comes_first() {
    let mut exchanges = sound();
    exchanges.push(Exchange { outcome: Silent, ..exchange(PodToPeer, Icmp, "10.1.0.2", "10.1.2.0") });
    assert_eq!(decide(&exchanges).reason, PacketReason::Passed);
    for exchange in exchanges.iter_mut().filter(|exchange| matches!(exchange.path, PodToDns | PodToPeer)) {
        exchange.outcome = Silent;
    }
    assert_eq!(decide(&exchanges).reason, PacketReason::Dns);
    for exchange in
        exchanges.iter_mut().filter(|exchange| exchange.path == PodToPod && exchange.protocol == Udp)
    {
        exchange.passes = Some(1400);
    }
    assert_eq!(decide(&exchanges).reason, PacketReason::Mtu);
    assert!(PacketReason::Dns.is_of_others() && !PacketReason::Mtu.is_of_others());
}

/// A CNI that lets only the node reach an attachment without a Pod is judged by that alone.
#[test]
fn what_was_not_tried_does_not_count() {
    let node_to_pod: Vec<Exchange> =
        sound().into_iter().filter(|exchange| exchange.path == NodeToPod).collect();
    assert_eq!(decide(&node_to_pod).reason, PacketReason::Passed);
    let silent: Vec<Exchange> =
        node_to_pod.into_iter().map(|exchange| Exchange { outcome: Silent, ..exchange }).collect();
    let verdict = decide(&silent);
    assert_eq!(verdict.reason, PacketReason::Silent);
    assert!(verdict.failed.is_some_and(|why| why.contains("(node to pod)")));
    assert_eq!(decide(&[]).reason, PacketReason::Passed);
}
