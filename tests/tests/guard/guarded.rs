//! One node with a real containerd, one network of real plugins, our conf before it, and `watch`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use lab::containerd::{Containerd, Options};
use lab::cri::Sandbox;
use lab::crossfade::{BIN_DIR, CONF_DIR, Crossfade};
use lab::deadline::until;
use lab::fabric::{Fabric, Overlay};
use lab::node::{Daemon, Node};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::LIMIT;

/// File name of our conf.
pub(crate) const OURS: &str = "01-crossfade.conflist";
/// The private conf directory.
pub(crate) const PRIVATE: &str = "/run/crossfade/net.d";
const STATUS: &str = "/run/crossfade/status.json";

/// The node with everything on it.
pub(crate) struct Scene {
    pub(crate) containerd: Containerd,
    pub(crate) crossfade: Crossfade,
    pub(crate) old: Overlay,
    conf_dir: PathBuf,
    // Last, for all of the above is on its node.
    fabric: Fabric,
}

impl Scene {
    /// Shared mode: our conf is installed.
    pub(crate) fn shared() -> Result<Scene> {
        let scene = Scene::with(CONF_DIR, json!({ "version": 1 }))?;
        scene.expect_loaded()?;
        Ok(scene)
    }

    /// Private mode: nothing is in the runtime's directory, and agents have theirs.
    pub(crate) fn private() -> Result<Scene> {
        let scene = Scene::with(PRIVATE, json!({ "version": 1, "confDir": "private" }))?;
        fs::remove_file(scene.outside(CONF_DIR).join(OURS))?;
        ensure!(!scene.containerd.cri().network_ready()?.0, "ready without a conf");
        Ok(scene)
    }

    fn with(conf_dir: &str, mut settings: Value) -> Result<Scene> {
        let fabric = Fabric::new(1)?;
        let overlay = |name: &str, vni: u32, prefix: &str| Overlay {
            name: name.to_owned(),
            vni,
            udp_port: 8472,
            prefix: prefix.to_owned(),
            host_prefix: None,
        };
        let (old, new) = (overlay("old", 1, "10.244"), overlay("new", 2, "10.245"));
        let node = fabric.node(1);
        let crossfade = Crossfade::install(node, &old, &new)?;
        let containerd =
            Containerd::start(node, &Options { conf_dir: conf_dir.into(), ..Options::default() })?;
        // The machine may have a containerd of its own, whose unit and directories are not this one's.
        let bin_dirs = [BIN_DIR, "/usr/lib/cni"];
        let endpoint = format!("unix://{}", containerd.socket().display());
        settings["runtime"] = json!({ "endpoint": endpoint, "binDirs": bin_dirs });
        node.write("/etc/crossfade/node.json", settings.to_string())?;
        let boot_id = fs::read_to_string(node.outside("/proc/sys/kernel/random/boot_id"))?;
        let booted = json!({ "version": 1, "kind": "first", "bootID": boot_id.trim() });
        node.write("/run/crossfade/boot.json", booted.to_string())?;
        Ok(Scene { containerd, crossfade, old, conf_dir: conf_dir.into(), fabric })
    }

    pub(crate) fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    pub(crate) fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.node().outside(path)
    }

    /// The runtime's directory as the lab sees it.
    pub(crate) fn dir(&self) -> PathBuf {
        self.outside(&self.conf_dir)
    }

    /// Our conf as the lab sees it.
    pub(crate) fn ours(&self) -> PathBuf {
        self.dir().join(OURS)
    }

    /// What the runtime has loaded, without the loopback's plugin.
    pub(crate) fn loaded(&self) -> Result<Vec<String>> {
        let plugins = self.containerd.cri().conf_plugins()?;
        Ok(plugins.into_iter().filter(|plugin| plugin != "loopback").collect())
    }

    /// Moves our conf away and back again, as a person does who wants to see what happens: containerd 1.6 loads the network behind
    /// it and keeps that.
    pub(crate) fn away_and_back(&self) -> Result<()> {
        let aside = self.dir().with_file_name("aside");
        fs::rename(self.ours(), &aside)?;
        until("the network behind ours", LIMIT, || {
            let loaded = self.loaded()?;
            Ok((!loaded.is_empty() && !loaded.iter().any(|plugin| plugin == "crossfade")).then_some(()))
        })?;
        Ok(fs::rename(&aside, self.ours())?)
    }

    /// `crossfade-bootstrap` in the node.
    pub(crate) fn bootstrap(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.node().command(lab::dist::bootstrap()?);
        command.args(arguments);
        Ok(command)
    }

    /// Starts `watch` and waits for its first word.
    pub(crate) fn watch(&self) -> Result<Daemon> {
        self.watching(&self.bootstrap(&["watch"])?)
    }

    /// Starts a command that is `watch` and waits for its first word.
    pub(crate) fn watching(&self, command: &Command) -> Result<Daemon> {
        let mut watch = self.node().background("watch", command)?;
        let pid = watch.pid().as_raw();
        until("the first status of watch", LIMIT, || {
            if let Some(status) = watch.ended()? {
                bail!("watch ended with {status}: {}", fs::read_to_string(watch.log())?);
            }
            let Some(writer) = self.status()["watch"]["pid"].as_i64() else { return Ok(None) };
            // Its pid as the node sees it, or that of its tracer's child.
            let own = inner_pid(pid)?;
            let traced = only_child(pid).map(inner_pid).transpose()?;
            Ok((writer == own || Some(writer) == traced).then_some(()))
        })?;
        Ok(watch)
    }

    /// status.json; null while there is none.
    pub(crate) fn status(&self) -> Value {
        let bytes = fs::read(self.outside(STATUS)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    /// Waits until `watch` says that this is why.
    pub(crate) fn expect_reason(&self, reason: &str) -> Result<Value> {
        let told = until(&format!("reason {reason}"), LIMIT, || {
            let status = self.status();
            Ok((status["reason"] == reason).then_some(status))
        });
        told.with_context(|| format!("status: {:#}", self.status()))
    }

    /// Waits until the runtime has loaded our conf.
    pub(crate) fn expect_loaded(&self) -> Result<()> {
        until("our conf in the runtime", LIMIT, || {
            let cri = self.containerd.cri();
            let ours = cri.conf_plugins()?.iter().any(|plugin| plugin == "crossfade");
            Ok((ours && cri.network_ready()?.0).then_some(()))
        })
    }

    /// Waits until our conf is whole, a regular file and readable for all.
    pub(crate) fn expect_whole(&self, bytes: &[u8]) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        until("our conf, whole", LIMIT, || {
            let Ok(meta) = self.ours().symlink_metadata() else { return Ok(None) };
            let right = meta.is_file() && meta.permissions().mode() & 0o7777 == 0o644;
            Ok((right && fs::read(self.ours()).is_ok_and(|found| found == bytes)).then_some(()))
        })
    }

    /// A pod runs on the old network and ends, and nothing of it stays.
    pub(crate) fn expect_pods(&self) -> Result<()> {
        let cri = self.containerd.cri();
        let id = cri.run_sandbox(&Sandbox::new("pod"))?;
        let leases = self.old.leases(self.node())?;
        ensure!(leases.len() == 1, "leases of old: {leases:?}");
        cri.stop(&id)?;
        cri.remove(&id)?;
        let leases = self.old.leases(self.node())?;
        ensure!(leases.is_empty(), "leases of old afterwards: {leases:?}");
        ensure!(self.crossfade.records()?.is_empty(), "records: {:?}", self.crossfade.records()?);
        Ok(())
    }

    /// Counts what happens to names in the runtime's directory from now on.
    pub(crate) fn counter(&self) -> Result<Counter> {
        Counter::new(&self.dir())
    }
}

/// Ends `watch` as systemd does.
pub(crate) fn end(watch: Daemon) -> Result<()> {
    let log = watch.log().to_path_buf();
    let status = watch.terminate()?;
    ensure!(status.success(), "watch ended with {status}: {}", fs::read_to_string(log)?);
    Ok(())
}

/// What inotify tells of a directory.
pub(crate) struct Counter(Inotify);

impl Counter {
    fn new(dir: &Path) -> Result<Counter> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        inotify.add_watch(dir, flags).with_context(|| format!("watch {}", dir.display()))?;
        Ok(Counter(inotify))
    }

    /// How often something came to our name by rename, and how often somebody wrote to it in place, since the last question.
    pub(crate) fn writes(&self) -> Result<(usize, usize)> {
        let (mut renamed, mut in_place) = (0, 0);
        loop {
            let events = match self.0.read_events() {
                Err(Errno::EAGAIN) => return Ok((renamed, in_place)),
                events => events?,
            };
            for event in events.iter().filter(|event| event.name.as_deref() == Some(OURS.as_ref())) {
                renamed += usize::from(event.mask.contains(AddWatchFlags::IN_MOVED_TO));
                in_place += usize::from(event.mask.contains(AddWatchFlags::IN_MODIFY));
            }
        }
    }
}

/// Sends a signal to `watch`, or to the one that its tracer traces.
pub(crate) fn signal(watch: &Daemon, signal: Signal) -> Result<()> {
    let pid = watch.pid().as_raw();
    let pid = only_child(pid).unwrap_or(pid);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)
        .with_context(|| format!("{signal} to watch"))
}

/// Lets a stopped `watch` go on: `nsenter`, which waits for it, has stopped itself with it and passes the signal on.
pub(crate) fn resume(watch: &Daemon) -> Result<()> {
    signal(watch, Signal::SIGCONT)?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", watch.pid()))?;
    // man 5 proc: the parent is the second field behind the name.
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
    let parent = nix::unistd::Pid::from_raw(parent.context("the parent of watch")?);
    nix::sys::signal::kill(parent, Signal::SIGCONT).context("SIGCONT to nsenter")
}

fn only_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// A pid as the innermost namespace sees it (man 5 proc, `NSpid`).
fn inner_pid(pid: i32) -> Result<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    Ok(line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(-1))
}
