//! The node of a scene when a test begins.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Scene;
use crate::host::fabric::Fabric;
use crate::install::crossfade::{BIN_DIR, Crossfade};
use crate::runtime::containerd::{Containerd, Options};
use crate::{build::dist, host::scratch};

/// Where a package has the plugin, as the node sees it.
pub const PACKAGED: &str = "/usr/libexec/crossfade/crossfade";
/// The node's settings.
pub const NODE_JSON: &str = "/etc/crossfade/node.json";

#[derive(Debug, Clone)]
#[must_use]
pub struct Setup {
    nodes: u8,
    shim: bool,
    packaged: bool,
    settings: Option<Value>,
    containerd: Options,
}

impl Setup {
    /// Without Crossfade: the runtime uses network `old`, and `new` has no conf yet.
    pub fn bare() -> Setup {
        Setup { nodes: 1, shim: false, packaged: false, settings: None, containerd: Options::default() }
    }

    /// The shim before both networks with policy `attach: old`, put there by hand ([`Crossfade::install`]).
    pub fn shim() -> Setup {
        Setup { shim: true, ..Setup::bare() }
    }

    /// The plugin is where a package has it, to be installed from there.
    pub fn packaged(self) -> Setup {
        Setup { packaged: true, ..self }
    }

    /// node.json names the runtime, since the machine may have one whose unit and directories are not this one's; `more` is laid over it.
    pub fn settings(self, more: Value) -> Setup {
        Setup { settings: Some(more), ..self }
    }

    pub fn containerd(self, options: Options) -> Setup {
        Setup { containerd: options, ..self }
    }

    /// As many nodes on the wire; beside the first one they have nothing but the two overlays.
    pub fn nodes(self, nodes: u8) -> Setup {
        Setup { nodes, ..self }
    }

    /// Makes it.
    ///
    /// # Errors
    /// A part is missing, or containerd does not start.
    pub fn start(self) -> Result<Scene> {
        let fabric = Fabric::new(self.nodes)?;
        let [old, new] = fabric.old_and_new()?;
        let node = fabric.node(1);
        let crossfade = if self.shim {
            Crossfade::install(node, &old, &new)?
        } else {
            let crossfade = Crossfade::absent(node, &old, &new);
            crossfade.network(&old, &old.conflist(1))?;
            crossfade
        };
        let containerd = Containerd::start(node, &self.containerd)?;
        let scene = Scene { containerd, crossfade, old, new, fabric };
        if self.packaged {
            scene.package()?;
        }
        if let Some(Value::Object(more)) = self.settings {
            let endpoint = format!("unix://{}", scene.containerd.socket().display());
            let runtime = json!({ "endpoint": endpoint, "binDirs": [BIN_DIR, "/usr/lib/cni"] });
            let mut settings = json!({ "version": 1, "runtime": runtime });
            settings.as_object_mut().context("settings")?.extend(more);
            scene.node().write(NODE_JSON, settings.to_string())?;
        }
        Ok(scene)
    }
}

impl Scene {
    /// Puts the plugin where a package has it, and returns its bytes: it is root's, also if another user built it.
    ///
    /// # Errors
    /// It is not built.
    pub fn package(&self) -> Result<Vec<u8>> {
        let path = self.outside(PACKAGED);
        scratch::install(&dist::crossfade()?, &path)?;
        Ok(fs::read(path)?)
    }

    /// Says that `boot` has prepared this boot of the node, its first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn booted(&self) -> Result<()> {
        let boot_id = fs::read_to_string(self.outside(Path::new("/proc/sys/kernel/random/boot_id")))?;
        let booted = json!({ "version": 1, "kind": "first", "bootID": boot_id.trim() });
        self.node().write("/run/crossfade/boot.json", booted.to_string())
    }
}
