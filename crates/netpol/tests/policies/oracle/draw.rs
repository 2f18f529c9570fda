//! Sets of policies within what both the evaluators and the independent tool know, and pairs of sets that are close to each other.
//!
//! What is left out, each by a rule and never by hand, is listed on the architecture page.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::choices::Choices;
use super::{form, near, reword};
use crate::calico::generators::{maybe, object, selector};
use crate::kubernetes;
use crate::range::list;

/// Two sets of policies, each in the order in which the tool reads them.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) a: Vec<Value>,
    pub(crate) b: Vec<Value>,
}

/// Which rules the policies of a pair have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ways {
    Ingress,
    Egress,
    Both,
}

pub(crate) fn pair() -> BoxedStrategy<Pair> {
    let kubernetes = vec(kubernetes::policy(), 1..4).prop_map(|all| all.iter().map(covered).collect());
    let calico = vec(policy(), 1..4);
    let mixed = (vec(kubernetes::policy(), 1..3), vec(policy(), 1..3))
        .prop_map(|(kubernetes, calico)| calico.into_iter().chain(kubernetes.iter().map(covered)).collect());
    let ways = select(vec![Ways::Ingress, Ways::Egress, Ways::Both]);
    let sets = prop_oneof![3 => kubernetes.boxed(), 4 => calico.boxed(), 3 => mixed.boxed()];
    (sets, ways, vec(any::<u32>(), 64))
        .prop_map(|(set, ways, numbers)| changed(placed(set, ways), Choices::new(numbers)))
        .boxed()
}

/// The set, and what becomes of it by a few changes, most of which keep its meaning.
fn changed(a: Vec<Value>, mut choices: Choices) -> Pair {
    let mut b = a.clone();
    if a.iter().all(is_of_kubernetes) && choices.one_in(2) {
        b = b.iter().enumerate().flat_map(|(place, policy)| form::calico(policy, place)).collect();
    }
    for _ in 0..=choices.below(3) {
        reword::set(&mut b, &mut choices);
    }
    if !choices.one_in(8) {
        let mut left = 3;
        for _ in 0..9 {
            let before = b.clone();
            near::set(&mut b, &mut choices);
            left -= usize::from(b != before);
            if left == 0 {
                break;
            }
        }
    }
    b.iter_mut().for_each(without_nulls);
    Pair { a, b }
}

fn without_nulls(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

pub(crate) fn is_of_kubernetes(policy: &Value) -> bool {
    policy["apiVersion"] == "networking.k8s.io/v1"
}

/// Policies with names and places that no two of them share, and with the rules of the wanted directions.
fn placed(mut set: Vec<Value>, ways: Ways) -> Vec<Value> {
    let last = set.len();
    for (place, policy) in set.iter_mut().enumerate() {
        policy["metadata"]["name"] = json!(format!("p{place}"));
        // Before and behind those of Kubernetes, which are at 1000. Without an order a policy is the last one.
        if !is_of_kubernetes(policy) && (place + 1 < last || last == 2) {
            policy["spec"]["order"] = json!(600 * (place + 1));
        }
        one_way(policy, ways);
    }
    set
}

fn one_way(policy: &mut Value, ways: Ways) {
    let key = if is_of_kubernetes(policy) { "policyTypes" } else { "types" };
    let spec = policy["spec"].as_object_mut().expect("a spec");
    match ways {
        Ways::Ingress => {
            spec.remove("egress");
            spec.insert(key.into(), json!(["Ingress"]));
        }
        Ways::Egress => {
            spec.remove("ingress");
            spec.insert(key.into(), json!(["Egress"]));
        }
        Ways::Both => {}
    }
    plain(spec, key);
}

/// The tool refuses rules of a direction that the policy is not for, and takes an empty list for one that is there.
fn plain(spec: &mut Map<String, Value>, key: &str) {
    for (way, name) in [("ingress", "Ingress"), ("egress", "Egress")] {
        let is_empty = spec.get(way).is_none_or(|rules| list(rules).is_empty());
        let is_meant = spec.get(key).is_none_or(|types| list(types).contains(&json!(name)));
        if is_empty || !is_meant {
            spec.remove(way);
        }
    }
}

/// A policy of Kubernetes without what the tool does not know: the pods' addresses (an `ipBlock` is about the world outside), and port 0 or the
/// lack of it, which tells all ports from those from 1 to 65535.
fn covered(policy: &Value) -> Value {
    let mut policy = policy.clone();
    fitted(&mut policy["spec"], false);
    for way in ["ingress", "egress"] {
        for rule in policy["spec"][way].as_array_mut().into_iter().flatten() {
            for key in ["from", "to"] {
                for peer in rule[key].as_array_mut().into_iter().flatten() {
                    if !peer["namespaceSelector"].is_null() {
                        valued(&mut peer["podSelector"]);
                    }
                    if let Some(block) = peer.get_mut("ipBlock") {
                        *block =
                            outside(block["cidr"].as_str().expect("a range"), list(&block["except"]).len());
                    }
                }
            }
            for port in rule["ports"].as_array_mut().into_iter().flatten() {
                if port["port"] == 1 && port["endPort"] == 65535 {
                    port["port"] = json!(2);
                }
            }
        }
    }
    without_nulls(&mut policy);
    policy
}

/// In the place of the existence of labels: their values. Of pods in other namespaces the tool says that no label exists.
fn valued(selector: &mut Value) {
    for object in selector.get_mut("matchExpressions").and_then(Value::as_array_mut).into_iter().flatten() {
        let other = if object["operator"] == "Exists" { "In" } else { "NotIn" };
        if object.get("values").is_none() {
            object["operator"] = json!(other);
            object["values"] = json!(["web", "frontend", "prod"]);
        }
    }
}

/// Other values for labels that no pod and no namespace has, so that fewer selectors select nothing.
fn fitted(part: &mut Value, is_of_namespaces: bool) {
    let fit = |key: &str, value: &str| -> (&str, &str) {
        match (key, value) {
            _ if is_of_namespaces && ["prod", "test", "frontend"].contains(&value) => ("env", "prod"),
            _ if is_of_namespaces => ("team", if value == "db" { "b" } else { "a" }),
            ("app", "prod" | "test") => ("app", "job"),
            ("role", "web" | "prod" | "test" | "a") => ("role", "frontend"),
            ("env", "test" | "frontend") => ("env", "test"),
            ("env", _) => ("env", "prod"),
            ("role", "db") => ("role", "db"),
            ("role", _) => ("role", "frontend"),
            (_, "db") => ("app", "db"),
            _ => ("app", "web"),
        }
    };
    if let Some(labels) = part.get_mut("matchLabels").and_then(Value::as_object_mut) {
        let all = std::mem::take(labels);
        labels.extend(all.iter().map(|(key, value)| {
            let (key, value) = fit(key, value.as_str().expect("a value"));
            (key.to_owned(), json!(value))
        }));
    }
    if let Some(values) = part.get("values").and_then(Value::as_array).cloned() {
        let key = part["key"].as_str().expect("a key").to_owned();
        let fits = values.iter().map(|value| fit(&key, value.as_str().expect("a value")));
        let fits: Vec<_> = fits.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        part["key"] = json!(fits[0].0);
        part["values"] =
            fits.iter().filter(|(key, _)| *key == fits[0].0).map(|(_, value)| json!(value)).collect();
    }
    match part {
        Value::Object(fields) => {
            fields
                .iter_mut()
                .for_each(|(key, object)| fitted(object, is_of_namespaces || key == "namespaceSelector"));
        }
        Value::Array(all) => all.iter_mut().for_each(|object| fitted(object, is_of_namespaces)),
        _ => {}
    }
}

/// A range outside of the cluster in the place of any range.
fn outside(range: &str, excepted: usize) -> Value {
    let (range, parts) = match range {
        "10.244.0.0/16" => ("198.51.100.0/24", vec!["198.51.100.0/25", "198.51.100.128/26"]),
        "10.244.2.0/24" => ("172.24.0.0/13", vec!["172.24.0.0/14", "172.30.0.0/16"]),
        "0.0.0.0/0" => (range, vec!["10.244.0.0/16", "172.16.0.0/12"]),
        "::/0" => (range, vec!["fd00:244::/64", "2001:db8::/64"]),
        "fd00:244::/126" => ("2001:db8::/64", vec!["2001:db8::/65", "2001:db8::8000:0:0:0/66"]),
        "172.16.0.0/12" => (range, vec!["172.16.8.0/24", "172.24.0.0/13"]),
        other => (other, vec![]),
    };
    // Pods are never in it.
    let excepted = if range.ends_with("/0") { excepted.max(1) } else { excepted };
    let parts: Vec<_> = parts.into_iter().take(excepted).collect();
    if parts.is_empty() { json!({"cidr": range}) } else { json!({"cidr": range, "except": parts}) }
}

fn own() -> impl Strategy<Value = Value> {
    let selectors = select(vec![
        "app == 'web'",
        "app in {'web', 'db'}",
        "has(app)",
        "!has(role)",
        "role == 'frontend'",
        "role != 'db'",
        "env not in {'test'}",
        "app ends with 'b'",
        "role contains 'd'",
    ]);
    prop_oneof![
        2 => selectors.prop_map(Value::from),
        1 => selector(vec!["app", "role", "env"]).prop_map(|text| selector_for_tool(&text)),
    ]
}

fn namespaces() -> impl Strategy<Value = Value> {
    let selectors = select(vec![
        "team == 'a'",
        "has(team)",
        "env != 'prod'",
        "kubernetes.io/metadata.name in {'shop', 'guests'}",
        "all()",
        "global() || team == 'a'",
    ]);
    prop_oneof![
        2 => selectors.prop_map(Value::from),
        1 => selector(vec!["team", "env", "kubernetes.io/metadata.name"]).prop_map(|text| selector_for_tool(&text)),
    ]
}

/// The tool reads no empty lists and no empty texts in selectors.
fn selector_for_tool(text: &str) -> Value {
    json!(text.replace("{}", "{'a'}").replace("''", "'o'"))
}

/// An end of a rule. To the tool addresses are those of the world outside, and it joins them with no selector.
fn entity(is_global: bool) -> BoxedStrategy<Value> {
    let labelled = (maybe(0.6, own()), maybe(0.4, namespaces()), maybe(0.25, own())).prop_map(
        move |(selector, namespaces, not)| {
            // In a policy of one namespace, the tool takes a lone `notSelector` for one about everybody.
            let has_other = is_global || !selector.is_null() || !namespaces.is_null();
            let not = if has_other { not } else { json!(null) };
            object([("selector", selector), ("namespaceSelector", namespaces), ("notSelector", not)])
        },
    );
    let nets = select(vec![
        json!({"nets": ["172.16.0.0/12"]}),
        json!({"nets": ["172.16.0.0/12", "198.51.100.0/24"], "notNets": ["172.24.0.0/13"]}),
        json!({"nets": ["192.168.1.1/32"]}),
        json!({"nets": ["2001:db8::/64"]}),
        json!({"nets": ["0.0.0.0/0"], "notNets": ["10.244.0.0/16"]}),
        json!({"nets": ["::/0"], "notNets": ["fd00:244::/64"]}),
    ]);
    prop_oneof![2 => Just(json!({})), 5 => labelled, 2 => nets].boxed()
}

fn ports(with_names: bool) -> impl Strategy<Value = Value> {
    let numbers =
        [json!(80), json!(443), json!("2:80"), json!("81:8080"), json!("1024:50000"), json!(65535), json!(7)];
    let names = [json!("http"), json!("dns"), json!("absent")];
    let all: Vec<Value> = numbers.into_iter().chain(names.into_iter().filter(|_| with_names)).collect();
    vec(select(all), 1..4).prop_map(Value::from)
}

/// Messages. The tool takes a type or a code of 0 for one that is not there.
fn messages() -> impl Strategy<Value = Value> {
    let name = select(vec![json!("ICMP"), json!("ICMPv6"), json!(1)]);
    let output = select(vec![
        json!({}),
        json!({"icmp": {"type": 8}}),
        json!({"icmp": {"type": 3, "code": 4}}),
        json!({"icmp": {"type": 3}, "notICMP": {"type": 3, "code": 4}}),
        json!({"notICMP": {"type": 128}}),
        json!({"notICMP": {"type": 3, "code": 4}}),
    ]);
    (name, output).prop_map(|(name, mut output)| {
        output["protocol"] = name;
        output
    })
}

/// What a rule says of protocols, and the ports of its source and of its destination.
fn protocols() -> BoxedStrategy<(Value, Value, Value)> {
    let with_ports = select(vec![json!("TCP"), json!("TCP"), json!("UDP"), json!("SCTP"), json!(6)]);
    let other = select(vec![json!("UDPLite"), json!(47), json!("TCP"), json!("UDP")]);
    let none = || (json!({}), json!({}));
    // The tool takes what `notPorts` says out of the numbers in `ports`, before it looks at what the names there stand for.
    let end = |ports: Value, not: Value| {
        let has_names =
            list(&ports).iter().any(|port| ["http", "dns", "absent"].iter().any(|name| port == name));
        object([("ports", ports), ("notPorts", if has_names { json!(null) } else { not })])
    };
    let ported = (with_ports, maybe(0.2, ports(false)), maybe(0.8, ports(true)), maybe(0.2, ports(true)));
    prop_oneof![
        3 => Just((json!({}), json!({}), json!({}))),
        6 => ported.prop_map(move |(object, from, to, not)| (json!({"protocol": object}), end(from, json!(null)), end(to, not))),
        1 => other.clone().prop_map(move |object| (json!({"protocol": object}), none().0, none().1)),
        1 => other.prop_map(move |object| (json!({"notProtocol": object}), none().0, none().1)),
        2 => messages().prop_map(move |value| (value, none().0, none().1)),
    ]
    .boxed()
}

fn rule(is_global: bool) -> BoxedStrategy<Value> {
    let action = select(vec!["Allow", "Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log"]);
    (action, protocols(), entity(is_global), entity(is_global))
        .prop_map(|(action, (mut rule, from, to), source, destination)| {
            rule["action"] = json!(action);
            for (key, end, ports) in [("source", source, from), ("destination", destination, to)] {
                let fields =
                    [end, ports].into_iter().filter_map(|object| object.as_object().cloned()).flatten();
                let end: Map<String, Value> = fields.collect();
                if !end.is_empty() {
                    rule[key] = Value::Object(end);
                }
            }
            rule
        })
        .boxed()
}

fn policy() -> BoxedStrategy<Value> {
    let namespace = select(vec![None, None, Some("shop"), Some("shop"), Some("office"), Some("guests")]);
    namespace
        .prop_flat_map(|namespace| {
            let is_global = namespace.is_none();
            let types = select(vec![
                json!(null),
                json!(["Ingress"]),
                json!(["Egress"]),
                json!(["Ingress", "Egress"]),
            ]);
            let selectors = (maybe(0.5, own()), maybe(0.3, namespaces()));
            let rules = || vec(rule(is_global), 1..4).prop_map(Value::from);
            (types, selectors, rules(), rules()).prop_map(
                move |(types, (selector, namespaces), ingress, egress)| {
                    let spec = object([
                        ("types", types),
                        ("selector", selector),
                        ("namespaceSelector", if is_global { namespaces } else { json!(null) }),
                        ("ingress", ingress),
                        ("egress", egress),
                    ]);
                    written(namespace, spec)
                },
            )
        })
        .boxed()
}

/// A policy of Calico; its name and its place come later.
pub(crate) fn written(namespace: Option<&str>, spec: Value) -> Value {
    let kind = if namespace.is_some() { "NetworkPolicy" } else { "GlobalNetworkPolicy" };
    let metadata = object([("namespace", namespace.map(Value::from).unwrap_or_default())]);
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})
}
