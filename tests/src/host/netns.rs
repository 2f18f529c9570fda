//! Empty network namespaces under /run/netns, one per test case.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    unistd::Pid,
};

use crate::host::command::run_line;

static MADE: AtomicU32 = AtomicU32::new(0);

/// Makes a network namespace and binds it to `path`, which is made: not even its loopback is up.
///
/// # Errors
/// What the kernel refuses.
pub fn pin(path: &Path) -> Result<()> {
    File::create(path).with_context(|| format!("make {}", path.display()))?;
    let target = path.to_owned();
    let made = thread::spawn(move || -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).context("unshare the network")?;
        let none: Option<&str> = None;
        mount(Some("/proc/thread-self/ns/net"), &target, none, MsFlags::MS_BIND, none)
            .context("bind the netns")
    });
    made.join().map_err(|_| anyhow::anyhow!("the netns thread panicked"))?
}

/// A network namespace, of a pod or a node.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
    /// Whether its name was made here, and ends when this is dropped.
    is_ours: bool,
}

impl Netns {
    /// A new, empty one: not even its loopback is up.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn new() -> Result<Self> {
        Self::named(&format!("case{}", MADE.fetch_add(1, Ordering::Relaxed)))
    }

    /// A new one of this name, which no other of the lab has, with its loopback up: a pod's.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn pod(name: &str) -> Result<Self> {
        let netns = Self::named(name)?;
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    fn named(name: &str) -> Result<Self> {
        let path = Path::new("/run/netns").join(name);
        fs::create_dir_all("/run/netns")?;
        pin(&path)?;
        Ok(Self { path, is_ours: true })
    }

    /// The one of a process, while that lives.
    pub fn of_process(pid: Pid) -> Self {
        Self { path: PathBuf::from(format!("/proc/{pid}/ns/net")), is_ours: false }
    }

    /// Its path, for CNI_NETNS.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `ip ARGUMENTS` inside and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        self.run(&format!("ip {arguments}"))
    }

    /// Runs a line of words inside and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, line: &str) -> Result<String> {
        self.inside(|| run_line(line))
    }

    /// The program that runs what its arguments name inside, in its own place.
    pub fn nsenter(&self) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net={}", self.path.display()));
        nsenter
    }

    /// Does something inside, in a thread that ends with it.
    ///
    /// # Errors
    /// When the netns cannot be entered, and what `act` says.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let netns = File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        let enter = || setns(&netns, CloneFlags::CLONE_NEWNET).context("enter the netns");
        thread::scope(|scope| scope.spawn(|| enter().and_then(|()| act())).join())
            .map_err(|_| anyhow::anyhow!("the thread in the netns panicked"))?
    }

    /// Whether a link of this name is inside.
    ///
    /// # Errors
    /// When the links cannot be listed.
    pub fn has_link(&self, name: &str) -> Result<bool> {
        Ok(self.ip("-o link")?.contains(&format!(": {name}")))
    }

    /// Takes its name away, as a runtime does; the namespace ends with the last process and socket in it.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn remove(&self) -> Result<()> {
        umount2(&self.path, MntFlags::MNT_DETACH).context("unmount the netns")?;
        fs::remove_file(&self.path).context("remove the netns")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.is_ours {
            // Gone already where the test took it away; the lab's mount namespace ends with the process anyhow.
            drop(self.remove());
        }
    }
}

/// Takes this thread, the process's only one, into the network and mount namespaces of a process.
///
/// # Errors
/// The process is gone, or what the kernel refuses.
pub(crate) fn enter(pid: u32) -> Result<()> {
    let open = |kind: &str| File::open(format!("/proc/{pid}/ns/{kind}"));
    let (mount, net) = (open("mnt")?, open("net")?);
    setns(net, CloneFlags::CLONE_NEWNET)?;
    setns(mount, CloneFlags::CLONE_NEWNS)?;
    Ok(())
}
