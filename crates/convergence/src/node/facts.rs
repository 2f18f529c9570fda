//! A node as a command finds it: gathered once, before anything is decided or touched.
//!
//! Every command that goes by node.json starts from these facts. A command that decides about attaching pods adds
//! [`CniFacts`](super::cni::CniFacts), and what only it needs. What cannot be read is a fact, too: the field holds the reason, in words that
//! name the file. So a command fails by what it uses, and by nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Node;
use types::policy::Policy;
use types::profile::Profiles;

use crate::failure::Failure;
use crate::node::policy::file::PolicyFile;
use crate::node::settings::directories::{Directories, InstalledConf};
use crate::node::settings::{InvalidSettings, Settings};
use crate::runtime::facts::RuntimeFacts;

/// The facts about a node, or about a tree that is inspected instead.
#[derive(Debug)]
pub struct NodeFacts {
    /// The tree; every path in these facts has it before it unless the field says otherwise.
    pub root: PathBuf,
    /// How the node takes part: what node.json says, or what counts in its place.
    pub settings: Node,
    /// The node.json that counts; `None` if there is none. Its values count before what an installation chose.
    pub node_file: Option<PathBuf>,
    /// Why node.json cannot be used; only commands that have to go on all the same get that far.
    pub unusable: Option<InvalidSettings>,
    /// The runtime, as far as the command asked for it.
    pub runtime: RuntimeFacts,
    /// The conf directory, Crossfade's conf in it, and the directories which that conf names.
    pub dirs: Directories,
    /// The name of Crossfade's network, if it was written once.
    pub name: Result<Option<String>, String>,
    /// The policy, or why it cannot be used.
    pub policy: Result<PolicyFile, Problem>,
    /// The profiles that count on the node.
    pub profiles: Arc<Profiles>,
}

impl NodeFacts {
    /// node.json as it counts for the command.
    #[must_use]
    pub fn node_json(&self) -> Settings {
        Settings {
            node: self.settings.clone(),
            file: self.node_file.clone(),
            unusable: self.unusable.clone(),
        }
    }

    /// The same facts for a command that puts the policy in force, or builds an image with it: a policy counts only if it names known
    /// profiles, and no second network that does not bear it.
    #[must_use]
    pub fn with_usable_policy(self) -> Self {
        Self { policy: self.policy.and_then(|policy| policy.require_usable(&self.profiles)), ..self }
    }

    /// Crossfade's conf, if it is installed, readable and not another owner's.
    #[must_use]
    pub fn own_conf(&self) -> Option<&InstalledConf> {
        self.dirs.installed.conf()
    }

    /// `cniVersion` of Crossfade's conf. A node.json decides, with its default; where there is none, or its key cannot be used, what an
    /// installation has `chosen` stays.
    #[must_use]
    pub fn cni_version<'a>(&'a self, chosen: Option<&'a str>) -> &'a str {
        let decides = self.node_file.is_some() && self.node_json().understands("cniVersion");
        chosen.filter(|_| !decides).unwrap_or_else(|| self.settings.cni_version.as_str())
    }

    /// The policy, if it can be used.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().ok().map(|read| &read.policy)
    }

    /// The policy and its file.
    ///
    /// # Errors
    /// Bad settings: there is none, or it cannot be used.
    pub fn require_policy(&self) -> Result<&PolicyFile, Failure> {
        let place = || self.dirs.layout.policy_file().display().to_string();
        let unusable =
            |why: &Problem| Failure::from_problem(Exit::BadSettings, why.clone().with_place(place()));
        self.policy.as_ref().map_err(unusable)
    }

    /// Why a command that needs Crossfade's plugin does not apply here: node.json says that the node has none.
    #[must_use]
    pub fn without_plugin(&self) -> Option<Problem> {
        self.node_json().without_plugin()
    }
}
