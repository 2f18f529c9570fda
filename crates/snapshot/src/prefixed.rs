//! A map of which one key was read already.

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess};

/// The rest of an object, and the key before it whose value is still to come.
pub(super) struct PrefixedMap<'a, A> {
    key: Option<String>,
    rest: &'a mut A,
}

impl<'de, 'a, A: MapAccess<'de>> PrefixedMap<'a, A> {
    /// Reads a value from `key`, whose value comes next, and from all later keys.
    pub(super) fn read<S: DeserializeSeed<'de>>(
        key: String,
        rest: &'a mut A,
        seed: S,
    ) -> Result<S::Value, A::Error> {
        seed.deserialize(MapAccessDeserializer::new(Self { key: Some(key), rest }))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for PrefixedMap<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.key.take() {
            Some(key) => {
                let key: StringDeserializer<A::Error> = key.into_deserializer();
                seed.deserialize(key).map(Some)
            }
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}
