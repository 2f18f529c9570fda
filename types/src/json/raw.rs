//! JSON of other programs as ordered pairs of key and raw value.
//!
//! Confs, results and stdin belong to other programs. They may have duplicate keys and keys in another case, unknown keys must reach their plugin,
//! and numbers must keep their spelling (`1.50` is not `1.5`). So Crossfade parses only the top level of an object, and every value stays verbatim.
//!
//! Lookup follows Go's decoder, because that is what most plugins are written with: keys match whatever their case, and
//! the last one wins. So Crossfade and the plugin read the same value. Errors never quote a value, because it may be a secret.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One JSON object whose values are kept verbatim.
///
/// *Shape*: `{"b":1.50,"a":{"x":[]}}` is the pairs `("b", "1.50")`, `("a", "{\"x\":[]}")`, in this order.
#[derive(Debug, Clone, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

/// Why bytes are not the JSON object that was expected.
#[derive(Debug)]
pub enum ObjectError {
    /// Not JSON, or JSON followed by something else. The text is the parser's, with line and column.
    Invalid(String),
    /// JSON `null`.
    Null,
    /// JSON of another type: `a list`, `a string`, `a number`, `a boolean`.
    Other(&'static str),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "invalid JSON: {why}"),
            Self::Null => f.write_str("expected a JSON object, found null"),
            Self::Other(kind) => write!(f, "expected a JSON object, found {kind}"),
        }
    }
}

/// Why a value is not of the expected type: the decoder's message without the value.
#[derive(Debug)]
pub struct DecodeError(String);

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        // `invalid type: string "...", expected a sequence at line 1 column 5`
        let value = text.starts_with("invalid ").then(|| text.find(['"', '`'])).flatten();
        match value.zip(text.rfind(", expected ")) {
            Some((from, to)) if from < to => Self(format!("{}{}", text[..from].trim_end(), &text[to..])),
            _ => Self(text),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether Go's decoder takes two keys for one: in any case, and two letters beyond ASCII fold to `s` and `k`.
///
/// *Source*: `encoding/json`, `foldName`; package `unicode`, `SimpleFold`.
#[must_use]
pub fn same_key(key: &str, other: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.eq_ignore_ascii_case(other)
        || !(key.is_ascii() && other.is_ascii()) && key.chars().map(fold).eq(other.chars().map(fold))
}

/// The text of one JSON object. Nothing may follow it.
///
/// # Errors
/// [`NotObject`] says what was found instead.
pub(crate) fn object_text(bytes: &[u8]) -> Result<&str, ObjectError> {
    let any: &RawValue = serde_json::from_slice(bytes).map_err(|e| ObjectError::Invalid(e.to_string()))?;
    Err(match any.get().as_bytes().first() {
        Some(b'{') => return Ok(any.get()),
        Some(b'n') => ObjectError::Null,
        Some(b'[') => ObjectError::Other("a list"),
        Some(b'"') => ObjectError::Other("a string"),
        Some(b't' | b'f') => ObjectError::Other("a boolean"),
        _ => ObjectError::Other("a number"),
    })
}

impl RawObject {
    /// Parses one JSON object. Nothing may follow it.
    ///
    /// # Errors
    /// [`NotObject`] says what was found instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        serde_json::from_slice(object_text(bytes)?.as_bytes())
            .map_err(|e| ObjectError::Invalid(e.to_string()))
    }

    /// The raw value of `key` by Go's rule: in any case, and the last one wins.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(k, _)| same_key(k, key)).map(|(_, v)| &**v)
    }

    /// The value of `key` decoded; absent and `null` are both `None`.
    ///
    /// # Errors
    /// The value is of another type.
    pub fn decode<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, DecodeError> {
        self.get(key).map_or(Ok(None), |raw| Ok(serde_json::from_slice(raw.get().as_bytes())?))
    }

    /// Sets `key`, replacing every spelling of it; a new key goes last.
    pub fn set(&mut self, key: &str, value: Box<RawValue>) {
        if let Some(place) = self.0.iter().position(|(k, _)| same_key(k, key)) {
            let mut index = 0;
            self.0.retain(|(k, _)| {
                index += 1;
                index - 1 == place || !same_key(k, key)
            });
            self.0[place] = (key.to_owned(), value);
        } else {
            self.0.push((key.to_owned(), value));
        }
    }

    /// Sets `key` to a string.
    pub fn set_str(&mut self, key: &str, value: &str) {
        self.set(key, raw_string(value));
    }

    /// Removes every spelling of `key`.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(k, _)| !same_key(k, key));
    }

    /// The pairs in the order they came, duplicates included.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(k, v)| (k.as_str(), &**v))
    }

    /// Keeps the pairs whose key `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(k, _)| keep(k));
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as one raw value.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        to_raw(self)
    }
}

/// An object's pairs as parts of the text. Only a key with an escape is copied.
pub(crate) struct Spans<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string that borrows from the text if it can; serde's own `Cow` never does.
struct BorrowedString<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for BorrowedString<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = BorrowedString<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<BorrowedString<'de>, E> {
                Ok(BorrowedString(text.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<BorrowedString<'de>, E> {
                Ok(BorrowedString(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Spans<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Spans<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spans<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((BorrowedString(key), value)) = map.next_entry::<_, &'de RawValue>()? {
                    pairs.push((key, value));
                }
                Ok(Spans(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Serializes a value of Crossfade's as a raw JSON value.
///
/// # Panics
/// Never for Crossfade's types, which have string keys and no serializer that fails.
#[must_use]
#[expect(clippy::expect_used, reason = "our own types have string keys and serializers that cannot fail")]
pub fn to_raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("our own types serialise")
}

/// A string as a raw JSON value.
#[must_use]
pub fn raw_string(text: &str) -> Box<RawValue> {
    to_raw(text)
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = RawObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    pairs.push((key, map.next_value::<Box<RawValue>>()?));
                }
                Ok(RawObject(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests;
