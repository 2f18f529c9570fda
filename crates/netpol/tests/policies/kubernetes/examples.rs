//! Examples of the documentation with the verdicts that it gives in words.

use netpol::engines::kubernetes::{Blocks, mentions, read};
use netpol::tier::Direction;
use serde_json::{Value, json};

use super::enforcement;
use crate::town::{Question, town};

const BLOCKS: Blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };

/// Whether a pod may receive this from, or send it to, a party with this name or address.
fn may(policies: &[Value], direction: Direction, pod: &str, peer: &str, protocol: u8, port: u16) -> bool {
    let policies: Vec<_> = policies.iter().map(|object| read(object).expect("a policy")).collect();
    Question { direction, pod, peer, protocol, port }.ask(
        &town(),
        &mentions(&policies).expect("selectors"),
        |world| enforcement(&policies, world, BLOCKS),
    )
}

fn policy(namespace: &str, spec: Value) -> Value {
    json!({"metadata": {"name": "test", "namespace": namespace}, "spec": spec})
}

/// *Source*: "The NetworkPolicy resource": `test-network-policy`, with its namespace and labels as this town has them.
#[test]
fn the_first_example_of_the_documentation() {
    let written = [policy(
        "shop",
        json!({
            "podSelector": {"matchLabels": {"role": "db"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [
                    {"ipBlock": {"cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"]}},
                    {"namespaceSelector": {"matchLabels": {"team": "b"}}},
                    {"podSelector": {"matchLabels": {"role": "frontend"}}}
                ],
                "ports": [{"protocol": "TCP", "port": 6379}]
            }],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 5978}]}]
        }),
    )];
    let receives = |from: &str, port: u16| may(&written, Direction::Ingress, "shop/db", from, 6, port);
    assert!(receives("shop/web", 6379), "any pod in the namespace with role=frontend");
    assert!(!receives("shop/bare", 6379));
    assert!(!receives("guests/db", 6379), "role=frontend, in another namespace");
    assert!(receives("office/job", 6379), "any pod in a namespace with the label");
    assert!(receives("172.17.0.0", 6379) && receives("172.17.2.0", 6379));
    assert!(!receives("172.17.1.0", 6379), "what the block leaves out");
    assert!(!receives("shop/web", 80));
    let sends = |to: &str, port: u16| may(&written, Direction::Egress, "shop/db", to, 6, port);
    assert!(sends("10.0.0.0", 5978) && !sends("10.0.0.0", 80) && !sends("shop/web", 5978));
    assert!(
        may(&written, Direction::Ingress, "shop/web", "guests/bare", 6, 6379),
        "a pod that is not isolated"
    );
}

/// *Source*: "Behavior of to and from selectors": one peer with both selectors, and two peers.
#[test]
fn two_selectors_in_one_peer_are_both_meant() {
    let both = json!({"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": {"matchLabels": {"app": "web"}}});
    let (namespace, pods) = (
        json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}),
        json!({"podSelector": {"matchLabels": {"app": "web"}}}),
    );
    for (from, office_job, shop_web) in
        [(json!([both]), false, false), (json!([namespace, pods]), true, true)]
    {
        let written = [policy("shop", json!({"podSelector": {}, "ingress": [{"from": from}]}))];
        let receives = |from: &str| may(&written, Direction::Ingress, "shop/db", from, 6, 80);
        assert!(receives("office/web"));
        assert_eq!((receives("office/job"), receives("shop/web")), (office_job, shop_web));
    }
}

/// *Source*: "Default policies".
#[test]
fn the_default_policies() {
    for (spec, receives, sends) in [
        (json!({"podSelector": {}, "policyTypes": ["Ingress"]}), false, true),
        (json!({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}), true, true),
        (json!({"podSelector": {}, "policyTypes": ["Egress"]}), true, false),
        (json!({"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}), true, true),
        (json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}), false, false),
    ] {
        let written = [policy("shop", spec.clone())];
        assert_eq!(may(&written, Direction::Ingress, "shop/web", "shop/db", 6, 80), receives, "{spec}");
        assert_eq!(may(&written, Direction::Egress, "shop/web", "shop/db", 17, 53), sends, "{spec}");
        assert!(may(&written, Direction::Ingress, "office/web", "shop/db", 6, 80), "another namespace");
    }
}

/// *Source*: "Targeting a range of ports".
#[test]
fn a_range_of_ports() {
    let written = [policy(
        "shop",
        json!({"podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}], "ports": [{"protocol": "TCP", "port": 32000, "endPort": 32768}]}]}),
    )];
    for (port, allowed) in [(31999, false), (32000, true), (32768, true), (32769, false)] {
        assert_eq!(may(&written, Direction::Egress, "shop/web", "10.0.0.0", 6, port), allowed, "{port}");
    }
}
