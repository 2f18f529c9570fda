//! The journal of `graduate`: its progress.
//!
//! *Shape*: `STATE/set-aside/graduate/journal.jsonl`, one JSON object a line ([`crate::change::journal`]). `handing` is durable before an entry of the
//! runtime's cache is written, `left` before Crossfade's conf is removed. What is moved lies beside it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use convergence::commands::graduate::facts::Progress;
use serde::{Deserialize, Serialize};
use shim::node::store::Key;

use crate::change::journal::{JournalFile, Line};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub(crate) enum Event {
    /// A run begins: the name of Crossfade's network, and that of the network that stays.
    Begin {
        /// Crossfade's.
        from: String,
        to: String,
    },
    /// Entries of the runtime's cache are about to be written under the new network's name.
    Handing {
        attachments: Vec<JournalAttachment>,
    },
    /// Crossfade's conf is about to be removed.
    Left {},
    /// The runtime uses the new network, and an attachment to it worked.
    Confirmed {},
    /// Crossfade's conf is back.
    RolledBack {
        why: String,
    },
    End {},
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    /// The interface that the runtime asked for.
    ifname: String,
}

impl From<&Key> for JournalAttachment {
    fn from(key: &Key) -> Self {
        Self { container_id: key.container_id.clone(), ifname: key.ifname.clone() }
    }
}

/// The journal, and the directory to which files are moved.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    file: JournalFile,
}

impl Journal {
    /// The journal below a state directory; nothing is made yet.
    #[must_use]
    pub(crate) fn new(state_dir: &Path) -> Self {
        let directory = state_dir.join("set-aside/graduate");
        Self { file: JournalFile::new(directory.join("journal.jsonl")), directory }
    }

    /// The directory to which files are moved.
    #[must_use]
    pub(crate) fn aside_dir(&self) -> &Path {
        &self.directory
    }

    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Appends a line durably.
    ///
    /// # Errors
    /// Any I/O error; then the act must not follow.
    pub(crate) fn write(&self, event: Event) -> io::Result<()> {
        self.file.append(event)
    }

    /// How far earlier runs have come.
    #[must_use]
    pub(crate) fn progress(&self) -> Progress {
        progress(self.file.lines())
    }
}

fn progress(lines: Vec<Line<Event>>) -> Progress {
    let mut all = Progress::default();
    for Line { written_at: moment, event, .. } in lines {
        match event {
            // An earlier life of Crossfade on this node is over.
            Event::Begin { .. } if all.is_ended => all = Progress::default(),
            Event::Begin { .. } => {}
            Event::Handing { attachments } => {
                let keys = attachments
                    .into_iter()
                    .map(|attachment| Key::new(attachment.container_id, attachment.ifname));
                all.handed.extend(keys.collect::<BTreeSet<_>>());
            }
            Event::Left {} => (all.left_at, all.is_confirmed) = (Some(moment), false),
            Event::Confirmed {} => all.is_confirmed = true,
            Event::RolledBack { .. } => all = Progress::default(),
            Event::End {} => all.is_ended = true,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_back_was_never_left_and_a_new_run_is_not_ended() {
        let dir = tempfile::tempdir().expect("scratch");
        let journal = Journal::new(dir.path());
        assert_eq!(journal.progress(), Progress::default());
        let key = Key::new("c1", "eth0");
        let begin = || Event::Begin { from: "oldnet".into(), to: "newnet".into() };
        let after = |events: Vec<Event>| {
            events.into_iter().for_each(|event| journal.write(event).expect("written"));
            journal.progress()
        };
        let handed =
            after(vec![begin(), Event::Handing { attachments: vec![JournalAttachment::from(&key)] }]);
        assert_eq!((handed.left_at, handed.handed), (None, [key].into()));
        assert!(after(vec![Event::Left {}]).left_at.is_some());
        assert!(after(vec![Event::Confirmed {}]).is_confirmed);
        assert!(!after(vec![Event::Left {}]).is_confirmed, "each removal is confirmed anew");
        let back = after(vec![Event::Confirmed {}, Event::RolledBack { why: "x".into() }]);
        assert_eq!(back, Progress::default());
        let ended = after(vec![begin(), Event::Left {}, Event::Confirmed {}, Event::End {}]);
        assert!(ended.is_ended && ended.is_confirmed);
        assert_eq!(after(vec![begin()]), Progress::default(), "another life");
    }
}
