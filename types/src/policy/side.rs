//! The side of a network: one of the policy's two.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One of the two networks of a migration, as the policy names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Side {
    /// The network to leave.
    Old,
    /// The network to go to.
    New,
}

impl Side {
    /// Both, the old one first.
    pub const BOTH: [Self; 2] = [Self::Old, Self::New];

    /// As in the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// The side written `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.as_str() == text)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which networks a pod gets.
///
/// *Shape*: `old`, `new` or `both`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// One network alone.
    One(Side),
    /// Both networks, the second on an interface of its own, as Multus does it.
    Both,
}

impl Attach {
    /// All values.
    pub const ALL: [Self; 3] = [Self::One(Side::Old), Self::One(Side::New), Self::Both];

    /// As in the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One(side) => side.as_str(),
            Self::Both => "both",
        }
    }

    /// What is written `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attach| attach.as_str() == text)
    }
}

impl Serialize for Attach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Attach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Attach;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("old, new or both")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Attach, E> {
                Attach::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Word)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Attach {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Attach".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Which networks a pod gets.",
            "enum": Self::ALL.map(Self::as_str),
        })
    }
}
