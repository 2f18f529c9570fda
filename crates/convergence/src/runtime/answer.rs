//! The runtime's answer to the question which conf it uses now.
//!
//! A conf that lies in the directory is not a conf that the runtime has loaded: containerd 1.6 keeps what it had when a file is only
//! moved into place. So every statement that Crossfade is installed, or that pods come through Crossfade, is decided on this answer.

use crate::runtime::CniSetup;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeAnswer {
    /// No runtime is asked: the command asks none, the operator chose `none`, or the tree is no node.
    NotAsked,
    /// Nothing says which runtime it is; what to name.
    Unknown(String),
    /// It does not run: there is no socket.
    Absent(String),
    /// It is there and does not answer; why.
    Failed(String),
    /// A runtime answered and does not tell what it has loaded. *Source*: CRI-O, whose Status has no `cniconfig`.
    Silent,
    /// Its setup, and what it has loaded.
    Setup(CniSetup),
}

/// Whether the next pod comes through Crossfade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfUse {
    Ours,
    /// It does not; what the runtime has loaded instead, in words.
    Other(String),
    /// No runtime was asked, or the runtime does not tell: other evidence has to do.
    Unknown,
    /// The request failed; why.
    Failed(String),
}

impl RuntimeAnswer {
    /// The setup in the answer.
    #[must_use]
    pub const fn setup(&self) -> Option<&CniSetup> {
        match self {
            Self::Setup(setup) => Some(setup),
            Self::NotAsked | Self::Unknown(_) | Self::Absent(_) | Self::Failed(_) | Self::Silent => None,
        }
    }

    /// Why the runtime has not answered, where one was asked.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) | Self::Absent(why) | Self::Failed(why) => Some(why),
            Self::NotAsked | Self::Silent | Self::Setup(_) => None,
        }
    }

    /// Whether the next pod comes through Crossfade's network, which is called `name`.
    #[must_use]
    pub fn uses(&self, name: &str) -> ConfUse {
        match self {
            Self::NotAsked | Self::Silent => ConfUse::Unknown,
            Self::Unknown(why) | Self::Absent(why) | Self::Failed(why) => ConfUse::Failed(why.clone()),
            Self::Setup(setup) if setup.is_ours(name) => ConfUse::Ours,
            Self::Setup(setup) => ConfUse::Other(setup.describe()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;

    fn name(max_confs: u64, networks: &[(&str, &str)]) -> RuntimeAnswer {
        let network = |(name, plugin): &(&str, &str)| Network {
            name: (*name).to_owned(),
            types: vec![(*plugin).to_owned()],
            // As the library makes a list of a single conf.
            conf: format!(
                r#"{{"name":"{name}","plugins":[{{"type":"{plugin}","clusterNetwork":"{}"}}]}}"#,
                if *plugin == "multus" { "ours" } else { "" }
            ),
        };
        RuntimeAnswer::Setup(CniSetup {
            conf_dir: "/etc/cni/net.d".into(),
            bin_dirs: Vec::new(),
            max_confs,
            networks: networks.iter().map(network).collect(),
        })
    }

    #[test]
    fn only_our_conf_alone_is_ours() {
        for (networks, ours) in [
            (&[("ours", "crossfade")][..], true),
            (&[("other", "multus")], true),
            (&[("cilium", "cilium-cni")], false),
            (&[("ours", "crossfade"), ("cilium", "cilium-cni")], false),
            (&[], false),
        ] {
            assert_eq!(name(1, networks).uses("ours") == ConfUse::Ours, ours, "{networks:?}");
        }
        let other = name(1, &[("cilium", "cilium-cni")]).uses("another");
        assert_eq!(other, ConfUse::Other("it has loaded network cilium (cilium-cni)".into()));
        assert_eq!(name(1, &[]).uses("ours"), ConfUse::Other("it has loaded no conf".into()));
    }

    #[test]
    fn what_is_not_told_is_neither_yes_nor_no() {
        assert_eq!(RuntimeAnswer::NotAsked.uses("ours"), ConfUse::Unknown);
        assert_eq!(RuntimeAnswer::Silent.uses("ours"), ConfUse::Unknown);
        let absent = RuntimeAnswer::Absent("no runtime listens".into());
        for unknown in [absent, RuntimeAnswer::Unknown("why".into()), RuntimeAnswer::Failed("why".into())] {
            let why = unknown.trouble().expect("a reason").to_owned();
            assert_eq!(unknown.uses("ours"), ConfUse::Failed(why));
        }
    }
}
