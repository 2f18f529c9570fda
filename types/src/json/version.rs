//! The version of a file's format.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version 1, the only one that there is yet.
///
/// *Shape*: the number `1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneVisitor;
        impl Visitor<'_> for OneVisitor {
            type Value = V1;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1")
            }
            fn visit_u64<E: Error>(self, version: u64) -> Result<V1, E> {
                match version {
                    1 => Ok(V1),
                    other => {
                        Err(E::custom(format!("expected 1, found {other}; this program speaks version 1")))
                    }
                }
            }
        }
        deserializer.deserialize_u64(OneVisitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for V1 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "const": 1 })
    }
}
