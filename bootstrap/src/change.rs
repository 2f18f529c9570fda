//! What a command would do, as data.
//!
//! A command decides a list of changes; a dry run prints it, an apply carries it out. There is no second description of the
//! same thing, so the two cannot differ.

mod inside;
pub mod outcome;
#[cfg(test)]
pub(crate) mod shape;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Serialize;
use serde::ser::SerializeStruct;
use shim::boot::Moment;
use shim::file::{self, TEMP_PREFIX};
use shim::inventory::{Entry, Inventory};
use shim::layout::Layout;
use shim::ledger::{self, Line};
use shim::store::{Found, Key, Store};
use shim::trust;

use crate::node::mounts::Mounts;

/// Largest file that is compared, or moved to another filesystem, in bytes: a plugin.
const MAX_BYTES: usize = 64 << 20;

/// One change, or the decision to leave something as it is.
#[derive(Debug, Clone)]
pub struct Change {
    /// What is done.
    pub act: Act,
    /// To what, in words of the node: a path, an attachment.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// What a [`Change`] does.
#[derive(Debug, Clone)]
pub enum Act {
    /// Nothing: it is as it should be.
    Keep,
    /// Writes a file by rename.
    Write(Write),
    /// Adds entries to the inventory; those that are there stay as they are.
    List(Vec<Entry>),
    /// Removes a file.
    Remove {
        /// Which.
        path: PathBuf,
        /// Whether it lies in a runtime's conf directory.
        nudge: bool,
    },
    /// Removes a directory and all that is in it; a link is removed, never followed, and nothing that is mounted is touched.
    RemoveTree(PathBuf),
    /// Leaves a file without content; it keeps owner, mode and label.
    Empty(PathBuf),
    /// Makes a directory, 0755, and what is missing above it.
    MakeDir(PathBuf),
    /// Moves a file or a directory out of the way; nothing is deleted.
    SetAside {
        /// What.
        from: PathBuf,
        /// Where it goes; its directory is made, for us alone.
        to: PathBuf,
        /// Whether it lies in a runtime's conf directory.
        nudge: bool,
    },
    /// Appends lines to the ledger, durably; the journal takes them where the ledger cannot.
    Ledger {
        /// Whose.
        layout: Box<Layout>,
        /// One for each attachment that ended without its DEL.
        lines: Vec<Line>,
    },
    /// Removes the lock of an attachment, unless somebody holds it by then.
    Unlock(PathBuf),
    /// Asks the runtime whether it uses our conf by now, then lists what was attached meanwhile.
    Confirm,
    /// Runs the DELs owed by the record that was begun then, and removes it.
    Close(Key, Box<Moment>),
    /// Turns an inventory entry into a record, and closes that.
    CloseEntry(Key),
    /// Sets what living attachments have lost of their host routes, and takes away what nobody has.
    HostRoutes,
    /// Leaves an attachment for a later pass.
    Wait,
    /// Marks a network as ready in this boot, as the shim does.
    Mark {
        /// The network's own name.
        name: String,
        /// Its conf.
        conf: PathBuf,
    },
    /// Has systemd run this very program with these arguments, in a unit of its own.
    Start {
        /// The unit's name, without `.service`.
        unit: String,
        /// The arguments.
        arguments: Vec<String>,
        /// How long it may run, in seconds.
        within_secs: u64,
    },
    /// Takes back what this node said on its Node.
    Retract,
    /// Runs systemctl with these arguments and waits for it.
    Systemctl(Vec<&'static str>),
}

/// A file to write.
#[derive(Clone)]
pub struct Write {
    /// Where.
    pub path: PathBuf,
    /// Its whole content.
    pub bytes: Vec<u8>,
    /// Its mode, whatever the umask.
    pub mode: u32,
    /// Whether it lies in a runtime's conf directory.
    pub nudge: bool,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes to {} ({:o})", self.bytes.len(), self.path.display(), self.mode)
    }
}

impl Act {
    /// The word for it, as printed.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Write(_) | Self::List(_) | Self::Ledger { .. } => "write",
            Self::Remove { .. } | Self::RemoveTree(_) | Self::Unlock(_) => "remove",
            Self::Empty(_) => "empty",
            Self::MakeDir(_) => "make",
            Self::SetAside { .. } => "move",
            Self::Confirm => "confirm",
            Self::Close(..) | Self::CloseEntry(_) => "close",
            Self::HostRoutes => "route",
            Self::Wait => "wait",
            Self::Mark { .. } => "mark",
            Self::Start { .. } => "start",
            Self::Retract => "retract",
            Self::Systemctl(_) => "run",
        }
    }
}

impl Change {
    /// A change of `target`.
    pub fn new(act: Act, target: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { act, target: target.into(), reason: reason.into() }
    }

    /// Writes `write`, or keeps it where `old` are its bytes and its mode already.
    pub fn write(write: Write, old: Option<(&[u8], u32)>, why: &str) -> Self {
        let target = write.path.display().to_string();
        match old {
            Some((bytes, mode)) if bytes == write.bytes && mode == write.mode => {
                Self::new(Act::Keep, target, "as it should be")
            }
            Some((bytes, _)) if bytes == write.bytes => Self::new(Act::Write(write), target, "mode differs"),
            Some(_) => Self::new(Act::Write(write), target, format!("differs; {why}")),
            None => Self::new(Act::Write(write), target, format!("missing; {why}")),
        }
    }
}

impl Change {
    /// Writes `write`, or keeps what is at its place where that is the same.
    #[must_use]
    pub fn file(write: Write, why: &str) -> Self {
        let old = look(&write.path);
        Self::write(write, old.as_ref().map(|(bytes, mode)| (bytes.as_slice(), *mode)), why)
    }

    /// Removes the file at `path`; see [`Act::Remove`].
    pub fn remove(path: PathBuf, nudge: bool, why: impl Into<String>) -> Self {
        let target = path.display().to_string();
        Self::new(Act::Remove { path, nudge }, target, why)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {}  ({})", self.act.word(), self.target, self.reason)
    }
}

impl Serialize for Change {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Change", 3)?;
        fields.serialize_field("action", self.act.word())?;
        fields.serialize_field("target", &self.target)?;
        fields.serialize_field("reason", &self.reason)?;
        fields.end()
    }
}

/// A file's bytes and mode; none where it is absent, cannot be read, or is a link.
#[must_use]
pub fn look(path: &Path) -> Option<(Vec<u8>, u32)> {
    let meta = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let bytes = file::read_regular(path, MAX_BYTES).ok()?;
    Some((bytes, meta.mode() & 0o7777))
}

/// Does what an act says of files and directories; false where that is nothing.
pub(crate) fn file_act(act: &Act) -> io::Result<bool> {
    match act {
        Act::Write(wanted) => {
            if let Some(dir) = wanted.path.parent() {
                trust::create_dir(dir, if wanted.mode == file::PRIVATE { 0o700 } else { 0o755 })?;
            }
            write(wanted)?;
        }
        Act::Remove { path, nudge } => remove(path, *nudge)?,
        Act::RemoveTree(path) => remove_tree(path)?,
        Act::Empty(path) => empty(path)?,
        Act::MakeDir(path) => trust::create_dir(path, 0o755)?,
        Act::SetAside { from, to, nudge } => set_aside(from, to, *nudge)?,
        Act::Ledger { layout, lines } => lines.iter().for_each(|line| ledger::enter(layout, line)),
        Act::Keep
        | Act::List(_)
        | Act::Unlock(_)
        | Act::Confirm
        | Act::Close(..)
        | Act::CloseEntry(_)
        | Act::HostRoutes
        | Act::Wait
        | Act::Mark { .. }
        | Act::Start { .. }
        | Act::Retract
        | Act::Systemctl(_) => return Ok(false),
    }
    Ok(true)
}

/// Moves what is at `from`; a file also to another filesystem. What is gone is fine. What is there by that name already is kept.
fn set_aside(from: &Path, to: &Path, nudge: bool) -> io::Result<()> {
    let (Some(left), Some(dir)) = (from.parent(), to.parent()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    file::create_private_dir(dir)?;
    let mut free = to.to_path_buf();
    let mut count = 1;
    while free.symlink_metadata().is_ok() {
        count += 1;
        free = to.with_added_extension(count.to_string());
    }
    let to = free.as_path();
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && from.symlink_metadata()?.is_file() => {
            let bytes = file::read_bounded(&mut File::open(from)?, MAX_BYTES)?;
            file::write_durable(to, &bytes, file::PRIVATE)?;
            std::fs::remove_file(from)?;
        }
        other => other?,
    }
    file::sync_dir(dir)?;
    file::sync_dir(left)?;
    nudge_if(nudge, from)
}

/// Writes a file by rename, durably; in a conf directory the runtime is nudged.
///
/// # Errors
/// Any I/O error; then the file is what it was.
pub fn write(write: &Write) -> io::Result<()> {
    file::write_durable(&write.path, &write.bytes, write.mode)?;
    nudge_if(write.nudge, &write.path)
}

/// Removes a file durably; one that is gone is fine. In a conf directory the runtime is nudged.
///
/// # Errors
/// Any I/O error.
pub fn remove(path: &Path, nudge: bool) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    if let Some(dir) = path.parent() {
        file::sync_dir(dir)?;
    }
    nudge_if(nudge, path)
}

/// Removes a directory with all that is in it, durably; one that is gone is fine. The library goes from directory to directory without
/// following a link, so that nothing outside is reached.
fn remove_tree(path: &Path) -> io::Result<()> {
    if let Some(point) = Mounts::now()?.within(path) {
        return Err(io::Error::other(format!("{} is mounted by now; umount it first", point.display())));
    }
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    path.parent().map_or(Ok(()), file::sync_dir)
}

/// Empties a regular file in place, durably.
fn empty(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let file = options.write(true).truncate(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    file.sync_all()
}

/// Adds entries to the inventory; what has an entry or a record by now is left alone.
///
/// # Errors
/// Any I/O error; then the inventory is what it was.
pub fn list(layout: &Layout, entries: &[Entry]) -> io::Result<()> {
    let store = Store::new(layout);
    let mut fresh = Vec::new();
    for entry in entries {
        if matches!(store.find(&entry.key())?, Found::Nothing) {
            fresh.push(entry.clone());
        }
    }
    Inventory::change(layout, |inventory| {
        fresh.retain(|entry| inventory.find(&entry.key()).is_none());
        inventory.attachments.append(&mut fresh);
    })
}

/// containerd 1.6 reloads on write, rename-away and remove, and may have missed the first of them: removing a file is the
/// event that it always heeds. The name begins with a dot and has no extension, so that no runtime opens it.
fn nudge_if(wanted: bool, path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent().filter(|_| wanted) else {
        return Ok(());
    };
    let nudge = dir.join(format!("{TEMP_PREFIX}{}-nudge", std::process::id()));
    File::options().write(true).create_new(true).open(&nudge)?;
    std::fs::remove_file(&nudge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_replaces_nothing_and_what_is_gone_is_fine() {
        let dir = tempfile::tempdir().expect("scratch");
        let (from, to) = (dir.path().join("conf"), dir.path().join("aside/boot/conf"));
        for text in ["one", "two", "three"] {
            std::fs::write(&from, text).expect("file");
            set_aside(&from, &to, false).expect("moved");
        }
        set_aside(&from, &to, false).expect("gone");
        for (name, text) in [("conf", "one"), ("conf.2", "two"), ("conf.3", "three")] {
            assert_eq!(std::fs::read_to_string(to.with_file_name(name)).expect(name), text);
        }
        assert_eq!(to.parent().expect("boot").metadata().expect("made").mode() & 0o777, 0o700);
        let from = dir.path().join("attachments");
        std::fs::create_dir_all(from.join("00")).expect("directory");
        set_aside(&from, &to.with_file_name("attachments"), false).expect("a directory");
        assert!(to.with_file_name("attachments").join("00").is_dir() && !from.exists());
    }

    #[test]
    fn a_tree_is_removed_without_what_its_links_lead_to() {
        let dir = tempfile::tempdir().expect("scratch");
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("tree/below")).expect("directory");
        std::fs::write(at("precious"), "precious").expect("file");
        for link in ["tree/link", "tree/below/link"] {
            std::os::unix::fs::symlink(at("precious"), at(link)).expect("link");
        }
        std::os::unix::fs::symlink(at("tree"), at("way")).expect("link");
        empty(&at("tree/link")).expect_err("a link is not emptied");
        remove_tree(&at("way")).expect("the link");
        assert!(at("tree/below").is_dir() && at("way").symlink_metadata().is_err());
        for _ in 0..2 {
            remove_tree(&at("tree")).expect("removed, or gone");
        }
        assert!(!at("tree").exists());
        assert_eq!(std::fs::read_to_string(at("precious")).expect("there"), "precious");
    }

    #[test]
    fn an_emptied_file_is_the_same_file() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join("machine-id");
        std::fs::write(&path, "0123").expect("file");
        let before = path.metadata().expect("there");
        empty(&path).expect("emptied");
        let after = path.metadata().expect("there");
        assert_eq!((after.len(), after.ino(), after.mode()), (0, before.ino(), before.mode()));
    }

    #[test]
    fn a_file_is_kept_only_when_bytes_and_mode_are_right() {
        let wanted = || Write { path: "/d/f".into(), bytes: b"x".to_vec(), mode: 0o644, nudge: false };
        for (old, word) in [
            (Some((b"x".as_slice(), 0o644)), "keep"),
            (Some((b"x".as_slice(), 0o600)), "write"),
            (Some((b"y".as_slice(), 0o644)), "write"),
            (None, "write"),
        ] {
            let change = Change::write(wanted(), old, "why");
            assert_eq!(change.act.word(), word, "{old:?}");
            assert!(change.to_string().starts_with(&format!("{word:<8} /d/f  (")), "{change}");
        }
    }
}
