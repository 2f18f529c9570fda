//! The API server's objects of a node and its pods: keys, annotations, labels, taints, evictions; and its refusals.

pub mod eviction;
pub mod label;
pub mod node_keys;
pub mod observed;
pub mod refusal;
pub mod step;
pub mod taint;

use serde::de::DeserializeOwned;

/// Reads the value of the annotation `key` of a Node, a JSON object.
///
/// # Errors
/// One line that names the annotation: the value is no JSON object, or not this one.
fn read_annotation<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, String> {
    // serde takes a list for an object as well, its values in the order of the fields.
    if !text.trim_start().starts_with('{') {
        return Err(format!("annotation {key}: expected a JSON object"));
    }
    serde_json::from_str(text).map_err(|e| format!("annotation {key}: {e}"))
}
