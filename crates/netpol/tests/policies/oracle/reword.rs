//! Changes that keep the meaning of a set of policies.

use serde_json::{Value, json};

use super::choices::Choices;
use super::draw::is_of_kubernetes;
use crate::range::list;

/// Conditions by which the pods that a rule means are split in two.
const CONDITIONS: [&str; 4] = ["has(app)", "role == 'db'", "env in {'prod', 'test'}", "app starts with 'w'"];

/// Says something of a set in other words; nothing, where the chosen words do not fit.
pub(crate) fn set(all: &mut Vec<Value>, choices: &mut Choices) {
    let place = choices.below(all.len());
    match choices.below(8) {
        0 => return parted(all, place),
        1 => return all.reverse(),
        _ => {}
    }
    let policy = &mut all[place];
    if is_of_kubernetes(policy) {
        of_kubernetes(policy, choices);
    } else {
        of_calico(policy, choices);
    }
}

/// The rules of one policy, as two policies that follow each other.
fn parted(all: &mut Vec<Value>, place: usize) {
    let mut second = all[place].clone();
    // Of two policies without an order, the tool takes the one first that it reads first.
    if !is_of_kubernetes(&second) && second["spec"]["order"].is_null() {
        return;
    }
    second["metadata"]["name"] = json!(format!("q{}", all.len()));
    if let Some(order) = second["spec"]["order"].as_f64() {
        second["spec"]["order"] = json!(order + 0.5);
    }
    let types = if is_of_kubernetes(&second) { "policyTypes" } else { "types" };
    let has_types = !second["spec"][types].is_null();
    for way in ["ingress", "egress"] {
        let rules = list(&all[place]["spec"][way]).to_vec();
        // What a policy is for may hang on its rules.
        if rules.len() > 1 && has_types {
            let (first, last) = rules.split_at(1);
            all[place]["spec"][way] = first.into();
            second["spec"][way] = last.into();
        }
    }
    all.push(second);
}

fn of_calico(policy: &mut Value, choices: &mut Choices) {
    let spec = &mut policy["spec"];
    match choices.below(9) {
        0 => return selected(&mut spec["selector"], choices),
        1 => return selected(&mut spec["namespaceSelector"], choices),
        2 => {
            if let Some(order) = spec["order"].as_f64() {
                spec["order"] = json!(order + 0.25);
            }
            return;
        }
        _ => {}
    }
    let way = ["ingress", "egress"][choices.below(2)];
    let Some(rules) = spec[way].as_array_mut().filter(|rules| !rules.is_empty()) else { return };
    let place = choices.below(rules.len());
    let end = ["source", "destination"][choices.below(2)];
    match choices.below(9) {
        0 => rules.insert(place, json!({"action": "Log"})),
        // A rule that is there twice.
        1 => rules.push(rules[place].clone()),
        2 if place > 0 && rules[place - 1]["action"] == rules[place]["action"] => {
            rules.swap(place - 1, place)
        }
        3 | 4 => {
            let selector = &rules[place][end]["selector"];
            let Some(text) = selector.as_str().map(str::to_owned) else { return };
            let condition = CONDITIONS[choices.below(CONDITIONS.len())];
            let mut other = rules[place].clone();
            rules[place][end]["selector"] = json!(format!("({text}) && {condition}"));
            other[end]["selector"] = json!(format!("({text}) && !{condition}"));
            rules.insert(place, other);
        }
        5 => selected(rules[place][end].get_mut("selector").unwrap_or(&mut Value::Null), choices),
        6 => halved(rules[place][end].get_mut("nets").unwrap_or(&mut Value::Null)),
        7 => {
            let ports = list(&rules[place]["destination"]["ports"]).to_vec();
            if ports.len() > 1 {
                let mut other = rules[place].clone();
                other["destination"]["ports"] = ports[..1].into();
                rules[place]["destination"]["ports"] = ports[1..].into();
                rules.insert(place, other);
            }
        }
        _ => {
            let ports = rules[place]["destination"].get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten() {
                *port = ranged(port);
            }
        }
    }
}

/// The same condition in other words.
fn selected(selector: &mut Value, choices: &mut Choices) {
    let Some(text) = selector.as_str() else { return };
    *selector = json!(match choices.below(4) {
        0 => format!("!(!({text}))"),
        1 => format!("({text}) || ({text})"),
        2 => format!("({text}) && all()"),
        _ => format!("({text} && has(app)) || ({text} && !has(app))"),
    });
}

/// The ranges, each as its two halves.
fn halved(nets: &mut Value) {
    let halves = |net: &Value| -> Vec<Value> {
        match net.as_str() {
            Some("172.16.0.0/12") => vec![json!("172.16.0.0/13"), json!("172.24.0.0/13")],
            Some("198.51.100.0/24") => vec![json!("198.51.100.0/25"), json!("198.51.100.128/25")],
            Some("2001:db8::/64") => vec![json!("2001:db8::/65"), json!("2001:db8::8000:0:0:0/65")],
            Some("0.0.0.0/0") => vec![json!("0.0.0.0/1"), json!("128.0.0.0/1")],
            _ => vec![net.clone()],
        }
    };
    if let Some(all) = nets.as_array() {
        *nets = all.iter().flat_map(halves).collect();
    }
}

/// A port as a range that has it alone.
fn ranged(port: &Value) -> Value {
    match port.as_u64() {
        Some(number) => json!(format!("{number}:{number}")),
        None => port.clone(),
    }
}

fn of_kubernetes(policy: &mut Value, choices: &mut Choices) {
    let spec = &mut policy["spec"];
    if choices.one_in(4) {
        return expressed(&mut spec["podSelector"]);
    }
    let (way, key) = [("ingress", "from"), ("egress", "to")][choices.below(2)];
    let Some(rules) = spec[way].as_array_mut().filter(|rules| !rules.is_empty()) else { return };
    let place = choices.below(rules.len());
    match choices.below(6) {
        0 => rules.reverse(),
        1 => rules.push(rules[place].clone()),
        2 => parted_by(rules, place, key),
        3 => parted_by(rules, place, "ports"),
        4 => {
            for peer in rules[place][key].as_array_mut().into_iter().flatten() {
                for selector in ["podSelector", "namespaceSelector"] {
                    peer.get_mut(selector).into_iter().for_each(expressed);
                }
                if let Some(block) = peer.get("ipBlock").cloned() {
                    let mut nets = json!([block["cidr"]]);
                    halved(&mut nets);
                    if block["except"].is_null() {
                        peer["ipBlock"]["cidr"] = nets[0].clone();
                        let more = list(&nets)[1..].iter().map(|net| json!({"ipBlock": {"cidr": net}}));
                        let more: Vec<Value> = more.collect();
                        if !more.is_empty() {
                            rules[place][key].as_array_mut().expect("peers").extend(more);
                            return;
                        }
                    }
                }
            }
        }
        _ => {
            for port in rules[place]["ports"].as_array_mut().into_iter().flatten() {
                if let (Some(first), None) =
                    (port["port"].as_u64(), port.get("endPort").and_then(Value::as_u64))
                {
                    port["endPort"] = json!(first);
                }
            }
        }
    }
}

/// The labels of a selector as expressions.
fn expressed(selector: &mut Value) {
    let Some(labels) = selector["matchLabels"].as_object().cloned() else { return };
    let each =
        labels.into_iter().map(|(key, value)| json!({"key": key, "operator": "In", "values": [value]}));
    let all: Vec<Value> = each.chain(list(&selector["matchExpressions"]).iter().cloned()).collect();
    *selector = json!({"matchExpressions": all});
}

/// A rule as two, of which one has the first peer or port and the other one the rest.
fn parted_by(rules: &mut Vec<Value>, place: usize, key: &str) {
    let all = list(&rules[place][key]).to_vec();
    if all.len() > 1 {
        let mut other = rules[place].clone();
        other[key] = all[..1].into();
        rules[place][key] = all[1..].into();
        rules.push(other);
    }
}
