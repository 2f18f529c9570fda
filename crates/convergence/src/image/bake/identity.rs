//! The identity of an image: by it a cluster tells the nodes of one image from those of the next, without asking a cloud.
//!
//! It is a digest of what makes a node of the image take part: the package's release, the policy, and node.json without the identity itself. Equal
//! content has an equal identity, on whatever machine and day it is baked. An image that differs in nothing of Crossfade's keeps it. A person who
//! wants a new one for each build gives the label a value.

use serde_json::value::RawValue;
use types::api::node_keys::IMAGE;
use types::json::raw::raw_string;
use types::json::splice::splice;
use types::node::Node;

use crate::node::digest::sha256;

/// Hexadecimal digits of an identity: few enough for a column of `kubectl get nodes -L`, and enough for every image that a fleet ever has.
const DIGITS: usize = 12;

/// What an image is, as far as `bake` writes it or finds it.
#[derive(Debug, Clone, Copy)]
pub struct ImageContent<'a> {
    /// The bytes of the package's release.json; none in a tree without the package.
    pub release: Option<&'a [u8]>,
    pub policy: Option<&'a [u8]>,
    /// node.json without the identity.
    pub node: &'a [u8],
}

impl ImageContent<'_> {
    /// The identity of this content: a label's value.
    #[must_use]
    pub fn identity(&self) -> String {
        // Each part with its length, so that no part can pass for the end of the one before.
        let mut bytes = Vec::new();
        for part in [self.release, self.policy, Some(self.node)] {
            let length = part.map_or_else(|| "none".to_owned(), |part| part.len().to_string());
            bytes.extend(format!("{length}\n").into_bytes());
            bytes.extend(part.unwrap_or_default());
        }
        let mut digest = sha256(&bytes);
        digest.truncate(DIGITS);
        digest
    }

    /// The node.json with its identity among the labels. One that is not valid, and one that names its image itself, stay as they are.
    #[must_use]
    pub fn with_label(&self) -> Vec<u8> {
        let is_named = Node::parse(self.node).map_or(true, |node| node.labels.contains_key(IMAGE));
        let text = std::str::from_utf8(self.node).ok().filter(|_| !is_named);
        let value: Box<RawValue> = raw_string(&self.identity());
        let spliced = text.and_then(|text| splice(text, &["labels", IMAGE], &value).ok());
        spliced.map_or_else(|| self.node.to_vec(), String::into_bytes)
    }
}

#[cfg(test)]
mod tests {
    use types::text::qualified;

    use super::*;

    fn image_content<'a>(
        release: Option<&'a str>,
        policy: Option<&'a str>,
        node: &'a str,
    ) -> ImageContent<'a> {
        ImageContent {
            release: release.map(str::as_bytes),
            policy: policy.map(str::as_bytes),
            node: node.as_bytes(),
        }
    }

    #[test]
    fn equal_content_has_an_equal_identity_and_any_other_another() {
        let all = [
            image_content(None, None, "{}"),
            image_content(None, None, "{} "),
            image_content(None, Some(""), "{}"),
            image_content(Some(""), None, "{}"),
            image_content(Some("a"), Some("b"), "c"),
            image_content(Some("ab"), Some(""), "c"),
            image_content(Some(""), Some("ab"), "c"),
            image_content(Some("a"), Some("b1\nc"), ""),
        ];
        for (number, content) in all.iter().enumerate() {
            let id = content.identity();
            assert!(id.len() == DIGITS && qualified::value(&id).is_ok(), "{id}");
            assert_eq!(all.iter().position(|other| other.identity() == id), Some(number), "{content:?}");
        }
    }

    #[test]
    fn the_label_is_added_and_no_other_byte_changes() {
        let value = |content: ImageContent<'_>| format!("\"{}\"", content.identity());
        for (node, expected) in [
            ("{ \"version\": 1 }", "{\"labels\": {\"crossfade/image\": ID}, \"version\": 1 }"),
            (
                "{\"version\":1,\"labels\":{ \"a\":\"b\" }}",
                "{\"version\":1,\"labels\":{\"crossfade/image\": ID, \"a\":\"b\" }}",
            ),
            (
                "{\"version\":1,\"labels\":{\"crossfade/image\":\"mine\"}}",
                "{\"version\":1,\"labels\":{\"crossfade/image\":\"mine\"}}",
            ),
            ("{\"version\":2}", "{\"version\":2}"),
        ] {
            let content = image_content(Some("r"), None, node);
            let labelled = String::from_utf8(content.with_label()).expect("text");
            assert_eq!(labelled, expected.replace("ID", &value(content)));
        }
    }
}
