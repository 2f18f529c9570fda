//! Serde's data model over raw JSON.
//!
//! A struct is read by `visit_seq`, its keys in the order of its fields. What serde derives for that has no table of keys, which keeps
//! the shim small, and the reader holds the keys against the fields' names itself. A key that the file lacks is an item that is not
//! there: then the field has its default, or the key is missing.

use std::borrow::Cow;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::error::ReadError;
use super::place::{Place, Step};
use crate::json::raw::Spans;
use crate::text::nearest::remedy;

/// Longest quotation of a wrong value, in bytes.
const MAX_QUOTED: usize = 80;

/// A key that an object lacks.
#[derive(Debug)]
pub(super) struct MissingKey {
    pub(super) path: String,
    pub(super) key: &'static str,
}

/// Who writes a file, which decides how the reader treats its keys and values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// A person. A key that the type does not have is an error, and messages quote a wrong value.
    Person,
    /// A program of Crossfade's. The reader ignores keys that the type does not have, and messages quote no value.
    Program,
}

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a, 'de> {
    /// The value's text; none where the file lacks the key that it belongs to.
    pub(super) text: Option<&'de str>,
    pub(super) place: &'a Place<'a>,
    /// Who writes the file.
    pub(super) writer: Writer,
    /// The key that is to be read as if it were there, with nothing as its value.
    pub(super) missing: Option<&'a MissingKey>,
}

/// A key and its value.
type Pair<'de> = (Cow<'de, str>, &'de RawValue);

impl<'a, 'de> Reader<'a, 'de> {
    /// What a message says was found. It quotes nothing that may be a secret, nor what may hold one.
    pub(super) fn describe(self) -> Option<String> {
        let text = self.text?.as_bytes();
        Some(match text.first() {
            _ if self.writer == Writer::Program || self.place.is_secret() => "something else".into(),
            Some(b'{') => "an object".into(),
            Some(b'[') => "a list".into(),
            _ => crate::text::quote::quote(text, MAX_QUOTED),
        })
    }

    /// The value as a T of JSON.
    fn parse<T: serde::Deserialize<'de>>(self) -> Option<T> {
        self.text.and_then(|text| serde_json::from_slice(text.as_bytes()).ok())
    }

    /// Reads a value of this object or list.
    fn read<T: DeserializeSeed<'de>>(
        self,
        seed: T,
        step: Step<'_>,
        text: Option<&'de str>,
    ) -> Result<T::Value, ReadError> {
        let place = Place { parent: Some(self.place), step };
        let reader = Reader { text, place: &place, ..self };
        seed.deserialize(reader).map_err(|wrong| wrong.with_place(reader))
    }

    // What follows is not generic on purpose: the shim would hold it once for each of the types that it reads.

    #[inline(never)]
    fn string(self) -> Option<String> {
        // Most strings have no escape and are what stands between the quotes.
        let plain = self.text?.strip_prefix('"')?.strip_suffix('"')?;
        if plain.contains('\\') { self.parse() } else { Some(plain.to_owned()) }
    }

    #[inline(never)]
    fn items(self) -> Option<Vec<&'de RawValue>> {
        self.parse()
    }

    #[inline(never)]
    fn object(self) -> Option<Vec<Pair<'de>>> {
        self.parse().map(|Spans(pairs)| pairs)
    }

    /// Refuses a person's key that is none of `known`, and every key of `known` that is written twice.
    fn check_keys(self, pairs: &[Pair<'de>], keys: &[&str]) -> Result<(), ReadError> {
        for (index, (key, _)) in pairs.iter().enumerate() {
            let why = if !keys.contains(&&**key) {
                if self.writer == Writer::Program {
                    continue;
                }
                format!("unknown key {key:?}; {}", remedy(key, keys))
            } else if pairs[..index].iter().any(|(earlier, _)| earlier == key) {
                format!("key {key:?} is written twice; expected it once")
            } else {
                continue;
            };
            return Err(ReadError::with_message(format!("{}: {why}", self.place.name())));
        }
        Ok(())
    }

    /// Whether `key` of this object is the missing one that is to be read as if it were there.
    fn lacks(self, key: &str) -> bool {
        self.missing.is_some_and(|missing| missing.key == key && missing.path == self.place.to_string())
    }

    /// Reads one of `words`: a string, or the only key of an object, whose value has the fields that belong to the word.
    #[inline(never)]
    fn word(self, words: &'static [&'static str]) -> Result<Word<'a, 'de>, ReadError> {
        let pairs = if self.text.is_some_and(|text| text.starts_with('{')) { self.object() } else { None };
        let (name, value) = match pairs.as_deref() {
            Some([(key, value)]) => (key.to_string(), Some(value.get())),
            Some(_) => Default::default(),
            None => (self.string().unwrap_or_default(), None),
        };
        let known_word = words.iter().find(|word| **word == name).copied();
        let name = known_word.ok_or_else(|| ReadError::with_expectation(any_of(words)))?;
        Ok(Word { reader: self, words, name, value })
    }
}

/// `a`, `a or b`, `a, b or c`.
fn any_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        Err(ReadError::expects(&visitor))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.parse() {
            Some(value) => visitor.visit_bool(value),
            None => Err(ReadError::expects(&visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        // JSON has fewer spellings of a number than Rust, and the text is valid JSON.
        match self.text.map(str::parse) {
            Some(Ok(value)) => visitor.visit_u64(value),
            _ => Err(ReadError::expects(&visitor)),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.string() {
            Some(value) => visitor.visit_string(value),
            None => Err(ReadError::expects(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    /// A key that may be absent is no key that may be null.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.items() {
            Some(items) => visitor.visit_seq(Items { reader: self, remaining: items.into_iter(), index: 0 }),
            None => Err(ReadError::expects(&visitor)),
        }
    }

    /// An object with any keys, each as often as it likes.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.object() {
            Some(pairs) => {
                visitor.visit_map(Pairs { reader: self, remaining: pairs.into_iter(), value: None })
            }
            None => Err(ReadError::expects(&visitor)),
        }
    }

    /// An object whose keys are all known.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        field_names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.object() {
            Some(pairs) => {
                self.check_keys(&pairs, field_names)?;
                let fields = Fields { reader: self, pairs, remaining: field_names.iter() };
                visitor.visit_seq(fields).map_err(|wrong| wrong.with_keys(field_names))
            }
            None => Err(ReadError::expects(&visitor)),
        }
    }

    /// Reads another program's JSON as a `RawValue`: serde_json asks for that by a name of its own, and takes a map from this name to the text.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.text {
            Some(text) => visitor.visit_map(MapDeserializer::new(std::iter::once((name, text)))),
            None => Err(ReadError::expects(&visitor)),
        }
    }

    /// Reads a word, or an object whose only key is a word.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(self.word(words)?)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// A variant of an enum, by its word.
struct Word<'a, 'de> {
    reader: Reader<'a, 'de>,
    words: &'static [&'static str],
    name: &'static str,
    /// The object with the variant's fields; none if the word stands alone.
    value: Option<&'de str>,
}

impl<'de> EnumAccess<'de> for Word<'_, 'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), ReadError> {
        let name: StrDeserializer<'_, ReadError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_, 'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        self.value.map_or(Ok(()), |_| Err(ReadError::with_expectation(any_of(self.words))))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        self.reader.read(seed, Step::Key(self.name), self.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        Err(ReadError::expects(&visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        field_names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let place = Place { parent: Some(self.reader.place), step: Step::Key(self.name) };
        let reader = Reader { text: self.value, place: &place, ..self.reader };
        reader.deserialize_struct("", field_names, visitor).map_err(|wrong| wrong.with_place(reader))
    }
}

/// The values of an object's keys, in the order of a struct's fields.
struct Fields<'a, 'de> {
    reader: Reader<'a, 'de>,
    pairs: Vec<Pair<'de>>,
    remaining: std::slice::Iter<'static, &'static str>,
}

impl<'de> Fields<'_, 'de> {
    /// The next field and its value, if there is something to be read.
    #[inline(never)]
    fn next_field(&mut self) -> Option<(&'static str, Option<&'de str>)> {
        let key = *self.remaining.next()?;
        let text = self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.get());
        (text.is_some() || self.reader.lacks(key)).then_some((key, text))
    }
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((key, text)) = self.next_field() else { return Ok(None) };
        self.reader.read(seed, Step::Key(key), text).map(Some)
    }
}

/// The pairs of an object.
struct Pairs<'a, 'de> {
    reader: Reader<'a, 'de>,
    remaining: std::vec::IntoIter<Pair<'de>>,
    value: Option<Pair<'de>>,
}

impl<'de> MapAccess<'de> for Pairs<'_, 'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.value = self.remaining.next();
        let Some((key, _)) = &self.value else { return Ok(None) };
        let key: StrDeserializer<'_, ReadError> = (**key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, value) = self.value.take().ok_or_else(|| ReadError::custom("a value without a key"))?;
        self.reader.read(seed, Step::Key(&key), Some(value.get()))
    }
}

/// The items of a list.
struct Items<'a, 'de> {
    reader: Reader<'a, 'de>,
    remaining: std::vec::IntoIter<&'de RawValue>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.remaining.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        self.reader.read(seed, Step::Index(index), Some(item.get())).map(Some)
    }
}
