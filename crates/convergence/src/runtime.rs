//! The container runtime as data: its sandboxes, its configuration and the confs that it uses.

pub mod answer;
pub mod cache;
pub mod conf_selection;
pub mod config;
pub mod endpoint;
pub mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use shim::node::layout::PLUGIN;
use shim::node::store::Key;
use shim::sweep::ListStatus;
use types::pod::RUNC_HANDLERS;

use crate::node::conf::confdir::Content;

/// How a runtime is set up for CNI, as far as it tells. *Source*: `cniconfig` in the verbose status of containerd's CRI plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniSetup {
    /// Where it looks for confs.
    pub conf_dir: PathBuf,
    /// Where it looks for plugins.
    pub bin_dirs: Vec<PathBuf>,
    /// How many confs it uses; 0 is all of them.
    pub max_confs: u64,
    /// The pod networks that it has loaded now, in its order; the loopback's, which every sandbox gets, is left out.
    pub networks: Vec<Network>,
}

/// A network that a runtime has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    /// The plugins' types, in order.
    pub types: Vec<String>,
    /// Its conf as it was loaded; empty where the runtime does not tell it.
    pub conf: String,
}

impl Network {
    /// Whether its pods come through Crossfade: by a plugin of Crossfade's type, or by a meta-plugin that delegates to Crossfade's network
    /// `name`.
    #[must_use]
    pub fn leads_to_us(&self, name: &str) -> bool {
        let delegates = || Content::parse(self.conf.as_bytes()).is_ok_and(|conf| conf.delegates_to_us(name));
        self.types.iter().any(|plugin| plugin == PLUGIN) || delegates()
    }
}

impl CniSetup {
    /// Whether every pod comes through Crossfade, whose network is called `name`.
    #[must_use]
    pub fn is_ours(&self, name: &str) -> bool {
        !self.networks.is_empty() && self.networks.iter().all(|network| network.leads_to_us(name))
    }

    /// Whether a plugin of Crossfade's is loaded at all.
    #[must_use]
    pub fn has_ours(&self) -> bool {
        self.networks.iter().any(|network| network.types.iter().any(|plugin| plugin == PLUGIN))
    }

    /// What it has loaded, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let describe = |network: &Network| format!("{} ({})", network.name, network.types.join(", "));
        match self.networks.as_slice() {
            [] => "it has loaded no conf".into(),
            [network] => format!("it has loaded network {}", describe(network)),
            all => {
                format!(
                    "it has loaded networks {}",
                    all.iter().map(describe).collect::<Vec<_>>().join(" and ")
                )
            }
        }
    }
}

/// A sandbox that runs on a pod network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The runtime handler that its pod asked for; empty for the default one.
    pub handler: String,
    /// The type of the low-level runtime behind that handler, if the runtime says it.
    pub runtime_type: Option<String>,
    /// The path of its network namespace, and its first process, if the runtime says them.
    pub netns: Option<PathBuf>,
    pub pid: Option<i32>,
}

/// Types of low-level runtimes whose containers use the sandbox's network namespace as it is: runc, and what is called as runc is.
const OF_RUNC: [&str; 3] =
    ["io.containerd.runc.v2", "io.containerd.runc.v1", "io.containerd.runtime.v1.linux"];

impl Sandbox {
    /// The `CNI_ARGS` that a CRI runtime passes for the sandbox.
    #[must_use]
    pub fn cni_args(&self) -> String {
        let Self { id, namespace, name, uid, .. } = self;
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID={uid}"
        )
    }

    /// Whether an interface that comes into the sandbox's network namespace is one of the pod's. A virtual machine (Kata) and gVisor read the interfaces
    /// when they start.
    #[must_use]
    pub fn sees_new_interfaces(&self) -> bool {
        match &self.runtime_type {
            Some(kind) => OF_RUNC.contains(&kind.as_str()),
            // CRI-O does not say the type; its default has no name.
            None => self.handler.is_empty() || RUNC_HANDLERS.contains(&self.handler.as_str()),
        }
    }
}

/// The sandboxes that live.
#[derive(Debug, Clone)]
pub enum SandboxList {
    /// The sandboxes of a CRI runtime by container id. It knows those that it made and no others.
    Cri(BTreeMap<String, State>),
    /// The whole truth, from a file.
    File(Vec<ListedAttachment>),
}

/// The state of a sandbox, as a CRI runtime tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    /// It was stopped, or ended with an earlier boot.
    NotReady,
}

/// One line of a listing in a file: `{"containerID":"..","ifname":"eth0"}`; without `ifname` all of its interfaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    #[serde(default)]
    ifname: Option<String>,
}

impl SandboxList {
    /// What the list says about an attachment; `by_cri` tells whether a CRI runtime made its sandbox.
    #[must_use]
    pub fn sees(&self, key: &Key, by_cri: bool) -> ListStatus {
        match self {
            Self::Cri(all) => match all.get(&key.container_id) {
                Some(State::Ready) => ListStatus::Listed,
                Some(State::NotReady) => ListStatus::Stopped,
                None if by_cri => ListStatus::Missing,
                None => ListStatus::OutOfScope,
            },
            Self::File(all) => {
                let is_listed = all.iter().any(|listed| {
                    listed.container_id == key.container_id
                        && listed.ifname.as_ref().is_none_or(|ifname| *ifname == key.ifname)
                });
                if is_listed { ListStatus::Listed } else { ListStatus::Missing }
            }
        }
    }

    /// The container ids on the list, in whichever state.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        match self {
            Self::Cri(all) => all.keys().cloned().collect(),
            Self::File(all) => all.iter().map(|listed| listed.container_id.clone()).collect(),
        }
    }

    /// Whether a runtime answered with nothing at all.
    #[must_use]
    pub fn is_empty_answer(&self) -> bool {
        matches!(self, Self::Cri(ids) if ids.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_asked_only_about_what_it_made_and_a_file_about_everything() {
        let cri =
            SandboxList::Cri([("c1".to_owned(), State::Ready), ("c3".to_owned(), State::NotReady)].into());
        let file: SandboxList = SandboxList::File(
            serde_json::from_str(r#"[{"containerID":"c1"},{"containerID":"c2","ifname":"eth0"}]"#)
                .expect("list"),
        );
        for (id, ifname, by_cri, of_cri, of_file) in [
            ("c1", "eth0", true, ListStatus::Listed, ListStatus::Listed),
            ("c1", "eth1", false, ListStatus::Listed, ListStatus::Listed),
            ("c2", "eth0", true, ListStatus::Missing, ListStatus::Listed),
            ("c2", "eth1", false, ListStatus::OutOfScope, ListStatus::Missing),
            ("c3", "eth0", true, ListStatus::Stopped, ListStatus::Missing),
            ("c3", "eth0", false, ListStatus::Stopped, ListStatus::Missing),
        ] {
            let key = Key::new(id, ifname);
            assert_eq!(cri.sees(&key, by_cri), of_cri, "{id} {ifname}");
            assert_eq!(file.sees(&key, by_cri), of_file, "{id} {ifname}");
        }
    }
}
