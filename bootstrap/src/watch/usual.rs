//! The directories that the runtime uses without Crossfade, as it was configured when it started.

use std::path::PathBuf;

use types::node::{Node, RuntimeKind};

use crate::node::directories::usual_dir;
use crate::node::paths::Root;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::Whom;
use crate::runtime::picks::Picks;

/// The directories that the runtime uses without Crossfade, as it was configured when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usual {
    /// Where it reads confs; none where that is not known.
    pub conf_dir: Option<PathBuf>,
    /// The directories in which the runtime searches for plugins.
    pub bin_dirs: Vec<PathBuf>,
    /// Why the directories are unknown, although there is a runtime.
    pub untold: Option<String>,
    /// The runtime that can say what it has loaded.
    pub whom: Whom,
    /// The kind of the runtime, if it is known.
    pub kind: Option<RuntimeKind>,
    /// Which conf of its directory the runtime uses.
    pub picks: Picks,
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            conf_dir: None,
            bin_dirs: Vec::new(),
            untold: None,
            whom: Whom::Nobody,
            kind: None,
            picks: Picks::First,
        }
    }
}

impl Usual {
    /// Asks the runtime's configuration; for containerd that runs `containerd config dump`.
    #[must_use]
    pub fn find(root: &Root, node: &Node) -> Self {
        let config = RuntimeConfig::gather(root, node);
        let whom = Whom::on(root, node, config.as_ref().ok().and_then(Option::as_ref));
        match config {
            Ok(None) => Self { whom, ..Self::default() },
            Ok(Some(config)) => Self {
                whom,
                kind: Some(config.kind),
                picks: Picks::of(Some(&config)),
                conf_dir: Some(usual_dir(Some(&config)).to_path_buf()),
                bin_dirs: config
                    .setup
                    .bin_dirs
                    .iter()
                    .map(|dir| root.at(dir))
                    .filter(|dir| dir.is_dir())
                    .collect(),
                untold: None,
            },
            Err(why) => Self { untold: Some(why.into()), whom, ..Self::default() },
        }
    }
}
