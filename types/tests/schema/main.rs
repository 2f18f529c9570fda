//! The JSON Schemas of our files and their parsers, held to each other.
//!
//! A file that uses every key is changed in every place: each key removed, misspelt or set to something else. Schema and parser must agree on
//! each of these, but for the rules that the schema's description says it cannot express.

mod golden;
mod node;
mod policy;

use serde_json::{Map, Value};

/// How many changes schema and parser both took, both refused, and the parser alone refused for a rule beyond the schema.
struct Agreement {
    valid: usize,
    refused: usize,
    beyond: usize,
}

/// Compares on every change of `full`, which puts each of `others` in the place of each value. `refusal` is what the parser says.
fn compare(
    schema: &str,
    full: &Value,
    others: &[Value],
    refusal: impl Fn(&[u8]) -> Option<String>,
    is_beyond: impl Fn(&str) -> bool,
) -> Agreement {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(validator.is_valid(full), "the full file");
    assert_eq!(refusal(full.to_string().as_bytes()), None, "the full file");
    let mut agreement = Agreement { valid: 0, refused: 0, beyond: 0 };
    let mut disagreements = Vec::new();
    for (what, file) in changed(full, others) {
        let parsed = refusal(file.to_string().as_bytes());
        match (validator.is_valid(&file), &parsed) {
            (true, None) => agreement.valid += 1,
            (false, Some(_)) => agreement.refused += 1,
            (true, Some(why)) if is_beyond(why) => agreement.beyond += 1,
            (valid, parsed) => {
                disagreements.push(format!("{what}: schema valid: {valid}, parser: {parsed:?}"))
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    agreement
}

/// The full file with every single change there is, each with a word of what was done.
fn changed(full: &Value, others: &[Value]) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut at = Vec::new();
    pointers(full, "", &mut at);
    for pointer in at {
        let (parent, key) = pointer.rsplit_once('/').expect("not the root");
        for other in others {
            let mut file = full.clone();
            *file.pointer_mut(&pointer).expect("there") = other.clone();
            all.push((format!("{pointer} = {other}"), file));
        }
        let edit = |change: &dyn Fn(&mut Map<String, Value>, &str)| {
            let mut file = full.clone();
            let changed = file
                .pointer_mut(parent)
                .and_then(Value::as_object_mut)
                .map(|object| change(object, &key.replace("~1", "/")));
            changed.map(|()| file)
        };
        let without = edit(&|object, key| drop(object.remove(key)));
        let misspelt = edit(&|object, key| {
            let value = object.remove(key).expect("there");
            object.insert(format!("{key}x"), value);
        });
        all.extend(without.map(|file| (format!("without {pointer}"), file)));
        all.extend(misspelt.map(|file| (format!("misspelt {pointer}"), file)));
    }
    all
}

/// Every pointer into `value`, the root excluded.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    let mut visit = |key: &str, child: &Value| {
        let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        all.push(pointer.clone());
        pointers(child, &pointer, all);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(key, child)| visit(key, child)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, child)| visit(&index.to_string(), child))
        }
        _ => {}
    }
}
