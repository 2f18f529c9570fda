//! A node's init in its new namespaces.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::host::isolate;

/// Names the node's scratch directory to its init.
pub(super) const VARIABLE: &str = "CROSSFADE_LAB_NODE";

/// What init says on stdout when the namespaces are set up.
pub(crate) const READY: &str = "lab node ready";

/// Directories that are empty and the node's own, beside `/run`.
pub const OWN: [&str; 16] = [
    // Podman's locks, whatever its storage directory.
    "/dev/shm",
    "/etc/cni",
    "/etc/containerd",
    "/etc/crossfade",
    "/etc/kubernetes",
    "/etc/systemd/system",
    "/opt/cni",
    "/usr/lib/crossfade",
    "/usr/libexec/crossfade",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/crossfade",
    "/var/lib/kubelet",
    "/var/log",
    "/var/tmp",
];

/// Where Debian's package puts the standard plugins; links to them fill the node's `/opt/cni/bin`.
const PLUGINS: &str = "/usr/lib/cni";

/// Makes the namespaces, mounts and kernel settings of a node. Called by init, which has one thread.
pub(crate) fn set_up_inside() -> Result<()> {
    let scratch = PathBuf::from(std::env::var_os(VARIABLE).context("the node's directory")?);
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .context("new mount and net namespace")?;
    isolate::private_tree()?;
    isolate::proc()?;
    own_directories(&scratch)?;
    own_run(&scratch)?;
    link_plugins()?;
    for (setting, value) in
        [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "0")]
    {
        let path = Path::new("/proc/sys/net/ipv4").join(setting);
        fs::write(&path, value).with_context(|| format!("setting {}", path.display()))?;
    }
    isolate::loopback_up()
}

/// One tmpfs, shown at each of [`OWN`].
fn own_directories(scratch: &Path) -> Result<()> {
    let own = scratch.join("own");
    fs::create_dir_all(&own).context("the node's own directories")?;
    isolate::tmpfs(&own)?;
    for target in OWN.map(Path::new) {
        let source = own.join(target.strip_prefix("/")?);
        isolate::directory(&source)?;
        // In the lab's copy-on-write layer; another node may be making it too.
        isolate::directory(target)?;
        isolate::bind(&source, target)?;
    }
    Ok(())
}

/// An empty `/run` that still has the lab's scratch root, and a `/run/netns` that runtimes can use.
fn own_run(scratch: &Path) -> Result<()> {
    let run = scratch.join("run");
    isolate::directory(&run)?;
    isolate::tmpfs(&run)?;
    let root = Path::new(crate::host::scratch::ROOT);
    let lab = run.join(root.strip_prefix("/run")?);
    isolate::directory(&lab)?;
    isolate::bind(root, &lab)?;
    let none: Option<&str> = None;
    nix::mount::mount(Some(&run), "/run", none, MsFlags::MS_MOVE, none)
        .context("moving the new /run into place")?;
    let netns = Path::new("/run/netns");
    isolate::directory(netns)?;
    isolate::tmpfs(netns)?;
    isolate::make_shared(netns)
}

fn link_plugins() -> Result<()> {
    let target = Path::new("/opt/cni/bin");
    isolate::directory(target)?;
    let Ok(plugins) = fs::read_dir(PLUGINS) else {
        return Ok(());
    };
    for plugin in plugins {
        let plugin = plugin.context(PLUGINS)?;
        symlink(plugin.path(), target.join(plugin.file_name())).context("linking a standard plugin")?;
    }
    Ok(())
}
