//! The findings of `seal` in a tree, before anything is decided or touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use convergence::failure::Failure;
use convergence::image::seal::SealFacts;
use convergence::image::seal::allow::Allow;
use convergence::image::seal::finding::{Remedy, SealFinding};
use shim::node::layout::Layout;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Node;
use types::profile::Profiles;

use super::rules::{self, Rule};
use super::settings::ImageSettings;
use super::tree::{Item, ItemKind, glob};
use super::{conf, login, own_state};
use crate::cli::{Global, Seal};
use crate::host::mounts::{MountPlace, Mounts};
use crate::host::root::Root;
use crate::image::seal::allow;
use crate::systemd::systemctl;

/// What tells that systemd runs. *Source*: man 3 `sd_booted`.
const SYSTEMD: &str = "/run/systemd/system";
const WATCH: &str = "crossfade-watch.service";

/// The tree, without a link on the way to it: mounts are told by such paths.
pub(super) fn open_image(dir: &Path) -> Result<Root, Failure> {
    let real = dir.canonicalize();
    let real = real.map_err(|e| Failure::new(Exit::Failed, format!("--root {}: {e}", dir.display())))?;
    Ok(Root::new(&real))
}

/// Programs that would undo it: kubelet writes its state back, and `watch` Crossfade's conf.
fn find_running(root: &Root, node: &Node) -> Vec<SealFinding> {
    if !root.is_node() || !Path::new(SYSTEMD).is_dir() {
        return Vec::new();
    }
    let kubelet = node.kubelet.unit.as_str();
    let is_active = |unit: &str| {
        let answer = systemctl::query(&["is-active", "--", unit]);
        // Without an answer nothing is known to run; what it would write is found by the next look.
        answer.is_ok_and(|state| matches!(state.trim(), "active" | "activating" | "reloading"))
    };
    let units = [
        (kubelet, "it would write its state again"),
        (WATCH, "it would write Crossfade's conf and state again"),
    ];
    let active = units.into_iter().filter(|(unit, _)| is_active(unit));
    active
        .map(|(unit, why)| {
            SealFinding::new_refusal(unit, format!("it runs: {why}"), format!("systemctl stop {unit}"))
        })
        .collect()
}

fn find_attached(root: &Root, layout: &Layout) -> Vec<SealFinding> {
    let below = Layout { policy: layout.policy.clone(), ..root.layout(layout) };
    match root.holds_state(&below) {
        Ok(()) => own_state::find_attached(&below, &layout.state_dir),
        Err(why) => {
            vec![SealFinding::new_refusal(&layout.state_dir, why, "look what it was, then remove it")]
        }
    }
}

fn find_by_rule(root: &Root, rule: &Rule, layout: &Layout, allow: &Allow) -> Vec<SealFinding> {
    let items = rule.paths.iter().flat_map(|path| glob(root, &relocate(path, layout)));
    let items = items.flat_map(|item| parts(root, item, allow));
    items.filter_map(|item| rule.judge(&item)).collect()
}

/// Crossfade's directories may be other ones than usual.
fn relocate(path: &str, layout: &Layout) -> PathBuf {
    let usual = Layout::default();
    let path = Path::new(path);
    for (usual, is) in [(&usual.state_dir, &layout.state_dir), (&usual.run_dir, &layout.run_dir)] {
        if let Ok(below) = path.strip_prefix(usual) {
            return if below.as_os_str().is_empty() { is.clone() } else { is.join(below) };
        }
    }
    path.into()
}

/// A directory in which something may stay is taken apart, so that the rest of it can go.
fn parts(root: &Root, item: Item, allow: &Allow) -> Vec<Item> {
    if item.kind != ItemKind::Dir || allow.find(&item.path).is_some() || !allow.reaches_below(&item.path) {
        return vec![item];
    }
    let children: Vec<Item> =
        item.children(root).into_iter().flat_map(|child| parts(root, child, allow)).collect();
    let stays = children.iter().any(|child| allow.find(&child.path).is_some());
    if stays { children } else { vec![item] }
}

/// What agents leave on a node, by their profiles.
fn agents(root: &Root, profiles: &Profiles) -> Vec<SealFinding> {
    let mut all = Vec::new();
    for profile in profiles.all() {
        for path in &profile.state {
            all.extend(glob(root, Path::new(path)).iter().map(|item| {
                SealFinding::new_refusal(
                    &item.path,
                    format!("what {} knows of this machine: its agent ran here", profile.name),
                    "remove it, and have no agent run where an image is made",
                )
            }));
        }
    }
    all
}

/// Each thing once: what two rules say in the same words, and what is removed, unless another rule refuses it already. What is no
/// part of the image is left out, and what would go although something is mounted there is refused.
fn deduplicate(findings: Vec<SealFinding>, root: &Root, mounts: &Mounts) -> Vec<SealFinding> {
    let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
    let mut unique_findings: Vec<SealFinding> = Vec::new();
    for finding in findings {
        let item = Item::open(root, &finding.what);
        let real = item.map_or_else(|| root.join(&finding.what), |item| item.real);
        let first = paths.insert(real.clone());
        match (mounts.place(&root.join("/"), &real), &finding.fate) {
            (MountPlace::Volatile, _) => {}
            (_, Remedy::Refuse(_)) => {
                let is_covered = |kept_finding: &SealFinding| {
                    kept_finding.what == finding.what && kept_finding.why == finding.why
                };
                if !unique_findings.iter().any(is_covered) {
                    unique_findings.push(finding);
                }
            }
            (_, Remedy::Change(_)) if !first => {}
            (MountPlace::Foreign(point), Remedy::Change(_)) => {
                unique_findings.push(mounted_finding(finding, &point))
            }
            (MountPlace::Image, Remedy::Change(_)) => unique_findings.push(match mounts.mount_of(&real) {
                Some(point) => mounted_finding(finding, point),
                None => finding,
            }),
        }
    }
    unique_findings
}

fn mounted_finding(finding: SealFinding, point: &Path) -> SealFinding {
    let why = format!(
        "{}; {} is mounted there, and nothing that is mounted is touched",
        finding.why,
        point.display()
    );
    SealFinding { fate: Remedy::Refuse(format!("umount {}", point.display())), why, ..finding }
}

/// Looks at everything; nothing is changed.
///
/// # Errors
/// A list of what may stay that cannot be used; mounts that cannot be told.
pub(crate) fn gather(global: &Global, args: &Seal) -> Result<SealFacts, Failure> {
    let root = open_image(&global.root)?;
    let mounts = Mounts::read().map_err(|error| {
        Failure::from_problem(
            Exit::Failed,
            Problem::new(error.to_string()).with_place("/proc").fix("mount /proc"),
        )
    })?;
    let allow = allow::gather(&root, &args.allowed, &args.allow_files)?;
    let real = Global { root: root.join("/"), ..global.clone() };
    let ImageSettings { node, policy, findings: mut setting_findings, notes } = ImageSettings::gather(&real);
    let layout = &node.dirs.layout_on_node;
    setting_findings.extend(find_running(&root, &node.settings));
    setting_findings.extend(find_attached(&root, layout));
    setting_findings.extend(conf::findings(&node, &policy, &global.conf_dir));
    setting_findings.extend(own_state::files(&root));
    setting_findings.extend(rules::all().flat_map(|rule| find_by_rule(&root, rule, layout, &allow)));
    setting_findings.extend(login::findings(&root));
    setting_findings.extend(agents(&root, &global.profiles));
    Ok(SealFacts { findings: deduplicate(setting_findings, &root, &mounts), allow, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_follow_our_directories() {
        let layout = Layout { state_dir: "/srv/state".into(), run_dir: "/run/other".into(), policy: None };
        for (path, is) in [
            ("/var/lib/crossfade/name", "/srv/state/name"),
            ("/var/lib/crossfade/*", "/srv/state/*"),
            ("/run/crossfade", "/run/other"),
            ("/var/lib/crossfader", "/var/lib/crossfader"),
        ] {
            assert_eq!(relocate(path, &layout), Path::new(is), "{path}");
        }
    }
}
