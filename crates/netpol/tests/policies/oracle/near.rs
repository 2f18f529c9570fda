//! Small changes that may change the meaning of a set of policies.

use serde_json::{Value, json};

use super::choices::Choices;
use super::draw::is_of_kubernetes;

/// Changes one thing; nothing, where the chosen thing is not there.
pub(crate) fn set(all: &mut Vec<Value>, choices: &mut Choices) {
    let place = choices.below(all.len());
    if all.len() > 1 && choices.one_in(8) {
        all.remove(place);
        return;
    }
    let others = choices.below(all.len());
    if all.len() > 1 && choices.one_in(6) {
        let orders = [place, others].map(|place| all[place]["spec"]["order"].clone());
        if orders.iter().all(|order| !order.is_null()) {
            all[place]["spec"]["order"] = orders[1].clone();
            all[others]["spec"]["order"] = orders[0].clone();
            return;
        }
    }
    let is_of_kubernetes = is_of_kubernetes(&all[place]);
    let spec = &mut all[place]["spec"];
    let subjects = if is_of_kubernetes { "podSelector" } else { "selector" };
    if choices.one_in(6) {
        return relabelled(spec.get_mut(subjects).unwrap_or(&mut Value::Null), choices);
    }
    let way = ["ingress", "egress"][choices.below(2)];
    let way = if spec[way].is_array() {
        way
    } else if way == "ingress" {
        "egress"
    } else {
        "ingress"
    };
    let Some(rules) = spec[way].as_array_mut().filter(|rules| !rules.is_empty()) else { return };
    let index = choices.below(rules.len());
    match choices.below(7) {
        0 if rules.len() > 1 => drop(rules.remove(index)),
        1 if index > 0 => rules.swap(index - 1, index),
        2 => {
            let key = ["from", "to", "source", "destination"][choices.below(4)];
            let rule = rules[index].as_object_mut().expect("a rule");
            rule.get_mut(key).into_iter().for_each(|object| relabelled(object, choices));
        }
        3 if !is_of_kubernetes => {
            let other = ["Allow", "Deny", "Pass"][choices.below(3)];
            rules[index]["action"] = json!(other);
        }
        4 => narrowed(&mut rules[index]),
        _ => moved(&mut rules[index], choices),
    }
}

/// Another value of a label, in every selector of a part of a policy.
fn relabelled(part: &mut Value, choices: &mut Choices) {
    let (from, to) =
        [("web", "db"), ("db", "frontend"), ("prod", "test"), ("a", "b"), ("'frontend'", "'db'")]
            [choices.below(5)];
    let text = part.to_string();
    let quoted = [format!("\"{from}\""), format!("'{from}'")];
    let text = text.replace(&quoted[0], &format!("\"{to}\"")).replace(&quoted[1], &format!("'{to}'"));
    *part = serde_json::from_str(&text).expect("JSON");
}

/// Half of the first range that a rule names.
fn narrowed(rule: &mut Value) {
    let text = rule.to_string();
    for (range, half) in [
        ("\"172.16.0.0/12\"", "\"172.16.0.0/13\""),
        ("\"198.51.100.0/24\"", "\"198.51.100.128/25\""),
        ("\"2001:db8::/64\"", "\"2001:db8::/65\""),
        ("\"0.0.0.0/0\"", "\"0.0.0.0/1\""),
        ("\"172.24.0.0/13\"", "\"172.24.0.0/14\""),
    ] {
        if text.contains(range) {
            *rule = serde_json::from_str(&text.replacen(range, half, 1)).expect("JSON");
            return;
        }
    }
}

/// One port or the end of one range moved by one; or another protocol, where there is no port.
fn moved(rule: &mut Value, choices: &mut Choices) {
    let mut ports: Vec<&mut Value> = Vec::new();
    gather_ports(rule, &mut ports);
    let Some(port) = choices.pick(&mut ports) else {
        if rule.get("protocol").is_some_and(|object| object == "TCP") && rule.get("icmp").is_none() {
            rule["protocol"] = json!("UDP");
        }
        return;
    };
    let up = |number: u64| if number == 65535 { 65534 } else { number + 1 };
    let moved = match &**port {
        Value::Number(number) => json!(up(number.as_u64().expect("a port"))),
        Value::String(text) => match text.split_once(':') {
            Some((first, last)) if first != last => {
                json!(format!("{first}:{}", up(last.parse().expect("a port"))))
            }
            Some((_, last)) => json!(up(last.parse().expect("a port"))),
            None if text == "http" => json!(80),
            None => json!("http"),
        },
        _ => return,
    };
    **port = moved;
}

/// All ports in a rule: in Calico's lists, and the last ones of ranges in those of Kubernetes.
fn gather_ports<'v>(part: &'v mut Value, ports: &mut Vec<&'v mut Value>) {
    let Some(fields) = part.as_object_mut() else { return };
    let has_end = fields.contains_key("endPort");
    for (key, value) in fields.iter_mut() {
        match key.as_str() {
            "ports" | "notPorts" => {
                for object in value.as_array_mut().into_iter().flatten() {
                    if object.is_object() {
                        gather_ports(object, ports);
                    } else {
                        ports.push(object);
                    }
                }
            }
            "endPort" => ports.push(value),
            "port" if !has_end => ports.push(value),
            "source" | "destination" => gather_ports(value, ports),
            _ => {}
        }
    }
}
