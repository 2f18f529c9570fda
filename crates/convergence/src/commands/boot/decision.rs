//! The decision of a boot, with and without Crossfade's plugin, and the parts that both share.

use std::path::{Path, PathBuf};

use shim::host::file::PRIVATE;

use crate::change::{Act, Change, Write};
use crate::commands::boot::facts::BootFacts;
use crate::node::identity::{BootKind, BootRecord};

/// Mode of files that every user of the node may read.
pub const PUBLIC: u32 = 0o644;

/// What a boot changes.
#[derive(Debug)]
pub struct BootDecision {
    /// The changes, in the order in which boot makes them.
    pub changes: Vec<Change>,
    /// Notes for the person who reads the report.
    pub notes: Vec<String>,
}

/// What kind of boot it is, for people.
pub const fn kind(facts: &BootFacts) -> &'static str {
    match facts.kind {
        BootKind::First => "first boot of this machine with Crossfade",
        BootKind::Clone => "this machine is an image of another one that Crossfade has prepared",
        BootKind::Reboot => "a reboot of this machine",
        BootKind::Again => "this boot is prepared already; done again",
    }
}

/// Where things go that are set aside: a directory of this boot, since nothing there is ever overwritten.
#[derive(Debug)]
pub struct AsideDir(PathBuf);

impl AsideDir {
    pub fn new(facts: &BootFacts) -> Self {
        Self(facts.places.aside_dir.clone())
    }

    pub fn change(&self, from: &Path, why: &str, nudge: bool) -> Change {
        let to = self.0.join(from.file_name().unwrap_or_default());
        let reason = format!("{why}; to {}", to.display());
        Change::new(Act::SetAside { from: from.into(), to, nudge }, from.display().to_string(), reason)
    }
}

/// What is remembered: the boot, for the next one; and that it is done, for the gate.
pub fn record_changes(facts: &BootFacts) -> [Change; 2] {
    let write = |path: &Path, bytes: Vec<u8>, mode: u32, why: &str| {
        Change::ensure(Write { path: path.into(), bytes, mode, nudge: false }, why)
    };
    let booted = BootRecord::new(facts.kind, facts.identity.boot_id.clone());
    [
        write(
            &facts.places.identity,
            facts.identity.with_mode(facts.node.settings.conf_dir).to_bytes(),
            PRIVATE,
            "which machine and boot this is",
        ),
        write(&facts.places.booted, booted.to_bytes(), PUBLIC, "this boot is prepared"),
    ]
}
