//! An error of a file, on its way from the type that finds it to the place that knows the position.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::reader::{MissingKey, Reader};

/// Why a file cannot be read. It is boxed because a derived deserializer hands it on at every key.
#[derive(Debug)]
pub(super) struct ReadError(Box<Reason>);

/// What is wrong.
#[derive(Debug)]
enum Reason {
    /// The value is not what was expected, in words.
    Expected(String),
    /// The object lacks the key of the field at this index.
    Lacks(usize),
    /// The object lacks this key.
    Missing(&'static str),
    /// A rule of the type's own. A text that begins with a dot continues the path.
    Rule(String),
    /// The same as [`Why::Missing`], with the object's path.
    MissingAt(MissingKey),
    /// The whole message.
    Message(String),
}

impl ReadError {
    /// The value is not what was `expected`.
    #[cold]
    pub(super) fn with_expectation(expected: String) -> Self {
        Self(Box::new(Reason::Expected(expected)))
    }

    /// What a visitor expects, in the words of a person who writes JSON and no Rust.
    #[cold]
    pub(super) fn expects(expected: &dyn Expected) -> Self {
        let description = expected.to_string();
        Self::with_expectation(match description.as_str() {
            "a sequence" => "a list".into(),
            "a map" => "an object".into(),
            "a boolean" => "true or false".into(),
            text if text.starts_with("struct ") => "an object".into(),
            _ => description,
        })
    }

    /// The whole message.
    #[cold]
    pub(super) fn with_message(message: String) -> Self {
        Self(Box::new(Reason::Message(message)))
    }

    /// What is wrong, said of the value that `reader` was to read; one that has a place already keeps it.
    #[cold]
    pub(super) fn with_place(self, reader: Reader<'_, '_>) -> Self {
        let place = reader.place;
        match *self.0 {
            Reason::Expected(expected) => Self::with_message(match reader.describe() {
                Some(actual) => format!("{}: expected {expected}, found {actual}", place.name()),
                None => format!("{}: missing; expected {expected}", place.name()),
            }),
            Reason::Missing(key) => {
                Self(Box::new(Reason::MissingAt(MissingKey { path: place.to_string(), key })))
            }
            Reason::Rule(why) => {
                let path = place.to_string();
                let colon = if path.is_empty() || why.starts_with('.') { "" } else { ": " };
                Self::with_message(format!("{path}{colon}{why}"))
            }
            Reason::Lacks(_) | Reason::MissingAt(_) | Reason::Message(_) => self,
        }
    }

    /// The same of an object that has these keys.
    #[cold]
    pub(super) fn with_keys(self, keys: &[&'static str]) -> Self {
        match *self.0 {
            Reason::Lacks(index) => {
                Self(Box::new(Reason::Missing(keys.get(index).copied().unwrap_or_default())))
            }
            Reason::Expected(_)
            | Reason::Missing(_)
            | Reason::Rule(_)
            | Reason::MissingAt(_)
            | Reason::Message(_) => self,
        }
    }

    /// The missing key, if that is what is wrong.
    pub(super) fn missing_key(&self) -> Option<&MissingKey> {
        match &*self.0 {
            Reason::MissingAt(missing) => Some(missing),
            Reason::Expected(_)
            | Reason::Lacks(_)
            | Reason::Missing(_)
            | Reason::Rule(_)
            | Reason::Message(_) => None,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::Expected(text) | Reason::Rule(text) | Reason::Message(text) => f.write_str(text),
            Reason::Missing(key) | Reason::MissingAt(MissingKey { key, .. }) => write!(f, "{key}: missing"),
            Reason::Lacks(index) => write!(f, "key {index}: missing"),
        }
    }
}

impl std::error::Error for ReadError {}

// A derived deserializer makes each of these errors once for each key; so they are no part of it.
impl Error for ReadError {
    #[cold]
    #[inline(never)]
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(Box::new(Reason::Rule(why.to_string())))
    }

    #[cold]
    #[inline(never)]
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expects(expected)
    }

    #[cold]
    #[inline(never)]
    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expects(expected)
    }

    /// A derived deserializer says so of the field at which it found nothing.
    #[cold]
    #[inline(never)]
    fn invalid_length(index: usize, _: &dyn Expected) -> Self {
        Self(Box::new(Reason::Lacks(index)))
    }
}
