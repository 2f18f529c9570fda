//! Recorded flows: those that policies would deny, and those that cannot be judged.

use std::net::IpAddr;

use netpol::engines::kubernetes::Blocks;
use netpol::flows::{Flow, FlowEnd, FlowTally, Judgement, Record, RecordedPod, Unjudged};
use netpol::gather::{Engine, Policies};
use netpol::traffic::{Detail, Kind, TCP, UDP};
use netpol::world::{Cluster, Namespace, Node, Pod, Port};
use serde_json::{Value, json};

use crate::town::{labels, range};

const KUBERNETES: Engine = Engine::Kubernetes(Blocks { pods: true, nodes: true, names_of_cluster: false });

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A front end of two pods and a database in the shop, a job in the office; two nodes.
fn cluster() -> Cluster {
    let pod = |namespace: &str, name: &str, app: &str, address: &str, node: &str| Pod {
        namespace: namespace.into(),
        name: name.into(),
        labels: labels(&[("app", app)]),
        account: app.into(),
        account_labels: labels(&[("tier", app)]),
        addresses: vec![ip(address)],
        ports: vec![Port { protocol: TCP, name: "main".into(), number: 5432 }],
        node: node.into(),
        ..Pod::default()
    };
    let web = |name: &str, address: &str, node: &str| Pod {
        owner: "ReplicaSet shop/web-7d9f".into(),
        ..pod("shop", name, "web", address, node)
    };
    let node = |name: &str, address: &str| Node { name: name.into(), addresses: vec![ip(address)] };
    let namespace = |name: &str| Namespace { name: name.into(), ..Namespace::default() };
    Cluster {
        namespaces: vec![namespace("shop"), namespace("office")],
        pods: vec![
            web("web-7d9f-abcde", "10.244.1.2", "n1"),
            web("web-7d9f-fghij", "10.244.2.2", "n2"),
            pod("shop", "db-0", "db", "10.244.1.3", "n1"),
            pod("office", "job-1", "job", "10.244.2.3", "n2"),
        ],
        nodes: vec![node("n1", "192.168.1.1"), node("n2", "192.168.1.2")],
        pod_ranges: vec![range("10.244.0.0/16")],
    }
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

/// The database takes what the front end sends to its port.
fn database() -> Value {
    policy(
        "db",
        &json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 5432}]}]}),
    )
}

fn end_at(address: &str) -> FlowEnd {
    FlowEnd::Address(ip(address), None)
}

fn tcp(source: FlowEnd, destination: FlowEnd, port: u16) -> Flow {
    let kind = Kind { protocol: TCP, detail: Detail::Port(port), source: Some(40_000) };
    Flow { source, destination, kind, has_translated_source: false, time: None }
}

fn judge(objects: &[Value], records: impl IntoIterator<Item = Record>) -> Judgement {
    let policies = Policies::read(KUBERNETES, objects);
    assert!(policies.unread.is_empty(), "{:?}", policies.unread);
    let mut tally = FlowTally::new(cluster(), vec![range("10.96.0.0/12")], &policies).expect("policies");
    records.into_iter().for_each(|record| tally.add(record));
    tally.judge(&policies).expect("policies")
}

/// What becomes of one flow: `denied by RULE`, `allowed`, or why it is not judged.
fn outcome(objects: &[Value], flow: Flow) -> String {
    let judgement = judge(objects, [Record::Flow(flow)]);
    match (&judgement.denied[..], &judgement.unjudged[..], judgement.allowed) {
        ([denied], [], 0) => {
            format!("denied by {} {}", denied.direction, denied.rule.as_deref().unwrap_or("no rule"))
        }
        ([], [unjudged], 0) => format!("{:?}", unjudged.why),
        ([], [], 1) => "allowed".into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flows_are_denied_and_allowed_by_the_policies_of_both_ends() {
    let jobs_stay = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "stay", "namespace": "office"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]}});
    let all = [database(), jobs_stay];
    for (source, destination, port, expected) in [
        ("10.244.1.2", "10.244.1.3", 5432, "allowed"),
        ("10.244.1.2", "10.244.1.3", 5433, "denied by Ingress no rule"),
        ("192.168.1.2", "10.244.1.3", 5432, "denied by Ingress no rule"),
        ("198.51.100.7", "10.244.1.3", 5432, "denied by Ingress no rule"),
        ("198.51.100.7", "10.244.1.2", 80, "allowed"),
        ("10.244.2.3", "10.244.1.2", 80, "denied by Egress no rule"),
        ("10.244.2.3", "203.0.113.200", 443, "allowed"),
        ("10.244.2.3", "203.0.114.200", 443, "denied by Egress no rule"),
        ("10.244.2.3", "192.168.1.1", 443, "denied by Egress no rule"),
    ] {
        assert_eq!(
            outcome(&all, tcp(end_at(source), end_at(destination), port)),
            expected,
            "{source} {destination} {port}"
        );
    }
}

#[test]
fn a_rule_that_denies_is_named() {
    let deny = json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "guard"},
        "spec": {"tier": "Admin", "priority": 5, "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces":
            {"matchLabels": {"kubernetes.io/metadata.name": "office"}}}]}]}});
    let words = outcome(&[deny], tcp(end_at("10.244.2.3"), end_at("10.244.1.3"), 5432));
    assert!(words.starts_with("denied by Ingress ") && words.contains("guard"), "{words}");
}

#[test]
fn what_no_policy_decides_and_what_a_record_leaves_open_is_not_judged() {
    let recorded =
        |name: &str| RecordedPod { namespace: "shop".into(), name: name.into(), labels: None, account: None };
    let named = |address: &str, name: &str| FlowEnd::Address(ip(address), Some(recorded(name)));
    let translated = |source: &str| Flow {
        has_translated_source: true,
        ..tcp(end_at(source), end_at("10.244.1.3"), 5432)
    };
    for (flow, expected) in [
        (tcp(end_at("192.168.1.1"), end_at("198.51.100.7"), 443), "NoPod"),
        (tcp(end_at("192.168.1.1"), end_at("10.244.1.3"), 5432), "OwnNode"),
        (tcp(end_at("10.244.1.3"), end_at("192.168.1.1"), 10250), "OwnNode"),
        (tcp(end_at("10.244.1.3"), end_at("10.244.1.3"), 80), "SamePod"),
        (tcp(end_at("10.244.1.2"), end_at("10.96.0.10"), 5432), "Service"),
        (tcp(end_at("10.244.9.9"), end_at("10.244.1.3"), 5432), "PodGone"),
        (tcp(end_at("10.244.9.9"), end_at("198.51.100.7"), 443), "PodGone"),
        (tcp(named("10.244.9.9", "web-7d9f-zzzzz"), end_at("10.244.1.3"), 5432), "PodGone"),
        (tcp(named("10.244.1.2", "web-7d9f-zzzzz"), end_at("10.244.1.3"), 5432), "OtherPod"),
        (tcp(named("10.244.1.2", "web-7d9f-abcde"), end_at("10.244.1.3"), 5432), "allowed"),
        (translated("198.51.100.7"), "TranslatedSource"),
        (translated("10.244.1.2"), "allowed"),
        (tcp(FlowEnd::Host("n9".into()), end_at("10.244.1.3"), 5432), "Incomplete"),
    ] {
        assert_eq!(outcome(&[database()], flow.clone()), expected, "{flow}");
    }
}

#[test]
fn a_pod_that_is_gone_is_judged_by_its_labels_as_far_as_they_suffice() {
    let gone = |namespace: &str, app: &str, account: Option<&str>| {
        let pod = RecordedPod {
            namespace: namespace.into(),
            name: "gone".into(),
            labels: Some(labels(&[("app", app)])),
            account: account.map(Into::into),
        };
        FlowEnd::Address(ip("10.244.9.9"), Some(pod))
    };
    let to_database = |source: FlowEnd| tcp(source, end_at("10.244.1.3"), 5432);
    let all = [database()];
    assert_eq!(outcome(&all, to_database(gone("shop", "web", None))), "allowed");
    assert_eq!(outcome(&all, to_database(gone("shop", "other", None))), "denied by Ingress no rule");
    assert_eq!(outcome(&all, to_database(gone("deleted", "web", None))), "PodGone");
    // As a receiver it would need the ports of its containers.
    let mut by_name = database();
    by_name["spec"]["ingress"][0]["ports"][0]["port"] = "main".into();
    let to_gone = || tcp(end_at("10.244.1.2"), gone("shop", "db", None), 5432);
    assert_eq!(outcome(&all, to_gone()), "allowed");
    assert_eq!(outcome(std::slice::from_ref(&by_name), to_gone()), "PodGone");
    assert_eq!(outcome(&[by_name], to_database(gone("shop", "web", None))), "allowed");
    // Its node may be the one at the other end.
    let from_node = tcp(end_at("192.168.1.1"), gone("shop", "db", None), 5432);
    assert_eq!(outcome(&all, from_node), "Incomplete");

    let accounts = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy", "metadata": {"name": "default.db", "namespace": "shop"},
        "spec": {"selector": "app == 'db'", "types": ["Ingress"], "ingress": [{"action": "Allow", "source": {"serviceAccounts": {"names": ["web"]}}}]}});
    let tier = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "Tier", "metadata": {"name": "default"}, "spec": {"order": 1_000_000}});
    let policies = Policies::read(Engine::Calico, &[accounts, tier]);
    for (account, allowed) in [(Some("web"), true), (Some("lost"), false), (None, false)] {
        let mut tally = FlowTally::new(cluster(), Vec::new(), &policies).expect("policies");
        tally.add(Record::Flow(to_database(gone("shop", "any", account))));
        let judgement = tally.judge(&policies).expect("policies");
        let why = judgement.unjudged.first().map(|flows| flows.why);
        assert_eq!(
            (judgement.allowed, why),
            if allowed { (1, None) } else { (0, Some(Unjudged::PodGone)) },
            "{account:?}"
        );
    }
}

#[test]
fn names_and_networks_are_judged_if_the_answer_is_the_same_for_all_that_they_may_be() {
    let pods = |namespace: &str, name: &str| FlowEnd::Pods(namespace.into(), name.into());
    let network = |is_private: bool| FlowEnd::Network { is_private };
    let open = policy(
        "open",
        &json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]}),
    );
    let public = policy(
        "public",
        &json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock":
            {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]}}]}]}),
    );
    let closed =
        policy("closed", &json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]}));
    for (objects, source, destination, expected) in [
        (vec![database()], pods("shop", "web-7d9f-*"), pods("shop", "db-0"), "allowed"),
        (vec![database()], pods("office", "job-1"), pods("shop", "db-0"), "denied by Ingress no rule"),
        (vec![database()], pods("shop", "web-*"), pods("shop", "db-0"), "PodGone"),
        (vec![database()], pods("office", "web-7d9f-*"), pods("shop", "db-0"), "PodGone"),
        (vec![database()], network(false), pods("shop", "db-0"), "denied by Ingress no rule"),
        // A node is in a private network, and the pod's own reaches it.
        (vec![database()], network(true), pods("shop", "db-0"), "Incomplete"),
        (vec![database()], FlowEnd::Host("n2".into()), pods("shop", "db-0"), "Incomplete"),
        (vec![public], network(false), pods("shop", "web-7d9f-*"), "allowed"),
        (vec![open], network(false), pods("shop", "web-7d9f-*"), "Incomplete"),
        (vec![closed.clone()], pods("shop", "web-7d9f-*"), network(false), "denied by Egress no rule"),
        (vec![closed], pods("shop", "db-0"), network(false), "allowed"),
    ] {
        let flow = tcp(source, destination, 5432);
        assert_eq!(outcome(&objects, flow.clone()), expected, "{flow}");
    }
}

#[test]
fn a_source_port_counts_where_policies_go_by_it() {
    let by_source = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy", "metadata": {"name": "default.db", "namespace": "shop"},
        "spec": {"selector": "app == 'db'", "types": ["Ingress"], "ingress": [{"action": "Allow", "protocol": "UDP", "source": {"ports": ["1000:1999"]}}]}});
    let tier = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "Tier", "metadata": {"name": "default"}, "spec": {"order": 1_000_000}});
    let policies = Policies::read(Engine::Calico, &[by_source, tier]);
    let mut tally = FlowTally::new(cluster(), Vec::new(), &policies).expect("policies");
    for (port, source) in [(53, Some(1000)), (53, Some(1001)), (53, Some(2000)), (53, Some(2001)), (54, None)]
    {
        let kind = Kind { protocol: UDP, detail: Detail::Port(port), source };
        tally.add(Record::Flow(Flow { kind, ..tcp(end_at("10.244.2.2"), end_at("10.244.1.3"), 0) }));
    }
    let judgement = tally.judge(&policies).expect("policies");
    let denied: Vec<(&str, u64)> =
        judgement.denied.iter().map(|denied| (&*denied.traffic, denied.flows)).collect();
    assert_eq!((judgement.allowed, denied), (2, vec![("UDP 53 from port 2000", 2)]));
    let unjudged: Vec<_> = judgement.unjudged.iter().map(|flows| (flows.why, flows.flows)).collect();
    assert_eq!(unjudged, [(Unjudged::Incomplete, 1)]);
}

#[test]
fn flows_of_one_controller_are_one_row_with_their_window() {
    let seen = |address: &str, time: &str| {
        Record::Flow(Flow { time: Some(time.into()), ..tcp(end_at(address), end_at("10.244.1.3"), 6379) })
    };
    let judgement = judge(
        &[database()],
        [
            seen("10.244.2.3", "2026-03-01T10:00:00Z"),
            seen("10.244.1.2", "2026-03-01T12:00:00Z"),
            seen("10.244.2.2", "2026-03-01T11:00:00Z"),
            Record::Unjudged(Unjudged::Reply),
            Record::Lost(7),
        ],
    );
    let rows: Vec<_> = judgement
        .denied
        .iter()
        .map(|row| {
            (
                &*row.source,
                &*row.destination,
                &*row.traffic,
                row.flows,
                row.first.as_deref(),
                row.last.as_deref(),
            )
        })
        .collect();
    let (from, to) = (Some("2026-03-01T11:00:00Z"), Some("2026-03-01T12:00:00Z"));
    let ten = Some("2026-03-01T10:00:00Z");
    assert_eq!(
        rows,
        [
            ("ReplicaSet shop/web-7d9f", "pod shop/db-0", "TCP 6379", 2, from, to),
            ("pod office/job-1", "pod shop/db-0", "TCP 6379", 1, ten, ten),
        ]
    );
    assert_eq!((judgement.flows, judgement.judged(), judgement.allowed, judgement.lost), (4, 3, 0, 7));
    assert_eq!((judgement.first.as_deref(), judgement.last.as_deref()), (ten, to));
    assert_eq!((judgement.unjudged[0].why, judgement.unjudged[0].flows), (Unjudged::Reply, 1));
}

#[test]
fn more_different_flows_than_are_kept_are_counted() {
    let policies = Policies::read(KUBERNETES, &[database()]);
    let mut tally = FlowTally::new(cluster(), Vec::new(), &policies).expect("policies");
    // Of the senders outside, no policy tells one from another.
    for address in 0..4_u8 {
        for port in 0..=u16::MAX {
            tally.add(Record::Flow(tcp(
                end_at(&format!("198.51.100.{address}")),
                end_at("10.244.1.2"),
                port,
            )));
        }
    }
    // One that is kept already still counts.
    tally.add(Record::Flow(tcp(end_at("198.51.100.0"), end_at("10.244.1.2"), 0)));
    let judgement = tally.judge(&policies).expect("policies");
    let unjudged: Vec<_> = judgement.unjudged.iter().map(|flows| (flows.why, flows.flows)).collect();
    assert_eq!((judgement.allowed, unjudged), (200_001, vec![(Unjudged::TooMany, 4 * 65_536 - 200_000)]));
}

#[test]
fn pods_that_are_gone_are_bounded() {
    let policies = Policies::read(KUBERNETES, &[database()]);
    let mut tally = FlowTally::new(cluster(), Vec::new(), &policies).expect("policies");
    for number in 0..10_100_u32 {
        let pod = RecordedPod {
            namespace: "shop".into(),
            name: format!("gone-{number}").into(),
            labels: Some(labels(&[("app", "web")])),
            account: None,
        };
        let address = std::net::Ipv4Addr::from(0x0af4_8000 + number).into();
        tally.add(Record::Flow(tcp(FlowEnd::Address(address, Some(pod)), end_at("10.244.1.3"), 5432)));
    }
    let judgement = tally.judge(&policies).expect("policies");
    let unjudged: Vec<_> = judgement.unjudged.iter().map(|flows| (flows.why, flows.flows)).collect();
    assert_eq!((judgement.allowed, unjudged), (10_000, vec![(Unjudged::TooMany, 100)]));
}
