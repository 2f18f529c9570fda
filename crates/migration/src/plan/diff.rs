//! The differences between two plans, in lines for people.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use snapshot::model::Text;

use super::{Plan, Wave, WaveName};

/// Where a plan has a node.
#[derive(PartialEq, Eq)]
struct Location<'a> {
    uid: &'a str,
    /// `in wave zone a`, or `left out (no pod network)`.
    place: String,
}

/// What differs between an earlier plan and a later one. Empty exactly if they are the same.
#[must_use]
pub fn diff(old: &Plan, new: &Plan) -> Vec<String> {
    let mut lines = values(old, new);
    lines.extend(nodes(old, new));
    lines.extend(orders(old, new));
    if lines.is_empty() && old != new {
        lines.push("The plans differ in the reasons for which nodes have their places.".into());
    }
    lines
}

/// Everything but nodes, key by key.
fn values(old: &Plan, new: &Plan) -> Vec<String> {
    let (old, new) = (leaves(old), leaves(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let line = |key: &String| match (old.get(key), new.get(key)) {
        (Some(old), Some(new)) if old != new => Some(format!("{key}: {new}, was {old}")),
        (Some(old), None) => Some(format!("{key}: gone, was {old}")),
        (None, Some(new)) => Some(format!("{key}: {new}, was not there")),
        _ => None,
    };
    keys.into_iter().filter_map(line).collect()
}

/// The values of a plan without its nodes, by their paths.
fn leaves(plan: &Plan) -> BTreeMap<String, String> {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    if let Some(all) = value.as_object_mut() {
        all.remove("leftOut");
        for wave in all.get_mut("waves").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(wave) = wave.as_object_mut() {
                wave.remove("nodes");
            }
        }
    }
    let mut values = BTreeMap::new();
    collect(&value, String::new(), &mut values);
    values
}

fn collect(value: &Value, path: String, values: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(value, path, values);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                let name =
                    item.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
                collect(item, format!("{path}[{name}]"), values);
            }
        }
        Value::String(text) => {
            values.insert(path, text.clone());
        }
        other => {
            values.insert(path, other.to_string());
        }
    }
}

fn nodes(old: &Plan, new: &Plan) -> Vec<String> {
    let (old, new) = (spots(old), spots(new));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let line = |name: &str| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) if old.place != new.place => {
            Some(format!("node {name}: {}, was {}", new.place, old.place))
        }
        (Some(old), Some(new)) if old.uid != new.uid => {
            Some(format!("node {name}: {}, and another Node than the one of this name before", new.place))
        }
        (Some(old), None) => Some(format!("node {name}: gone, was {}", old.place)),
        (None, Some(new)) => Some(format!("node {name}: {}, was not there", new.place)),
        _ => None,
    };
    names.into_iter().filter_map(line).collect()
}

fn spots(plan: &Plan) -> BTreeMap<&str, Location<'_>> {
    let placed = plan.waves.iter().flat_map(|wave| {
        wave.nodes.iter().map(|planned| {
            (&*planned.name, Location { uid: &planned.uid, place: format!("in wave {}", wave.name) })
        })
    });
    let out = plan.left_out.iter();
    let out = out.map(|excluded| {
        (&*excluded.name, Location { uid: &excluded.uid, place: format!("left out ({})", excluded.why) })
    });
    placed.chain(out).collect()
}

/// Waves, or nodes of one wave, in another order.
fn orders(old: &Plan, new: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let names = |plan: &Plan, other: &Plan| -> Vec<String> {
        let is_common = |name: &&WaveName| other.waves.iter().any(|wave| wave.name == **name);
        plan.waves.iter().map(|wave| &wave.name).filter(is_common).map(WaveName::to_string).collect()
    };
    let (before, after) = (names(old, new), names(new, old));
    if before != after {
        lines.push(format!("waves: {}, was {}", after.join(", "), before.join(", ")));
    }
    for wave in &new.waves {
        let Some(before) = old.waves.iter().find(|other| other.name == wave.name) else { continue };
        let order = |wave: &Wave, other: &Wave| -> Vec<Text> {
            let planned_names: BTreeSet<&str> = other.nodes.iter().map(|planned| &*planned.name).collect();
            wave.nodes
                .iter()
                .map(|planned| planned.name.clone())
                .filter(|name| planned_names.contains(&**name))
                .collect()
        };
        if order(before, wave) != order(wave, before) {
            lines.push(format!("wave {}: its nodes are in another order", wave.name));
        }
    }
    lines
}
