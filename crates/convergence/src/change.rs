//! The changes of a command, as data.
//!
//! A command decides a list of changes; a dry run prints it, an apply carries it out. There is no second description of the
//! same thing, so the two cannot differ.

pub mod kernel;
pub mod obstacles;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::SerializeStruct;
use shim::host::boot::Moment;
use shim::node::inventory::Entry;
use shim::node::layout::Layout;
use shim::node::ledger::Line;
use shim::node::store::Key;

use crate::change::kernel::KernelObject;

/// One change, or the decision to leave something as it is.
#[derive(Debug, Clone)]
pub struct Change {
    pub act: Act,
    /// The object of the change, in words of the node: a path, an attachment.
    pub target: String,
    /// Why the change is made.
    pub reason: String,
}

/// What a [`Change`] does.
#[derive(Debug, Clone)]
pub enum Act {
    /// Nothing: it is as it should be.
    Keep,
    /// Writes a file by rename, unless it is there with these bytes and this mode.
    Ensure(Write),
    /// Writes a file by rename, whatever is there.
    Write(Write),
    /// Adds entries to the inventory; those that are there stay as they are.
    List {
        /// The directories whose inventory gets the entries.
        layout: Box<Layout>,
        /// One for each attachment.
        entries: Vec<Entry>,
    },
    /// Removes a file, unless there is none.
    EnsureGone {
        path: PathBuf,
        /// Whether it lies in a runtime's conf directory.
        nudge: bool,
    },
    Remove {
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
        /// The file or directory that is moved.
        from: PathBuf,
        /// Where it goes; its directory is made, for root alone.
        to: PathBuf,
        /// Whether it lies in a runtime's conf directory.
        nudge: bool,
    },
    /// Appends lines to the ledger, durably; the journal takes them where the ledger cannot.
    Ledger {
        /// The directories whose ledger gets the lines.
        layout: Box<Layout>,
        /// One for each attachment that ended without its DEL.
        lines: Vec<Line>,
    },
    /// Removes the lock of an attachment, unless a process holds it by then.
    Unlock(PathBuf),
    /// Asks the runtime whether it uses Crossfade's conf by now, then lists what was attached meanwhile.
    Confirm,
    /// Runs the DELs owed by the record that was begun then, and removes it.
    Close(Key, Box<Moment>),
    /// Turns an inventory entry into a record, and closes that.
    CloseEntry(Key),
    /// Sets what living attachments have lost of their host routes, and removes those that no attachment has.
    HostRoutes,
    /// Removes annotations from a Pod of this node.
    Unannotate(Box<StaleAnnotations>),
    /// Leaves an attachment for a later pass.
    Wait,
    /// Marks a network as ready in this boot, as the shim does.
    Mark {
        /// The directories whose run directory gets the marker.
        layout: Box<Layout>,
        /// The network's own name.
        name: String,
        conf: PathBuf,
    },
    /// Removes one object of the kernel, or sets it as it was before a CNI changed it.
    Kernel(Box<KernelObject>),
    /// Has systemd run this very program with these arguments, in a unit of its own.
    Start {
        /// The unit's name, without `.service`.
        unit: String,
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
    /// The path of the file.
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// Its mode, whatever the umask.
    pub mode: u32,
    /// Whether it lies in a runtime's conf directory.
    pub nudge: bool,
}

/// Annotations of one Pod that are to be removed, with what the Pod said when that was decided. Nothing is removed from a Pod that says
/// something else by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleAnnotations {
    pub namespace: String,
    pub pod: String,
    /// The Pod's UID at the API server.
    pub uid: String,
    /// Key and value of the annotation that names the sandbox.
    pub sandbox: (String, String),
    /// Key and value of the annotation with the address.
    pub address: (String, String),
    /// The keys of the annotations that are removed, these two among them.
    pub keys: Vec<String>,
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes to {} ({:o})", self.bytes.len(), self.path.display(), self.mode)
    }
}

impl Act {
    /// The word for it, as printed.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Ensure(_) | Self::Write(_) | Self::List { .. } | Self::Ledger { .. } => "write",
            Self::EnsureGone { .. } | Self::Remove { .. } | Self::RemoveTree(_) | Self::Unlock(_) => "remove",
            Self::Unannotate(_) => "remove",
            Self::Empty(_) => "empty",
            Self::MakeDir(_) => "make",
            Self::SetAside { .. } => "move",
            Self::Confirm => "confirm",
            Self::Close(..) | Self::CloseEntry(_) => "close",
            Self::HostRoutes => "route",
            Self::Wait => "wait",
            Self::Mark { .. } => "mark",
            Self::Kernel(object) => object.word(),
            Self::Start { .. } => "start",
            Self::Retract => "retract",
            Self::Systemctl(_) => "run",
        }
    }
}

impl Change {
    pub fn new(act: Act, target: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { act, target: target.into(), reason: reason.into() }
    }

    /// Has the file be what `write` says; see [`Act::Ensure`].
    #[must_use]
    pub fn ensure(write: Write, why: impl Into<String>) -> Self {
        let target = write.path.display().to_string();
        Self::new(Act::Ensure(write), target, why)
    }

    /// Has the file at `path` be gone; see [`Act::EnsureGone`].
    #[must_use]
    pub fn ensure_gone(path: PathBuf, nudge: bool, why: impl Into<String>) -> Self {
        let target = path.display().to_string();
        Self::new(Act::EnsureGone { path, nudge }, target, why)
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
