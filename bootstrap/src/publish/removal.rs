//! The change of the Node when Crossfade is removed from a node.

use std::time::Duration;

use convergence::change::{Act, Change};
use convergence::node::agent::status_file::StatusFile;
use convergence::node::paths::STATUS;
use convergence::publish::report::{FinalCondition, FinalReason};
use types::api::node_keys::{self, DESIRED, IMAGE, LIFECYCLE, PHASE, UNDISTURBED};
use types::command::problem::Problem;
use types::node::Node;

use super::report::Credential;
use super::{Depth, RetractOutcome, reporter, retract as last_word};
use crate::change::outcome::{Done, Outcome};
use crate::host::root::Root;
use crate::node::agent::status_file;

/// What is still in the cluster when the last node is done. kubelet's credential may not remove it.
pub(crate) const IN_CLUSTER: &str = "in the cluster stay the namespaces crossfade and crossfade-system, the other objects of deploy/, and what the old CNI wrote on Nodes; \
     see docs/graduate.md, What stays in the cluster";

/// How long removing Crossfade waits for the API server.
const WITHIN: Duration = Duration::from_secs(20);

/// How long an installation waits for the API server.
const LEFTOVERS_WITHIN: Duration = Duration::from_secs(10);

/// What removing Crossfade says on the Node: the change, and how to make it where that was not possible.
#[derive(Debug)]
pub(crate) struct Removal {
    credential: Option<Credential>,
    word: FinalCondition,
    watched: Option<Problem>,
}

impl Removal {
    /// Looks who would say it.
    #[must_use]
    pub(crate) fn gather(root: &Root, node: &Node) -> Self {
        let watched = refuse_watched(root).err();
        let credential = reporter(root, node);
        Self { credential, word: removal_condition(), watched }
    }

    /// The change, where this node said something.
    #[must_use]
    pub(crate) fn change(&self) -> Option<Change> {
        self.credential.as_ref().map(|_| change("the Node", &self.word, None))
    }

    /// Makes it, as well as can be: an API server that does not answer does not block a removal. The operator's remaining steps are in the notes.
    #[must_use]
    pub(crate) fn apply(self) -> (Option<Done>, Vec<String>) {
        let Some(change) = self.change() else { return (None, Vec::new()) };
        let credential = self.credential.as_ref().filter(|_| self.watched.is_none());
        let result = match (credential, self.watched) {
            (Some(credential), _) => last_word(credential, Some(&self.word), WITHIN, Depth::Write).map(drop),
            (None, why) => {
                Err(why.unwrap_or_else(|| Problem::new("this node has no credential of kubelet's")))
            }
        };
        match result {
            Ok(()) => (Some(Done { change, outcome: Some(Outcome::Done) }), Vec::new()),
            Err(why) => {
                let mut notes = vec![format!("the Node still says what it said: {why}")];
                notes.extend(manual_commands(&self.word).map(|command| format!("by hand: {command}")));
                (Some(Done { change, outcome: Some(Outcome::Skipped) }), notes)
            }
        }
    }
}

/// The change that takes away what an earlier installation has left on the Node: a phase that was asked for then is not asked of the one that
/// begins. There is nothing to look at where this node says nothing on its Node, and nothing to take away where a `watch` runs, which obeys
/// what stands there by now.
///
/// # Errors
/// The API server does not answer; what a person has to look at.
pub(crate) fn leftovers(root: &Root, node: &Node) -> Result<Option<Change>, String> {
    let credential = reporter(root, node).filter(|credential| credential.kubeconfig.exists());
    let Some(credential) = credential.filter(|_| refuse_watched(root).is_ok()) else { return Ok(None) };
    match last_word(&credential, None, LEFTOVERS_WITHIN, Depth::Look) {
        Ok(RetractOutcome::Written { node, removed }) => {
            let why = format!("an earlier installation left this on it: {}", removed.join(", "));
            Ok(Some(Change::new(Act::Retract, format!("Node {node}"), why)))
        }
        Ok(RetractOutcome::Nothing(_)) => Ok(None),
        Err(why) => Err(stays(&why)),
    }
}

/// Makes that change, as well as can be: an API server that does not answer does not block an installation.
///
/// # Errors
/// What a person has to look at.
pub(crate) fn remove_leftovers(root: &Root, node: &Node) -> Result<Outcome, String> {
    let Some(credential) = reporter(root, node) else {
        return Err(stays(&Problem::new("this node has no credential of kubelet's")));
    };
    let done = last_word(&credential, None, LEFTOVERS_WITHIN, Depth::Write);
    done.map(|_| Outcome::Done).map_err(|why| stays(&why))
}

fn stays(why: &Problem) -> String {
    format!(
        "what an earlier installation may have left on the Node stays ({why}); remove a phase that is not to be followed: \
         kubectl annotate node NAME {DESIRED}-"
    )
}

/// All that goes from a Node that Crossfade leaves.
fn keys() -> String {
    let labels = node_keys::LABELS.into_iter().chain([IMAGE]).collect::<Vec<_>>().join(", ");
    let annotations = node_keys::ANNOTATIONS.into_iter().chain([UNDISTURBED]).collect::<Vec<_>>().join(", ");
    format!("labels {labels}, annotations {annotations} and conditions {}", LIFECYCLE.join(", "))
}

/// The change of a Node of which this is known to go; where the Node was not read, what may go is named.
pub(crate) fn change(target: &str, word: &FinalCondition, removed: Option<&[String]>) -> Change {
    let goes = match removed {
        Some([]) => String::new(),
        Some([key]) => format!("{key} goes; "),
        Some(keys) => format!("{} go; ", keys.join(", ")),
        None => format!("{} go where this node or a run set them; ", keys()),
    };
    let why = format!("{goes}CrossfadeReady becomes {}, {}", word.status, word.reason.as_str());
    Change::new(Act::Retract, target, why)
}

pub(crate) fn removal_condition() -> FinalCondition {
    let message = "Crossfade was removed from this node, and reports no more";
    FinalCondition { status: "Unknown", reason: FinalReason::Removed, message: message.into() }
}

/// A `watch` that runs would say its own word again.
pub(crate) fn refuse_watched(root: &Root) -> Result<(), Problem> {
    match status_file::read(&root.join(STATUS)) {
        StatusFile::Fresh(document) => {
            Err(Problem::new(format!("watch (process {}) runs and reports on the Node", document.watch.pid))
                .with_place("crossfade-watch.service")
                .fix("run systemctl disable --now crossfade-watch, then crossfade-bootstrap unit retract"))
        }
        StatusFile::Absent | StatusFile::Stale(..) | StatusFile::Unreadable(_) => Ok(()),
    }
}

/// The commands with which a person takes back what this node said.
pub(crate) fn manual_commands(word: &FinalCondition) -> [String; 3] {
    let reason = word.reason.as_str();
    let keys: &[&str] = if word.reason == FinalReason::SwitchedOff {
        &[types::api::observed::KEY]
    } else {
        &node_keys::ANNOTATIONS
    };
    let annotations: String = keys.iter().map(|key| format!(" {key}-")).collect();
    [
        format!("kubectl label node NAME {PHASE}-"),
        format!("kubectl annotate node NAME{annotations}"),
        format!(
            "kubectl patch node NAME --subresource=status -p \
             '{{\"status\":{{\"conditions\":[{{\"type\":\"CrossfadeReady\",\"status\":\"{}\",\"reason\":\"{reason}\"}}]}}}}'",
            word.status
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan of a removal names whatever `convergence::publish::decide::retract` takes away.
    #[test]
    fn the_change_names_all_that_goes() {
        let why = change("the Node", &removal_condition(), None).reason;
        let keys = node_keys::LABELS.into_iter().chain(node_keys::ANNOTATIONS).chain(LIFECYCLE);
        for key in keys.chain([IMAGE, UNDISTURBED, "CrossfadeReady becomes Unknown, Removed"]) {
            assert!(why.contains(key), "{key}: {why}");
        }
        let removed = [PHASE, LIFECYCLE[0]].map(str::to_owned);
        for (keys, goes) in [
            (&removed[..], "crossfade/phase, MaintenancePlanned go; "),
            (&removed[..1], "crossfade/phase goes; "),
            (&[], ""),
        ] {
            let why = change("Node a", &removal_condition(), Some(keys)).reason;
            assert_eq!(why, format!("{goes}CrossfadeReady becomes Unknown, Removed"));
        }
    }
}
