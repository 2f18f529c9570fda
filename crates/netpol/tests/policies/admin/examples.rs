//! The user stories of the API, with the verdicts that it gives in words.

use netpol::engines::admin::{Input, enforcement, mentions};
use netpol::engines::kubernetes;
use netpol::tier::Direction;
use serde_json::{Value, json};

use super::{BLOCKS, parsed};
use crate::town::{Question, town};

fn may(written: &[Value], beside: &[Value], direction: Direction, pod: &str, peer: &str, port: u16) -> bool {
    let policies: Vec<_> = written.iter().map(|object| parsed(object).expect("a policy")).collect();
    let kubernetes: Vec<_> =
        beside.iter().map(|object| kubernetes::read(object).expect("a policy")).collect();
    let input = Input { policies: &policies, kubernetes: &kubernetes, blocks: BLOCKS };
    let question = Question { direction, pod, peer, protocol: 6, port };
    question.ask(&town(), &mentions(&input).expect("selectors"), |world| {
        enforcement(&input, world).expect("tiers")
    })
}

fn policy(tier: &str, priority: u16, rest: &Value) -> Value {
    let mut spec = rest.clone();
    spec["tier"] = tier.into();
    spec["priority"] = priority.into();
    json!({"kind": "ClusterNetworkPolicy", "metadata": {"name": format!("{tier}-{priority}")}, "spec": spec})
}

/// A NetworkPolicy that lets every pod of the shop receive from pods of the shop alone.
fn isolation() -> Value {
    json!({"metadata": {"name": "own", "namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}})
}

/// *Source*: "User stories", 1: explicitly deny traffic that cannot be overridden.
#[test]
fn a_denial_of_the_administrator_cannot_be_overridden() {
    let deny = json!({"subject": {"namespaces": {"matchLabels": {"team": "a"}}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {"matchLabels": {"team": "b"}}}]}]});
    let open = json!({"metadata": {"name": "open", "namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{}]}});
    let receives = |from: &str| {
        may(
            &[policy("Admin", 10, &deny)],
            std::slice::from_ref(&open),
            Direction::Ingress,
            "shop/web",
            from,
            80,
        )
    };
    assert!(!receives("office/web"), "a NetworkPolicy that allows everything changes nothing");
    assert!(receives("guests/bare"));
}

/// *Source*: "User stories", 2: traffic that namespaces must accept.
#[test]
fn what_the_administrator_accepts_needs_no_networkpolicy() {
    let accept = json!({"subject": {"namespaces": {}}, "ingress": [{"action": "Accept", "from": [{"namespaces": {"matchLabels": {"team": "b"}}}], "protocols": [{"tcp": {"destinationPort": {"number": 8080}}}]}]});
    let receives = |from: &str, port: u16| {
        may(&[policy("Admin", 10, &accept)], &[isolation()], Direction::Ingress, "shop/web", from, port)
    };
    assert!(receives("office/web", 8080) && !receives("office/web", 80) && !receives("guests/bare", 8080));
    assert!(receives("shop/db", 80));
}

/// *Source*: "User stories", 3: explicitly delegate traffic to existing network policies.
#[test]
fn what_is_passed_is_decided_by_networkpolicies() {
    let pass = json!({"subject": {"namespaces": {}}, "ingress": [{"action": "Pass", "from": [{"namespaces": {"matchLabels": {"team": "a"}}}]}]});
    let deny =
        json!({"subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]});
    let mut both = [policy("Admin", 20, &deny), policy("Admin", 10, &pass)];
    for _ in 0..2 {
        let receives = |pod: &str, from: &str| may(&both, &[isolation()], Direction::Ingress, pod, from, 80);
        assert!(receives("shop/web", "shop/db"), "passed, and the NetworkPolicy allows it");
        assert!(receives("guests/bare", "shop/db"), "passed, and no NetworkPolicy selects it");
        assert!(!receives("guests/bare", "office/web"), "not passed");
        // The order in which they are written does not count.
        both.reverse();
    }
}

/// *Source*: "User stories", 4: a default that developers may override.
#[test]
fn the_baseline_is_for_pods_that_no_networkpolicy_selects() {
    let deny =
        json!({"subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]});
    for written in [
        policy("Baseline", 10, &deny),
        json!({"kind": "BaselineAdminNetworkPolicy", "metadata": {"name": "default"}, "spec": deny}),
    ] {
        let receives = |pod: &str, from: &str| {
            may(std::slice::from_ref(&written), &[isolation()], Direction::Ingress, pod, from, 80)
        };
        assert!(receives("shop/web", "shop/db"), "the NetworkPolicy decides");
        assert!(!receives("shop/web", "office/web"));
        assert!(!receives("office/web", "office/job"), "the baseline alone decides");
    }
}

/// *Source*: the comment of `Networks`: traffic within the cluster is checked, too, unless it was passed before.
#[test]
fn networks_are_addresses_of_pods_too() {
    let egress = |pass: bool| {
        let mut rules = vec![json!({"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}]})];
        if pass {
            rules.insert(0, json!({"action": "Pass", "to": [{"namespaces": {}}]}));
        }
        policy("Admin", 1, &json!({"subject": {"namespaces": {}}, "egress": rules}))
    };
    let sends = |pass: bool, to: &str| may(&[egress(pass)], &[], Direction::Egress, "shop/web", to, 80);
    assert!(!sends(false, "shop/db") && !sends(false, "192.168.1.1"));
    assert!(sends(true, "shop/db") && !sends(true, "192.168.1.1"));
}
