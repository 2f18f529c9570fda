//! The annotation `crossfade/observed` of a Node: what the cluster cannot know otherwise. `watch` writes it, `kubectl crossfade roll` reads it.
//!
//! A reader ignores keys that it does not know, and an absent key means that the `watch` which wrote the annotation does not report it. What
//! could not be observed is null, and never zero.

use serde::{Deserialize, Serialize};

use crate::api::read_annotation;
use crate::policy::{Phase, Side};

mod attached;

pub use attached::{AttachmentCounts, NAMED, UID_CHARS, shorten_uid};

/// The key of the annotation.
pub const KEY: &str = "crossfade/observed";

/// The largest annotation that `watch` writes, in bytes. Every value in it is bounded, so that the Nodes of a large cluster stay quick to list.
pub const MAX_BYTES: usize = 2048;

/// What the node says of itself.
///
/// *Shape*: `{"bootId":"1c..","phase":"both-old","policySha256":"5f..","base":"77..","mints":["both-old"],"follows":["old","both-old"],
/// "attached":{"old":3,"both-old":27,"others":["1f2e3d4c"]},"joins":["new"],"restarts":1,"echo":"r1.1.1"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        deny_unknown_fields,
        title = "Crossfade: what watch reports of a node (annotation crossfade/observed of its Node)",
        description = "It is of now when bootId is .status.nodeInfo.bootID of the Node and watch runs. A later watch may add keys."
    )
)]
pub struct NodeObservation {
    /// The boot that all of this is about.
    pub boot_id: String,
    /// The policy's phase; null while the policy cannot be used.
    pub phase: Option<Phase>,
    /// SHA-256 of the policy's bytes, in hex; null while the policy cannot be used.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub policy_sha256: Option<String>,
    /// SHA-256 of the policy without its phase and its probes, in hex: nodes that differ in the phase alone have the same one. Null while the
    /// policy cannot be used.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub base: Option<String>,
    /// The phases that the policy gives to new pods, by its phase, its rules and the annotations that it heeds. Sorted; empty while the policy
    /// cannot be used.
    pub mints: Vec<Phase>,
    /// The phases to which the node would follow the annotation crossfade/desired. Sorted.
    pub follows: Vec<Phase>,
    /// What is attached; null if the node cannot tell, which is not the same as nothing.
    pub attached: Option<AttachmentCounts>,
    /// The networks that join and leave pods that run when the node follows the annotation crossfade/desired. Sorted; empty if node.json does not
    /// allow it.
    pub joins: Vec<Side>,
    /// How many pods only a restart brings to the networks that the policy names now. Null while networks join or leave pods, and on a node
    /// where none do.
    pub restarts: Option<u32>,
    /// The identity of the node's image, as the label crossfade/image of node.json has it. Absent if node.json has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 63)))]
    pub image: Option<String>,
    /// The claim of the annotation crossfade/step: the node has read it. Null if there is none.
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub echo: Option<String>,
}

impl NodeObservation {
    /// Reads the annotation's value.
    ///
    /// # Errors
    /// One line: why this program cannot read the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        read_annotation(KEY, text)
    }

    /// The annotation's value.
    #[must_use]
    pub fn to_text(&self) -> String {
        crate::json::raw::to_raw(self).get().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::step::MAX_CLAIM_BYTES;

    #[test]
    fn the_largest_values_fit() {
        let by_phase = Phase::ALL.map(|phase| (phase, u32::MAX)).into();
        let others = (0..NAMED).map(|index| format!("{index:08}")).collect();
        let attached = AttachmentCounts { by_phase, unknown: u32::MAX, others };
        let largest = NodeObservation {
            phase: Some(Phase::BothOld),
            policy_sha256: Some("f".repeat(64)),
            // As long as the file that it is read from may be.
            boot_id: "f".repeat(64),
            attached: Some(attached),
            base: Some("f".repeat(64)),
            mints: Phase::ALL.into(),
            follows: Phase::ALL.into(),
            joins: Side::BOTH.into(),
            restarts: Some(u32::MAX),
            image: Some("f".repeat(63)),
            // A quote takes two bytes.
            echo: Some("\"".repeat(MAX_CLAIM_BYTES)),
        };
        let text = largest.to_text();
        assert!(text.len() < MAX_BYTES, "{} bytes: {text}", text.len());
        assert_eq!(NodeObservation::parse(&text), Ok(largest));
    }

    #[test]
    fn it_is_read_without_the_keys_of_a_later_watch_and_with_those_of_an_earlier_one() {
        let boot = |boot_id: &str| NodeObservation { boot_id: boot_id.into(), ..NodeObservation::default() };
        for (text, expected) in [
            (
                r#"{"phase":"old","policySha256":"ab","bootId":"b"}"#,
                NodeObservation { phase: Some(Phase::Old), policy_sha256: Some("ab".into()), ..boot("b") },
            ),
            (r#"{"bootId":"b","later":{"x":[1]}}"#, boot("b")),
            (r#"{"phase":null,"policySha256":null,"bootId":"b","attached":null,"echo":null}"#, boot("b")),
            (
                r#"{"bootId":"b","attached":{}}"#,
                NodeObservation { attached: Some(AttachmentCounts::default()), ..boot("b") },
            ),
            (r#"{"bootId":"b","image":"5f2c"}"#, NodeObservation { image: Some("5f2c".into()), ..boot("b") }),
            (r#"{}"#, boot("")),
        ] {
            assert_eq!(NodeObservation::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"phase":"both"}"#,
            r#"{"mints":["old","later"]}"#,
            r#"{"attached":{"old":-1}}"#,
            r#"{"attached":{"old":1,"old":2}}"#,
        ] {
            let why = NodeObservation::parse(text).expect_err(text);
            assert!(why.contains(KEY), "{why}");
        }
    }
}
