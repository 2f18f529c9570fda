//! Profiles: the facts about each CNI on a node, such as its confs, its probes, and its effects on other CNIs. Each CNI has one data file.
//!
//! The files are `types/profiles/*.json`, and each fact names its source there. Any other CNI is [`GENERIC`], about which Crossfade assumes nothing.
//! `seal` refuses an image that has the state of an agent (`state`), and `cleanup` removes what a CNI leaves on a node (`leaves`).

mod allowed;
mod annotations;
mod leaves;
mod pattern;
mod profiles;
mod unknown;

pub use self::annotations::PodAnnotations;
pub use self::leaves::{
    ChainPattern, CommentPattern, Leaves, LinkPattern, LinkRole, Reboot, RoutePattern, RulePattern, Selector,
    TablePattern,
};
pub use self::pattern::Pattern;
pub use self::profiles::{OwnProfiles, Profiles};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::api::taint::Taint;
pub use crate::node::Proof;
use crate::packets::PacketPath;
use crate::policy;
pub use crate::policy::{Join, Secondary};

/// The name of the profile that assumes nothing; what a network without `profile` has.
pub const GENERIC: &str = "generic";

const FILES: [&str; 12] = [
    include_str!("../profiles/antrea.json"),
    include_str!("../profiles/aws-vpc.json"),
    include_str!("../profiles/azure.json"),
    include_str!("../profiles/calico.json"),
    include_str!("../profiles/canal.json"),
    include_str!("../profiles/cilium.json"),
    include_str!("../profiles/flannel.json"),
    include_str!("../profiles/kindnet.json"),
    include_str!("../profiles/kube-router.json"),
    include_str!("../profiles/multus.json"),
    include_str!("../profiles/ovn-kubernetes.json"),
    include_str!("../profiles/weave.json"),
];

/// What Crossfade knows of one CNI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// The name by which a policy calls the profile.
    pub name: String,
    /// File names of the CNI's conf, the likeliest first.
    pub conf: Vec<String>,
    /// Plugin types that only this CNI has. The list is empty if only the conf's name tells the CNI.
    pub types: Vec<String>,
    /// Probes that all hold when the CNI can attach a pod. The list is empty if none is known to be certain.
    pub probes: Vec<Probe>,
    /// What tells an ADD after a reboot that the agent is not up yet.
    pub evidence: Evidence,
    /// The taint that the CNI lifts itself once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_taint: Option<Taint>,
    /// The label and taint of nodes in a migration to this CNI, as the CNI's own migration guide names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// How the CNI's readiness can be proven on the node.
    pub proof: Proof,
    /// What the CNI lets a scratch attachment do that belongs to no Pod. Default: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<Vec<PacketPath>>,
    /// Whether the CNI works as the second network of a pod, whose Pod status has the other network's address.
    pub secondary: Secondary,
    /// Whether the CNI can join a pod that runs, and leave one. Default: refused.
    #[serde(default)]
    pub join: Join,
    /// How the agent takes the conf directory for itself, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<Exclusive>,
    /// What a person does so that the agent writes its conf into another directory or not at all, as `set .. and restart ..`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf_setting: Option<String>,
    /// What the CNI does to the Node's condition NetworkUnavailable.
    pub network_unavailable: NetworkUnavailable,
    /// Files that the agent leaves on a node and recognises the node by. Files of packages are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
    /// The profiles of the CNIs that this one is made of: what it leaves is theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// What the CNI leaves on a node once its agent is gone. Without it, `cleanup` removes nothing of the CNI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Leaves>,
    /// The annotations that the CNI's plugin writes on a Pod and that may stay behind there. Without them, `sweep` removes no annotation for the CNI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_annotations: Option<PodAnnotations>,
    /// The source of each fact: upstream repository and file.
    pub sources: BTreeMap<String, String>,
}

impl Profile {
    /// Reads a profile that a person wrote, which takes the place of the built-in one of that name.
    ///
    /// # Errors
    /// In words: what is no profile, another name than `name`, or something among what the CNI leaves that is not one CNI's alone, annotations
    /// included.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if read.name != name {
            return Err(format!("name: expected {name:?}, the name of the file, and found {:?}", read.name));
        }
        read.leaves.as_ref().map_or(Ok(()), allowed::check)?;
        read.pod_annotations.as_ref().map_or(Ok(()), PodAnnotations::check)?;
        Ok(read)
    }

    /// Whether a policy waits for a file that `watch` keeps as well.
    #[must_use]
    pub fn needs_watch(&self) -> bool {
        self.evidence == Evidence::Watch || self.probes.iter().any(Probe::is_for_watch)
    }

    /// Its probes as a policy spells them. The last one is the file that `watch` keeps while all of them hold, where those that an ADD asks
    /// do not show enough.
    #[must_use]
    pub fn policy_probes(&self, file_of_watch: &Path) -> Vec<policy::Probe> {
        let mut all: Vec<_> = self.probes.iter().filter_map(Probe::to_policy).collect();
        if self.needs_watch() {
            all.push(policy::Probe::File(file_of_watch.into()));
        }
        all
    }

    /// Whether a file's name says that the agent took a conf of this name away.
    #[must_use]
    pub fn takes(&self, file: &str) -> bool {
        self.exclusive.as_ref().is_some_and(|exclusive| file.ends_with(&exclusive.suffix))
    }
}

/// A probe, which tells whether a CNI is ready: the kinds of a policy, and two that only `watch` can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Probe {
    /// A connect to this socket succeeds.
    Unix {
        /// The socket's path.
        unix: PathBuf,
    },
    /// A regular file exists there.
    File {
        /// The file's path.
        file: PathBuf,
    },
    /// A GET over HTTP answers 2xx.
    Http {
        /// `HOST:PORT/PATH`; `localhost` is 127.0.0.1 and ::1, of which one suffices.
        http: String,
        /// Extra request headers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// A GET over HTTPS answers 2xx; the agent's certificate is its own, so it proves nothing and is not checked.
    Https {
        /// `HOST:PORT/PATH`, as for HTTP.
        https: String,
    },
    /// The standard gRPC health service says SERVING for the whole server.
    Grpc {
        /// Where the service may listen: absolute paths of unix sockets, or `HOST:PORT`. The first that accepts a connection counts.
        grpc: Vec<String>,
    },
}

impl Probe {
    /// As a policy spells it; none where only `watch` can ask it.
    #[must_use]
    pub fn to_policy(&self) -> Option<policy::Probe> {
        match self {
            Self::Unix { unix } => Some(policy::Probe::Unix(unix.clone())),
            Self::File { file } => Some(policy::Probe::File(file.clone())),
            Self::Http { http, headers } => Some(policy::Probe::Http {
                target: http.clone(),
                headers: headers.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            }),
            Self::Https { .. } | Self::Grpc { .. } => None,
        }
    }

    /// Whether only `watch` can ask it; then a policy gets the file that `watch` keeps instead.
    #[must_use]
    pub const fn is_for_watch(&self) -> bool {
        matches!(self, Self::Https { .. } | Self::Grpc { .. })
    }
}

/// What tells an ADD, after a reboot and with the agent down, that the network is not ready yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Evidence {
    /// A socket of the CNI, or a file of the CNI on tmpfs.
    Own,
    /// The file that `watch` keeps while all probes hold, because an ADD can ask nothing of the CNI's own.
    Watch,
    /// Nothing, because no probe of the CNI is known.
    None,
}

/// What nodes of a migration to a CNI are registered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Migration {
    /// The label, key and value, by which the CNI's agents select the nodes whose pods are theirs.
    pub label: (String, String),
    /// The taint that keeps pods away until the agent is ready. The CNI lifts it as it lifts the start-up taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
}

/// How an agent takes the conf directory for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exclusive {
    /// The suffix that the agent appends to the names of all other confs.
    pub suffix: String,
    /// What a person does to stop this, as `set .. and restart ..`.
    pub setting: String,
}

/// What a CNI does to the Node's condition NetworkUnavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkUnavailable {
    /// The CNI or its operator writes the condition, so no other program has to.
    pub written: bool,
    /// The CNI leaves the condition True when it is removed.
    pub left_true: bool,
}

#[cfg(test)]
mod tests;
