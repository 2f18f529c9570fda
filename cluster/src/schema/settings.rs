//! The JSON Schema of the settings file, kept in `cluster/config.schema.json`, from where it is published.

use std::path::Path;

use serde_json::json;

use migration::config::{Config, read};

/// `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_schema_is_that_of_today() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.schema.json");
    let schema =
        serde_json::to_string_pretty(&types::json::schema::settings_schema::<Config>()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &schema).expect("written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(kept, schema, "look at config.rs, then UPDATE_GOLDEN=1");
}

/// Schema and reader agree on every file but where a range is malformed, or where names refer to each other, which the schema cannot say.
#[test]
fn schema_and_reader_agree() {
    let schema = types::json::schema::settings_schema::<Config>();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let full = serde_json::to_value(Config::default()).expect("JSON");
    for (file, valid) in [
        (full, true),
        (json!({"version": 1}), true),
        (json!({}), false),
        (json!({"version": 2}), false),
        (json!({"version": 1, "cidr": {}}), false),
        (json!({"version": 1, "networks": {"new": {"cidrs": ["10.0.0.0/8"]}}}), true),
        (json!({"version": 1, "networks": {"new": {"cidrs": "10.0.0.0/8"}}}), false),
        (json!({"version": 1, "cidrs": {"drainAtMostPercent": 101}}), false),
        (json!({"version": 1, "capacity": {"marginPercent": 100}}), true),
        (json!({"version": 1, "capacity": {"marginPercent": 101}}), false),
        (json!({"version": 1, "transition": {"phase": "migrate", "nodeMtu": 9001}}), true),
        (json!({"version": 1, "transition": {"phase": "begin"}}), false),
        (json!({"version": 1, "transition": {"nodeMtu": 100}}), false),
        (json!({"version": 1, "transition": {"acceptTwoHalves": ""}}), false),
        (json!({"version": 1, "roll": {"limits": {"inTransit": 1, "zonePercent": 100}}}), true),
        (json!({"version": 1, "roll": {"limits": {"inTransit": 0}}}), false),
        (json!({"version": 1, "roll": {"limits": {"zonePercent": 101}}}), false),
        (json!({"version": 1, "roll": {"limits": {"claimSeconds": 0}}}), false),
        (
            json!({"version": 1, "roll": {"limits": {"windows": [{"from": "22:00", "to": "06:00", "days": ["sun"], "zone": "Etc/GMT+1"}]}}}),
            true,
        ),
        (json!({"version": 1, "roll": {"limits": {"windows": [{"from": "24:00", "to": "06:00"}]}}}), false),
        (
            json!({"version": 1, "roll": {"limits": {"windows": [{"from": "22:00", "to": "06:00", "days": ["so"]}]}}}),
            false,
        ),
        (
            json!({"version": 1, "roll": {"limits": {"windows": [{"from": "22:00", "to": "06:00", "zone": "a b"}]}}}),
            false,
        ),
        (json!({"version": 1, "roll": {"pods": {"delete": ["a/*"]}}}), true),
        (json!({"version": 1, "roll": {"pods": {"inPlace": ["a"]}}}), false),
        (json!({"version": 1, "roll": {"gates": [{"name": "a-1", "command": ["b"]}]}}), true),
        (json!({"version": 1, "roll": {"gates": [{"name": "A", "command": ["b"]}]}}), false),
        (json!({"version": 1, "roll": {"gates": [{"name": "a", "command": []}]}}), false),
        (
            json!({"version": 1, "roll": {"gates": [{"name": "a", "command": ["b"], "everySeconds": 0}]}}),
            false,
        ),
        (json!({"version": 1, "roll": {"bridge": {"accept": "b"}}}), true),
        (json!({"version": 1, "roll": {"bridge": {"accept": ""}}}), false),
        (json!({"version": 1, "roll": {"bridge": {"accept": "b", "gate": "b"}}}), false),
        (json!({"version": 1, "roll": {"methods": {"a": "churn"}}}), true),
        (json!({"version": 1, "roll": {"methods": {"a": "surge"}}}), false),
        (json!({"version": 1, "roll": {"image": "both-new", "images": {"a": "new"}}}), true),
        (json!({"version": 1, "roll": {"images": {"a": "newest"}}}), false),
        (json!({"version": 1, "roll": {"image": "final"}}), true),
        (json!({"version": 1, "roll": {"images": {"a": "final"}}}), false),
        (json!({"version": 1, "roll": {"unenforced": ["NetworkPolicy"]}}), true),
        (json!({"version": 1, "roll": {"unenforced": ["Pod"]}}), false),
        (json!({"version": 1, "roll": {"leaveOut": [{"node": "a", "reason": "b"}]}}), true),
        (json!({"version": 1, "roll": {"leaveOut": [{"node": "a", "reason": ""}]}}), false),
        (json!({"version": 1, "waivers": [{"finding": "a", "reason": "b"}]}), true),
        (json!({"version": 1, "waivers": [{"finding": "a"}]}), false),
        (json!({"version": 1, "waivers": [{"finding": "a", "reason": ""}]}), false),
    ] {
        assert_eq!(validator.is_valid(&file), valid, "schema: {file}");
        assert_eq!(read(&file.to_string()).is_ok(), valid, "reader: {file}");
    }
}
