//! One node with a real containerd and two networks of real plugins, `old` and `new`; Crossfade is before them, or is to come.
//!
//! [`Setup`] says what is there when a test begins. Everything is in the directories and namespaces of a node of the lab
//! ([`crate::host::node`]), so a [`Scene`] is cleaned up when it is dropped: containerd ends, and the node with its pods, daemons,
//! links and files after it. What the machine has of its own, such as a containerd, is neither used nor touched.

mod setup;
mod watch;

pub use setup::{NODE_JSON, PACKAGED, Setup};
pub use watch::{end, signal};

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::host::command;
use crate::host::fabric::{Fabric, Overlay};
use crate::host::node::Node;
use crate::install::crossfade::Crossfade;
use crate::install::person;
use crate::runtime::containerd::Containerd;
use crate::runtime::cri::{Cri, Sandbox};

/// The node with everything on it.
#[derive(Debug)]
pub struct Scene {
    /// The node's runtime.
    pub containerd: Containerd,
    /// What a person writes: the confs of both networks, and the policy between them.
    pub crossfade: Crossfade,
    /// 10.244.0.0/16.
    pub old: Overlay,
    /// 10.245.0.0/16.
    pub new: Overlay,
    /// The wire. Last, for all of the above is on its first node.
    pub fabric: Fabric,
}

impl Scene {
    pub fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    /// A path of the node's as the lab sees it.
    pub fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.node().outside(path)
    }

    /// The client of the runtime.
    pub fn cri(&self) -> &Cri {
        self.containerd.cri()
    }

    /// Runs a pod, and returns the id of its sandbox.
    ///
    /// # Errors
    /// The runtime's, with what the plugin said.
    pub fn run(&self, name: &str) -> Result<String> {
        self.cri().run_sandbox(&Sandbox::new(name))
    }

    /// Stops and removes a sandbox, as kubelet does.
    ///
    /// # Errors
    /// The runtime's, with what the plugin said.
    pub fn end(&self, id: &str) -> Result<()> {
        self.cri().stop(id)?;
        self.cri().remove(id)
    }

    /// How many addresses of the old and of the new network are given away.
    ///
    /// # Errors
    /// The leases cannot be read.
    pub fn leases(&self) -> Result<(usize, usize)> {
        let (old, new) = self.crossfade.leases()?;
        Ok((old.len(), new.len()))
    }

    /// The plugins of the conf that the runtime uses, without the loopback's.
    ///
    /// # Errors
    /// The runtime's.
    pub fn loaded(&self) -> Result<Vec<String>> {
        let plugins = self.cri().conf_plugins()?;
        Ok(plugins.into_iter().filter(|plugin| plugin != "loopback").collect())
    }

    /// Waits until the runtime uses a conf with this plugin in it.
    ///
    /// # Errors
    /// It does not.
    pub fn expect_loaded(&self, plugin: &str) -> Result<()> {
        self.containerd.until_uses(plugin)
    }

    /// `crossfade-bootstrap` on the node; a verb that asks the runtime gets its socket.
    ///
    /// # Errors
    /// It is not built.
    pub fn bootstrap(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = person::bootstrap(self.node(), arguments)?;
        if matches!(arguments, ["install" | "uninstall" | "graduate", ..] | ["unit", "sweep", ..]) {
            command.arg("--runtime-endpoint").arg(self.containerd.socket());
        }
        Ok(command)
    }

    /// Runs a command of it that must end with this exit status, and returns all that it said.
    ///
    /// # Errors
    /// It ends otherwise.
    pub fn run_expecting(&self, arguments: &[&str], status: i32) -> Result<String> {
        command::run_expecting(&mut self.bootstrap(arguments)?, status)
    }

    /// How many attachments there are through us, and from before.
    ///
    /// # Errors
    /// What `attachments` says.
    pub fn attachments(&self) -> Result<(usize, usize)> {
        let document: Value =
            serde_json::from_str(&self.run_expecting(&["attachments", "--output", "json"], 0)?)?;
        let all = document["attachments"].as_array().context("attachments")?;
        let before = all.iter().filter(|line| line["life"] == "inventory").count();
        Ok((all.len() - before, before))
    }
}
