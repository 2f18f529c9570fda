//! A node to play a history on: two networks of stubs, a policy, a small disk for the records, a boot id, network namespaces.
//!
//! Every player is a thread with a mount namespace of its own ([`own_mounts`]), so that several play side by side although each
//! has its own boot id. What a stage holds goes when it is dropped.
//!
//! Apart from [`lab::scene`], for a history is played thousands of times, and takes boots, disks and namespaces away in the middle.

mod calling;
mod files;

use std::{
    cell::{Cell, RefCell},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use lab::{
    host::scratch::Scratch,
    standin::stub::{Gate, StubDir},
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nameindex;
use nix::sched::{CloneFlags, setns, unshare};

pub(crate) use calling::{CallObservation, CallOutcome};
pub(crate) use files::TornPart;

use crate::history::{CONTAINERS, Disk, Part, Policy, Setup, Side};

/// Where the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Room for the records, in bytes.
const DISK_BYTES: usize = 2 << 20;

/// The standard plugins, as `old` (bridge) and `new` (ptp) use them, and where packages put them.
pub(crate) const REAL_PLUGINS: [&str; 4] = ["bridge", "ptp", "host-local", "portmap"];
const REAL_DIRS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// What the confs keep secret; it may be in no answer.
pub(crate) const SECRET: &str = "canary-5b1f";

/// The how manieth netns of this node it is. The kernel gives the number of an inode out again, this one never comes twice.
pub(crate) type NetnsId = u32;

/// The programs under test and of the lab, on the lab's own tmpfs.
#[derive(Debug)]
pub(crate) struct Programs {
    dir: Scratch,
}

impl Programs {
    /// Installs them.
    pub(crate) fn install() -> Result<Self> {
        let dir = Scratch::new("programs")?;
        dir.install(&lab::build::dist::crossfade()?, "crossfade")?;
        dir.install(&lab::build::dist::bootstrap()?, "crossfade-bootstrap")?;
        dir.install(&lab::build::dist::lab_bin("lab-stub")?, "lab-stub")?;
        for plugin in REAL_PLUGINS {
            let path = REAL_DIRS.iter().map(|dir| Path::new(dir).join(plugin)).find(|path| path.is_file());
            dir.install(&path.with_context(|| format!("the standard plugin {plugin}"))?, plugin)?;
        }
        Ok(Self { dir })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Gives the calling thread a mount namespace of its own, with a boot id of its own: the file that says it.
pub(crate) fn own_mounts() -> Result<(Scratch, PathBuf)> {
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace for this player")?;
    let dir = Scratch::new("boot")?;
    let file = dir.join("boot_id");
    fs::write(&file, "00000000-0000-4000-8000-000000000000\n")?;
    let none: Option<&str> = None;
    mount(Some(&file), BOOT_ID, none, MsFlags::MS_BIND, none).context("bind a boot id")?;
    Ok((dir, file))
}

/// Gives the calling thread a network namespace of its own: a node that has just booted.
pub(crate) fn own_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace for this player")?;
    // No other host is on these wires, so no address need be checked for duplicates.
    let script = "ip link set lo up && echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad";
    ensure!(Command::new("sh").args(["-c", script]).status()?.success(), "loopback of a player");
    Ok(())
}

/// A node in the midst of a history.
#[derive(Debug)]
pub(crate) struct Stage {
    dir: Scratch,
    /// The networks are the standard plugins, not stubs.
    real: bool,
    pub(crate) stubs: StubDir,
    setup: Setup,
    boot_file: PathBuf,
    boots: Cell<u32>,
    log_read: Cell<u64>,
    sockets: RefCell<[Option<std::os::unix::net::UnixListener>; 2]>,
    netns: RefCell<[Option<NetnsId>; CONTAINERS as usize]>,
    netns_made: Cell<NetnsId>,
    policy: Cell<Policy>,
    disk: Cell<Disk>,
    /// Where delegates hang that were not told to end.
    gates: RefCell<Vec<Gate>>,
}

impl Stage {
    /// A node that has just booted, with both agents up.
    pub(crate) fn new(setup: &Setup, programs: &Programs, boot_file: &Path) -> Result<Self> {
        Self::create(setup, programs, boot_file, false)
    }

    /// The same with the standard plugins as networks, in a network namespace of its own.
    pub(crate) fn real(setup: &Setup, programs: &Programs, boot_file: &Path) -> Result<Self> {
        own_network()?;
        Self::create(setup, programs, boot_file, true)
    }

    fn create(setup: &Setup, programs: &Programs, boot_file: &Path, real: bool) -> Result<Self> {
        let dir = Scratch::new("model")?;
        for name in ["bin", "net.d", "netns", "state", "sock"] {
            dir.dir(name)?;
        }
        let options = format!("size={DISK_BYTES},mode=0700");
        mount(Some("model"), &dir.join("state"), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .context("a small disk for the records")?;
        for name in ["crossfade", "crossfade-bootstrap", "lab-stub"] {
            fs::hard_link(programs.path(name), dir.join(name)).with_context(|| format!("link {name}"))?;
        }
        let stubs = StubDir::new(&dir.join("bin"), &dir.join("calls.jsonl"), &dir.join("lab-stub"));
        let stage = Self {
            stubs,
            real,
            setup: setup.clone(),
            boot_file: boot_file.to_owned(),
            boots: Cell::new(0),
            log_read: Cell::new(0),
            sockets: RefCell::default(),
            netns: RefCell::default(),
            netns_made: Cell::default(),
            policy: Cell::new(setup.policy),
            disk: Cell::new(Disk::Sound),
            gates: RefCell::default(),
            dir,
        };
        stage.new_boot_id()?;
        stage.write_scripts(&[], None)?;
        for part in Part::ALL {
            fs::hard_link(stage.stubs.template(), stage.stubs.program(part.plugin()))
                .context("link a plugin")?;
        }
        for plugin in REAL_PLUGINS {
            fs::hard_link(programs.path(plugin), stage.stubs.program(plugin))
                .context("link a real plugin")?;
            fs::hard_link(programs.path(plugin), stage.path(plugin)).context("keep a real plugin")?;
        }
        for side in Side::BOTH {
            stage.write_conf(side)?;
            stage.set_socket(side, true)?;
        }
        stage.write_policy(&setup.policy, false)?;
        Ok(stage)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn new_boot_id(&self) -> Result<()> {
        let boot = self.boots.replace(self.boots.get() + 1);
        let tail = format!("{:06x}{boot:06x}", std::process::id());
        fs::write(&self.boot_file, format!("5c1e0000-0000-4000-8000-{tail}\n")).context("write a boot id")
    }

    /// Another boot: every process and netns is gone, and so is what lay on tmpfs; what agents wrote to disk stays.
    pub(crate) fn reboot(&self) -> Result<()> {
        self.end_everybody()?;
        self.gates.take();
        for container in 0..CONTAINERS {
            self.netns_gone(container)?;
        }
        match fs::remove_dir_all(self.path("run")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("empty /run");
            }
            _ => {}
        }
        if self.real {
            own_network()?;
        }
        self.new_boot_id()
    }

    /// The interfaces in a container's netns but `lo`; none where there is no netns.
    pub(crate) fn interfaces(&self, container: u8) -> Result<Vec<String>> {
        if self.netns_id(container).is_none() {
            return Ok(Vec::new());
        }
        let netns = fs::File::open(self.netns_path(container))?;
        let inside = std::thread::spawn(move || -> Result<Vec<String>> {
            setns(netns, CloneFlags::CLONE_NEWNET).context("enter a netns")?;
            interfaces_here()
        });
        inside.join().map_err(|_| anyhow::anyhow!("the thread in a netns panicked"))?
    }

    /// CNI_NETNS of a container.
    pub(crate) fn netns_path(&self, container: u8) -> String {
        self.path(&format!("netns/c{container}")).display().to_string()
    }

    /// Makes a netns for a container that has none.
    pub(crate) fn make_netns(&self, container: u8) -> Result<()> {
        let there = &mut self.netns.borrow_mut()[usize::from(container)];
        if there.is_some() {
            return Ok(());
        }
        let path = PathBuf::from(self.netns_path(container));
        fs::File::create(&path).context("make the path of a netns")?;
        let made = std::thread::spawn(move || -> Result<()> {
            unshare(CloneFlags::CLONE_NEWNET).context("unshare the network")?;
            let none: Option<&str> = None;
            mount(Some("/proc/thread-self/ns/net"), &path, none, MsFlags::MS_BIND, none)
                .context("bind the netns")?;
            // As for the node: no address need be checked for duplicates.
            fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").context("address detection off")
        });
        made.join().map_err(|_| anyhow::anyhow!("the netns thread panicked"))??;
        self.netns_made.set(self.netns_made.get() + 1);
        *there = Some(self.netns_made.get());
        Ok(())
    }

    /// Takes a container's netns away, and its path.
    pub(crate) fn netns_gone(&self, container: u8) -> Result<()> {
        let there = &mut self.netns.borrow_mut()[usize::from(container)];
        if there.take().is_some() {
            let path = self.netns_path(container);
            umount2(Path::new(&path), MntFlags::MNT_DETACH).context("unmount a netns")?;
            fs::remove_file(&path).context("remove a netns")?;
        }
        Ok(())
    }

    /// Which netns is at a container's path now.
    pub(crate) fn netns_id(&self, container: u8) -> Option<NetnsId> {
        self.netns.borrow()[usize::from(container)]
    }
}

/// The interfaces of this thread's netns but `lo`.
pub(crate) fn interfaces_here() -> Result<Vec<String>> {
    let all = if_nameindex().context("list interfaces")?;
    let names = all.iter().map(|interface| interface.name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name != "lo").collect())
}

impl Drop for Stage {
    fn drop(&mut self) {
        // All of it would go with the lab's namespaces; here it goes so that many stages fit into one lab.
        drop(self.end_everybody());
        for container in 0..CONTAINERS {
            drop(self.netns_gone(container));
        }
        let _busy = umount2(&self.path("state"), MntFlags::MNT_DETACH);
    }
}
