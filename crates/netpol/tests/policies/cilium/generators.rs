//! Policies of Cilium that use all of its API of which packets tell.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::CiliumObjects;
use crate::kubernetes;

/// All of a cluster's objects that policies are made of: many of them, or one rule that nothing else hides.
pub(super) fn written() -> BoxedStrategy<CiliumObjects> {
    let many = (vec(policy(), 1..5), vec(kubernetes::policy(), 0..3))
        .prop_map(|(policies, kubernetes)| CiliumObjects { policies, kubernetes });
    let single_rule = (any::<bool>(), namespace()).prop_flat_map(|(is_ingress, namespace)| {
        rule(is_ingress).prop_map(move |rule| {
            let way = if is_ingress { "ingress" } else { "egress" };
            let policies = vec![placed(namespace, json!({"spec": {"endpointSelector": {}, way: [rule]}}))];
            CiliumObjects { policies, ..CiliumObjects::default() }
        })
    });
    let beside = kubernetes::policy()
        .prop_map(|policy| CiliumObjects { kubernetes: vec![policy], ..CiliumObjects::default() });
    prop_oneof![2 => many, 2 => single_rule, 1 => beside].boxed()
}

fn namespace() -> impl Strategy<Value = Option<&'static str>> {
    select(vec![None, None, Some("shop"), Some("shop"), Some("office")])
}

fn placed(namespace: Option<&str>, mut object: Value) -> Value {
    object["metadata"] = json!({"name": "p"});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

/// A selector over some keys.
fn over(keys: Vec<&'static str>) -> impl Strategy<Value = Value> {
    let value = select(vec!["web", "db", "prod", "test", "a", "shop", "office", "default"]);
    let operator = select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let more =
        (select(keys.clone()), operator, vec(value.clone(), 1..3)).prop_map(|(key, operator, values)| {
            if operator.contains("In") {
                json!({"key": key, "operator": operator, "values": values})
            } else {
                json!({"key": key, "operator": operator})
            }
        });
    (btree_map(select(keys), value, 0..2), vec(more, 0..2))
        .prop_map(|(labels, more)| json!({"matchLabels": labels, "matchExpressions": more}))
}

fn own() -> impl Strategy<Value = Value> {
    over(vec!["app", "k8s:role", "any:env", "app", "k8s:io.cilium.k8s.policy.serviceaccount"])
}

fn peers() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => own(),
        1 => Just(json!({})),
        3 => over(vec![
            "app",
            "k8s:io.kubernetes.pod.namespace",
            "io.cilium.k8s.namespace.labels.team",
            "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name",
            "any:env",
        ]),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    let protocol = select(vec!["TCP", "UDP", "SCTP", "ANY"]);
    prop_oneof![
        Just(json!({"port": "80"})),
        (protocol.clone(), select(vec!["80", "443", "65535"]))
            .prop_map(|(protocol, port)| json!({"port": port, "protocol": protocol})),
        (protocol.clone(), select(vec!["http", "dns", "absent"]))
            .prop_map(|(protocol, port)| json!({"port": port, "protocol": protocol})),
        (protocol, select(vec![("80", 81), ("81", 8080), ("1", 65535)]))
            .prop_map(|(protocol, (port, end))| json!({"port": port, "endPort": end, "protocol": protocol})),
        select(vec!["TCP", "UDP"]).prop_map(|protocol| json!({"port": "0", "protocol": protocol})),
    ]
}

fn rule(is_ingress: bool) -> BoxedStrategy<Value> {
    let cidr =
        select(vec!["10.244.0.0/16", "192.168.1.1/32", "0.0.0.0/0", "172.16.0.0/12", "::/0", "198.51.100.7"]);
    let block = select(vec![
        json!({"cidr": "0.0.0.0/0", "except": ["172.16.0.0/12", "192.168.1.0/24"]}),
        json!({"cidr": "192.168.0.0/16", "except": ["192.168.1.2/32"]}),
        json!({"cidr": "2001:db8::/32"}),
    ]);
    let entity =
        select(vec!["all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "remote-node", "health"]);
    let key = move |name: &str| format!("{}{name}", if is_ingress { "from" } else { "to" });
    let ends = prop_oneof![
        4 => vec(peers(), 0..3).prop_map(move |all| json!({key("Endpoints"): all})),
        1 => vec(cidr, 0..3).prop_map(move |all| json!({key("CIDR"): all})),
        1 => vec(block, 0..3).prop_map(move |all| json!({key("CIDRSet"): all})),
        2 => vec(entity, 0..3).prop_map(move |all| json!({key("Entities"): all})),
        2 => Just(json!({})),
    ];
    let message = select(vec![
        json!({"type": 8}),
        json!({"type": "EchoRequest", "family": "IPv4"}),
        json!({"type": "EchoRequest", "family": "IPv6"}),
        json!({"type": 3}),
    ]);
    let traffic = prop_oneof![
        2 => Just(json!({})),
        3 => vec(vec(port(), 1..3).prop_map(|ports| json!({"ports": ports})), 1..3).prop_map(|all| json!({"toPorts": all})),
        1 => vec(message, 1..3).prop_map(|fields| json!({"icmps": [{"fields": fields}]})),
    ];
    (ends, traffic)
        .prop_map(|(mut ends, traffic)| {
            for (field, value) in traffic.as_object().expect("fields") {
                ends[field] = value.clone();
            }
            ends
        })
        .boxed()
}

fn spec() -> BoxedStrategy<Value> {
    let rules = |is_ingress: bool, most: usize| prop::option::of(vec(rule(is_ingress), 0..most));
    let default = select(vec![
        json!(null),
        json!(null),
        json!({"ingress": false}),
        json!({"egress": false, "ingress": true}),
        json!({"egress": true}),
    ]);
    let selector = prop_oneof![Just(json!({})), own()];
    (selector, rules(true, 3), rules(true, 2), rules(false, 3), rules(false, 2), default)
        .prop_map(|(selector, ingress, ingress_deny, egress, egress_deny, default)| {
            let mut spec = json!({"endpointSelector": selector, "description": "a test"});
            let rules = [
                ("ingress", ingress),
                ("ingressDeny", ingress_deny),
                ("egress", egress),
                ("egressDeny", egress_deny),
            ];
            for (field, rules) in rules {
                if let Some(rules) = rules {
                    spec[field] = json!(rules);
                }
            }
            if !default.is_null() {
                spec["enableDefaultDeny"] = default;
            }
            spec
        })
        .boxed()
}

fn policy() -> BoxedStrategy<Value> {
    (namespace(), vec(spec(), 1..3))
        .prop_map(|(namespace, mut specs)| {
            let object =
                if specs.len() == 1 { json!({"spec": specs.remove(0)}) } else { json!({"specs": specs}) };
            placed(namespace, object)
        })
        .boxed()
}
