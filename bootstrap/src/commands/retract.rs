//! `retract`: takes back what this node said on its Node, where Crossfade takes no part on it any more.
//!
//! crossfade-retract.service runs it in a boot that is switched off or of a final image, for then there is no `watch`, and the Node may
//! bear what an earlier boot said. `uninstall` says the same of a node that Crossfade was removed from.

use std::time::Duration;

use crate::change::outcome::{Changed, Done, Outcome};
use crate::change::{Act, Change};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Global, Retract};
use crate::node::paths::{Root, STATUS};
use crate::node::settings;
use crate::node::switch;
use crate::publish::report::{Credential, LastWord, Reason};
use crate::publish::{Depth, Retracted, reporter, retract as last_word};
use crate::watch::document::{self, Seen};

/// How long removing Crossfade waits for the API server.
const WITHIN: Duration = Duration::from_secs(20);

/// Says the last word on the Node, or whether there is one to say.
///
/// # Errors
/// 3 where Crossfade takes part on this node; 75 where `watch` runs, or the Node could not be written in time.
pub fn retract(global: &Global, wanted: &Retract) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    let word = word(&root, wanted.removed)?;
    let Some(credential) = reporter(&root, &settings::load(&root).unwrap_or_default()) else {
        let note =
            "nothing of this node is said on a Node: it has no kubelet, or node.json says report.node false";
        return Ok(Changed::planned(Vec::new(), vec![note.to_owned()]));
    };
    refuse_watched(&root)?;
    let depth = if global.dry_run { Depth::Look } else { Depth::Write };
    match last_word(&credential, &word, Duration::from_secs(wanted.timeout_secs), depth) {
        Ok(Retracted::Nothing(node)) => {
            let change =
                Change::new(Act::Keep, format!("Node {node}"), "nothing of Crossfade is to be taken back");
            Ok(changed(global, change, None))
        }
        Ok(Retracted::Written(node)) => {
            Ok(changed(global, change(&format!("Node {node}"), &word), Some(Outcome::Done)))
        }
        Err(why) => Err(Failure::all(Exit::TryLater, by_hand(&why, &word))),
    }
}

fn changed(global: &Global, change: Change, outcome: Option<Outcome>) -> Changed {
    if global.dry_run {
        Changed::planned(vec![change], Vec::new())
    } else {
        Changed::applied(vec![Done { change, outcome }], Vec::new())
    }
}

/// What removing Crossfade says on the Node: the change, and how to make it where that was not possible.
#[derive(Debug)]
pub struct Removal {
    credential: Option<Credential>,
    word: LastWord,
    watched: Option<String>,
}

impl Removal {
    /// Looks who would say it.
    #[must_use]
    pub fn gather(root: &Root) -> Self {
        let watched = refuse_watched(root).err().map(|failure| failure.lines().join("; "));
        let credential = reporter(root, &settings::load(root).unwrap_or_default());
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
            (None, why) => Err(why.unwrap_or_default()),
        };
        match said {
            Ok(()) => (Some(Done { change, outcome: Some(Outcome::Done) }), Vec::new()),
            Err(why) => (Some(Done { change, outcome: Some(Outcome::Skipped) }), by_hand(&why, &self.word)),
        }
    }
}

fn change(target: &str, word: &LastWord) -> Change {
    let why = format!(
        "label crossfade/phase and annotation crossfade/observed go; CrossfadeReady becomes {}, {}",
        word.status,
        word.reason.as_str()
    );
    Change::new(Act::Retract, target, why)
}

/// The true word about this node.
fn word(root: &Root, is_removed: bool) -> Result<LastWord, Failure> {
    if is_removed {
        return Ok(removed());
    }
    if let Some(off) = switch::off(root) {
        return Ok(LastWord { status: "False", reason: Reason::SwitchedOff, message: off.to_string() });
    }
    if settings::without_plugin(root).is_some() {
        let message =
            "this node runs a final image: its pods get the agents' network, and nobody reports any more";
        return Ok(LastWord { status: "Unknown", reason: Reason::FinalImage, message: message.into() });
    }
    Err(Failure::new(
        Exit::No,
        "Crossfade takes part on this node, so what its Node says stays: switch it off, uninstall it, or say --removed",
    ))
}

fn removed() -> LastWord {
    let message = "Crossfade was removed from this node, and nobody reports any more";
    LastWord { status: "Unknown", reason: Reason::Removed, message: message.into() }
}

/// A `watch` that runs would say its own word again.
fn refuse_watched(root: &Root) -> Result<(), Failure> {
    match document::read(&root.at(STATUS)) {
        Seen::Fresh(document) => Err(Failure::later(format!(
            "watch (process {}) runs and reports on the Node: systemctl disable --now crossfade-watch, then crossfade-bootstrap retract",
            document.watch.pid
        ))),
        _ => Ok(()),
    }
}

fn by_hand(why: &str, word: &LastWord) -> Vec<String> {
    let reason = word.reason.as_str();
    vec![
        format!("the Node still says what it said: {why}"),
        "by hand: kubectl label node NAME crossfade/phase-".to_owned(),
        "by hand: kubectl annotate node NAME crossfade/observed-".to_owned(),
        format!(
            "by hand: kubectl patch node NAME --subresource=status -p \
             '{{\"status\":{{\"conditions\":[{{\"type\":\"CrossfadeReady\",\"status\":\"{}\",\"reason\":\"{reason}\"}}]}}}}'",
            word.status
        ),
    ]
}
