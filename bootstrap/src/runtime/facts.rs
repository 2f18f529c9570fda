//! A node's runtime as a fact: its configuration, its endpoint and its answer.
//!
//! | a command that | gathers |
//! |---|---|
//! | needs the runtime's directories alone, and starts no program | [`RuntimeFacts::by_files`] |
//! | asks the runtime for something else | [`RuntimeFacts::to_ask`] |
//! | runs before the runtime, or is about an image | [`RuntimeFacts::configured`] |
//! | has to know what the runtime has loaded | [`RuntimeFacts::with_answer`] |
//!
//! What a command did not gather is a fact of its own ([`ConfigFact::NotRead`], [`RuntimeChoice::NotSought`], [`RuntimeAnswer::NotAsked`]), so that
//! no reader takes it for a runtime that is absent.

use std::path::Path;

use shim::layout::CONF_DIR;
use types::node::{Node, RuntimeKind};
use types::problem::Problem;

use super::answer::RuntimeAnswer;
use super::conf_selection::ConfSelection;
use super::config::RuntimeConfig;
use super::endpoint::RuntimeChoice;
use crate::cli;
use crate::node::paths::{PRIVATE_CONF_DIR, Root};

/// What a runtime's configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConfigFact {
    /// The command did not read the configuration.
    #[default]
    NotRead,
    /// The node has no runtime.
    NoRuntime,
    /// The configuration, as far as it concerns CNI.
    Read(RuntimeConfig),
    /// There is no file to read here, but a runtime runs and answered the same.
    Answered(RuntimeConfig),
    /// The configuration cannot be read, or nothing tells which of two runtimes is the node's.
    Unreadable(Problem),
}

impl From<Result<Option<RuntimeConfig>, Problem>> for ConfigFact {
    fn from(gathered: Result<Option<RuntimeConfig>, Problem>) -> Self {
        match gathered {
            Ok(Some(config)) => Self::Read(config),
            Ok(None) => Self::NoRuntime,
            Err(why) => Self::Unreadable(why),
        }
    }
}

impl ConfigFact {
    /// The configuration, where there is one that can be read.
    #[must_use]
    pub const fn read(&self) -> Option<&RuntimeConfig> {
        match self {
            Self::Read(config) | Self::Answered(config) => Some(config),
            Self::NotRead | Self::NoRuntime | Self::Unreadable(_) => None,
        }
    }
}

/// A node's runtime, gathered once for a command or for one life of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// What its configuration says.
    pub config: ConfigFact,
    /// The runtime to ask what it has loaded.
    pub choice: RuntimeChoice,
    /// What it answered; [`RuntimeAnswer::NotAsked`] for commands that run before the runtime.
    pub answer: RuntimeAnswer,
}

impl Default for RuntimeFacts {
    fn default() -> Self {
        Self {
            config: ConfigFact::NotRead,
            choice: RuntimeChoice::NotSought,
            answer: RuntimeAnswer::NotAsked,
        }
    }
}

impl RuntimeFacts {
    /// Reads what files say and starts no program: the configuration of CRI-O is read, that of containerd is not.
    #[must_use]
    pub fn by_files(root: &Root, node: &Node) -> Self {
        match RuntimeConfig::of_files(root, node) {
            ConfigFact::NotRead => Self::default(),
            known @ (ConfigFact::NoRuntime
            | ConfigFact::Read(_)
            | ConfigFact::Answered(_)
            | ConfigFact::Unreadable(_)) => Self::from_config(root, node, known),
        }
    }

    /// Reads the runtime's configuration and asks it nothing. For containerd this runs `containerd config dump`.
    #[must_use]
    pub fn configured(root: &Root, node: &Node) -> Self {
        Self::from_config(root, node, RuntimeConfig::gather(root, node).into())
    }

    /// Finds the runtime that the command line names, or else the one of this node; the caller asks it. Only the second needs the
    /// configuration of containerd.
    #[must_use]
    pub fn to_ask(root: &Root, node: &Node, wanted: &cli::Endpoint) -> Self {
        match RuntimeChoice::from_option(wanted) {
            Some(choice) => Self { choice, ..Self::by_files(root, node) },
            None => Self::configured(root, node),
        }
    }

    fn from_config(root: &Root, node: &Node, config: ConfigFact) -> Self {
        let choice = RuntimeChoice::find(root, node, config.read());
        Self { config, choice, answer: RuntimeAnswer::NotAsked }
    }

    /// Reads the runtime's configuration and asks the runtime that the command line names, or else the one of this node.
    #[must_use]
    pub fn with_answer(root: &Root, node: &Node, wanted: &cli::Endpoint) -> Self {
        let facts = Self::configured(root, node);
        Self { choice: RuntimeChoice::from_option(wanted).unwrap_or(facts.choice), ..facts }.ask()
    }

    /// The same once the runtime was asked what it has loaded.
    #[must_use]
    pub fn ask(self) -> Self {
        Self { answer: RuntimeAnswer::ask(&self.choice), ..self }
    }

    /// Its configuration, where there is one that can be read.
    #[must_use]
    pub fn config(&self) -> Option<&RuntimeConfig> {
        self.config.read()
    }

    /// Why its configuration cannot be read, where it was to be read.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match &self.config {
            ConfigFact::Unreadable(why) => Some(why),
            ConfigFact::NotRead | ConfigFact::NoRuntime | ConfigFact::Read(_) | ConfigFact::Answered(_) => {
                None
            }
        }
    }

    /// The configuration of CRI-O, which does not report what it has loaded; none where the runtime is another one.
    #[must_use]
    pub fn crio(&self) -> Option<&RuntimeConfig> {
        self.config().filter(|config| config.kind == RuntimeKind::Crio)
    }

    /// Which runtime it is; none where that is not known.
    #[must_use]
    pub fn kind(&self) -> Option<RuntimeKind> {
        self.config().map(|config| config.kind)
    }

    /// The rule by which the runtime selects a conf.
    #[must_use]
    pub fn conf_selection(&self) -> ConfSelection {
        ConfSelection::of(self.config())
    }

    /// The conf directory of the agents, as the node sees it, by the runtime's configuration or its answer; the usual one where neither
    /// names it.
    #[must_use]
    pub fn agents_dir(&self) -> &Path {
        let conf_dir = self.answer.setup().map(|setup| setup.conf_dir.as_path());
        let conf_dir = || conf_dir.filter(|dir| *dir != Path::new(PRIVATE_CONF_DIR));
        self.config().map(RuntimeConfig::agents_dir).or_else(conf_dir).unwrap_or(Path::new(CONF_DIR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_files_alone_a_runtime_that_prints_its_configuration_is_not_read() {
        for (unit, is_read) in [("containerd", false), ("crio", true)] {
            let dir = tempfile::tempdir().expect("scratch");
            let units = dir.path().join("usr/lib/systemd/system");
            std::fs::create_dir_all(&units).expect("directory");
            let text = format!("[Service]\nExecStart=/usr/bin/{unit}\n");
            std::fs::write(units.join(format!("{unit}.service")), text).expect("unit");
            let root = Root::new(dir.path());
            let found = RuntimeFacts::by_files(&root, &Node::default());
            assert_eq!(found.config == ConfigFact::NotRead, !is_read, "{unit}: {found:?}");
            assert_eq!(found.choice == RuntimeChoice::NotSought, !is_read, "{unit}: {found:?}");
            assert_eq!(found.crio().is_some(), is_read, "{unit}: {found:?}");
            assert!(RuntimeFacts::configured(&root, &Node::default()).config().is_some(), "{unit}");
        }
        let empty_root = tempfile::tempdir().expect("scratch");
        let found = RuntimeFacts::by_files(&Root::new(empty_root.path()), &Node::default());
        assert_eq!(found.config, ConfigFact::NoRuntime);
    }

    #[test]
    fn whoever_is_named_is_asked_and_nobody_is_looked_for() {
        let named = |endpoint: &str| cli::Endpoint { runtime_endpoint: Some(endpoint.into()) };
        let (root, node) = (Root::new(Path::new("/nonexistent")), Node::default());
        let choice = |wanted: &cli::Endpoint| RuntimeFacts::to_ask(&root, &node, wanted).choice;
        assert_eq!(choice(&named("unix:///run/r.sock")), RuntimeChoice::At("unix:///run/r.sock".into()));
        assert_eq!(choice(&named("none")), RuntimeChoice::None);
    }
}
