//! The ledger: what ended without its network's own word, one JSON line each.
//!
//! A retired network's attachment is cleaned locally when its own DEL keeps failing; and a DEL whose delegate failed on nothing
//! but a netns that is gone counts as done. What only that CNI could have undone (an address in a cluster-wide pool, a policy
//! entry) is told here, for the clean-up after the migration.

use serde::{Deserialize, Serialize};

/// One leg that was closed without its network's own word. No text of a delegate is in it: that may hold a token.
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
    /// Addresses the network may still think are in use.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub addresses: Vec<ipnetwork::IpNetwork>,
    /// Why its DEL failed.
    pub reason: String,
    /// What was removed on the node.
    pub removed: Vec<String>,
    /// What is certainly left, on the node or cluster-side: nobody who could remove it was asked.
    pub left: Vec<String>,
    /// What may be left: the plugin that keeps it was asked, and failed.
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// The lines of a ledger; a torn or unknown one is left out.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Line> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
