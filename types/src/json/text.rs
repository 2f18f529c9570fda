//! Strings and paths that are held to a rule while they are read.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A string that a rule accepts.
struct Text {
    /// What the rule accepts, for messages.
    expected: &'static str,
    accepts: fn(&str) -> bool,
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        if (self.accepts)(&text) { Ok(text) } else { Err(E::invalid_value(Unexpected::Str(&text), &self)) }
    }
}

/// Reads a string that `accepts` accepts; errors say that `expected` was expected.
pub(crate) fn held_to<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
    accepts: fn(&str) -> bool,
) -> Result<String, D::Error> {
    deserializer.deserialize_string(Text { expected, accepts })
}

struct AbsolutePath(PathBuf);

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        held_to(deserializer, "an absolute path", |text| Path::new(text).is_absolute())
            .map(|path| Self(path.into()))
    }
}

pub(crate) fn deserialize_absolute<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    AbsolutePath::deserialize(deserializer).map(|path| Some(path.0))
}

/// Reads a list of absolute paths.
pub(crate) fn absolutes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    Ok(Vec::<AbsolutePath>::deserialize(deserializer)?.into_iter().map(|path| path.0).collect())
}
