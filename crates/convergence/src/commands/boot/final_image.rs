//! A boot without Crossfade's plugin: a node of a final image (`confDir: none`).
//!
//! On a node that never had Crossfade there is nothing to do. If an earlier image with Crossfade used the same /etc and /var, boot removes
//! what that image left. Crossfade's conf goes first, so that the runtime uses the new network's. Then goes the state, whose sandboxes
//! ended with their boot, and the plugin last. Attachments of the current boot still need all of this, so it stays as long as there are
//! any.
//!
//! | the runtime | attached in this boot | machine | Crossfade's conf | state | ledger | plugin |
//! |---|---|---|---|---|---|---|
//! | not started yet | nothing | the same | removed | moved aside | kept, with a line for each missing DEL | removed |
//! | not started yet | nothing | a clone | removed | moved aside | moved aside | removed |
//! | not started yet, a CRI-O that replays Crossfade's conf | nothing | the same | removed | moved aside | kept, as above | kept |
//! | runs | nothing | the same | kept | kept | kept | kept |
//! | any | something | any | the boot is refused and nothing changes | | | |

use std::path::PathBuf;

use shim::node::layout::CONF_FILE;
use types::command::problem::Problem;
use types::text::list::join_first;

use crate::change::obstacles::Obstacles;
use crate::change::{Act, Change, Write};
use crate::commands::boot::decision::{AsideDir, BootDecision, PUBLIC, kind, record_changes};
use crate::commands::boot::facts::{BootFacts, Leavings};
use crate::failure::Failure;
use crate::node::identity::BootKind;
use crate::node::paths::NODE_FILE;

/// How many attachments the refusal of a boot names.
const NAMED: usize = 10;

/// Decides what a boot of a final image changes, or finds every problem.
///
/// # Errors
/// 3: an attachment of this boot exists, or Crossfade cannot tell what an earlier image left.
pub fn decide(facts: &BootFacts, leavings: &Leavings) -> Result<BootDecision, Failure> {
    let mut obstacles = Obstacles::default();
    let mut notes = vec![
        kind(facts).to_owned(),
        "confDir none: the agents' conf is the runtime's, and no plugin of Crossfade's is called".to_owned(),
    ];
    obstacles.extend(facts.distrusted.iter().cloned());
    let aside = set_aside(facts);
    match facts.node.runtime.problem() {
        // If Crossfade left nothing, the runtime's directory does not matter.
        Some(why) if aside.is_empty() && leavings.confs.is_empty() => notes.push(why.to_string()),
        Some(why) => {
            let what =
                format!("{}; Crossfade's conf from before may be in the directory that it reads", why.what);
            obstacles.add(Problem { what, ..why.clone() });
        }
        None => {}
    }
    obstacles.extend(facts.cni.confs.as_ref().err().cloned());
    match &leavings.living {
        Err(why) => obstacles.add(why),
        Ok(living) if !living.is_empty() => obstacles.add(needed_problem(living)),
        Ok(_) => {}
    }
    if !obstacles.findings.is_empty() {
        return Err(obstacles.failure());
    }
    let mut changes = Vec::new();
    let in_force = if facts.runtime_runs { notes_on_leavings(facts, leavings) } else { Vec::new() };
    if in_force.is_empty() {
        notes.extend(first_conf(facts));
    }
    notes.extend(in_force);
    if !facts.runtime_runs {
        let gone = "confDir none: the runtime uses the new network's conf";
        changes.extend(leavings.confs.iter().map(|path| Change::remove(path.clone(), true, gone)));
        changes.extend(ledger_lines(facts, leavings));
        let why = if facts.kind == BootKind::Clone {
            "another machine's"
        } else {
            "its sandboxes went with their boot"
        };
        let place = AsideDir::new(facts);
        changes.extend(aside.iter().map(|path| place.change(path, why, false)));
        plugins(facts, leavings, &mut changes, &mut notes);
    }
    changes.extend(record_changes(facts));
    let marker =
        Write { path: facts.places.final_settings.clone(), bytes: Vec::new(), mode: PUBLIC, nudge: false };
    changes.push(Change::ensure(marker, "there is nothing to watch"));
    Ok(BootDecision { changes, notes })
}

/// What goes out of the way. The ledger stays where it is: it is what people read after the migration. A clone's is another machine's.
fn set_aside(facts: &BootFacts) -> Vec<PathBuf> {
    let ledger = facts.node.dirs.layout.ledger();
    let goes = |path: &&PathBuf| facts.kind == BootKind::Clone || **path != ledger;
    facts.state.iter().filter(goes).cloned().collect()
}

/// The ledger's lines about leftovers, written before those go. What a clone has found never was attached on this machine.
fn ledger_lines(facts: &BootFacts, leavings: &Leavings) -> Option<Change> {
    if facts.kind == BootKind::Clone || leavings.owed.is_empty() {
        return None;
    }
    let target = facts.node.dirs.layout.ledger().display().to_string();
    let why =
        format!("a line for each of the {} attachments that ended without their DEL", leavings.owed.len());
    let act = Act::Ledger { layout: Box::new(facts.node.dirs.layout.clone()), lines: leavings.owed.clone() };
    Some(Change::new(act, target, why))
}

fn needed_problem(living: &[String]) -> Problem {
    let names = join_first(living, NAMED);
    let what =
        format!("confDir none, but {} attachments of this boot would lose their DEL ({names})", living.len());
    let fix = "set confDir back to what it was until the node is drained, and reboot then";
    Problem::new(what).with_place(NODE_FILE).fix(fix)
}

/// What a runtime that runs already has loaded stays until it is started again.
fn notes_on_leavings(facts: &BootFacts, leavings: &Leavings) -> Vec<String> {
    let private = facts.places.private.clone();
    let of_private = facts.private_exists.then_some(private);
    let places = leavings.confs.iter().chain(&of_private);
    places
        .map(|path| {
            format!(
                "{} is in force until the runtime is restarted: reboot to run without Crossfade",
                path.display()
            )
        })
        .collect()
}

/// Removes Crossfade's plugin where the file is certainly Crossfade's ([`BinDir::plugin_removal`](crate::node::plugins::bin_dirs::BinDir::plugin_removal)).
fn plugins(facts: &BootFacts, leavings: &Leavings, changes: &mut Vec<Change>, notes: &mut Vec<String>) {
    for dir in &facts.cni.plugins.dirs {
        if leavings.is_replayed && dir.is_crossfades() == Some(true) {
            notes.push(format!(
                "{} stays: CRI-O remembers sandboxes that were attached through Crossfade, and calls the plugin for their DEL",
                dir.plugin_file().display()
            ));
            continue;
        }
        match dir.plugin_removal() {
            Some(Ok(path)) => changes.push(Change::remove(path, false, "confDir none: no conf calls it")),
            Some(Err(why)) => notes.push(why),
            None => {}
        }
    }
}

/// Which network pods will get: that of the first conf of another owner.
fn first_conf(facts: &BootFacts) -> Option<String> {
    let dir = facts.cni.confs.as_ref().ok()?;
    let first = dir.confs.iter().find(|conf| conf.file != CONF_FILE)?;
    let network = first.name().unwrap_or("that cannot be read");
    Some(format!("pods get the network {network}: {} sorts first in {}", first.file, dir.path.display()))
}

#[cfg(test)]
mod tests;
