//! What removing Crossfade from a node says on its Node.

use std::time::Duration;

use types::node::Node;
use types::problem::Problem;

use super::report::{Credential, LastWord, Reason};
use super::{Depth, reporter, retract as last_word};
use crate::change::outcome::{Done, Outcome};
use crate::change::{Act, Change};
use crate::node::paths::{Root, STATUS};
use crate::node::status_file::{self, StatusFile};

/// How long removing Crossfade waits for the API server.
const WITHIN: Duration = Duration::from_secs(20);

/// What removing Crossfade says on the Node: the change, and how to make it where that was not possible.
#[derive(Debug)]
pub struct Removal {
    credential: Option<Credential>,
    word: LastWord,
    watched: Option<Problem>,
}

impl Removal {
    /// Looks who would say it.
    #[must_use]
    pub fn gather(root: &Root, node: &Node) -> Self {
        let watched = refuse_watched(root).err();
        let credential = reporter(root, node);
        Self { credential, word: removed(), watched }
    }

    /// The change, where this node said something.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        self.credential.as_ref().map(|_| change("the Node", &self.word))
    }

    /// Makes it, as well as can be: nobody is kept from leaving by an API server. What a person has to do then is in the notes.
    #[must_use]
    pub fn carry_out(self) -> (Option<Done>, Vec<String>) {
        let Some(change) = self.change() else { return (None, Vec::new()) };
        let credential = self.credential.as_ref().filter(|_| self.watched.is_none());
        let said = match (credential, self.watched) {
            (Some(credential), _) => last_word(credential, &self.word, WITHIN, Depth::Write).map(drop),
            (None, why) => {
                Err(why.unwrap_or_else(|| Problem::new("this node has no credential of kubelet's")))
            }
        };
        match said {
            Ok(()) => (Some(Done { change, outcome: Some(Outcome::Done) }), Vec::new()),
            Err(why) => {
                let mut notes = vec![format!("the Node still says what it said: {why}")];
                notes.extend(by_hand(&self.word).map(|command| format!("by hand: {command}")));
                (Some(Done { change, outcome: Some(Outcome::Skipped) }), notes)
            }
        }
    }
}

pub(crate) fn change(target: &str, word: &LastWord) -> Change {
    let why = format!(
        "label crossfade/phase and annotation crossfade/observed go; CrossfadeReady becomes {}, {}",
        word.status,
        word.reason.as_str()
    );
    Change::new(Act::Retract, target, why)
}

pub(crate) fn removed() -> LastWord {
    let message = "Crossfade was removed from this node, and nobody reports any more";
    LastWord { status: "Unknown", reason: Reason::Removed, message: message.into() }
}

/// A `watch` that runs would say its own word again.
pub(crate) fn refuse_watched(root: &Root) -> Result<(), Problem> {
    match status_file::read(&root.at(STATUS)) {
        StatusFile::Fresh(document) => {
            Err(Problem::new(format!("watch (process {}) runs and reports on the Node", document.watch.pid))
                .at("crossfade-watch.service")
                .fix("run systemctl disable --now crossfade-watch, then crossfade-bootstrap retract"))
        }
        _ => Ok(()),
    }
}

/// The commands with which a person takes back what this node said.
pub(crate) fn by_hand(word: &LastWord) -> [String; 3] {
    let reason = word.reason.as_str();
    [
        "kubectl label node NAME crossfade/phase-".to_owned(),
        "kubectl annotate node NAME crossfade/observed-".to_owned(),
        format!(
            "kubectl patch node NAME --subresource=status -p \
             '{{\"status\":{{\"conditions\":[{{\"type\":\"CrossfadeReady\",\"status\":\"{}\",\"reason\":\"{reason}\"}}]}}}}'",
            word.status
        ),
    ]
}
