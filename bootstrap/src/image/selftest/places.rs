//! The directories that are made or written at every boot.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use shim::host::trust;
use shim::node::layout::Layout;
use types::node::{Mode, Node};

use super::check::{Check, Fault, from_faults};
use crate::host::root::Root;

/// *Source*: man 5 `fstab`.
const FSTAB: &str = "/etc/fstab";
/// File systems that a reboot empties.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// Whether records can be kept: the directory, or the one that it would be made in, is root's alone and can be written.
pub(super) fn state(root: &Root) -> Vec<Check> {
    const ID: &str = "place.state";
    let dir = Layout::default().state_dir;
    let rooted = root.join(&dir);
    let shown = dir.display();
    let mut faults = Vec::new();
    if let Err(why) = trust::check_place(&rooted) {
        faults.push(Fault::new(why.to_string(), "give the directory, and every one above it, to root alone"));
    }
    if is_read_only(&rooted) {
        let fix = "keep /var on a file system that is mounted read-write";
        faults.push(Fault::new(
            format!("{shown} is on a read-only file system, and records are kept there"),
            fix,
        ));
    }
    if let Some(line) = mounts(root).into_iter().find(|line| line.place == "/var" && line.is_volatile()) {
        let what = format!("{FSTAB} mounts {} on /var: records of pods would be gone at a reboot", line.kind);
        faults.push(Fault::new(what, format!("mount a disk there, or on {shown}")));
    }
    from_faults(ID, faults, if rooted.is_dir() { format!("{shown}") } else { format!("{shown} can be made") })
}

/// Whether a reboot empties what must not outlive it.
pub(super) fn run(root: &Root) -> Vec<Check> {
    const ID: &str = "place.run";
    let mut faults = Vec::new();
    if let Some(line) = mounts(root).into_iter().find(|line| line.place == "/run" && !line.is_volatile()) {
        let what = format!(
            "{FSTAB} mounts {} on /run, so what is true of one boot would be taken for the next",
            line.kind
        );
        faults.push(Fault::new(what, format!("take /run out of {FSTAB}: systemd mounts a tmpfs there")));
    }
    if root.entry("/run").is_symlink() {
        faults.push(Fault::new("/run is a link", "make it a directory: systemd mounts a tmpfs there"));
    }
    from_faults(ID, faults, "/run is emptied by every boot")
}

/// In shared mode boot writes into the runtime's own directory.
pub(super) fn conf_dir(root: &Root, node: &Node, usual: &Path) -> Vec<Check> {
    const ID: &str = "place.conf-dir";
    let rooted = root.join(usual);
    let mut faults = Vec::new();
    if let Err(why) = trust::check_place(&rooted) {
        faults.push(Fault::new(why.to_string(), "give the directory, and every one above it, to root alone"));
    }
    if node.conf_dir == Mode::Shared && is_read_only(&rooted) {
        let what =
            format!("{} is on a read-only file system, and Crossfade's conf belongs there", usual.display());
        faults.push(Fault::new(what, "use confDir private"));
    }
    from_faults(ID, faults, usual.display().to_string())
}

fn is_read_only(path: &Path) -> bool {
    let above = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    statvfs(above).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))
}

/// A line of fstab.
struct Mount {
    place: String,
    kind: String,
}

impl Mount {
    fn is_volatile(&self) -> bool {
        VOLATILE.contains(&self.kind.as_str())
    }
}

fn mounts(root: &Root) -> Vec<Mount> {
    let text = std::fs::read_to_string(root.join(FSTAB)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mount = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        Some(Mount { place: words.next()?.into(), kind: words.next()?.into() })
    };
    lines.filter_map(mount).collect()
}
