//! A policy of Kubernetes in Calico's form.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::draw::written;
use crate::calico::generators::object;
use crate::range::list;

/// The policy that means the same. Its place is behind all that have one: it can only add to what they allow.
pub(crate) fn calico(policy: &Value, place: usize) -> Option<Value> {
    let spec = &policy["spec"];
    let rules = |way: &str, key: &str, end: &str| -> Value {
        list(&spec[way]).iter().flat_map(|rule| ruled(rule, key, end)).collect()
    };
    let has_egress = !list(&spec["egress"]).is_empty();
    let types = match &spec["policyTypes"] {
        Value::Null if has_egress => json!(["Ingress", "Egress"]),
        Value::Null => json!(["Ingress"]),
        types => types.clone(),
    };
    let (ingress, egress) = (rules("ingress", "from", "source"), rules("egress", "to", "destination"));
    let some = |rules: Value| if list(&rules).is_empty() { json!(null) } else { rules };
    let spec = object([
        ("order", json!(2000 + place)),
        ("types", types),
        ("selector", selector(&spec["podSelector"]).map(Value::from).unwrap_or_default()),
        ("ingress", some(ingress)),
        ("egress", some(egress)),
    ]);
    let mut policy = {
        let metadata = &policy["metadata"];
        let mut object = written(metadata["namespace"].as_str(), spec);
        object["metadata"]["name"] = metadata["name"].clone();
        object
    };
    policy["metadata"]["name"] = json!(format!("{}-of-kubernetes", policy["metadata"]["name"].as_str()?));
    Some(policy)
}

/// The conditions of a label selector; none if it has none.
fn selector(written: &Value) -> Option<String> {
    let labels = written["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| format!("{key} == '{}'", value.as_str().expect("a value")));
    let more = list(&written["matchExpressions"]).iter().map(|object| {
        let key = object["key"].as_str().expect("a key");
        let values: Vec<_> = list(&object["values"])
            .iter()
            .map(|value| format!("'{}'", value.as_str().expect("a value")))
            .collect();
        match object["operator"].as_str().expect("an operator") {
            "In" => format!("{key} in {{{}}}", values.join(", ")),
            "NotIn" => format!("{key} not in {{{}}}", values.join(", ")),
            "Exists" => format!("has({key})"),
            _ => format!("!has({key})"),
        }
    });
    let all: Vec<String> = labels.chain(more).collect();
    (!all.is_empty()).then(|| all.join(" && "))
}

/// One rule for each peer and each protocol.
fn ruled(rule: &Value, key: &str, end: &str) -> Vec<Value> {
    let mut ends: Vec<Value> = list(&rule[key]).iter().map(entity).collect();
    if ends.is_empty() {
        ends.push(json!({}));
    }
    let mut rules = Vec::new();
    for entity in ends {
        for (protocol, ports) in protocols(list(&rule["ports"])) {
            let mut object = object([("action", json!("Allow")), ("protocol", protocol)]);
            if entity != json!({}) {
                object[end] = entity.clone();
            }
            if let Some(ports) = ports {
                object["destination"]["ports"] = ports.into();
            }
            rules.push(object);
        }
    }
    rules
}

fn entity(peer: &Value) -> Value {
    if let Some(block) = peer.get("ipBlock") {
        let except = if list(&block["except"]).is_empty() { json!(null) } else { block["except"].clone() };
        return object([("nets", json!([block["cidr"]])), ("notNets", except)]);
    }
    let all = || "all()".to_owned();
    let namespaces = peer.get("namespaceSelector").map(|object| selector(object).unwrap_or_else(all));
    let pods = selector(&peer["podSelector"]);
    let pods = if namespaces.is_none() { Some(pods.unwrap_or_else(all)) } else { pods };
    object([
        ("selector", pods.map(Value::from).unwrap_or_default()),
        ("namespaceSelector", namespaces.map(Value::from).unwrap_or_default()),
    ])
}

/// Each protocol with its ports; with none, if all of them are meant. No protocol stands for all.
fn protocols(ports: &[Value]) -> Vec<(Value, Option<Vec<Value>>)> {
    if ports.is_empty() {
        return vec![(json!(null), None)];
    }
    let mut ports_by_protocol: BTreeMap<&str, Option<Vec<Value>>> = BTreeMap::new();
    for port in ports {
        let known = ports_by_protocol
            .entry(port["protocol"].as_str().unwrap_or("TCP"))
            .or_insert_with(|| Some(Vec::new()));
        match (&port["port"], &port["endPort"]) {
            (Value::Null, _) => *known = None,
            (first, Value::Null) => known.iter_mut().for_each(|all| all.push(first.clone())),
            (first, last) => known.iter_mut().for_each(|all| all.push(json!(format!("{first}:{last}")))),
        }
    }
    ports_by_protocol.into_iter().map(|(protocol, ports)| (json!(protocol), ports)).collect()
}
