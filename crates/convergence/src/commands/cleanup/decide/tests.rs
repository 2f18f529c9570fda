//! The decision on nodes as real CNIs leave them, among names that are nearly theirs.

mod claims;
mod files;
mod firewall;
mod network;

use std::collections::BTreeSet;
use std::path::PathBuf;

use types::profile::{Leaves, Profile, Profiles};

use crate::commands::cleanup::decide::*;
use crate::commands::cleanup::facts::{CleanupFacts, ConfFact, EarlierRuns};
use crate::commands::cleanup::kernel::KernelFacts;

/// A node with nothing on it, on which a CNI is cleaned up.
fn node(profile: &str) -> CleanupFacts {
    let profile = Profiles::built_in().find(profile).expect(profile).clone();
    let networks = profile.leaves.as_ref().map(|leaves| leaves.networks.iter().cloned().collect());
    CleanupFacts {
        profile,
        kernel: KernelFacts::default(),
        files: crate::commands::cleanup::facts::FileFacts::default(),
        claims: crate::commands::cleanup::facts::Claims::default(),
        in_use: Vec::new(),
        confs: Vec::new(),
        used_conf: None,
        networks: networks.unwrap_or_default(),
        cidrs: Vec::new(),
        agents: Vec::new(),
        answering: Vec::new(),
        live: Some(BTreeSet::new()),
        earlier: EarlierRuns::default(),
        aside_dir: PathBuf::from("/var/lib/crossfade/cleanup/it"),
    }
}

/// Another CNI that the policy names.
fn beside(name: &str) -> ActiveCni {
    let profile: Profile = Profiles::built_in().find(name).expect(name).clone();
    let parts = profile.parts.iter().filter_map(|part| Profiles::built_in().find(part)?.leaves.clone());
    let leaves: Vec<Leaves> = profile.leaves.iter().cloned().chain(parts).collect();
    ActiveCni { owner: "the network new of the policy".into(), profile, leaves }
}

fn conf(path: &str, name: &str, types: &[&str], bridges: &[&str]) -> ConfFact {
    let own = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
    ConfFact {
        path: path.into(),
        name: name.to_owned(),
        types: own(types),
        bridges: own(bridges),
        is_own: false,
        is_loaded: true,
    }
}

/// The removals as a person reads them, without their reasons.
fn outcomes(facts: &CleanupFacts) -> Vec<String> {
    let decision = decide(facts);
    decision
        .removals
        .iter()
        .map(|removal| format!("{} {}", removal.change.act.word(), removal.change.target))
        .collect()
}

fn list_retained(facts: &CleanupFacts) -> Vec<String> {
    decide(facts).retained.iter().map(|kept| format!("{}: {}", kept.target, kept.why)).collect()
}

#[test]
fn a_fresh_node_has_nothing_to_remove_or_to_judge() {
    for profile in Profiles::built_in().all() {
        let decision = decide(&node(&profile.name));
        assert!(
            decision.removals.is_empty() && decision.retained.is_empty() && decision.look.is_empty(),
            "{}",
            profile.name
        );
        assert!(decision.refusals.is_empty() && decision.reboot.is_empty(), "{}", profile.name);
    }
}

#[test]
fn what_refers_comes_before_what_is_referred_to_and_programs_come_last() {
    assert!(Stage::ALL.is_sorted());
    assert_eq!(Stage::ALL.last(), Some(&Stage::Programs));
    assert_eq!(Stage::ALL.first(), Some(&Stage::LocalRule));
}
