//! The shim on a node, put there by hand in front of standard networks.
//!
//! What `crossfade-bootstrap install` does for people, done here with nothing but files, so that a test of the shim on a
//! real runtime depends on the shim alone: the plugin in the runtime's bin directory, the conf of each network and ours
//! before them in the runtime's conf directory, the policy in /etc/crossfade.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::host::fabric::Overlay;
use crate::host::node::Node;
use crate::host::scratch::files;

/// The runtime's conf directory, as the node sees it.
pub const CONF_DIR: &str = "/etc/cni/net.d";
/// The runtime's plugin directory, as the node sees it.
pub const BIN_DIR: &str = "/opt/cni/bin";
/// Our conf, as the node sees it.
pub const OURS: &str = "/etc/cni/net.d/01-crossfade.conflist";
/// Name of our network.
pub const NETWORK: &str = "crossfade";

/// The policy's file.
pub const POLICY: &str = "/etc/crossfade/policy.json";
pub const RECORDS: &str = "/var/lib/crossfade/attachments";

/// Crossfade on one node, between an old and a new network.
#[derive(Debug, Clone)]
pub struct Crossfade {
    node: Node,
    old: Overlay,
    new: Overlay,
    /// What the name of the new network's conf begins with.
    new_first: &'static str,
}

impl Crossfade {
    /// Nothing of it is on the node: the conf of `old` sorts before the one of `new`, as long as there is no other.
    pub fn absent(node: &Node, old: &Overlay, new: &Overlay) -> Crossfade {
        Crossfade { node: node.clone(), old: old.clone(), new: new.clone(), new_first: "20" }
    }

    /// Installs the shim on a node with policy `attach: old`, networks being those of [`Overlay::conflist`]. Without our conf the
    /// runtime would use `new`.
    ///
    /// # Errors
    /// The shim is not built.
    pub fn install(node: &Node, old: &Overlay, new: &Overlay) -> Result<Crossfade> {
        let crossfade = Crossfade { new_first: "10", ..Crossfade::absent(node, old, new) };
        crossfade.network(old, &old.conflist(node.index()))?;
        crossfade.network(new, &new.conflist(node.index()))?;
        crossfade.policy(json!({ "attach": "old" }))?;
        let program = crate::build::dist::crossfade()?;
        crate::host::scratch::install(&program, &node.outside(BIN_DIR).join(NETWORK))?;
        let conf = json!({
            "cniVersion": "1.0.0",
            "name": NETWORK,
            "loadOnlyInlinedPlugins": true,
            "plugins": [{
                "type": NETWORK,
                "capabilities": { "portMappings": true, "io.kubernetes.cri.pod-annotations": true },
            }],
        });
        node.write(OURS, conf.to_string())?;
        Ok(crossfade)
    }

    /// Replaces a network's conf.
    ///
    /// # Errors
    /// What the file system says.
    pub fn network(&self, overlay: &Overlay, conflist: &Value) -> Result<()> {
        self.node.write(self.conf_path(overlay), serde_json::to_vec_pretty(conflist)?)
    }

    /// Replaces the policy: both networks and their address ranges, and the keys of `more`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn policy(&self, more: Value) -> Result<()> {
        let network = |overlay: &Overlay| json!({ "conf": [self.conf_path(overlay)], "cidrs": [overlay.cidr()], "secondary": "works" });
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
        self.phase_with(phase, json!({}))
    }

    /// The same, and the keys of `more`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn phase_with(&self, phase: &str, more: Value) -> Result<()> {
        let mut policy = match phase.strip_prefix("both-") {
            Some(primary) => json!({ "attach": "both", "both": { "primary": primary } }),
            None => json!({ "attach": phase }),
        };
        if let (Some(policy), Value::Object(more)) = (policy.as_object_mut(), more) {
            policy.extend(more);
        }
        self.policy(policy)
    }

    /// Where a network's conf is on the node; sorted after ours.
    pub fn conf_path(&self, overlay: &Overlay) -> PathBuf {
        let first = if overlay.name == self.new.name { self.new_first } else { "10" };
        Path::new(CONF_DIR).join(format!("{first}-{}.conflist", overlay.name))
    }

    /// Every attachment record on the node.
    ///
    /// # Errors
    /// They cannot be listed; that there are none is no error.
    pub fn records(&self) -> Result<Vec<PathBuf>> {
        files(&self.node.outside(RECORDS))
    }

    /// Addresses of the old and of the new network that are given away on the node.
    ///
    /// # Errors
    /// The leases cannot be read.
    pub fn leases(&self) -> Result<(Vec<IpAddr>, Vec<IpAddr>)> {
        Ok((self.old.leases(&self.node)?, self.new.leases(&self.node)?))
    }

    /// Holds when exactly these addresses are given away, and when there are that many records.
    ///
    /// # Errors
    /// It is not so.
    pub fn expect(&self, old: &[IpAddr], new: &[IpAddr], records: usize) -> Result<()> {
        let leases = self.leases()?;
        ensure!(leases.0 == old && leases.1 == new, "leases {leases:?}, expected {old:?} and {new:?}");
        let written = self.records()?;
        ensure!(written.len() == records, "records {written:?}, expected {records}");
        Ok(())
    }
}
