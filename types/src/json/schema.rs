//! JSON Schemas of the types, draft 2020-12.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::command::problem::{Answer, Problem};

/// The schema of a file that a person writes: a key may be absent, but it may not be null.
#[must_use]
pub fn settings_schema<T: JsonSchema>() -> Value {
    let mut schema = generate::<T>(SchemaSettings::draft2020_12());
    without_null(&mut schema);
    schema
}

/// The schema of a file that one of Crossfade's programs writes.
#[must_use]
pub fn written_schema<T: JsonSchema>() -> Value {
    generate::<T>(SchemaSettings::draft2020_12().for_serialize())
}

/// What a command prints with `--output json`.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "Printed")]
#[allow(dead_code)]
enum AnswerDocument<R> {
    /// The command has a report.
    Report(Answer<R>),
    /// The command did nothing: an argument is wrong, or something stands in the way.
    Error(Error),
}

/// Why a command did nothing.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Error {
    /// Version of this shape; 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// Always false.
    #[schemars(extend("const" = false))]
    ok: bool,
    /// Everything that stands in the way.
    #[schemars(length(min = 1))]
    problems: Vec<Problem>,
}

/// The schema of what a command prints, by its report.
#[must_use]
pub fn answer_schema<R: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<AnswerDocument<R>>()
}

/// Holds the files `NAME.schema.json` of a directory to schemas by their names, and says which are not those of today: other ones, missing ones, and files
/// that no schema has. With `UPDATE_GOLDEN` in the environment it writes them first.
///
/// # Errors
/// The directory cannot be read, or a file cannot be written.
pub fn stale_files(dir: &Path, all: &BTreeMap<&str, String>) -> io::Result<Vec<String>> {
    let file_name = |name: &str| format!("{name}.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(dir)?;
        for (name, text) in all {
            fs::write(dir.join(file_name(name)), text)?;
        }
    }
    let is_other =
        |name: &str, text: &String| fs::read_to_string(dir.join(file_name(name))).ok().as_ref() != Some(text);
    let mut stale: Vec<String> =
        all.iter().filter(|(name, text)| is_other(name, text)).map(|(name, _)| file_name(name)).collect();
    let names: BTreeSet<String> = all.keys().map(|name| file_name(name)).collect();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !names.contains(&name) {
            stale.push(name);
        }
    }
    Ok(stale)
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    shorten(&mut schema);
    schema
}

/// Shortens each description, which is a comment of the source, to its first paragraph as one line, without sources and marks of code.
fn shorten(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                let first = text.split("\n\n").next().unwrap_or_default();
                let first = first.split("*Source*").next().unwrap_or_default();
                *text = first.trim().replace('\n', " ").replace('`', "");
            }
            object.values_mut().for_each(shorten);
        }
        Value::Array(list) => list.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Removes null wherever it is one of several types.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|type_name| type_name != "null");
                if let [type_name] = types.as_slice() {
                    let type_name = type_name.clone();
                    object.insert("type".into(), type_name);
                }
            }
            if let Some(Value::Array(all)) = object.get_mut("anyOf") {
                all.retain(|type_name| type_name != &serde_json::json!({"type": "null"}));
                if let [Value::Object(type_name)] = all.as_slice() {
                    let type_name = type_name.clone();
                    object.remove("anyOf");
                    object.extend(type_name);
                }
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Request headers: names and values of one line.
pub(crate) struct Headers;

impl JsonSchema for Headers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Headers".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": r"^[^:\s\u0000-\u001f\u007f]+$" },
            "additionalProperties": { "type": "string", "pattern": r"^[^\u0000-\u001f\u007f]*$" },
        })
    }
}

/// An object with keys of another program.
pub(crate) struct Object;

impl JsonSchema for Object {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Object".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
