//! NetworkPolicies of Kubernetes.

mod examples;
pub(crate) mod reader;

use netpol::engines::kubernetes::{Blocks, Policy, mentions, read, tier};
use netpol::tier::{Direction, Enforcement};
use netpol::world::World;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::town::{PROTOCOLS, compare, town};

const BOTH: [Blocks; 2] = [
    Blocks { pods: true, nodes: true, names_of_cluster: false },
    Blocks { pods: false, nodes: false, names_of_cluster: false },
];

fn enforcement(policies: &[Policy], world: &World, blocks: Blocks) -> Enforcement {
    let tiers_of = |direction| vec![tier(policies, world, direction, blocks).expect("a tier")];
    Enforcement { ingress: tiers_of(Direction::Ingress), egress: tiers_of(Direction::Egress) }
}

/// Compares the evaluator with the reader; how many packets.
fn agree(written: &[Value]) -> usize {
    let policies: Vec<Policy> = written.iter().map(|object| read(object).expect("a policy")).collect();
    let mentions = mentions(&policies).expect("selectors");
    let town = town();
    let count_of = |blocks: Blocks| {
        compare(
            &town,
            &mentions,
            &PROTOCOLS,
            |world| enforcement(&policies, world, blocks),
            |packet| reader::allowed(written, &town, packet, blocks),
        )
    };
    BOTH.into_iter().map(count_of).sum()
}

pub(crate) fn selector() -> BoxedStrategy<Value> {
    let key = prop::sample::select(vec!["app", "role", "env", "team", "none"]);
    let value = prop::sample::select(vec!["web", "db", "prod", "test", "frontend", "a"]);
    let operator = prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let requirement = (key.clone(), operator, prop::collection::vec(value.clone(), 1..3)).prop_map(
        |(key, operator, values)| {
            if operator.contains("In") {
                json!({"key": key, "operator": operator, "values": values})
            } else {
                json!({"key": key, "operator": operator})
            }
        },
    );
    let labels = prop::collection::btree_map(key, value, 0..2);
    (labels, prop::collection::vec(requirement, 0..2))
        .prop_map(|(labels, more)| json!({"matchLabels": labels, "matchExpressions": more}))
        .boxed()
}

fn peer() -> impl Strategy<Value = Value> {
    let cidr = prop::sample::select(vec![
        "10.244.0.0/16",
        "10.244.2.0/24",
        "192.168.1.1/32",
        "0.0.0.0/0",
        "172.16.0.0/12",
        "::/0",
        "fd00:244::/126",
    ]);
    let except = prop::sample::select(vec![
        json!([]),
        json!(["10.244.2.0/25"]),
        json!(["172.16.8.0/24", "192.168.1.2/32"]),
    ]);
    prop_oneof![
        selector().prop_map(|pods| json!({"podSelector": pods})),
        selector().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (selector(), selector())
            .prop_map(|(pods, namespaces)| json!({"podSelector": pods, "namespaceSelector": namespaces})),
        (cidr, except).prop_map(|(cidr, except)| json!({"ipBlock": {"cidr": cidr, "except": except}})),
    ]
}

pub(crate) fn port() -> impl Strategy<Value = Value> {
    let protocol = prop::sample::select(vec!["TCP", "UDP", "SCTP"]);
    prop_oneof![
        Just(json!({"port": 80})),
        (protocol.clone(), prop::sample::select(vec![1, 80, 443, 8080, 65535]))
            .prop_map(|(protocol, port)| json!({"protocol": protocol, "port": port})),
        (protocol.clone()).prop_map(|protocol| json!({"protocol": protocol})),
        (protocol.clone(), prop::sample::select(vec![(80, 81), (81, 8080), (1, 65535)]))
            .prop_map(|(protocol, (port, end))| json!({"protocol": protocol, "port": port, "endPort": end})),
        (protocol, prop::sample::select(vec!["http", "dns", "absent"]))
            .prop_map(|(protocol, name)| json!({"protocol": protocol, "port": name})),
    ]
}

fn rules(key: &'static str) -> impl Strategy<Value = Value> {
    let rule = (prop::collection::vec(peer(), 0..3), prop::collection::vec(port(), 0..3))
        .prop_map(move |(peers, ports)| json!({key: peers, "ports": ports}));
    prop::collection::vec(rule, 0..3).prop_map(Value::from)
}

pub(crate) fn policy() -> BoxedStrategy<Value> {
    let namespace = prop::sample::select(vec!["shop", "office", "guests", "absent"]);
    let types = prop::sample::select(vec![
        json!(null),
        json!(["Ingress"]),
        json!(["Egress"]),
        json!(["Ingress", "Egress"]),
    ]);
    (namespace, selector(), rules("from"), rules("to"), types).prop_map(|(namespace, pods, ingress, egress, types)| {
        let mut spec = json!({"podSelector": pods, "ingress": ingress, "egress": egress});
        if !types.is_null() {
            spec["policyTypes"] = types;
        }
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": namespace}, "spec": spec})
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_of_every_packet_what_the_documentation_says(policies in prop::collection::vec(policy(), 1..5)) {
        prop_assert!(agree(&policies) > 300);
    }
}

#[test]
fn what_the_api_would_drop_in_silence_is_an_error() {
    let policy = |spec: Value| read(&json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec}));
    for (spec, words) in [
        (json!({"podSelector": {}, "ingress": [{"to": []}]}), "spec.ingress[0].to"),
        (json!({"podSelector": {}, "egress": [{"from": []}]}), "spec.egress[0].from"),
        (json!({"podSelector": {}, "ingres": []}), "ingres"),
        (json!({"podSelector": {}, "ingress": [{"from": [{}]}]}), "spec.ingress[0].from[0]"),
        (
            json!({"podSelector": {}, "ingress": [{"ports": [{"endPort": 9}]}]}),
            "spec.ingress[0].ports[0].endPort",
        ),
        (json!({"podSelector": {}, "policyTypes": ["ingress"]}), "policyTypes"),
    ] {
        let why = policy(spec).expect_err(words);
        assert!(why.contains(words), "{why}");
    }
}
