//! Bytes of a file that a person writes (policy.json, node.json) to one of our types, with errors for that person.
//!
//! The types say their shape once, by serde. [`Reader`](reader::Reader) is the deserializer that reads them: every error names the path of
//! its key, what was expected and what was found. An unknown key is an error that names the nearest known one, since a misspelt
//! `secondaryFailure` must not silently mean the default. A key that is written twice is an error, and so is `null`.

mod place;
mod reader;
mod wrong;

use serde::de::DeserializeOwned;

use crate::raw::object_text;
use place::{Place, Step};
use reader::{Missing, Reader};

/// Reads a file whose outermost object messages call `name`.
///
/// # Errors
/// One line that names the key, what was expected and, where there is one, the remedy.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, String> {
    let text = object_text(bytes).map_err(|e| e.to_string())?;
    let read = |missing: Option<&Missing>| {
        let place = Place { above: None, step: Step::File(name) };
        let reader = Reader { text: Some(text), place: &place, missing };
        T::deserialize(reader).map_err(|wrong| wrong.placed(reader))
    };
    // The type of a missing key says what it expects once it is asked to read nothing; so the file is read again with that nothing in it.
    read(None)
        .or_else(|wrong| match wrong.missing() {
            Some(missing) => read(Some(missing)),
            None => Err(wrong),
        })
        .map_err(|wrong| wrong.to_string())
}

#[cfg(test)]
mod tests;
