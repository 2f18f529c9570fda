//! Empty network namespaces under /run/netns, one per test case.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

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

/// A network namespace with a name; it ends when this is dropped.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
}

impl Netns {
    /// A new, empty one: not even its loopback is up.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn new() -> Result<Self> {
        let path = PathBuf::from(format!("/run/netns/case{}", MADE.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all("/run/netns")?;
        pin(&path)?;
        Ok(Self { path })
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
        let inside = format!("--net={}", self.path.display());
        let mut argv = vec![inside.as_str(), "ip"];
        argv.extend(arguments.split_whitespace());
        run("nsenter", &argv)
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

    /// Takes it away before the end.
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
        // Gone already where the test took it away; the lab's mount namespace ends with the process anyhow.
        drop(self.remove());
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

/// Runs `ip ARGUMENTS` in the lab's own network namespace.
///
/// # Errors
/// When it fails.
pub fn host_ip(arguments: &str) -> Result<String> {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
}

/// Runs a program to its end; its stdout.
///
/// # Errors
/// When it fails; its stderr.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("start {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {stderr}", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
