//! The container runtime's own configuration, as far as it concerns CNI.

use std::path::{Path, PathBuf};

use shim::node::layout::CONF_DIR;
use types::node::RuntimeKind;

use crate::node::paths::PRIVATE_CONF_DIR;
use crate::runtime::CniSetup;

/// A runtime's configuration as far as it concerns CNI. Paths are as the node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeConfig {
    pub kind: RuntimeKind,
    /// Its own unit; none where it is part of another program, whose command line is not the runtime's.
    pub unit: Option<String>,
    /// Its program, where it can be asked.
    pub program: Option<PathBuf>,
    /// Its configuration file; it may be absent, which is all defaults.
    pub file: PathBuf,
    /// Where it listens for the Container Runtime Interface, `unix:///path`; none where its configuration does not say.
    pub endpoint: Option<String>,
    /// Its directories; nothing is said about what it has loaded.
    pub setup: CniSetup,
    /// The network that it insists on, where it does: CRI-O's `cni_default_network`.
    pub default_network: Option<String>,
    /// Runtime handlers that read confs of their own, with the directory.
    pub handlers: Vec<(String, PathBuf)>,
    /// The template from which it makes a conf of its own in the directory that it reads, where it does: containerd's `conf_template`.
    pub template: Option<PathBuf>,
}

impl RuntimeConfig {
    /// The conf directory of the agents, as the node sees it: the one that the runtime reads without Crossfade. A runtime that is configured with
    /// Crossfade's does not show the agents' any more, and the usual one is taken.
    #[must_use]
    pub fn agents_dir(&self) -> &Path {
        let read = self.setup.conf_dir.as_path();
        if read == Path::new(PRIVATE_CONF_DIR) { Path::new(CONF_DIR) } else { read }
    }

    /// A runtime whose configuration cannot be read here and that told its setup itself. Its command line counts as another program's.
    #[must_use]
    pub fn from_answer(kind: RuntimeKind, setup: CniSetup) -> Self {
        let setup = CniSetup { networks: Vec::new(), ..setup };
        let (file, handlers) = (PathBuf::new(), Vec::new());
        Self {
            kind,
            unit: None,
            program: None,
            file,
            endpoint: None,
            setup,
            default_network: None,
            handlers,
            template: None,
        }
    }
}
