//! node.json.

use serde_json::{Value, json};
use types::node::Node;

use super::{Agreement, compare};

const SCHEMA: &str = include_str!("../../node.schema.json");

/// What the parser's error of the rule beyond the schema holds.
const BEYOND: &str = "with this effect is listed twice";

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

#[test]
fn schema_and_parser_agree_on_every_change_of_a_full_file() {
    let full: Value = serde_json::from_str(include_str!("full-node.json")).expect("JSON");
    let refusal = |bytes: &[u8]| Node::parse(bytes).err();
    let Agreement { valid, refused, beyond } =
        compare(SCHEMA, &full, &others(), refusal, |why| why.contains(BEYOND));
    assert!(
        valid > 100 && refused > 500 && beyond >= 1,
        "{valid} valid, {refused} refused, {beyond} beyond the schema"
    );
}

#[test]
fn the_schema_takes_the_least_file() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(validator.is_valid(&json!({"version": 1})));
}
