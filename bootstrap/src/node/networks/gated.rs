//! Networks whose pods wait for a file that only `watch` keeps ([`PROBED`]). On a running node such a file exists, and `watch` keeps it, before a
//! policy names it.
//!
//! A boot needs none of this, because boot and `watch` start before every pod. Under running pods, every ADD would wait for ever for a file
//! without a keeper.

use std::path::{Path, PathBuf};

use convergence::node::agent::status_file::StatusFile;
use convergence::node::networks::gated::{GatedNetwork, Keeper, waits};
use convergence::node::networks::needed_sides;
use convergence::node::paths::STATUS;
use shim::node::layout::{Layout, PROBED};
use types::command::problem::Problem;
use types::policy::{Network, Policy, Side};
use types::profile::Profiles;

use crate::cli::Install;
use crate::host::root::Root;
use crate::node::agent::{status_file, watch_unit};
use crate::node::networks::probe;
use crate::node::switch;

/// The networks of a policy whose ADDs wait. `before` is the policy by which Crossfade attaches pods so far, if Crossfade is installed.
#[must_use]
pub(crate) fn gather(policy: &Policy, before: Option<&Policy>, profiles: &Profiles) -> Vec<GatedNetwork> {
    let waited_before =
        |side: Side| before.is_some_and(|before| files(before).any(|(file_side, ..)| file_side == side));
    files(policy)
        .map(|(side, network, file)| GatedNetwork {
            side,
            profile: network.profile.clone(),
            exists: file.is_file(),
            probes: probe::ask(network, &file, profiles).all,
            is_new: !waited_before(side),
            file,
        })
        .collect()
}

/// The networks of a policy that wait, each with its file.
fn files(policy: &Policy) -> impl Iterator<Item = (Side, &Network, PathBuf)> {
    policy.networks().filter_map(|(side, network)| {
        let file = Path::new(PROBED).join(side.as_str());
        probe::waits_for(network, &file).then_some((side, network, file))
    })
}

/// Warnings about the policy that a flip writes: pods of a network that it attaches would wait for a file without a keeper. For a tree, or
/// for directories that the caller named, Crossfade cannot know this and warns of nothing.
#[must_use]
pub(crate) fn warnings(layout: &Layout, policy: &Policy) -> Vec<String> {
    let runs = matches!(status_file::read(Path::new(STATUS)), StatusFile::Fresh(_));
    if runs || layout.run_dir != Layout::default().run_dir {
        return Vec::new();
    }
    let needed = needed_sides(policy);
    let late = files(policy).filter(|(side, _, file)| needed.contains(side) && !file.is_file());
    late.map(|(side, _, file)| {
        format!("{}, and no watch runs here: systemctl start crossfade-watch", waits(side, &file))
    })
    .collect()
}

/// Finds the keeper of the files on this node.
#[must_use]
pub(crate) fn find_keeper(root: &Root, args: &Install) -> Keeper {
    let comes = args.bring.is_some() || args.units;
    if comes || matches!(status_file::read(&root.join(STATUS)), StatusFile::Fresh(_)) {
        return Keeper::Watch;
    }
    let remedy = |why: Problem| {
        let fix = format!("{}, then run install again", why.fix);
        Keeper::Missing(why.fix(fix))
    };
    if let Some(off) = switch::off_switch(root) {
        return remedy(off.problem());
    }
    match watch_unit::watch_unit() {
        Ok(()) => Keeper::Unit,
        Err(why) if why.fix.is_empty() => remedy(why.fix(
            "install the package, whose unit systemd runs, or start `crossfade-bootstrap unit watch` by other means",
        )),
        Err(why) => remedy(why),
    }
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
            let networks = gather(&policy(now), before.as_ref(), Profiles::built_in());
            assert_eq!(
                networks.iter().map(|network| network.is_new).collect::<Vec<_>>(),
                expected,
                "{now} {before:?}"
            );
            assert!(networks.iter().all(|network| network.side == Side::Old && network.probes.is_ok()));
        }
    }
}
