//! Mounts, pinned BPF objects, confs, leases, directories and programs.

use std::path::Path;

use types::profile::Leaves;

use crate::change::Act;
use crate::change::kernel::KernelObject;
use crate::commands::cleanup::decide::{
    Decision, Stage, aside_path, describe_claimant, find_claimant, moved_back,
};
use crate::commands::cleanup::facts::CleanupFacts;

pub fn decide(facts: &CleanupFacts, decision: &mut Decision) {
    let name = &facts.profile.name;
    let reason = format!("{name}'s");
    let files = &facts.files;
    for point in &files.mounts {
        let target = format!("mount {}", point.display());
        match find_claimant(facts, |other| other.mounts.contains(point)) {
            Some(whose) => decision.keep(target, describe_claimant(whose)),
            None => decision.kernel(
                Stage::Mounts,
                KernelObject::Mount(point.clone()),
                target,
                &reason,
                "the CNI mounts it again",
            ),
        }
    }
    for pin in &files.pins {
        let target = pin.path.display().to_string();
        let is_claimed = |other: &Leaves| other.pins.iter().any(|pin| pin.matches(&target));
        match find_claimant(facts, is_claimed) {
            Some(whose) => decision.keep(target, describe_claimant(whose)),
            None => decision.remove(
                Stage::Pins,
                removal_act(&pin.path, pin.is_dir),
                target,
                &reason,
                "the CNI makes it again",
            ),
        }
    }
    for conf in facts.confs.iter().filter(|conf| conf.is_own) {
        let to = aside_path(facts, &conf.path);
        let act = Act::SetAside { from: conf.path.clone(), to: to.clone(), nudge: conf.is_loaded };
        let undo = moved_back(&to, &conf.path);
        decision.remove(Stage::Files, act, conf.path.display().to_string(), &format!("{name}'s conf"), undo);
    }
    for (path, why) in &files.strange_confs {
        decision.look_at(path.display().to_string(), why);
    }
    for path in &files.files {
        let target = path.display().to_string();
        match find_claimant(facts, |other| other.files.contains(path)) {
            Some(whose) => decision.keep(target, describe_claimant(whose)),
            None => {
                let to = aside_path(facts, path);
                let act = Act::SetAside { from: path.clone(), to: to.clone(), nudge: false };
                decision.remove(Stage::Files, act, target, &reason, moved_back(&to, path));
            }
        }
    }
    for leases in &files.leases {
        let target = leases.path.display().to_string();
        let is_shared = facts.confs.iter().any(|conf| !conf.is_own && conf.name == leases.network);
        if is_shared {
            decision.keep(target, format!("another conf has a network of the name {}", leases.network));
        } else {
            let why = format!("the addresses of {}, {} of them", leases.network, leases.count);
            let undo =
                format!("nothing has to be: no sandbox holds one of {}", leases.container_ids.join(", "));
            decision.remove(Stage::Files, Act::RemoveTree(leases.path.clone()), target, &why, undo);
        }
    }
    for dir in &files.directories {
        let target = dir.path.display().to_string();
        let is_claimed = |other: &Leaves| {
            let all = other.directories.iter().chain(&other.files);
            all.clone().any(|mount| mount.starts_with(&dir.path) || dir.path.starts_with(mount))
        };
        let other_mount = dir.mounts.iter().find(|point| !files.mounts.contains(point));
        if let Some(whose) = find_claimant(facts, is_claimed) {
            decision.keep(target, describe_claimant(whose));
        } else if let Some(point) = other_mount {
            decision.keep(target, format!("{} is mounted in it, and nothing says by whom", point.display()));
        } else {
            let act = Act::RemoveTree(dir.path.clone());
            decision.remove(Stage::Files, act, target, &reason, "the agent makes it again");
        }
    }
    programs(facts, decision);
}

fn programs(facts: &CleanupFacts, decision: &mut Decision) {
    for path in &facts.files.programs {
        let target = path.display().to_string();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let by_conf = facts
            .confs
            .iter()
            .find(|conf| !conf.is_own && conf.types.iter().any(|cni_type| *cni_type == name));
        if let Some(whose) =
            find_claimant(facts, |other| other.programs.iter().any(|program| *program == name))
        {
            decision.keep(target, describe_claimant(whose));
        } else if let Some(conf) = by_conf {
            decision.keep(target, format!("{} names it", conf.path.display()));
        } else if facts.claims.programs.iter().any(|program| *program == name) {
            decision.keep(target, "a record names it");
        } else {
            let act = Act::Remove { path: path.clone(), nudge: false };
            let reason = format!("{}'s program", facts.profile.name);
            decision.remove(Stage::Programs, act, target, &reason, "the CNI's installer brings it again");
        }
    }
}

fn removal_act(path: &Path, is_dir: bool) -> Act {
    if is_dir { Act::RemoveTree(path.into()) } else { Act::Remove { path: path.into(), nudge: false } }
}
