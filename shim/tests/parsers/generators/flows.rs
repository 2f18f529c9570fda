//! Records of flows, as Hubble, Whisker and conntrack write them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Text, list, one_of, value, with};

pub(super) fn flows() -> Text {
    let line = prop_oneof![4 => hubble(), 3 => whisker(), 4 => conntrack(), 1 => event(), 1 => value()];
    vec(line, 0..6).prop_map(|lines| lines.join("\n")).boxed()
}

/// Addresses of pods that are there and gone, of a Service, of nodes and of others; and one that is none.
fn address() -> Text {
    one_of(&[
        "10.244.1.2",
        "10.244.1.3",
        "10.244.2.3",
        "10.244.9.9",
        "fd00::2",
        "fd00::3",
        "10.96.0.10",
        "192.168.1.1",
        "192.168.1.2",
        "198.51.100.7",
        "::ffff:10.244.1.2",
        "10.244.1",
    ])
}

fn quoted(text: Text) -> Text {
    text.prop_map(|text| format!("\"{text}\"")).boxed()
}

fn port() -> Text {
    one_of(&["0", "53", "80", "5432", "65535", "65536", "-1"])
}

fn time() -> Text {
    one_of(&["\"2026-03-01T10:00:00.5Z\"", "\"\"", "\"9999-12-31T23:59:60Z\"", "\"noon\"", "7"])
}

fn hubble() -> Text {
    let ports = || {
        with(vec![
            ("source_port", port()),
            ("destination_port", port()),
            ("flags", one_of(&["{\"SYN\":true}", "{\"SYN\":true,\"ACK\":true}", "{}"])),
        ])
    };
    let message =
        || with(vec![("type", one_of(&["0", "3", "8", "128", "256"])), ("code", one_of(&["0", "1"]))]);
    let layer = prop_oneof![
        3 => with(vec![("TCP", ports())]),
        2 => with(vec![("UDP", ports())]),
        1 => with(vec![("SCTP", ports())]),
        1 => with(vec![("ICMPv4", message())]),
        1 => with(vec![("ICMPv6", message())]),
    ];
    let label = one_of(&[
        "\"k8s:app=web\"",
        "\"k8s:bare\"",
        "\"k8s:io.cilium.k8s.policy.serviceaccount=db-0\"",
        "\"reserved:world\"",
    ]);
    let end = || {
        with(vec![
            ("namespace", one_of(&["\"shop\"", "\"office\"", "\"gone\"", "\"\""])),
            ("pod_name", one_of(&["\"web-7d9f-abcde\"", "\"db-0\"", "\"old\"", "\"\""])),
            ("labels", list(label.clone(), 0..3)),
        ])
    };
    let flow = with(vec![
        ("time", time()),
        ("verdict", one_of(&["\"FORWARDED\"", "\"DROPPED\"", "\"AUDIT\""])),
        ("IP", with(vec![("source", quoted(address())), ("destination", quoted(address()))])),
        ("l4", layer.boxed()),
        ("source", end()),
        ("destination", end()),
        ("Type", one_of(&["\"L3_L4\"", "\"L3_L4\"", "\"L7\""])),
        ("is_reply", one_of(&["false", "false", "true", "null"])),
    ]);
    (flow, any::<bool>())
        .prop_map(|(flow, is_bare)| if is_bare { flow } else { format!("{{\"flow\":{flow}}}") })
        .boxed()
}

fn whisker() -> Text {
    let name = || {
        one_of(&[
            "\"web-7d9f-*\"",
            "\"db-0\"",
            "\"*\"",
            "\"n1\"",
            "\"n9\"",
            "\"PUBLIC NETWORK\"",
            "\"pvt\"",
            "\"\"",
        ])
    };
    let namespace = || one_of(&["\"shop\"", "\"office\"", "\"gone\"", "\"-\"", "\"\"", "\"Global\""]);
    let flow = with(vec![
        ("start_time", time()),
        ("action", one_of(&["\"Allow\"", "\"Allow\"", "\"Deny\""])),
        ("source_name", name()),
        ("source_namespace", namespace()),
        ("dest_name", name()),
        ("dest_namespace", namespace()),
        ("protocol", one_of(&["\"tcp\"", "\"UDP\"", "\"icmp\"", "\"47\"", "\"256\""])),
        ("dest_port", port()),
    ]);
    (one_of(&["", "data: ", "data:"]), flow).prop_map(|(event, flow)| event + &flow).boxed()
}

fn conntrack() -> Text {
    let mark = one_of(&["", "[1772359200.123456] [NEW] ", "[99999999999999999999]\t", "[DESTROY] "]);
    let head = one_of(&[
        "tcp 6 9 ESTABLISHED",
        "ipv4 2 tcp 6",
        "ipv6 10 udp 17 29",
        "icmp 1 29",
        "ipv6 10 icmpv6 58",
        "unknown 50 599",
        "x 256",
    ]);
    let tuple = || {
        let detail = prop_oneof![
            4 => (port(), port()).prop_map(|(source, destination)| format!("sport={source} dport={destination}")),
            1 => one_of(&["type=8 code=0 id=7", "type=0 code=0 id=7", "type=300 code=0", ""]),
        ];
        (address(), address(), detail)
            .prop_map(|(source, destination, detail)| format!("src={source} dst={destination} {detail}"))
    };
    (mark, head, tuple(), one_of(&["", "[UNREPLIED] "]), tuple())
        .prop_map(|(mark, head, first, reply, second)| {
            format!("{mark}{head} {first} {reply}{second} [ASSURED] mark=0 use=1")
        })
        .boxed()
}

fn event() -> Text {
    one_of(&[
        "{\"lost_events\":{\"num_events_lost\":\"12\"}}",
        "{\"lost_events\":{\"num_events_lost\":18446744073709551615}}",
        "{\"lost_events\":7}",
        "{\"node_status\":{}}",
        "conntrack v1.4.7 (conntrack-tools): 123 flow entries have been shown.",
    ])
}
