//! What is known of a node's runtime: its configuration, where it listens, and what it answers.

use std::path::Path;

use shim::layout::CONF_DIR;
use types::node::{Node, RuntimeKind};
use types::problem::Problem;

use super::answer::RuntimeAnswer;
use super::config::RuntimeConfig;
use super::endpoint::Whom;
use super::picks::Picks;
use crate::cli;
use crate::node::paths::{PRIVATE_CONF_DIR, Root};

/// A node's runtime, gathered once for a command or for one life of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// What its configuration says; none where the node has no runtime; else why it cannot be read.
    pub config: Result<Option<RuntimeConfig>, Problem>,
    /// Whom to ask what it has loaded.
    pub whom: Whom,
    /// What it answered; [`RuntimeAnswer::NotAsked`] for commands that run before the runtime.
    pub asked: RuntimeAnswer,
}

impl Default for RuntimeFacts {
    fn default() -> Self {
        Self { config: Ok(None), whom: Whom::Nobody, asked: RuntimeAnswer::NotAsked }
    }
}

impl RuntimeFacts {
    /// Reads the runtime's configuration and asks it nothing. For containerd this runs `containerd config dump`.
    #[must_use]
    pub fn configured(root: &Root, node: &Node) -> Self {
        let config = RuntimeConfig::gather(root, node);
        let whom = Whom::on(root, node, config.as_ref().ok().and_then(Option::as_ref));
        Self { config, whom, asked: RuntimeAnswer::NotAsked }
    }

    /// Reads the runtime's configuration and asks the runtime that the command line names, or else the one of this node.
    #[must_use]
    pub fn asked(root: &Root, node: &Node, wanted: &cli::Endpoint) -> Self {
        let facts = Self::configured(root, node);
        let whom = Whom::named(wanted).unwrap_or(facts.whom);
        Self { asked: RuntimeAnswer::whom(&whom), whom, ..facts }
    }

    /// Its configuration, where there is one that can be read.
    #[must_use]
    pub fn config(&self) -> Option<&RuntimeConfig> {
        self.config.as_ref().ok().and_then(Option::as_ref)
    }

    /// The configuration of CRI-O, which tells nobody what it has loaded; none where the runtime is another one.
    #[must_use]
    pub fn crio(&self) -> Option<&RuntimeConfig> {
        self.config().filter(|config| config.kind == RuntimeKind::Crio)
    }

    /// Which runtime it is; none where that is not known.
    #[must_use]
    pub fn kind(&self) -> Option<RuntimeKind> {
        self.config().map(|config| config.kind)
    }

    /// Which conf of its directory it uses.
    #[must_use]
    pub fn picks(&self) -> Picks {
        Picks::of(self.config())
    }

    /// The conf directory of the agents, as the node sees it, by the runtime's configuration or its answer; the usual one where neither
    /// names it.
    #[must_use]
    pub fn agents_dir(&self) -> &Path {
        let answered = self.asked.setup().map(|setup| setup.conf_dir.as_path());
        let answered = || answered.filter(|dir| *dir != Path::new(PRIVATE_CONF_DIR));
        self.config().map(RuntimeConfig::agents_dir).or_else(answered).unwrap_or(Path::new(CONF_DIR))
    }
}
