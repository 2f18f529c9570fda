//! The policy's JSON Schema and its parser, held to each other.
//!
//! A policy that uses every key is changed in every place: each key removed, misspelt or set to something else. Schema
//! and parser must agree on each of these, but for the rules that the schema's description says it cannot express.

use serde_json::{Map, Value, json};
use types::policy::Policy;

/// How the parser's errors of rules beyond the schema begin or what they hold.
const BEYOND: [&str; 5] =
    ["names the network", "tolerate requires", "host bits", "is retired twice", "must not be"];

fn full() -> Value {
    json!({
        "version": 1,
        "networks": {
            "old": {"profile": "calico", "conf": ["/a.conflist", "/b.conf"], "cidrs": ["10.0.0.0/8", "fd00::/16"],
                    "ready": [{"file": "/ready"}], "secondary": "hostRoute"},
            "new": {"conf": ["/n.conflist"], "ready": [{"unix": "/s"}, {"http": "127.0.0.1:9879/healthz", "headers": {"brief": "true"}}]}
        },
        "attach": "both",
        "both": {"primary": "old", "secondaryIfname": "net1", "defaultRoute": "new", "secondaryFailure": "fail"},
        "rules": [{"namespace": "kube-system", "pod": "coredns-*", "attach": "new"}],
        "podAnnotation": {"key": "crossfade/attach", "allow": ["both"]},
        "unrecorded": "old",
        "retired": [{"network": "old", "forceAfterSeconds": 120}],
        "gc": {"graceSeconds": 600, "forward": true},
        "deadlines": {"addSeconds": 90, "delSeconds": 50, "checkSeconds": 20, "statusMillis": 800, "gcSeconds": 25}
    })
}

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
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(40_000_000),
        json!(""),
        json!("old"),
        json!("new"),
        json!("both"),
        json!("tolerate"),
        json!("/path"),
        json!("relative"),
        json!("10.0.0.1/8"),
        json!("10.0.0.0"),
        json!("a b"),
        json!("lo"),
        json!(".."),
        json!("1234567890123456"),
        json!("127.0.0.1:80"),
        json!("[::1]:80/x"),
        json!("example.org:80/"),
        json!([]),
        json!([{}]),
        json!(["/path"]),
        json!(["old"]),
        json!({}),
    ]
}

/// The full policy with every single change there is, each with a word of what was done.
fn changed() -> Vec<(String, Value)> {
    let full = full();
    let mut all = Vec::new();
    let mut at = Vec::new();
    pointers(&full, "", &mut at);
    for pointer in at {
        let (parent, key) = pointer.rsplit_once('/').expect("not the root");
        for other in others() {
            let mut policy = full.clone();
            *policy.pointer_mut(&pointer).expect("there") = other.clone();
            all.push((format!("{pointer} = {other}"), policy));
        }
        let edit = |change: &dyn Fn(&mut Map<String, Value>, &str)| {
            let mut policy = full.clone();
            let changed = policy
                .pointer_mut(parent)
                .and_then(Value::as_object_mut)
                .map(|object| change(object, &key.replace("~1", "/")));
            changed.map(|()| policy)
        };
        let without = edit(&|object, key| drop(object.remove(key)));
        let misspelt = edit(&|object, key| {
            let value = object.remove(key).expect("there");
            object.insert(format!("{key}x"), value);
        });
        all.extend(without.map(|policy| (format!("without {pointer}"), policy)));
        all.extend(misspelt.map(|policy| (format!("misspelt {pointer}"), policy)));
    }
    all
}

#[test]
fn schema_and_parser_agree_on_every_change_of_a_full_policy() {
    let schema: Value = serde_json::from_str(include_str!("../policy.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(validator.is_valid(&full()), "the full policy");
    Policy::parse(full().to_string().as_bytes()).expect("the full policy");
    let (mut agreed, mut beyond) = (0, 0);
    let mut disagreements = Vec::new();
    for (what, policy) in changed() {
        let parsed = Policy::parse(policy.to_string().as_bytes()).err();
        match (validator.is_valid(&policy), &parsed) {
            (true, None) | (false, Some(_)) => agreed += 1,
            (true, Some(why)) if BEYOND.iter().any(|words| why.contains(words)) => beyond += 1,
            (valid, parsed) => {
                disagreements.push(format!("{what}: schema valid: {valid}, parser: {parsed:?}"))
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(agreed > 1000 && beyond >= 5, "{agreed} agreed, {beyond} beyond the schema");
}
