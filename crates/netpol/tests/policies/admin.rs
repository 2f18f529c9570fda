//! Policies of administrators: ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy.

mod examples;
mod reader;

use netpol::engines::admin::{Input, enforcement, mentions, read, read_admin, read_baseline};
use netpol::engines::kubernetes::{self, Blocks};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kubernetes::{policy as kubernetes_policy, selector};
use crate::town::{PROTOCOLS, compare, town};

const BLOCKS: Blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };

/// Compares the evaluator with the reader; how many packets.
fn agree(written: &[Value], beside: &[Value]) -> usize {
    let policies: Vec<_> = written.iter().map(|object| parsed(object).expect("a policy")).collect();
    let kubernetes: Vec<_> =
        beside.iter().map(|object| kubernetes::read(object).expect("a policy")).collect();
    let input = Input { policies: &policies, kubernetes: &kubernetes, blocks: BLOCKS };
    let (town, mentions) = (town(), mentions(&input).expect("selectors"));
    compare(
        &town,
        &mentions,
        &PROTOCOLS,
        |world| enforcement(&input, world).expect("tiers"),
        |packet| reader::allowed(written, beside, &town, packet, BLOCKS),
    )
}

fn parsed(written: &Value) -> Result<netpol::engines::admin::Policy, String> {
    match written["kind"].as_str() {
        Some("AdminNetworkPolicy") => read_admin(written),
        Some("BaselineAdminNetworkPolicy") => read_baseline(written),
        _ => read(written),
    }
}

fn pods() -> impl Strategy<Value = Value> {
    prop_oneof![
        selector().prop_map(|namespaces| json!({"namespaces": namespaces})),
        (selector(), selector()).prop_map(
            |(namespaces, pods)| json!({"pods": {"namespaceSelector": namespaces, "podSelector": pods}})
        ),
    ]
}

fn networks() -> impl Strategy<Value = Value> {
    let lists = [
        json!(["0.0.0.0/0"]),
        json!(["10.244.2.0/24", "fd00:244::/126"]),
        json!(["192.168.1.1/32"]),
        json!(["::/0"]),
    ];
    prop::sample::select(lists.to_vec()).prop_map(|networks| json!({"networks": networks}))
}

/// Destination ports, as both releases of the API spell them.
fn ports(older: bool) -> impl Strategy<Value = Value> {
    let protocol = prop::sample::select(vec!["TCP", "UDP", "SCTP"]);
    let range = prop::sample::select(vec![(79_u16, 81_u16), (80, 443), (1, 65535)]);
    let number = (protocol.clone(), prop::sample::select(vec![80_u16, 443, 8080])).prop_map(
        move |(protocol, port)| {
            if older {
                json!({"portNumber": {"protocol": protocol, "port": port}})
            } else {
                json!({protocol.to_lowercase(): {"destinationPort": {"number": port}}})
            }
        },
    );
    let range = (protocol, range).prop_map(move |(protocol, (start, end))| {
        if older {
            json!({"portRange": {"protocol": protocol, "start": start, "end": end}})
        } else {
            json!({protocol.to_lowercase(): {"destinationPort": {"range": {"start": start, "end": end}}}})
        }
    });
    let key = if older { "namedPort" } else { "destinationNamedPort" };
    let named = prop::sample::select(vec!["http", "dns"]).prop_map(move |name| json!({key: name}));
    prop::collection::vec(prop_oneof![3 => number, 2 => range, 1 => named], 0..3).prop_map(Value::from)
}

fn rules(key: &'static str, older: bool, actions: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let action = prop::sample::select(actions.to_vec());
    let field = if older { "ports" } else { "protocols" };
    let with = move |(action, peers, ports): (&str, Vec<Value>, Value)| json!({"action": action, key: peers, field: ports});
    let by_pods = (action.clone(), prop::collection::vec(pods(), 1..3), ports(older)).prop_map(with);
    // Beside networks no port has a name.
    let by_networks = (action, prop::collection::vec(networks(), 1..2))
        .prop_map(move |(action, peers)| json!({"action": action, key: peers}));
    let rule =
        if key == "to" { prop_oneof![2 => by_pods, 1 => by_networks].boxed() } else { by_pods.boxed() };
    prop::collection::vec(rule, 0..4).prop_map(Value::from)
}

fn policies() -> impl Strategy<Value = Vec<Value>> {
    const NEW: &[&str] = &["Accept", "Deny", "Pass"];
    const OLD: &[&str] = &["Allow", "Deny", "Pass"];
    const BASE: &[&str] = &["Allow", "Deny"];
    let tier = prop::sample::select(vec!["Admin", "Baseline"]);
    let newer = (tier, pods(), rules("from", false, NEW), rules("to", false, NEW)).prop_map(|(tier, subject, ingress, egress)| {
        json!({"kind": "ClusterNetworkPolicy", "spec": {"tier": tier, "subject": subject, "ingress": ingress, "egress": egress}})
    });
    let admin = (pods(), rules("from", true, OLD), rules("to", true, OLD)).prop_map(|(subject, ingress, egress)| {
        json!({"kind": "AdminNetworkPolicy", "spec": {"subject": subject, "ingress": ingress, "egress": egress}})
    });
    let base = (pods(), rules("from", true, BASE), rules("to", true, BASE)).prop_map(|(subject, ingress, egress)| {
        json!({"kind": "BaselineAdminNetworkPolicy", "spec": {"subject": subject, "ingress": ingress, "egress": egress}})
    });
    let policy = prop_oneof![3 => newer, 2 => admin];
    // No two with one priority; the order of the list is not that of the priorities.
    let priorities = Just(vec![3_u64, 900, 17, 500]).prop_shuffle();
    (prop::collection::vec(policy, 1..4), prop::option::of(base), priorities).prop_map(
        |(mut all, base, priorities)| {
            // The baseline of before has the priority 0, beside which no other may be.
            for (policy, priority) in all.iter_mut().zip(priorities) {
                policy["spec"]["priority"] = priority.into();
            }
            all.extend(base);
            for (number, policy) in all.iter_mut().enumerate() {
                policy["metadata"] = json!({"name": format!("p{number}")});
            }
            all
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_of_every_packet_what_the_documentation_says(
        policies in policies(),
        beside in prop::collection::vec(kubernetes_policy(), 0..3),
    ) {
        prop_assert!(agree(&policies, &beside) > 100);
    }
}

#[test]
fn what_the_api_refuses_or_leaves_undefined_is_an_error() {
    let policy = |rule: Value| {
        parsed(
            &json!({"metadata": {"name": "p"}, "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [rule]}}),
        )
    };
    let peers = json!([{"namespaces": {}}]);
    for (rule, words) in [
        (json!({"action": "Allow", "to": peers}), "spec.egress[0].action"),
        (json!({"action": "Deny", "from": peers}), "spec.egress[0].from"),
        (json!({"action": "Deny", "to": []}), "at least one"),
        (json!({"action": "Deny", "to": [{}]}), "spec.egress[0].to[0]"),
        (json!({"action": "Deny", "to": [{"nodes": {}}]}), "nodes"),
        (json!({"action": "Accept", "to": [{"domainNames": ["a.example"]}]}), "domainNames"),
        (json!({"action": "Deny", "to": [{"namespaces": {}, "networks": ["::/0"]}]}), "more than one field"),
        (json!({"action": "Deny", "to": peers, "protocols": [{"icmp": {}}]}), "icmp"),
        (json!({"action": "Deny", "to": peers, "protocols": [{"tcp": {}, "udp": {}}]}), "expected one of"),
        (
            json!({"action": "Deny", "to": [{"networks": ["::/0"]}], "protocols": [{"destinationNamedPort": "a"}]}),
            "by its name",
        ),
    ] {
        let why = policy(rule).expect_err(words);
        assert!(why.contains(words) && why.starts_with("spec.") | why.contains("unknown field"), "{why}");
    }
    let two = |priorities: [u16; 2]| {
        let to_policy = |priority: u16| {
            let written = json!({"metadata": {"name": format!("p{priority}")}, "spec": {"tier": "Admin", "priority": priority,
                "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}});
            read(&written).expect("a policy")
        };
        let policies = priorities.map(to_policy);
        let input = Input { policies: &policies, kubernetes: &[], blocks: BLOCKS };
        let world = netpol::world::World::new(&town(), &mentions(&input).expect("selectors"));
        enforcement(&input, &world).map(drop)
    };
    assert_eq!(two([1, 2]), Ok(()));
    assert!(two([7, 7]).expect_err("one priority").contains("which of them decides"));
}
