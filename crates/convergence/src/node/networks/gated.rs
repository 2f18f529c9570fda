//! Networks whose pods wait for a file that only `watch` keeps ([`PROBED`]). On a running node such a file exists, and `watch` keeps it, before a
//! policy names it.
//!
//! A boot needs none of this, because boot and `watch` start before every pod. Under running pods, every ADD would wait for ever for a file
//! without a keeper.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use types::command::problem::Problem;
use types::policy::Side;

use crate::change::obstacles::Obstacles;
use crate::change::{Act, Change, Write};

/// A network whose ADDs wait for a file that `watch` keeps.
#[derive(Debug, Clone)]
pub struct GatedNetwork {
    /// Whether the network is the policy's `old` or `new`.
    pub side: Side,
    /// The name of the network's profile.
    pub profile: String,
    /// The file in [`PROBED`].
    pub file: PathBuf,
    /// Whether the file exists.
    pub exists: bool,
    /// Whether all of the network's probes hold; else the first that does not.
    pub probes: Result<(), String>,
    /// The network's ADDs do not wait for the file yet: Crossfade's conf is not installed, or the earlier policy did not name the file.
    pub is_new: bool,
}

/// The keeper of these files from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// A `watch` that runs, one of the pod that this is the first container of, or one of the units that are brought.
    Watch,
    /// crossfade-watch.service, which `install` starts.
    Unit,
    /// There is none: why, and the next step.
    Missing(Problem),
}

pub fn waits(side: Side, file: &Path) -> String {
    format!(
        "network {side}: its pods wait for {}, which watch keeps while the agent is ready",
        file.display()
    )
}

/// Compares the files that pods would wait for with those that exist. The changes belong before the policy that names the files.
///
/// | the keeper of the file | the agent | pods wait for it already | a pod may need the network now | comes to |
/// |---|---|---|---|---|
/// | `watch` or its unit | ready | | | the file is written where it is missing |
/// | `watch` or its unit | not ready | no | yes | refused |
/// | `watch` or its unit | not ready | no | no | a note |
/// | `watch` or its unit | not ready | yes | | a note |
/// | none | any | no | | refused |
/// | none | ready | yes | | a note, and the file is written where it is missing |
pub fn decide(
    waiting: &[GatedNetwork],
    keeper: &Keeper,
    needed: &BTreeSet<Side>,
    obstacles: &mut Obstacles,
    notes: &mut Vec<String>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for GatedNetwork { side, profile, file, exists, probes, is_new } in waiting {
        let waits = waits(*side, file);
        match keeper {
            Keeper::Missing(why) if *is_new => {
                let what = format!("{waits}, and no watch runs here: {}", why.what);
                obstacles.add(Problem::new(what).with_place(file.display().to_string()).fix(&why.fix));
            }
            Keeper::Missing(why) => notes.push(format!("{waits}, and no watch runs here: {why}")),
            Keeper::Watch | Keeper::Unit => {}
        }
        match probes {
            Ok(()) if !exists => changes.push(marker(file.clone(), profile)),
            Ok(()) => {}
            Err(red) if *is_new && needed.contains(side) => {
                let fix = format!(
                    "wait until it is, or let networks.{side}.ready of the policy name what tells its readiness on this node"
                );
                let what = format!("{waits}, and the agent is not ready: {red}");
                obstacles.add(Problem::new(what).with_place(format!("network {side}")).fix(fix));
            }
            Err(red) => notes.push(format!("{waits}, and the agent is not ready: {red}")),
        }
    }
    changes
}

/// The change that writes a network's file.
#[must_use]
pub fn marker(path: PathBuf, profile: &str) -> Change {
    let target = path.display().to_string();
    let bytes = format!("{profile}\n").into_bytes();
    Change::new(Act::Write(Write { path, bytes, mode: 0o644, nudge: false }), target, "its probes hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pod_comes_to_wait_for_a_file_without_a_keeper_or_for_a_red_agent() {
        let (watch, unit) = (Keeper::Watch, Keeper::Unit);
        let missing = Keeper::Missing("start one".into());
        // Keeper; whether the agent is red, the file is there, the wait is new, the network needed; refused, files written, notes.
        for (keeper, red, exists, is_new, needed, expected) in [
            (&watch, false, false, true, true, (false, 1, 0)),
            (&unit, false, false, true, true, (false, 1, 0)),
            (&watch, false, true, true, true, (false, 0, 0)),
            (&watch, true, false, true, true, (true, 0, 0)),
            (&watch, true, false, true, false, (false, 0, 1)),
            (&watch, true, false, false, true, (false, 0, 1)),
            (&missing, false, true, true, true, (true, 0, 0)),
            (&missing, false, true, true, false, (true, 0, 0)),
            (&missing, false, false, false, true, (false, 1, 1)),
        ] {
            let probes = if red { Err("no answer".to_owned()) } else { Ok(()) };
            let file = PathBuf::from("/run/crossfade/probe/new");
            let network =
                GatedNetwork { side: Side::New, profile: "calico".into(), file, exists, probes, is_new };
            let (mut obstacles, mut notes) = (Obstacles::default(), Vec::new());
            let needed = needed.then_some(Side::New).into_iter().collect();
            let changes = decide(&[network], keeper, &needed, &mut obstacles, &mut notes);
            let decided = (!obstacles.findings.is_empty(), changes.len(), notes.len());
            assert_eq!(
                decided, expected,
                "{keeper:?} {red} {exists} {is_new} {needed:?}: {:?} {notes:?}",
                obstacles.findings
            );
            let lines = obstacles.findings.iter().map(ToString::to_string).chain(notes);
            assert!(
                lines
                    .into_iter()
                    .all(|line| line.contains("network new: its pods wait for /run/crossfade/probe/new"))
            );
        }
    }
}
