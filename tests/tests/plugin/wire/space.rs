//! Network namespaces, worked in by threads that enter them: no program is started to ask one question.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lab::host::netns;
use lab::host::node::Node;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

/// A network namespace, a node's or a pod's.
#[derive(Debug)]
pub(crate) struct Space {
    path: PathBuf,
    is_ours: bool,
}

impl Space {
    /// The one of a node of the fabric.
    pub(crate) fn of_node(node: &Node) -> Self {
        Self { path: PathBuf::from(format!("/proc/{}/ns/net", node.pid())), is_ours: false }
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
        let path = Path::new("/run/netns").join(name);
        netns::pin(&path)?;
        let space = Self { path, is_ours: true };
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// Its path, for CNI_NETNS.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Does something in a thread that is in this namespace; sockets and processes made there stay there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let netns = File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(&netns, CloneFlags::CLONE_NEWNET).context("enter the netns")?;
                work()
            });
            thread.join().map_err(|_| anyhow!("a thread in {} panicked", self.path.display()))?
        })
    }

    /// Runs a program to its end; its stdout.
    pub(crate) fn run(&self, program: &str, arguments: &str) -> Result<String> {
        self.inside(|| {
            let output = Command::new(program)
                .args(arguments.split_whitespace())
                .output()
                .with_context(|| format!("start {program}"))?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{program} {arguments}: {}", stderr.trim());
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
    }

    /// Runs `ip ARGUMENTS`; its stdout.
    pub(crate) fn ip(&self, arguments: &str) -> Result<String> {
        self.run("ip", arguments)
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

    /// Takes the name away, as a runtime does; the namespace ends with the last socket in it.
    pub(crate) fn remove(&self) -> Result<()> {
        umount2(&self.path, MntFlags::MNT_DETACH).context("unmount the netns")?;
        fs::remove_file(&self.path).context("remove the netns")
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.is_ours {
            // Gone already where the test took it away; the lab's mount namespace ends with the process anyhow.
            drop(self.remove());
        }
    }
}
