//! Networks whose pods wait for a file that only `watch` keeps ([`PROBED`]). On a running node such a file exists, and `watch` keeps it, before a
//! policy names it.
//!
//! A boot needs none of this, because boot and `watch` start before every pod. Under running pods, every ADD would wait for ever for a file
//! without a keeper.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shim::layout::Layout;
use types::policy::{Network, Policy, Probe, Side};
use types::problem::Problem;

use crate::change::obstacles::Obstacles;
use crate::change::{Act, Change, Write};
use crate::cli::Install;
use crate::node::networks::needed;
use crate::node::paths::{PROBED, Root, STATUS};
use crate::node::status_file::{self, StatusFile};
use crate::node::{probe, switch, watch_unit};

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

/// The networks of a policy whose ADDs wait. `before` is the policy by which Crossfade attaches pods so far, if Crossfade is installed.
#[must_use]
pub fn gather(policy: &Policy, before: Option<&Policy>) -> Vec<GatedNetwork> {
    let waited_before =
        |side: Side| before.is_some_and(|before| files(before).any(|(file_side, ..)| file_side == side));
    files(policy)
        .map(|(side, network, file)| GatedNetwork {
            side,
            profile: network.profile.clone(),
            exists: file.is_file(),
            probes: probe::ask(network, &file).all,
            is_new: !waited_before(side),
            file,
        })
        .collect()
}

/// The networks of a policy that wait, each with its file.
fn files(policy: &Policy) -> impl Iterator<Item = (Side, &Network, PathBuf)> {
    policy.networks().filter_map(|(side, network)| {
        let file = Path::new(PROBED).join(side.as_str());
        let is_marker = |probe: &Probe| matches!(probe, Probe::File(path) if *path == file);
        network.probes().iter().any(is_marker).then_some((side, network, file))
    })
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

impl Keeper {
    /// Finds the keeper of the files on this node.
    #[must_use]
    pub fn find(root: &Root, wanted: &Install) -> Self {
        let comes = wanted.bring.is_some() || wanted.units;
        if comes || matches!(status_file::read(&root.at(STATUS)), StatusFile::Fresh(_)) {
            return Self::Watch;
        }
        let remedy = |why: Problem| {
            let fix = format!("{}, then run install again", why.fix);
            Self::Missing(why.fix(fix))
        };
        if let Some(off) = switch::off_switch(root) {
            return remedy(off.problem());
        }
        match watch_unit::watch_unit() {
            Ok(()) => Self::Unit,
            Err(why) if why.fix.is_empty() => remedy(why.fix(
                "install the package, whose unit systemd runs, or start `crossfade-bootstrap unit watch` by other means",
            )),
            Err(why) => remedy(why),
        }
    }
}

/// Warnings about the policy that a flip writes: pods of a network that it attaches would wait for a file without a keeper. For a tree, or
/// for directories that the caller named, Crossfade cannot know this and warns of nothing.
#[must_use]
pub fn warnings(layout: &Layout, policy: &Policy) -> Vec<String> {
    let runs = matches!(status_file::read(Path::new(STATUS)), StatusFile::Fresh(_));
    if runs || layout.run_dir != Layout::default().run_dir {
        return Vec::new();
    }
    let needed = needed(policy);
    let late = files(policy).filter(|(side, _, file)| needed.contains(side) && !file.is_file());
    late.map(|(side, _, file)| {
        format!("{}, and no watch runs here: systemctl start crossfade-watch", waits(side, &file))
    })
    .collect()
}

fn waits(side: Side, file: &Path) -> String {
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
pub(crate) fn decide(
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
                obstacles.add(Problem::new(what).at(file.display().to_string()).fix(&why.fix));
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
                obstacles.add(Problem::new(what).at(format!("network {side}")).fix(fix));
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

    fn policy(ready: &str) -> Policy {
        let text = format!(
            r#"{{"version":1,"attach":"old","networks":{{"old":{{"conf":["/o"],"ready":[{ready}]}},"new":{{"conf":["/n"]}}}}}}"#
        );
        Policy::parse(text.as_bytes()).expect("valid")
    }

    #[test]
    fn a_network_waits_by_its_own_file_alone_and_newly_where_it_did_not() {
        let (own, other) =
            (r#"{"file":"/run/crossfade/probe/old"}"#, r#"{"file":"/run/crossfade/probe/new"}"#);
        for (now, before, expected) in [
            (own, None, vec![true]),
            (own, Some(""), vec![true]),
            (own, Some(other), vec![true]),
            (own, Some(own), vec![false]),
            (other, None, vec![]),
            ("", Some(own), vec![]),
        ] {
            let before = before.map(policy);
            let found = gather(&policy(now), before.as_ref());
            assert_eq!(
                found.iter().map(|network| network.is_new).collect::<Vec<_>>(),
                expected,
                "{now} {before:?}"
            );
            assert!(found.iter().all(|network| network.side == Side::Old && network.probes.is_ok()));
        }
    }

    #[test]
    fn nothing_comes_to_wait_for_what_nobody_keeps_or_what_is_not_so() {
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
