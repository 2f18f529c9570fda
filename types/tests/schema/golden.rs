//! The files `types/*.schema.json`, which are made from the types.

use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use types::api::observed::NodeObservation;
use types::attachment::ledger::Line;
use types::attachment::{Event, Intent};
use types::inventory::Inventory;
use types::json::schema::{settings_schema, written_schema};
use types::node::Node;
use types::policy::Policy;
use types::profile::{Profile, Profiles};
use types::status::Document;

/// A schema whose keys are in the order in which a person reads them.
struct OrderedValue<'a>(&'a Value);

/// These keys come first, `$defs` comes last.
const FIRST: [&str; 6] = ["$schema", "title", "description", "type", "required", "additionalProperties"];

impl Serialize for OrderedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                let rank = |key: &str| match FIRST.iter().position(|first| *first == key) {
                    Some(at) => at,
                    None => FIRST.len() + usize::from(key == "$defs"),
                };
                let mut pairs: Vec<_> = object.iter().collect();
                pairs.sort_by_key(|(key, _)| rank(key));
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(key, &OrderedValue(value))?;
                }
                map.end()
            }
            Value::Array(list) => serializer.collect_seq(list.iter().map(OrderedValue)),
            other => other.serialize(serializer),
        }
    }
}

fn holds(name: &str, made: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut text = serde_json::to_string_pretty(&OrderedValue(made)).expect("JSON");
    text.push('\n');
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("write");
    }
    let written = std::fs::read_to_string(&file).expect(name);
    assert_eq!(
        written, text,
        "{name} is not what the types say: UPDATE_GOLDEN=1 cargo test -p types, then read the diff"
    );
}

#[test]
fn the_schema_of_the_policy_is_made_from_its_types() {
    holds("policy.schema.json", &settings_schema::<Policy>());
}

#[test]
fn the_schema_of_node_json_is_made_from_its_types() {
    holds("node.schema.json", &settings_schema::<Node>());
}

#[test]
fn the_schema_of_status_json_is_made_from_its_types() {
    holds("status.schema.json", &written_schema::<Document>());
}

#[test]
fn the_schema_of_what_a_node_reports_is_made_from_its_types() {
    holds("observed.schema.json", &written_schema::<NodeObservation>());
}

#[test]
fn the_schema_of_the_inventory_is_made_from_its_types() {
    holds("inventory.schema.json", &written_schema::<Inventory>());
}

#[test]
fn the_schemas_of_the_lines_of_a_record_are_made_from_their_types() {
    holds("attachment-intent.schema.json", &written_schema::<Intent>());
    holds("attachment-event.schema.json", &written_schema::<Event>());
}

#[test]
fn the_schema_of_a_line_of_the_ledger_is_made_from_its_type() {
    holds("ledger.schema.json", &written_schema::<Line>());
}

#[test]
fn the_schema_of_a_profile_is_made_from_its_types() {
    let schema = written_schema::<Profile>();
    holds("profile.schema.json", &schema);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for profile in Profiles::built_in().all() {
        let written = serde_json::to_value(profile).expect("JSON");
        assert!(validator.is_valid(&written), "{}", profile.name);
    }
}
