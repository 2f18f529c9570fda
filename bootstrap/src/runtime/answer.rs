//! What the runtime answers when it is asked what it uses now.
//!
//! A conf that lies in the directory is not a conf that the runtime has loaded: containerd 1.6 keeps what it had when a file is only
//! moved into place. So every statement that Crossfade is installed, or that pods come through Crossfade, is decided on this answer.

use super::CniSetup;
use super::cri::Runtime;
use super::endpoint::RuntimeChoice;
use super::facts::RuntimeFacts;
use shim::inventory::Deleter;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeAnswer {
    /// Nobody was to be asked: the command does not ask, somebody said so, or the tree is no node.
    NotAsked,
    /// Nothing says which runtime it is; what to name.
    Unknown(String),
    /// It does not run: there is no socket.
    Absent(String),
    /// It is there and does not answer; why.
    Unanswered(String),
    /// A runtime answered and does not tell what it has loaded. *Source*: CRI-O, whose Status has no `cniconfig`.
    Silent,
    /// Its setup, and what it has loaded.
    Told(CniSetup),
}

/// Whether the next pod comes through Crossfade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfUse {
    /// It does.
    Ours,
    /// It does not; what the runtime has loaded instead, in words.
    Other(String),
    /// Nobody was asked, or the runtime does not tell: other evidence has to do.
    Untold,
    /// Nobody answered; why.
    Unanswered(String),
}

impl RuntimeAnswer {
    /// Asks the runtime that was found, if there is one to ask.
    #[must_use]
    pub fn whom(whom: &RuntimeChoice) -> Self {
        match whom {
            RuntimeChoice::Nobody | RuntimeChoice::NotSought => Self::NotAsked,
            RuntimeChoice::Unknown(why) => Self::Unknown(why.to_string()),
            RuntimeChoice::At(endpoint) => match Runtime::at(endpoint) {
                Ok(runtime) => Self::ask(&runtime, endpoint),
                Err(why) => Self::Unknown(why.to_string()),
            },
        }
    }

    fn ask(runtime: &Runtime, endpoint: &str) -> Self {
        if !runtime.is_there() {
            return Self::Absent(format!(
                "no runtime listens at {endpoint}: it does not run, or it is another one"
            ));
        }
        match runtime.cni_setup() {
            Ok(setup) => setup.map_or(Self::Silent, Self::Told),
            Err(why) => Self::Unanswered(format!("{why:#}")),
        }
    }

    /// What it told.
    #[must_use]
    pub const fn setup(&self) -> Option<&CniSetup> {
        match self {
            Self::Told(setup) => Some(setup),
            Self::NotAsked | Self::Unknown(_) | Self::Absent(_) | Self::Unanswered(_) | Self::Silent => None,
        }
    }

    /// Why nobody has answered, where somebody was to.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) | Self::Absent(why) | Self::Unanswered(why) => Some(why),
            Self::NotAsked | Self::Silent | Self::Told(_) => None,
        }
    }

    /// Whether the next pod comes through Crossfade's network, which is called `name`.
    #[must_use]
    pub fn uses(&self, name: &str) -> ConfUse {
        match self {
            Self::NotAsked | Self::Silent => ConfUse::Untold,
            Self::Unknown(why) | Self::Absent(why) | Self::Unanswered(why) => {
                ConfUse::Unanswered(why.clone())
            }
            Self::Told(setup) if setup.is_ours(name) => ConfUse::Ours,
            Self::Told(setup) => ConfUse::Other(setup.in_words()),
        }
    }
}

/// What CRI-O calls itself. *Source*: `server/version.go` of CRI-O, `containerName`.
const CRIO_NAME: &str = "cri-o";

/// Who sends the DELs of what is attached already: the runtime says by its name whether it replays the confs of its ADDs.
/// One that cannot be asked is told by its configuration.
#[must_use]
pub fn deleter(runtime: &RuntimeFacts) -> Deleter {
    let told = runtime
        .whom
        .endpoint()
        .and_then(|endpoint| Runtime::at(endpoint).ok())
        .filter(Runtime::is_there)
        .and_then(|runtime| runtime.name().ok());
    let is_crio = match told {
        Some(name) => name == CRIO_NAME,
        None => runtime.crio().is_some(),
    };
    if is_crio { Deleter::Runtime } else { Deleter::Crossfade }
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;

    fn told(max_confs: u64, networks: &[(&str, &str)]) -> RuntimeAnswer {
        let network = |(name, plugin): &(&str, &str)| Network {
            name: (*name).to_owned(),
            types: vec![(*plugin).to_owned()],
            // As the library makes a list of a single conf.
            conf: format!(
                r#"{{"name":"{name}","plugins":[{{"type":"{plugin}","clusterNetwork":"{}"}}]}}"#,
                if *plugin == "multus" { "ours" } else { "" }
            ),
        };
        RuntimeAnswer::Told(CniSetup {
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
            assert_eq!(told(1, networks).uses("ours") == ConfUse::Ours, ours, "{networks:?}");
        }
        let other = told(1, &[("cilium", "cilium-cni")]).uses("another");
        assert_eq!(other, ConfUse::Other("it has loaded network cilium (cilium-cni)".into()));
        assert_eq!(told(1, &[]).uses("ours"), ConfUse::Other("it has loaded no conf".into()));
    }

    #[test]
    fn what_is_not_told_is_neither_yes_nor_no() {
        assert_eq!(RuntimeAnswer::NotAsked.uses("ours"), ConfUse::Untold);
        assert_eq!(RuntimeAnswer::Silent.uses("ours"), ConfUse::Untold);
        let nobody = RuntimeAnswer::whom(&RuntimeChoice::At("unix:///nonexistent/r.sock".into()));
        assert!(
            matches!(&nobody, RuntimeAnswer::Absent(why) if why.contains("/nonexistent/r.sock")),
            "{nobody:?}"
        );
        for unknown in [nobody, RuntimeAnswer::Unknown("why".into()), RuntimeAnswer::Unanswered("why".into())]
        {
            let why = unknown.trouble().expect("a reason").to_owned();
            assert_eq!(unknown.uses("ours"), ConfUse::Unanswered(why));
        }
    }
}
