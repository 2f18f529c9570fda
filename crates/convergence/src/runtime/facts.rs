//! A node's runtime as a fact: its configuration, its endpoint and its answer.
//!
//! What a command did not gather is a fact of its own ([`ConfigFact::NotRead`], [`RuntimeChoice::NotSought`], [`RuntimeAnswer::NotAsked`]), so that
//! no reader takes it for a runtime that is absent.

use std::path::Path;

use shim::node::layout::CONF_DIR;
use types::command::problem::Problem;
use types::node::RuntimeKind;

use crate::node::paths::PRIVATE_CONF_DIR;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::conf_selection::ConfSelection;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::RuntimeChoice;

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
        ConfSelection::from_config(self.config())
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
