//! The result of the last pass of a unit that `watch` starts and does not wait for.

use serde::{Deserialize, Serialize};
use types::status::NotMoved;

/// After how many seconds systemd ends the unit of a pass.
pub const LIMIT_SECS: u64 = 900;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// `sweep` closes attachments whose sandboxes the runtime no longer lists.
    Sweep,
    /// `move-pods` lets networks join and leave pods that run.
    MovePods,
}

impl Pass {
    /// The name of the unit in which it runs.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Sweep => "crossfade-sweep",
            Self::MovePods => "crossfade-move-pods",
        }
    }

    /// The name of the file with its result, in the run directory.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Sweep => "sweep.json",
            Self::MovePods => "move-pods.json",
        }
    }
}

/// The result of one pass. It names attachments and pods and quotes no delegate, because every user may read what `watch` publishes of it.
///
/// *Shape*: `{"version":1,"turn":2,"bootID":"..","failed":"list the sandboxes of ..: .."}`, without `failed` where the pass did what it had to.
/// One of `move-pods` also has `"pods":{"policySHA256":"5f..","restarts":1,"notMoved":{"connections":2,"failed":0}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassResult {
    /// Version of this shape; 1.
    pub version: u32,
    /// The number of the pass within this boot.
    pub turn: u64,
    /// The kernel's id of the boot in which the pass ran.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Why the pass failed; `None` if it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The pods that networks joined and left; none for another pass, and for one that ended before it looked at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsResult>,
}

/// The pods after a pass of `move-pods`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodsResult {
    /// SHA-256 of the policy that the pass went by, in hex.
    #[serde(rename = "policySHA256")]
    pub policy_sha256: String,
    /// How many pods only a restart brings to the networks of that policy.
    pub restarts: u32,
    /// Pods that need no restart, and are not on those networks.
    #[serde(rename = "notMoved", default)]
    pub not_moved: NotMoved,
}
