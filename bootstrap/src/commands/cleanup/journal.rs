//! The journal of a clean-up: the removed objects, and how the operator restores them.
//!
//! *Shape*: `STATE/set-aside/cleanup/PROFILE.jsonl`, one JSON object a line. `begin` holds what a later run must know that this one removes; `remove` is
//! durable before the object is touched, so that a clean-up that was killed has named everything that may be gone; `done` and `failed` follow.
//! Files are moved to `STATE/set-aside/cleanup/PROFILE/`, and the dump of the firewall from before lies there, too.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use convergence::commands::cleanup::decide::Removal;
use convergence::commands::cleanup::facts::EarlierRuns;
use serde::{Deserialize, Serialize};
use shim::host::boot;

use crate::change::journal::{JournalFile, Line};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub(crate) enum Event {
    Begin {
        /// The names of the CNI's networks.
        networks: BTreeSet<String>,
        /// Why a reboot is necessary afterwards.
        reboot: Vec<String>,
    },
    /// An object is about to be removed.
    Remove {
        /// The word for what is done.
        action: String,
        target: String,
        reason: String,
        /// What a person does to have it back.
        undo: String,
    },
    Done {
        target: String,
    },
    Failed {
        target: String,
        why: String,
    },
    /// A run has ended.
    End {
        remains: Vec<String>,
    },
}

/// The journal of one profile's clean-up.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    profile: String,
}

impl Journal {
    /// The journal below a state directory; nothing is made yet.
    #[must_use]
    pub(crate) fn new(state_dir: &Path, profile: &str) -> Self {
        Self { directory: state_dir.join("set-aside/cleanup"), profile: profile.to_owned() }
    }

    #[must_use]
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(format!("{}.jsonl", self.profile))
    }

    /// The directory to which files are moved.
    #[must_use]
    pub(crate) fn aside_dir(&self) -> PathBuf {
        self.directory.join(&self.profile)
    }

    /// What earlier runs have noted; nothing of what cannot be read.
    #[must_use]
    pub(crate) fn earlier_runs(&self) -> EarlierRuns {
        earlier_runs(self.file().lines(), boot::boot_id().unwrap_or_default())
    }

    /// Appends a line durably.
    ///
    /// # Errors
    /// Any I/O error; then nothing may be removed.
    pub(crate) fn write(&self, event: Event) -> io::Result<()> {
        self.file().append(event)
    }

    fn file(&self) -> JournalFile {
        JournalFile::new(self.path())
    }

    /// Notes that an object is about to be removed.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub(crate) fn removing(&self, removal: &Removal) -> io::Result<()> {
        self.write(Event::Remove {
            action: removal.change.act.word().to_owned(),
            target: removal.change.target.clone(),
            reason: removal.change.reason.clone(),
            undo: removal.undo.clone(),
        })
    }
}

/// What the lines of a journal tell a later run in this boot.
fn earlier_runs(lines: Vec<Line<Event>>, boot_id: &str) -> EarlierRuns {
    let mut all = EarlierRuns::default();
    for Line { written_at, event, .. } in lines {
        match event {
            Event::Begin { networks, reboot } => {
                all.networks.extend(networks);
                if written_at.boot_id == boot_id {
                    all.reboot.extend(reboot);
                }
            }
            Event::Remove { target, .. } => {
                let mut words = target.split_whitespace().skip_while(|word| *word != "-j");
                all.chains.extend(words.nth(1).map(str::to_owned));
            }
            Event::Done { .. } | Event::Failed { .. } | Event::End { .. } => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_knows_the_networks_and_in_the_same_boot_why_to_reboot() {
        let dir = tempfile::tempdir().expect("scratch");
        let journal = Journal::new(dir.path(), "cilium");
        assert_eq!(journal.earlier_runs().networks.len(), 0);
        let begin = |name: &str| Event::Begin {
            networks: [name.to_owned()].into(),
            reboot: vec![format!("of {name}")],
        };
        journal.write(begin("one")).expect("written");
        let rule = "rule CNI-HOSTPORT-DNAT --comment 'x' -j CNI-DN-0123 handle 7 of ip nat (nf_tables)";
        let [action, reason, undo] = ["remove", "why", "how"].map(str::to_owned);
        journal.write(Event::Remove { action, target: rule.into(), reason, undo }).expect("written");
        journal.write(Event::Done { target: rule.into() }).expect("written");
        journal.write(begin("two")).expect("written");
        let earlier = journal.earlier_runs();
        assert_eq!(earlier.chains, ["CNI-DN-0123".to_owned()].into());
        assert_eq!(earlier.networks, ["one".to_owned(), "two".to_owned()].into());
        assert_eq!(earlier.reboot, ["of one".to_owned(), "of two".to_owned()].into());
        let other = super::earlier_runs(journal.file().lines(), "another boot");
        assert_eq!((other.networks.len(), other.reboot.len()), (2, 0));
    }
}
