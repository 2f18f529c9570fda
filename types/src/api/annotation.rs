//! Annotations of a Node whose value is a JSON object.

use serde::de::DeserializeOwned;

/// Reads the value of the annotation `key`.
///
/// # Errors
/// One line that names the annotation: the value is no JSON object, or not this one.
pub(crate) fn read<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, String> {
    // serde takes a list for an object as well, its values in the order of the fields.
    if !text.trim_start().starts_with('{') {
        return Err(format!("annotation {key}: expected a JSON object"));
    }
    serde_json::from_str(text).map_err(|e| format!("annotation {key}: {e}"))
}
