//! The reader of JSON into Crossfade's types: files that a person writes (policy.json, node.json), and the lines of records.
//!
//! The types say their shape once, by serde. [`Reader`](reader::Reader) is the deserializer that reads them. Every error names the path of
//! the key, what was expected and what was found. In a person's file, an unknown key is an error that names the nearest known one, since a
//! misspelt `secondaryFailure` must not silently mean the default. A known key that is written twice is an error, and so is `null`.

mod error;
mod place;
mod reader;

use serde::de::DeserializeOwned;

use crate::json::raw::object_text;
use place::{Place, Step};
use reader::{MissingKey, Reader, Writer};

/// Reads a file that a person writes. Messages call its outermost object `name`.
///
/// # Errors
/// One line that names the key, what was expected and, where there is one, the remedy.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, String> {
    let text = object_text(bytes).map_err(|e| e.to_string())?;
    read(text, name, Writer::Person)
}

/// Reads an object that one of Crossfade's programs wrote. Messages call it `name`.
///
/// A later program may have written more keys, so unknown ones are ignored.
///
/// # Errors
/// One line that names the key and what was expected. It quotes no value, since the object may hold a conf or a result with a secret.
pub fn read_written<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, String> {
    let text = std::str::from_utf8(bytes.trim_ascii()).map_err(|e| e.to_string())?;
    read(text, name, Writer::Program)
}

fn read<T: DeserializeOwned>(text: &str, name: &str, writer: Writer) -> Result<T, String> {
    let read = |missing: Option<&MissingKey>| {
        let place = Place { parent: None, step: Step::File(name) };
        let reader = Reader { text: Some(text), place: &place, writer, missing };
        T::deserialize(reader).map_err(|wrong| wrong.with_place(reader))
    };
    // Only the type of a missing key knows what it expects, and says so when it reads nothing. So the file is read again with nothing as the value
    // of that key.
    read(None)
        .or_else(|wrong| match wrong.missing_key() {
            Some(missing) => read(Some(missing)),
            None => Err(wrong),
        })
        .map_err(|wrong| wrong.to_string())
}

#[cfg(test)]
mod tests;
