//! Policies of Antrea that use all of its API of which packets tell.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::AntreaObjects;
use crate::kubernetes::{self, port, selector};

/// All of a cluster's objects that policies are made of: many of them, or one rule that nothing else hides.
pub(super) fn written() -> BoxedStrategy<AntreaObjects> {
    let beside = vec(kubernetes::policy(), 0..3);
    let priorities = Just(vec![1.0, 1.5, 2.0, 10.0, 10000.0]).prop_shuffle();
    let custom = select(vec![5, 120, 249]);
    let many = (vec(policy(), 1..6), priorities, beside, custom).prop_map(
        |(mut policies, priorities, kubernetes, custom)| {
            for (policy, priority) in policies.iter_mut().zip(priorities) {
                policy["spec"]["priority"] = json!(priority);
            }
            let tiers = vec![json!({"metadata": {"name": "mine"}, "spec": {"priority": custom}})];
            AntreaObjects { tiers, policies, kubernetes, groups: groups() }
        },
    );
    let single_rule = (any::<bool>(), "ingress|egress").prop_flat_map(|(is_global, way)| {
        let key = if way == "ingress" { "from" } else { "to" };
        (rule(key, is_global), target(is_global)).prop_map(move |(mut rule, target)| {
            rule["action"] = json!("Drop");
            let spec = json!({"priority": 1, "appliedTo": [target], way.as_str(): [rule]});
            AntreaObjects {
                policies: vec![placed(is_global, spec)],
                groups: groups(),
                ..AntreaObjects::default()
            }
        })
    });
    prop_oneof![2 => many, 1 => single_rule].boxed()
}

/// Groups of every kind, in the cluster and in a namespace.
fn groups() -> Vec<Value> {
    let specs = [
        ("pods", json!({"podSelector": {"matchLabels": {"app": "web"}}})),
        ("prod", json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}, "podSelector": {}})),
        (
            "blocks",
            json!({"ipBlocks": [{"cidr": "10.244.2.0/24"}, {"cidr": "192.168.1.1/32"}, {"cidr": "fd00:244::/126"}]}),
        ),
        ("both", json!({"childGroups": ["prod", "blocks"]})),
        ("two", json!({"childGroups": ["prod", "pods"]})),
    ];
    let named = |metadata: Value, spec: &Value| json!({"metadata": metadata, "spec": spec});
    let global = specs.iter().map(|(name, spec)| named(json!({"name": name}), spec));
    let local = specs.iter().map(|(name, spec)| named(json!({"name": name, "namespace": "shop"}), spec));
    global.chain(local).collect()
}

fn placed(is_global: bool, spec: Value) -> Value {
    let metadata = if is_global { json!({"name": "p"}) } else { json!({"name": "p", "namespace": "shop"}) };
    json!({"metadata": metadata, "spec": spec})
}

fn account() -> impl Strategy<Value = Value> {
    (select(vec!["web", "default"]), select(vec!["shop", "office"]))
        .prop_map(|(name, namespace)| json!({"serviceAccount": {"name": name, "namespace": namespace}}))
}

fn target(is_global: bool) -> BoxedStrategy<Value> {
    let group = select(vec!["pods", "prod", "two"]).prop_map(|name| json!({"group": name}));
    let namespaces = (selector(), prop::option::of(selector())).prop_map(move |(namespaces, pods)| {
        match (is_global, pods) {
            (true, Some(pods)) => json!({"namespaceSelector": namespaces, "podSelector": pods}),
            (true, None) => json!({"namespaceSelector": namespaces}),
            (false, _) => json!({"podSelector": namespaces}),
        }
    });
    prop_oneof![
        3 => Just(json!({"podSelector": {}})),
        2 => selector().prop_map(|pods| json!({"podSelector": pods})),
        2 => namespaces,
        1 => group,
        1 => account(),
    ]
    .boxed()
}

fn peer(is_global: bool) -> BoxedStrategy<Value> {
    let cidr = select(vec![
        "10.244.0.0/16",
        "10.244.2.0/24",
        "192.168.1.1/32",
        "0.0.0.0/0",
        "172.16.0.0/12",
        "fd00:244::/126",
    ]);
    let except = select(vec![json!([]), json!(["10.244.2.0/25", "172.16.8.0/24"])]);
    let group = select(vec!["pods", "prod", "two", "blocks", "both"]);
    let alike = select(vec![
        json!({"match": "Self"}),
        json!({"sameLabels": ["team"]}),
        json!({"sameLabels": ["env"]}),
        json!({"sameLabels": ["team", "env"]}),
    ]);
    let namespaces =
        (alike, prop::option::of(selector())).prop_map(move |(alike, pods)| match (is_global, pods) {
            (true, Some(pods)) => json!({"namespaces": alike, "podSelector": pods}),
            (true, None) => json!({"namespaces": alike}),
            (false, _) => json!({"namespaceSelector": {}}),
        });
    prop_oneof![
        selector().prop_map(|pods| json!({"podSelector": pods})),
        selector().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        (selector(), selector())
            .prop_map(|(pods, namespaces)| json!({"podSelector": pods, "namespaceSelector": namespaces})),
        (cidr, except).prop_map(|(cidr, except)| json!({"ipBlock": {"cidr": cidr, "except": except}})),
        group.prop_map(|name| json!({"group": name})),
        namespaces,
        account(),
    ]
    .boxed()
}

fn rule(key: &'static str, is_global: bool) -> BoxedStrategy<Value> {
    let action = select(vec!["Allow", "Allow", "Drop", "Reject", "Pass"]);
    let sources = select(vec![
        json!({}),
        json!({}),
        json!({"sourcePort": 7}),
        json!({"sourcePort": 1000, "sourceEndPort": 2000}),
    ]);
    let port = (port(), sources).prop_map(|(mut port, sources)| {
        for (field, value) in sources.as_object().expect("fields") {
            port[field] = value.clone();
        }
        port
    });
    let message = select(vec![
        json!({}),
        json!({"icmpType": 8}),
        json!({"icmpType": 8, "icmpCode": 1}),
        json!({"icmpType": 128}),
    ]);
    let messages = vec(message.prop_map(|icmp| json!({"icmp": icmp})), 0..2);
    (action, vec(peer(is_global), 0..3), vec(port, 0..3), messages).prop_map(move |(action, peers, ports, protocols)| {
        json!({"name": "r", "action": action, "enableLogging": true, key: peers, "ports": ports, "protocols": protocols})
    })
    .boxed()
}

fn policy() -> BoxedStrategy<Value> {
    let tier = select(vec!["emergency", "application", "", "mine", "baseline", "baseline"]);
    (any::<bool>(), tier, any::<bool>())
        .prop_flat_map(|(is_global, tier, by_rule)| {
            let rules = |key| vec((rule(key, is_global), target(is_global)), 0..3);
            let targets = vec(target(is_global), 1..3);
            (rules("from"), rules("to"), targets).prop_map(move |(ingress, egress, targets)| {
                // Applied by each rule, or by the policy as a whole.
                let made = |rules: Vec<(Value, Value)>| -> Value {
                    let to_value = |(mut rule, target): (Value, Value)| {
                        if by_rule {
                            rule["appliedTo"] = json!([target]);
                        }
                        if tier == "baseline" && rule["action"] == "Pass" {
                            rule["action"] = json!("Drop");
                        }
                        rule
                    };
                    rules.into_iter().map(to_value).collect()
                };
                let mut spec = json!({"ingress": made(ingress), "egress": made(egress)});
                if !by_rule {
                    spec["appliedTo"] = json!(targets);
                }
                if !tier.is_empty() {
                    spec["tier"] = json!(tier);
                }
                placed(is_global, spec)
            })
        })
        .boxed()
}
