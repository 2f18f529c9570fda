//! Network namespaces of pods and nodes, with what the tests set and read in them.

use std::fs;
use std::ops::Deref;
use std::path::Path;

use anyhow::{Context, Result};
use lab::host::netns::Netns;
use lab::host::node::Node;
use serde_json::Value;

/// A network namespace, a node's or a pod's.
#[derive(Debug)]
pub(crate) struct Space(Netns);

impl Deref for Space {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.0
    }
}

impl Space {
    /// The one of a node of the fabric.
    pub(crate) fn of_node(node: &Node) -> Self {
        Self(Netns::of_process(node.pid()))
    }

    /// A new one for a pod, `lo` up, with reverse-path checks strict and without duplicate address detection.
    ///
    /// Strict is the harder setting: what arrives on an interface that would not be the way back is dropped.
    pub(crate) fn pod(name: &str) -> Result<Self> {
        let pod = Self::bare(name)?;
        pod.set("ipv4/conf/all/rp_filter", "1")?;
        pod.set("ipv4/conf/default/rp_filter", "1")?;
        pod.set("ipv6/conf/all/accept_dad", "0")?;
        pod.set("ipv6/conf/default/accept_dad", "0")?;
        Ok(pod)
    }

    /// A new one for a pod, with the kernel's own settings and `lo` up.
    pub(crate) fn bare(name: &str) -> Result<Self> {
        Netns::pod(name).map(Self)
    }

    /// What `ip -json ARGUMENTS` lists. A table that was never used is an error to `ip`, and empty to us.
    pub(crate) fn list(&self, arguments: &str) -> Result<Vec<Value>> {
        let text = match self.ip(&format!("-json {arguments}")) {
            Err(error) if error.to_string().contains("FIB table does not exist") => return Ok(Vec::new()),
            text => text?,
        };
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&text).with_context(|| format!("ip -json {arguments}: {text}"))
    }

    /// Sets `/proc/sys/net/NAME`.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(name);
        self.inside(|| fs::write(&path, value).with_context(|| format!("set {} to {value}", path.display())))
    }

    /// Reads a file of /proc as a process of this namespace sees it.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        // /proc/net leads to the thread group's leader, which is elsewhere.
        let path = path.replacen("/proc/net/", "/proc/thread-self/net/", 1);
        self.inside(|| fs::read_to_string(&path).with_context(|| format!("read {path}")))
    }
}
