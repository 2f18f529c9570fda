//! A CNI's leftovers on a node once its agent is gone, by names that no other program uses.
//!
//! `crossfade-bootstrap cleanup` removes these things and nothing else. So each name is exact or an anchored [`Pattern`], and each list has its
//! source in [`sources`](super::Profile::sources), under `leaves.LIST`. A name that is not in the CNI's own sources does not belong
//! here, but to `look`, which is only reported.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;

/// What a CNI leaves on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leaves {
    /// The agent's processes, by the names that the kernel has for them (`comm`). While one runs, nothing is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// The names that the CNI's own installer gives the network. They name leases and rules of the standard plugins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Whether the standard plugin `host-local` keeps the network's addresses on the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leases: bool,
    /// Interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkPattern>,
    /// Routes, beside those that end with their interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RoutePattern>,
    /// Routing rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RulePattern>,
    /// The priority to which the CNI moves the rule that looks up the table `local`, which the kernel has at 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rule: Option<u32>,
    /// Chains of iptables, and where they are jumped to from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<ChainPattern>,
    /// Rules of iptables in chains that are everybody's, by a comment that only this CNI writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<CommentPattern>,
    /// Sets of addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ipsets: Vec<Pattern>,
    /// Tables of nftables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nft_tables: Vec<TablePattern>,
    /// Mount points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<PathBuf>,
    /// Pinned BPF objects, and directories of them, below /sys/fs/bpf. The last component may be a pattern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pattern>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// Directories with all that is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<PathBuf>,
    /// The CNI's own programs in the directories where the runtime looks for plugins. Standard plugins are everybody's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// What only a reboot removes, if one of these interfaces or paths shows that it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboot: Vec<Reboot>,
    /// Interfaces that are probably the CNI's, and that a person has to judge: their names are not its alone, or were not read in its
    /// sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look: Vec<LinkPattern>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinkPattern {
    /// The interface's name.
    pub name: Pattern,
    /// The kind that the kernel has for it: `veth`, `vxlan`, `bridge`.
    pub kind: String,
    /// What the interface is to the CNI.
    #[serde(default, skip_serializing_if = "LinkRole::is_own")]
    pub role: LinkRole,
    /// Whether it is the CNI's only if one of its addresses lies in the network's `cidrs` of the policy, because others use the name as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub within: bool,
}

/// What an interface is to its CNI, and so what becomes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LinkRole {
    /// The interface is the CNI's alone, and is removed.
    #[default]
    Own,
    /// The host's end of a pod's interface. While its other end is in another network namespace, a pod lives on the network. Otherwise it is
    /// removed.
    Pod,
    /// A bridge of pods, which the standard plugin makes. It is removed if it has no port and no other conf names it.
    Bridge,
    /// A kernel module's own interface, which cannot be removed. It is set down and loses its addresses.
    Down,
    /// A switch of the kernel that only a reboot removes. While one of its ports has its other end in another network namespace, a pod lives on
    /// the network.
    Switch,
}

impl LinkRole {
    fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// Routes, by everything that is said of them. At least two things are said, or the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoutePattern {
    /// The routing protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The interface by which the route leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Pattern>,
    /// The destination lies in the network's `cidrs` of the policy. Without a policy, no route does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub within: bool,
}

/// Routing rules. A rule that selects by anything else belongs to another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RulePattern {
    /// The rule's priority.
    pub priority: u32,
    /// The first and the last of the tables that the rule looks up.
    pub tables: (u32, u32),
    /// The mark and its mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<(u32, u32)>,
    /// The source.
    #[serde(default, skip_serializing_if = "Selector::is_all")]
    pub from: Selector,
    /// The destination.
    #[serde(default, skip_serializing_if = "Selector::is_all")]
    pub to: Selector,
    /// The interface by which a packet came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iif: Option<Pattern>,
}

/// Which addresses a rule selects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Selector {
    /// All of them.
    #[default]
    All,
    /// One address.
    Host,
    /// One address or a range, but not all.
    Some,
}

impl Selector {
    fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether a selector of this prefix length, of addresses of `bits` bits, is one of these.
    #[must_use]
    pub fn takes(self, prefix: u8, bits: u8) -> bool {
        match self {
            Self::All => prefix == 0,
            Self::Host => prefix == bits,
            Self::Some => prefix > 0 && prefix <= bits,
        }
    }
}

/// Chains of iptables, in both families and both back ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChainPattern {
    /// The chain's name.
    pub name: Pattern,
    /// The tables.
    pub tables: Vec<String>,
    /// The built-in chains from which the CNI jumps there. A jump from elsewhere is another program's, and keeps the chain.
    pub jumps: Vec<String>,
}

/// Rules of iptables by a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommentPattern {
    /// One whole comment of the rule.
    pub comment: Pattern,
    /// The tables.
    pub tables: Vec<String>,
    /// The built-in chains.
    pub chains: Vec<String>,
}

/// A table of nftables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TablePattern {
    /// The family: `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: String,
    /// The table's name.
    pub name: String,
}

/// What only a reboot removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reboot {
    /// Interfaces that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Pattern>,
    /// Paths that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathBuf>,
    /// What remains, and what it does.
    pub why: String,
}

impl Leaves {
    /// The names of its lists that say anything, as [`sources`](super::Profile::sources) names them.
    #[must_use]
    pub fn lists(&self) -> Vec<&'static str> {
        let leaves = [
            ("leaves.agents", !self.agents.is_empty()),
            ("leaves.networks", !self.networks.is_empty()),
            ("leaves.leases", self.leases),
            ("leaves.links", !self.links.is_empty()),
            ("leaves.routes", !self.routes.is_empty()),
            ("leaves.rules", !self.rules.is_empty()),
            ("leaves.localRule", self.local_rule.is_some()),
            ("leaves.chains", !self.chains.is_empty()),
            ("leaves.comments", !self.comments.is_empty()),
            ("leaves.ipsets", !self.ipsets.is_empty()),
            ("leaves.nftTables", !self.nft_tables.is_empty()),
            ("leaves.mounts", !self.mounts.is_empty()),
            ("leaves.pins", !self.pins.is_empty()),
            ("leaves.files", !self.files.is_empty()),
            ("leaves.directories", !self.directories.is_empty()),
            ("leaves.programs", !self.programs.is_empty()),
            ("leaves.reboot", !self.reboot.is_empty()),
            ("leaves.look", !self.look.is_empty()),
        ];
        leaves.into_iter().filter(|(_, is_named)| *is_named).map(|(name, _)| name).collect()
    }
}
