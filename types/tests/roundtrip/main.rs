//! The round trip of every type: what is read, written and read again is what it was, by serde and by the reader for people's files.

mod node;
mod policy;
mod records;
mod words;

use std::fmt::Debug;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes `value`, reads it by serde alone and by `parse`, and writes it again.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    value: &T,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) {
    let written = serde_json::to_string(value).expect("it serialises");
    let read: T = serde_json::from_str(&written).unwrap_or_else(|e| panic!("{e}: {written}"));
    assert_eq!(&read, value, "by serde: {written}");
    assert_eq!(parse(written.as_bytes()).as_ref(), Ok(value), "by its parser: {written}");
    assert_eq!(serde_json::to_string(&read).expect("it serialises"), written);
}

fn path() -> impl Strategy<Value = PathBuf> {
    "/[a-z /\"\\\\é]{0,9}".prop_map(PathBuf::from)
}

fn maybe<T: Debug + Clone>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(inner)
}
