//! The benchmark's workshop: programs, stubs, namespaces, and a place on a real disk.
//!
//! Apart from [`crate::scene`], for single calls are measured here, without a runtime and on a disk.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, umount2};
use nix::unistd::syncfs;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde_json::{Value, json};

use super::call::{Attachment, Call};
use crate::host::scratch::files;
use crate::standin::stub::{Reply, Stub, StubDir};
use crate::{
    build::{dist, packages},
    host::{command, isolate, scratch},
};

/// Begins the name of the benchmark's directory on disk.
const DISK_PREFIX: &str = "bench-state-";

/// The programs and places of one run.
#[derive(Debug)]
pub(super) struct Workshop {
    /// The shim under test.
    pub(super) shim: PathBuf,
    /// The stub delegates `stub-old` and `stub-new`.
    pub(super) stubs: StubDir,
    /// The standard plugins, if this machine has them.
    pub(super) plugins: PathBuf,
    /// A directory on a real disk.
    pub(super) disk: Disk,
    scratch: scratch::Scratch,
}

impl Workshop {
    /// Makes it.
    ///
    /// # Errors
    /// Something is not built, or outside of a lab.
    pub(super) fn new() -> Result<Workshop> {
        let scratch = scratch::Scratch::new("bench")?;
        let disk = Disk::new(&scratch)?;
        // On disk as on a node: what a program's pages are mapped from is a good part of its start.
        let shim = disk.join("shim/crossfade");
        scratch::install(&dist::crossfade()?, &shim)?;
        let template = disk.join("bin/lab-stub");
        scratch::install(&dist::lab_bin("lab-stub")?, &template)?;
        let stubs = StubDir::new(&disk.join("bin"), &scratch.join("calls"), &template);
        for (name, address) in [("stub-old", "10.1.0.5/32"), ("stub-new", "10.2.0.5/32")] {
            stubs.write(name, &Stub::answering(Reply::json(&result(address))).unrecorded())?;
        }
        let plugins = disk.join("plugins");
        for name in ["bridge", "host-local"] {
            if let Ok(plugin) = packages::plugin(name) {
                scratch::install(&plugin, &plugins.join(name))?;
            }
        }
        journal()?;
        // A node has had its programs for long. What is still on its way to the disk would be in the way of what is measured.
        syncfs(File::open(disk.path())?).context("syncing the disk")?;
        Ok(Workshop { shim, stubs, plugins, disk, scratch })
    }

    /// A path on the lab's tmpfs.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Installs the shim between two networks, under a label of its own.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn install(&self, label: &str, networks: &Networks<'_>) -> Result<Installation> {
        let dir = self.scratch.dir(label)?;
        let mut named = serde_json::Map::new();
        for (role, conf) in [("old", networks.old), ("new", networks.new)] {
            let path = dir.join(format!("10-{role}.conflist"));
            fs::write(&path, conf.to_string())?;
            named.insert(role.to_owned(), json!({ "conf": [path] }));
        }
        let policy = dir.join("policy.json");
        let text = json!({ "version": 1, "networks": named, "attach": networks.attach });
        fs::write(&policy, text.to_string())?;
        let (state, run) = (self.disk.join(label), dir.join("run"));
        let conf = json!({
            "cniVersion": networks.version,
            "name": "crossfade",
            "type": "crossfade",
            "policy": policy,
            "stateDir": state,
            "runDir": run,
        });
        Ok(Installation { shim: self.shim.clone(), bin: networks.bin.to_owned(), conf, state, run })
    }

    /// `count` empty network namespaces.
    ///
    /// # Errors
    /// The label is taken.
    pub(super) fn netns(&self, label: &str, count: usize) -> Result<Vec<String>> {
        let names = (0..count).map(|number| format!("{label}-{number}"));
        let made = names.map(|name| {
            command::run(Command::new("ip").args(["netns", "add", &name]))?;
            Ok(format!("/run/netns/{name}"))
        });
        made.collect()
    }
}

/// What an installation stands between.
#[derive(Debug)]
pub(super) struct Networks<'a> {
    /// The conflist of the network `old`.
    pub(super) old: &'a Value,
    /// The conflist of the network `new`.
    pub(super) new: &'a Value,
    /// The policy's `attach`.
    pub(super) attach: &'a str,
    /// CNI version of the shim's conf.
    pub(super) version: &'a str,
    /// CNI_PATH.
    pub(super) bin: &'a Path,
}

/// The shim with a conf, a policy and a state directory.
#[derive(Debug)]
pub(super) struct Installation {
    shim: PathBuf,
    bin: PathBuf,
    conf: Value,
    /// Its state directory.
    pub(super) state: PathBuf,
    /// Its run directory.
    pub(super) run: PathBuf,
}

impl Installation {
    /// A call of the shim.
    ///
    /// # Errors
    /// No scratch file.
    pub(super) fn call(&self, verb: &str) -> Result<Call> {
        Call::new(&self.shim, verb, &self.bin, &self.conf)
    }

    /// A call for one attachment.
    ///
    /// # Errors
    /// No scratch file.
    pub(super) fn call_for(&self, verb: &str, attachment: &Attachment) -> Result<Call> {
        let mut call = self.call(verb)?;
        call.attachment(attachment);
        Ok(call)
    }

    /// Has its policy attach new pods so: `old`, or `both`.
    ///
    /// # Errors
    /// The policy cannot be read or written.
    pub(super) fn attach(&self, attach: &str) -> Result<()> {
        let path = Path::new(self.conf["policy"].as_str().context("the policy's path")?);
        let mut policy: Value = serde_json::from_slice(&fs::read(path)?)?;
        policy["attach"] = json!(attach);
        fs::write(path, policy.to_string()).context("the policy")
    }

    /// The conf that its calls read.
    pub(super) fn conf(&self) -> &Value {
        &self.conf
    }

    /// Its records.
    ///
    /// # Errors
    /// They cannot be listed; that there are none is no error.
    pub(super) fn records(&self) -> Result<Vec<PathBuf>> {
        files(&self.state.join("attachments"))
    }

    /// The length of the record of an ADD of this attachment, in bytes. That is its first ADD, which also makes directories.
    ///
    /// # Errors
    /// The ADD or its DEL fails, or there is no record between them.
    pub(super) fn record_length(&self, attachment: &Attachment) -> Result<u64> {
        self.call_for("ADD", attachment)?.run()?;
        let record = self.records()?.pop().context("an ADD without a record")?;
        let length = fs::metadata(&record)?.len();
        self.call_for("DEL", attachment)?.run()?;
        Ok(length)
    }

    /// What an attachment that is gone must not leave: records and locks.
    ///
    /// # Errors
    /// They cannot be listed.
    pub(super) fn leftovers(&self) -> Result<Vec<PathBuf>> {
        let mut leftovers = self.records()?;
        leftovers.extend(files(&self.run.join("locks"))?);
        Ok(leftovers)
    }
}

/// A network of one stub.
pub(super) fn stub_network(name: &str, plugin: &str, version: &str) -> Value {
    json!({ "cniVersion": version, "name": name, "plugins": [{ "type": plugin }] })
}

/// The conf of a network's only plugin, as a runtime would put it on its stdin.
pub(super) fn plugin_conf(network: &Value) -> Value {
    let mut conf = network["plugins"][0].clone();
    conf["cniVersion"] = network["cniVersion"].clone();
    conf["name"] = network["name"].clone();
    conf
}

/// A directory below `target/`, removed on drop, shown below the lab's scratch root.
///
/// Shown there because the shim trusts no state below a directory of another user's, and a checkout is its owner's.
#[derive(Debug)]
pub(super) struct Disk {
    shown: PathBuf,
    /// Kept locked: the free lock shows what a killed run left. Dropped, and with it removed, last.
    _lock: File,
    _directory: tempfile::TempDir,
}

impl Disk {
    fn new(scratch: &scratch::Scratch) -> Result<Disk> {
        let target = dist::workspace().join("target");
        fs::create_dir_all(&target).with_context(|| format!("creating {}", target.display()))?;
        sweep(&target)?;
        let directory = tempfile::Builder::new()
            .prefix(DISK_PREFIX)
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(&target)
            .context("a directory on disk")?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let lock = File::open(directory.path())?;
        spread(&lock);
        lock.lock().context("locking the directory on disk")?;
        let shown = scratch.dir("disk")?;
        isolate::bind(directory.path(), &shown)?;
        Ok(Disk { shown, _lock: lock, _directory: directory })
    }

    /// The directory, as the shim knows it.
    pub(super) fn path(&self) -> &Path {
        &self.shown
    }

    /// A path below it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.shown.join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nodes may show it as well; their mounts end with them, and the files go through the other path in any case.
        let _ends_with_the_lab = umount2(&self.shown, MntFlags::MNT_DETACH);
    }
}

/// Has ext4 give each directory in `directory` a block group of its own, where there is room for it (man 1 `chattr`, attribute T). Other file
/// systems may refuse.
///
/// Without a journal, ext4 looks at every inode of a group that was deleted in the last minutes before it gives out another one (`find_inode_bit`
/// in Linux, `fs/ext4/ialloc.c`). A benchmark deletes thousands of files in a minute, a node does not.
fn spread(directory: &File) {
    if let Ok(flags) = ioctl_getflags(directory) {
        let _ = ioctl_setflags(directory, flags | IFlags::TOPDIR);
    }
}

/// Removes what killed runs left.
fn sweep(target: &Path) -> Result<()> {
    for entry in fs::read_dir(target).with_context(|| format!("reading {}", target.display()))? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(DISK_PREFIX) {
            continue;
        }
        let Ok(directory) = File::open(entry.path()) else { continue };
        match directory.try_lock() {
            Ok(()) => fs::remove_dir_all(entry.path())
                .with_context(|| format!("removing {}", entry.path().display()))?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock of {}", entry.path().display()));
            }
        }
    }
    Ok(())
}

/// Something that listens where journald does, as on every node: sending to a closed socket would be cheaper.
fn journal() -> Result<()> {
    let directory = Path::new("/run/systemd/journal");
    isolate::directory(directory)?;
    let socket = UnixDatagram::bind(directory.join("socket")).context("the journal's socket")?;
    std::thread::spawn(move || {
        let mut datagram = [0; 8192];
        while socket.recv(&mut datagram).is_ok() {}
    });
    Ok(())
}

/// An ADD's result with this address.
fn result(address: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            { "name": "veth01234567", "mac": "ee:ee:ee:ee:ee:ee" },
            { "name": "{ifname}", "mac": "02:00:00:00:00:01", "sandbox": "{netns}" },
        ],
        "ips": [{ "interface": 1, "address": address, "gateway": "169.254.1.1" }],
        "routes": [{ "dst": "0.0.0.0/0", "gw": "169.254.1.1" }],
        "dns": {},
    })
}

/// Holds when nothing is left of what was attached and detached.
pub(super) fn nothing_left(what: &str, left: &[PathBuf]) -> Result<()> {
    ensure!(left.is_empty(), "{what}: left over: {left:?}");
    Ok(())
}
