//! node.json's JSON Schema and its parser, held to each other.
//!
//! A file that uses every key is changed in every place: each key removed, misspelt or set to something else. Schema and parser must agree on
//! each of these, but for the rule that the schema's description says it cannot express.

use serde_json::{Map, Value, json};

use super::tests::FULL;
use crate::node::Node;

/// What the parser's error of the rule beyond the schema holds.
const BEYOND: &str = "with this effect is listed twice";

/// Every pointer into `value`, the root excluded.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut visit = |key: &str, child: &Value| {
        let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(pointer.clone());
        pointers(child, &pointer, found);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(key, child)| visit(key, child)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, child)| visit(&index.to_string(), child))
        }
        _ => {}
    }
}

fn others() -> Vec<Value> {
    let words = [
        "",
        "old",
        "both",
        "private",
        "none",
        "attach",
        "node-annotation",
        "off",
        "1.1.0",
        "NoExecute",
        "/path",
        "relative",
        "x.service",
        "a/x.service",
        ".service",
        "a b.service",
        "unix:///run/x",
        "unix://run/x",
        "tcp://1.2.3.4:1",
        "/x.prom",
        "/x/.prom",
        "/x.txt",
        "crossfade",
    ];
    let mut all: Vec<Value> = words.iter().map(|word| json!(word)).collect();
    all.extend([
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(61),
        json!(604_801),
    ]);
    all.extend([json!([]), json!([{}]), json!(["/path"]), json!(["old"]), json!(["old", "old"])]);
    all.extend([
        json!([{"key": "k", "effect": "NoExecute"}]),
        json!([{"key": "k", "effect": "NoExecute"}, {"key": "k", "value": "v", "effect": "NoExecute"}]),
    ]);
    all.extend([json!({}), json!({"a": "b"}), json!({"a": 1})]);
    all
}

/// The full file with every single change there is, each with a word of what was done.
fn changed() -> Vec<(String, Value)> {
    let full: Value = serde_json::from_str(FULL).expect("JSON");
    let mut all = Vec::new();
    let mut at = Vec::new();
    pointers(&full, "", &mut at);
    for pointer in at {
        let (parent, key) = pointer.rsplit_once('/').expect("not the root");
        for other in others() {
            let mut node = full.clone();
            *node.pointer_mut(&pointer).expect("there") = other.clone();
            all.push((format!("{pointer} = {other}"), node));
        }
        let edit = |change: &dyn Fn(&mut Map<String, Value>, &str)| {
            let mut node = full.clone();
            let changed = node
                .pointer_mut(parent)
                .and_then(Value::as_object_mut)
                .map(|object| change(object, &key.replace("~1", "/")));
            changed.map(|()| node)
        };
        let without = edit(&|object, key| drop(object.remove(key)));
        let misspelt = edit(&|object, key| {
            let value = object.remove(key).expect("there");
            object.insert(format!("{key}x"), value);
        });
        all.extend(without.map(|node| (format!("without {pointer}"), node)));
        all.extend(misspelt.map(|node| (format!("misspelt {pointer}"), node)));
    }
    all
}

#[test]
fn schema_and_parser_agree_on_every_change_of_a_full_file() {
    let schema: Value = serde_json::from_str(include_str!("../../../node.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for valid in [FULL, r#"{"version": 1}"#] {
        assert!(validator.is_valid(&serde_json::from_str(valid).expect("JSON")), "{valid}");
    }
    let (mut agreed, mut refused, mut beyond) = (0, 0, 0);
    let mut disagreements = Vec::new();
    for (what, node) in changed() {
        let parsed = Node::parse(node.to_string().as_bytes()).err();
        match (validator.is_valid(&node), &parsed) {
            (true, None) => agreed += 1,
            (false, Some(_)) => refused += 1,
            (true, Some(why)) if why.contains(BEYOND) => beyond += 1,
            (valid, parsed) => {
                disagreements.push(format!("{what}: schema valid: {valid}, parser: {parsed:?}"))
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(
        agreed > 100 && refused > 500 && beyond >= 1,
        "{agreed} valid, {refused} refused, {beyond} beyond the schema"
    );
}
