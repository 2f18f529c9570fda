//! The shim on a node, put there by hand in front of standard networks.
//!
//! What `crossfade-bootstrap install` does for people, done here with nothing but files, so that a test of the shim on a
//! real runtime depends on the shim alone: the plugin in the runtime's bin directory, the conf of each network and ours
//! before them in the runtime's conf directory, the policy in /etc/crossfade.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::fabric::Overlay;
use crate::node::Node;

/// The runtime's conf directory, as the node sees it.
pub const CONF_DIR: &str = "/etc/cni/net.d";
/// The runtime's plugin directory, as the node sees it.
pub const BIN_DIR: &str = "/opt/cni/bin";
/// Name of our network.
pub const NETWORK: &str = "crossfade";

const POLICY: &str = "/etc/crossfade/policy.json";
const RECORDS: &str = "/var/lib/crossfade/attachments";

/// Crossfade on one node, between an old and a new network.
#[derive(Debug, Clone)]
pub struct Crossfade {
    node: Node,
    old: Overlay,
    new: Overlay,
}

impl Crossfade {
    /// Installs the shim on a node with policy `attach: old`, networks being those of [`Overlay::conflist`].
    ///
    /// # Errors
    /// The shim is not built.
    pub fn install(node: &Node, old: &Overlay, new: &Overlay) -> Result<Crossfade> {
        let crossfade = Crossfade { node: node.clone(), old: old.clone(), new: new.clone() };
        crossfade.network(old, &old.conflist(node.index()))?;
        crossfade.network(new, &new.conflist(node.index()))?;
        crossfade.policy(json!({ "attach": "old" }))?;
        let program = crate::dist::crossfade()?;
        crate::scratch::install(&program, &node.outside(BIN_DIR).join(NETWORK))?;
        let conf = json!({
            "cniVersion": "1.0.0",
            "name": NETWORK,
            "loadOnlyInlinedPlugins": true,
            "plugins": [{
                "type": NETWORK,
                "capabilities": { "portMappings": true, "io.kubernetes.cri.pod-annotations": true },
            }],
        });
        node.write(Path::new(CONF_DIR).join("01-crossfade.conflist"), conf.to_string())?;
        Ok(crossfade)
    }

    /// Replaces a network's conf.
    ///
    /// # Errors
    /// What the file system says.
    pub fn network(&self, overlay: &Overlay, conflist: &Value) -> Result<()> {
        self.node.write(conf_path(overlay), serde_json::to_vec_pretty(conflist)?)
    }

    /// Replaces the policy: both networks and their address ranges, and the keys of `more`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn policy(&self, more: Value) -> Result<()> {
        let network = |overlay: &Overlay| json!({ "conf": [conf_path(overlay)], "cidrs": [overlay.cidr()], "secondary": "works" });
        let mut policy = json!({
            "version": 1,
            "networks": { "old": network(&self.old), "new": network(&self.new) },
        });
        if let (Some(policy), Value::Object(more)) = (policy.as_object_mut(), more) {
            policy.extend(more);
        }
        self.node.write(POLICY, serde_json::to_vec_pretty(&policy)?)
    }

    /// The policy of a phase: `old`, `both-old`, `both-new` or `new`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn phase(&self, phase: &str) -> Result<()> {
        match phase.strip_prefix("both-") {
            Some(primary) => self.policy(json!({ "attach": "both", "both": { "primary": primary } })),
            None => self.policy(json!({ "attach": phase })),
        }
    }

    /// Every attachment record on the node.
    ///
    /// # Errors
    /// They cannot be listed; that there are none is no error.
    pub fn records(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut directories = vec![self.node.outside(RECORDS)];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.with_context(|| format!("reading {}", directory.display()))?,
            };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        Ok(files)
    }
}

/// Where a network's conf is on the node; sorted after ours.
fn conf_path(overlay: &Overlay) -> PathBuf {
    Path::new(CONF_DIR).join(format!("10-{}.conflist", overlay.name))
}
