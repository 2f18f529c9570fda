//! The ledger: attachments that Crossfade closed although a network's own DEL did not succeed, one JSON line each.
//!
//! A retired network's attachment is cleaned locally when its own DEL keeps failing; and a DEL whose delegate failed on nothing
//! but a netns that is gone counts as done. What only that CNI could have undone (an address in a cluster-wide pool, a policy
//! entry) is told here, for the clean-up after the migration.

use serde::{Deserialize, Serialize};

/// One network of an attachment that was closed without a successful DEL. The line holds no text of a delegate, because that may hold a token.
///
/// *Shape*: `{"version":1,"wallSecs":1790000000,"containerID":"..","ifname":"eth0","network":"oldnet","addresses":["10.1.0.5/32"],
/// "reason":"..","removed":[".."],"left":[".."],"unknown":[".."]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Line {
    /// 1.
    pub version: u32,
    /// Seconds since 1970.
    #[serde(rename = "wallSecs")]
    pub wall_secs: u64,
    /// Container id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The network's interface in the pod.
    pub ifname: String,
    /// The network's own name.
    pub network: String,
    /// The addresses that the network may still treat as in use.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub addresses: Vec<ipnetwork::IpNetwork>,
    /// Why the network's DEL failed.
    pub reason: String,
    /// The objects that Crossfade removed on the node.
    pub removed: Vec<String>,
    /// The objects that are certainly left, on the node or in the cluster, because no plugin that could remove them was called.
    #[serde(rename = "left")]
    pub leftovers: Vec<String>,
    /// The objects that may be left, because the plugin that keeps them was called and failed.
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// Parses the lines of a ledger, without torn or unknown ones.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Line> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
