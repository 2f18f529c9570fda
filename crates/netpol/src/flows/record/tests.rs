use std::net::IpAddr;

use crate::flows::{Flow, FlowEnd, Record, RecordedPod, Unjudged};
use crate::traffic::{Detail, ICMP, ICMPV6, Kind, SCTP, TCP, UDP};

use super::*;

/// A line as Hubble prints it, with these fields beside `IP` and `l4`.
fn hubble(l4: &str, more: &str) -> String {
    format!(
        r#"{{"flow":{{"time":"2026-03-01T10:00:00.123456789Z","uuid":"u","verdict":"FORWARDED","IP":{{"source":"10.244.1.2","destination":"10.244.1.3","ipVersion":"IPv4"}},"l4":{l4},"Type":"L3_L4","node_name":"n1","event_type":{{"type":4}},"traffic_direction":"INGRESS",{more}}},"node_name":"n1","time":"2026-03-01T10:00:00.123456789Z"}}"#
    )
}

const SYN: &str = r#"{"TCP":{"source_port":40000,"destination_port":5432,"flags":{"SYN":true}}}"#;
const DATA: &str = r#"{"TCP":{"source_port":40000,"destination_port":5432,"flags":{"PSH":true,"ACK":true}}}"#;
const REQUEST: &str = r#""is_reply":false"#;

fn flow(line: &str) -> Flow {
    match parse(line) {
        Ok(Record::Flow(flow)) => flow,
        other => panic!("{line}: {other:?}"),
    }
}

fn why(line: &str) -> Unjudged {
    match parse(line) {
        Ok(Record::Unjudged(why)) => why,
        other => panic!("{line}: {other:?}"),
    }
}

fn end_at(address: &str) -> FlowEnd {
    FlowEnd::Address(address.parse::<IpAddr>().expect("an address"), None)
}

#[test]
fn hubble_has_addresses_pods_and_the_direction() {
    let pod = r#""source":{"ID":7,"identity":3195,"namespace":"shop","labels":["k8s:app=web","k8s:bare","k8s:io.cilium.k8s.namespace.labels.team=a","k8s:io.cilium.k8s.policy.cluster=default","k8s:io.cilium.k8s.policy.serviceaccount=web","k8s:io.kubernetes.pod.namespace=shop"],"pod_name":"web-1","workloads":[{"name":"web","kind":"Deployment"}]},"destination":{"identity":1,"labels":["reserved:host"]}"#;
    let recorded = RecordedPod {
        namespace: "shop".into(),
        name: "web-1".into(),
        labels: Some([("app", "web"), ("bare", "")].map(|(key, value)| (key.into(), value.into())).into()),
        account: Some("web".into()),
    };
    let expected = Flow {
        source: FlowEnd::Address("10.244.1.2".parse().expect("an address"), Some(recorded)),
        destination: end_at("10.244.1.3"),
        kind: Kind { protocol: TCP, detail: Detail::Port(5432), source: Some(40_000) },
        has_translated_source: false,
        time: Some("2026-03-01T10:00:00Z".into()),
    };
    let line = hubble(DATA, &format!("{pod},{REQUEST}"));
    assert_eq!(flow(&line), expected);
    // The older form of the program has the flow alone.
    let value: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(flow(&value["flow"].to_string()), expected);
    let bare = r#""source":{"namespace":"shop","pod_name":"web-1"}"#;
    let FlowEnd::Address(_, Some(pod)) = flow(&hubble(SYN, bare)).source else { panic!("no pod") };
    assert_eq!((pod.labels, pod.account), (None, None));
}

#[test]
fn hubble_tells_requests_from_answers() {
    let icmp = |kind: u8| format!(r#"{{"ICMPv4":{{"type":{kind}}}}}"#);
    let unknown = r#""Summary":"""#;
    flow(&hubble(SYN, unknown));
    assert_eq!(why(&hubble(DATA, unknown)), Unjudged::UnknownDirection);
    assert_eq!(why(&hubble(SYN, r#""is_reply":true"#)), Unjudged::Reply);
    let accept = r#"{"TCP":{"source_port":5432,"destination_port":40000,"flags":{"SYN":true,"ACK":true}}}"#;
    assert_eq!(why(&hubble(accept, unknown)), Unjudged::UnknownDirection);
    assert_eq!(why(&hubble(&icmp(3), REQUEST)), Unjudged::Reply);
    assert_eq!(why(&hubble(r#"{"ICMPv4":{}}"#, REQUEST)), Unjudged::Reply, "a type of 0 is left out");
    assert_eq!(why(&hubble(r#"{"ICMPv6":{"type":129}}"#, REQUEST)), Unjudged::Reply);
    let kind = |l4: &str| flow(&hubble(l4, REQUEST)).kind;
    assert_eq!(kind(&icmp(8)), Kind { protocol: ICMP, detail: Detail::Message(8, 0), source: None });
    let v6 = kind(r#"{"ICMPv6":{"type":128,"code":1}}"#);
    assert_eq!(v6, Kind { protocol: ICMPV6, detail: Detail::Message(128, 1), source: None });
    for (name, protocol) in [("UDP", UDP), ("SCTP", SCTP)] {
        let kind = kind(&format!(r#"{{"{name}":{{"source_port":9,"destination_port":53}}}}"#));
        assert_eq!(kind, Kind { protocol, detail: Detail::Port(53), source: Some(9) });
    }
}

#[test]
fn hubble_has_more_than_packets() {
    let line = hubble(SYN, REQUEST);
    assert_eq!(why(&line.replace("FORWARDED", "DROPPED")), Unjudged::Dropped);
    assert_eq!(why(&line.replace("L3_L4", "L7")), Unjudged::NoPacket);
    assert_eq!(why(&line.replace("L3_L4", "SOCK")), Unjudged::NoPacket);
    assert_eq!(
        why(r#"{"node_status":{"state_change":"NODE_CONNECTED"},"node_name":"n1"}"#),
        Unjudged::NoPacket
    );
    // A real agent's frame of ARP, and the first sight of a packet.
    let frame = r#"{"flow":{"verdict":"FORWARDED","ethernet":{"source":"2a:e6:0a:c8:6a:a8"},"Type":"L3_L4","Summary":"Ethernet"}}"#;
    assert_eq!(why(frame), Unjudged::NoPacket);
    let arrives = r#""trace_observation_point":"FROM_ENDPOINT""#;
    assert_eq!(why(&hubble(SYN, arrives)), Unjudged::SeenAgain);
    flow(&hubble(SYN, r#""trace_observation_point":"TO_ENDPOINT","is_reply":false"#));
    let lost = r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"12"},"node_name":"n1"}"#;
    assert_eq!(parse(lost), Ok(Record::Lost(12)));
}

fn whisker(source: [&str; 2], destination: [&str; 2], more: &str) -> String {
    let ([namespace, name], [to_namespace, to_name]) = (source, destination);
    format!(
        r#"{{"start_time":"2026-03-01T10:00:00Z","end_time":"2026-03-01T10:00:15Z","action":"Allow","source_name":"{name}","source_namespace":"{namespace}","source_labels":"app=web | team=a","dest_name":"{to_name}","dest_namespace":"{to_namespace}","dest_labels":"","protocol":"tcp","dest_port":5432,"reporter":"Dst","policies":{{"enforced":[],"pending":[]}},"packets_in":3,"packets_out":2,"bytes_in":180,"bytes_out":120{more}}}"#
    )
}

#[test]
fn whisker_has_names_and_networks() {
    let pods = |name: &str| FlowEnd::Pods("shop".into(), name.into());
    let line = whisker(["shop", "web-7d9f-*"], ["shop", "db-0"], "");
    let expected = Flow {
        source: pods("web-7d9f-*"),
        destination: pods("db-0"),
        kind: Kind { protocol: TCP, detail: Detail::Port(5432), source: None },
        has_translated_source: false,
        time: Some("2026-03-01T10:00:00Z".into()),
    };
    assert_eq!(flow(&line), expected);
    assert_eq!(flow(&format!("data: {line}")), expected, "an event of its stream");
    assert_eq!(why(&line.replace(r#""Allow""#, r#""Deny""#)), Unjudged::Dropped);
    for (end, expected) in [
        (["-", "PRIVATE NETWORK"], FlowEnd::Network { is_private: true }),
        (["-", "PUBLIC NETWORK"], FlowEnd::Network { is_private: false }),
        (["-", "n1"], FlowEnd::Host("n1".into())),
        (["", "n1"], FlowEnd::Host("n1".into())),
    ] {
        assert_eq!(flow(&whisker(end, ["shop", "db-0"], "")).source, expected);
    }
    let kind = |protocol: &str| flow(&line.replace("tcp", protocol)).kind;
    assert_eq!(kind("UDP"), Kind { protocol: UDP, detail: Detail::Port(5432), source: None });
    assert_eq!(kind("icmp6"), Kind { protocol: ICMPV6, detail: Detail::None, source: None });
    assert_eq!(kind("47"), Kind { protocol: 47, detail: Detail::None, source: None });
}

#[test]
fn conntrack_has_the_pod_behind_a_service() {
    let long = "ipv4     2 tcp      6 431876 ESTABLISHED src=10.244.1.2 dst=10.96.0.10 sport=42957 dport=80 packets=10 bytes=400 src=10.244.1.3 dst=10.244.1.2 sport=8080 dport=42957 packets=9 bytes=260 [ASSURED] mark=0 use=1";
    let expected = Flow {
        source: end_at("10.244.1.2"),
        destination: end_at("10.244.1.3"),
        kind: Kind { protocol: TCP, detail: Detail::Port(8080), source: Some(42_957) },
        has_translated_source: false,
        time: None,
    };
    assert_eq!(flow(long), expected);
    let short = long.trim_start_matches("ipv4     2 ");
    assert_eq!(flow(short), expected, "without -o extended");
    let event = format!(
        "[1772359200.123456]\t    [NEW] {}",
        short.replace("ESTABLISHED", "SYN_SENT").replace("src=10.244.1.3", "[UNREPLIED] src=10.244.1.3")
    );
    let own = "[1772359200] ipv4 2 tcp 6 src=10.244.1.2 dst=10.96.0.10 sport=42957 dport=80 src=10.244.1.3 dst=10.244.1.2 sport=8080 dport=42957";
    let seen = Flow { time: Some("2026-03-01T10:00:00Z".into()), ..expected.clone() };
    assert_eq!(flow(own), seen, "as crossfade-bootstrap prints it");
    assert_eq!(flow(&event), seen);
    let file = "ipv6     10 udp      17 29 src=fd00::2 dst=fd00::a sport=5353 dport=53 src=fd00::3 dst=fd00::1 sport=53 dport=61000 mark=0 zone=0 use=2";
    let translated = flow(file);
    assert!(translated.has_translated_source);
    assert_eq!((translated.source, translated.destination), (end_at("fd00::2"), end_at("fd00::3")));
    let ping = "icmp     1 29 src=10.244.1.2 dst=8.8.8.8 type=8 code=0 id=7 src=8.8.8.8 dst=192.168.1.1 type=0 code=0 id=7 mark=0 use=1";
    assert_eq!(flow(ping).kind, Kind { protocol: ICMP, detail: Detail::Message(8, 0), source: None });
    let gre = "gre      47 179 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x0 src=10.0.0.2 dst=10.0.0.1 srckey=0x0 dstkey=0x0 use=1";
    assert_eq!(flow(gre).kind, Kind { protocol: 47, detail: Detail::None, source: None });
    assert_eq!(
        why("conntrack v1.4.7 (conntrack-tools): 123 flow entries have been shown."),
        Unjudged::NoPacket
    );
}

#[test]
fn a_bad_line_is_answered_with_what_was_expected() {
    let good = hubble(SYN, REQUEST);
    let whisker = whisker(["shop", "web-1"], ["shop", "db-0"], "");
    let tracked =
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1";
    let parts = [
        ("hello", EXPECTED),
        ("{", "no JSON: "),
        (r#"{"items":[]}"#, EXPECTED),
        (r#"{"flow":{"Type":"L3_L4","l4":{}}}"#, "expected IP.source and IP.destination"),
        (r#"{"flow":{"Type":"L3_L4","IP":{"source":"x","destination":"10.0.0.1"}}}"#, "a flow of Hubble: "),
        (&good.replace("2026-03-01T10:00:00.123456789Z\",\"uuid", "noon\",\"uuid"), "time: \"noon\": "),
        (r#"{"source_name":"a"}"#, "a flow of Whisker: missing field"),
        (&whisker.replace("tcp", "fast"), "protocol: \"fast\": expected a name such as tcp, or a number"),
        (&tracked.replace("src=10.0.0.2", ""), "a line of conntrack: expected src= 2 times"),
        (&tracked.replace("src=10.0.0.1", "src=one"), "src=one: expected an address"),
        (&tracked.replace("sport=2", "sport=x"), "sport=x: expected a number"),
        ("icmp 1 1 src=10.0.0.1 dst=10.0.0.2 type=256 code=0", "type: expected at most 255"),
    ];
    for (line, expected) in parts {
        let error = parse(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    }
}
