//! Counts of attachments by phase.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::policy::Phase;

/// How many attachments of another phase are named, at most.
pub const NAMED: usize = 64;
/// How many characters of a pod's UID name it on its node.
pub const UID_CHARS: usize = 8;

/// The key of [`AttachmentCounts::unknown`].
const UNKNOWN: &str = "unknown";
/// The key of [`AttachmentCounts::others`].
const OTHERS: &str = "others";

/// Attachments, those that are being deleted included.
///
/// *Shape*: `{"old":3,"both-old":27,"unknown":1,"others":["1f2e3d4c"]}`; a count of zero is left out, and so is an empty list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachmentCounts {
    /// How many were attached in each phase. A phase without one is not here.
    pub by_phase: BTreeMap<Phase, u32>,
    /// How many are of a phase that the node cannot tell: their record is damaged, or of networks that the policy does not name.
    pub unknown: u32,
    /// The pods whose attachments are not of the policy's phase: the first [`UID_CHARS`] characters of their UIDs, sorted, at most [`NAMED`]. A pod
    /// whose UID the node does not know is counted, and not named.
    pub others: Vec<String>,
}

impl AttachmentCounts {
    /// Counts one more, which was attached in `phase`; none is unknown.
    pub fn add(&mut self, phase: Option<Phase>) {
        self.add_many(phase, 1);
    }

    /// Names pods whose attachments are not of the policy's phase, by their UIDs.
    pub fn name<'a>(&mut self, uids: impl IntoIterator<Item = &'a str>) {
        self.others.extend(uids.into_iter().map(shorten_uid).map(str::to_owned));
        self.others.sort_unstable();
        self.others.dedup();
        self.others.truncate(NAMED);
    }

    fn add_many(&mut self, phase: Option<Phase>, count: u32) {
        if count == 0 {
            return;
        }
        let sum = phase.map_or(&mut self.unknown, |phase| self.by_phase.entry(phase).or_default());
        *sum = sum.saturating_add(count);
    }
}

/// The characters of a pod's UID that name it on its node.
#[must_use]
pub fn shorten_uid(uid: &str) -> &str {
    uid.get(..UID_CHARS).unwrap_or(uid)
}

impl Serialize for AttachmentCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (phase, count) in self.by_phase.iter().filter(|(_, count)| **count > 0) {
            map.serialize_entry(phase.as_str(), count)?;
        }
        if self.unknown > 0 {
            map.serialize_entry(UNKNOWN, &self.unknown)?;
        }
        if !self.others.is_empty() {
            map.serialize_entry(OTHERS, &self.others)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for AttachmentCounts {
    /// A count of what is no phase is unknown: a reader must not take what it does not understand for nothing.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = AttachmentCounts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of counts by phase")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AttachmentCounts, A::Error> {
                let mut attached = AttachmentCounts::default();
                let mut keys = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if keys.contains(&key) {
                        return Err(A::Error::custom(format!("{key:?} is there twice")));
                    }
                    if key == OTHERS {
                        attached.others = map.next_value()?;
                    } else {
                        attached.add_many(Phase::parse(&key), map.next_value()?);
                    }
                    keys.push(key);
                }
                Ok(attached)
            }
        }
        deserializer.deserialize_map(Counts)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for AttachmentCounts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Attached".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let count = serde_json::json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
        let keys = Phase::ALL.map(Phase::as_str).into_iter().chain([UNKNOWN]);
        let mut properties: serde_json::Map<String, serde_json::Value> =
            keys.map(|key| (key.to_owned(), count.clone())).collect();
        let named = serde_json::json!({ "type": "array", "items": { "type": "string" }, "maxItems": NAMED });
        properties.insert(OTHERS.to_owned(), named);
        schemars::json_schema!({
            "description": "Attachments by the phase that they were attached in, those that are being deleted included. A count of zero is left out.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_without_zeros_and_read_with_any_key() {
        let mut attached = AttachmentCounts::default();
        for phase in [Some(Phase::BothOld), Some(Phase::Old), None, Some(Phase::Old)] {
            attached.add(phase);
        }
        attached.by_phase.insert(Phase::New, 0);
        let text = serde_json::to_string(&attached).expect("JSON");
        assert_eq!(text, r#"{"old":2,"both-old":1,"unknown":1}"#);
        attached.by_phase.remove(&Phase::New);
        for text in [
            text.as_str(),
            r#"{"old":2,"both-old":1,"later":1,"new":0}"#,
            r#"{"unknown":1,"both-old":1,"old":2,"others":[]}"#,
        ] {
            assert_eq!(serde_json::from_str::<AttachmentCounts>(text).expect("valid"), attached, "{text}");
        }
        assert_eq!(serde_json::to_string(&AttachmentCounts::default()).expect("JSON"), "{}");
    }

    #[test]
    fn so_many_pods_are_named_and_each_once() {
        let uids: Vec<String> = (0..100).map(|index| format!("{index:08}-aaaa-bbbb")).collect();
        let mut attached = AttachmentCounts::default();
        attached.name(uids.iter().rev().chain(&uids).map(String::as_str));
        assert_eq!(attached.others.len(), NAMED);
        assert_eq!(
            (attached.others[0].as_str(), attached.others[NAMED - 1].as_str()),
            ("00000000", "00000063")
        );
        assert_eq!(shorten_uid("é1234567"), "é1234567".get(..UID_CHARS).unwrap_or("é1234567"));
    }

    #[test]
    fn names_come_back_and_a_count_stays_the_largest_there_is() {
        let mut attached = AttachmentCounts {
            unknown: u32::MAX,
            others: vec!["1f2e3d4c".into()],
            ..AttachmentCounts::default()
        };
        attached.add(None);
        assert_eq!(attached.unknown, u32::MAX);
        let text = serde_json::to_string(&attached).expect("JSON");
        assert_eq!(serde_json::from_str::<AttachmentCounts>(&text).expect("valid"), attached, "{text}");
    }
}
