//! `retract`: removes this node's reports from its Node, where Crossfade has left the node.
//!
//! crossfade-retract.service runs it in a boot that is switched off or of a final image, for then there is no `watch`, and the Node may
//! bear what an earlier boot said. `uninstall` says the same of a node that Crossfade was removed from.

use std::time::Duration;

use convergence::change::{Act, Change};
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::publish::report::{FinalCondition, FinalReason};
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::change::outcome::{ChangeReport, Done, Outcome};
use crate::cli::{Global, Retract};
use crate::host::root::Root;
use crate::node::{facts, settings, switch};
use crate::publish::removal::{change, manual_commands, refuse_watched, removal_condition};
use crate::publish::{Depth, RetractOutcome, reporter, retract as last_word};

/// Says the last word on the Node, or whether there is one to say.
///
/// # Errors
/// Bad settings; 3 where Crossfade takes part on this node; 75 where `watch` runs, or the Node could not be written in time.
pub(crate) fn retract(global: &Global, args: &Retract) -> Result<ChangeReport, Failure> {
    let node = facts::gather_from_files(global, settings::require(&Root::new(&global.root))?);
    let word = word(&node, args.removed)?;
    let Some(credential) = reporter(&Root::new(&node.root), &node.settings) else {
        let note =
            "nothing of this node is said on a Node: it has no kubelet, or node.json says report.node false";
        return Ok(ChangeReport::from_plan(Vec::new(), vec![note.to_owned()]));
    };
    refuse_watched(&Root::new(&node.root))
        .map_err(|problem| Failure::from_problem(Exit::TryLater, problem))?;
    let depth = if global.dry_run { Depth::Look } else { Depth::Write };
    match last_word(&credential, Some(&word), Duration::from_secs(args.timeout_secs), depth) {
        Ok(RetractOutcome::Nothing(node)) => {
            let change =
                Change::new(Act::Keep, format!("Node {node}"), "nothing of Crossfade is to be taken back");
            Ok(change_report(global, change, None))
        }
        Ok(RetractOutcome::Written { node, removed }) => {
            let change = change(&format!("Node {node}"), &word, Some(&removed));
            Ok(change_report(global, change, Some(Outcome::Done)))
        }
        Err(why) => Err(retract_failure(&why, &word)),
    }
}

/// The API server did not take the word; a person can still say it.
fn retract_failure(why: &Problem, word: &FinalCondition) -> Failure {
    let what = Problem::new(format!("the Node still says what it said: {}", why.what)).with_place("the Node");
    let again = "run crossfade-bootstrap unit retract again, or what follows by hand";
    let fix = if why.fix.is_empty() { again.to_owned() } else { format!("{}; then {again}", why.fix) };
    let by_hand =
        manual_commands(word).map(|command| Problem::new("by hand").with_place("the Node").fix(command));
    Failure::all(Exit::TryLater, [what.fix(fix)].into_iter().chain(by_hand))
}

fn change_report(global: &Global, change: Change, outcome: Option<Outcome>) -> ChangeReport {
    if global.dry_run {
        ChangeReport::from_plan(vec![change], Vec::new())
    } else {
        ChangeReport::from_done(vec![Done { change, outcome }], Vec::new())
    }
}

/// The last word about this node, which the Node is to bear.
fn word(node: &NodeFacts, is_removed: bool) -> Result<FinalCondition, Failure> {
    if is_removed {
        return Ok(removal_condition());
    }
    if let Some(off) = switch::off_switch(&Root::new(&node.root)) {
        return Ok(FinalCondition {
            status: "False",
            reason: FinalReason::SwitchedOff,
            message: off.to_string(),
        });
    }
    if node.without_plugin().is_some() {
        let message =
            "this node runs a final image: its pods get the agents' network, and Crossfade reports no more";
        return Ok(FinalCondition {
            status: "Unknown",
            reason: FinalReason::FinalImage,
            message: message.into(),
        });
    }
    Err(Failure::new(Exit::No, "Crossfade takes part on this node, so what its Node says stays")
        .with_place("the Node")
        .fix("switch Crossfade off, uninstall it, or say --removed"))
}
