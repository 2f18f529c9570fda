//! Reads an object of a rare kind without what a snapshot does not keep. What is left out may be as deep as it likes.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::model::Kind;

/// A part of an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Projection {
    Whole,
    /// A definition, whose schema is not read.
    Definition,
    /// The `spec` of a definition, of which the conversion is read.
    Conversion,
    /// `metadata`.
    Metadata,
}

impl Projection {
    /// An object of this kind.
    pub(super) fn for_kind(kind: Kind) -> Self {
        if kind == Kind::CUSTOM_RESOURCE_DEFINITION { Self::Definition } else { Self::Whole }
    }

    fn leaves_out(self, key: &str) -> bool {
        match self {
            Self::Whole => false,
            Self::Definition => !matches!(key, "metadata" | "spec"),
            Self::Conversion => key != "conversion",
            Self::Metadata => matches!(key, "managedFields" | "selfLink"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Projection {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Projection {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Metadata) { "metadata" } else { "an object" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.leaves_out(&key) {
                map.next_value::<IgnoredAny>()?;
            } else if key == "metadata" && !matches!(self, Self::Metadata) {
                let metadata = map.next_value_seed(Self::Metadata)?;
                all.insert(key, Value::Object(metadata));
            } else if key == "spec" && matches!(self, Self::Definition) {
                let spec = map.next_value_seed(Self::Conversion)?;
                all.insert(key, Value::Object(spec));
            } else {
                all.insert(key, map.next_value()?);
            }
        }
        Ok(all)
    }
}
