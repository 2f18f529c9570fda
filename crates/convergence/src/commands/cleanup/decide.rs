//! The decision of `cleanup`: removals, kept objects and refusals.
//!
//! | found | then |
//! |---|---|
//! | something that still needs the network ([`refuse`]) | refused, and nothing is removed |
//! | an object that the profile names, and no other profile in use does | removed, alone and by what tells it from all others |
//! | an object that another profile, conf or rule refers to as well | kept, with the reason |
//! | an object that the profile only supposes to be the CNI's | a person looks at it |
//!
//! What refers comes before what is referred to: rules before chains, chains before sets, routes before interfaces, mounts before their
//! directories. The CNI's programs come last.

pub mod files;
pub mod firewall;
pub mod network;
pub mod refuse;

use std::path::PathBuf;

use serde::Serialize;
use types::command::problem::Problem;
use types::profile::{Leaves, Profile};

use crate::change::kernel::KernelObject;
use crate::change::{Act, Change};
use crate::commands::cleanup::facts::CleanupFacts;

#[cfg(test)]
mod tests;

/// What is removed together, in this order; before each, everything is read once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The rule that looks up this node's own addresses is put back, before another one of them is removed.
    LocalRule,
    Rules,
    /// Rules of the firewall in chains that are not the CNI's.
    Jumps,
    /// What is in the CNI's chains.
    Contents,
    /// The CNI's chains and tables.
    Chains,
    /// Sets of addresses.
    Sets,
    Routes,
    /// Interfaces.
    Links,
    Mounts,
    /// Pinned BPF objects.
    Pins,
    /// Confs, files, leases and directories.
    Files,
    Programs,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::LocalRule,
        Self::Rules,
        Self::Jumps,
        Self::Contents,
        Self::Chains,
        Self::Sets,
        Self::Routes,
        Self::Links,
        Self::Mounts,
        Self::Pins,
        Self::Files,
        Self::Programs,
    ];
}

/// One object that is removed.
#[derive(Debug, Clone)]
pub struct Removal {
    pub stage: Stage,
    pub change: Change,
    /// What a person does to have the object back.
    pub undo: String,
}

/// Something that is not removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Left"))]
pub struct RetainedObject {
    /// The object.
    pub target: String,
    /// Why it stays.
    pub why: String,
}

/// What `cleanup` does, or why it does nothing.
#[derive(Debug, Default)]
pub struct Decision {
    /// What still needs the network. While there is anything, nothing is removed.
    pub refusals: Vec<Problem>,
    /// What is removed, in order.
    pub removals: Vec<Removal>,
    /// Objects with a name of the CNI's that belong to another CNI, or that one needs.
    pub retained: Vec<RetainedObject>,
    /// What a person has to judge.
    pub look: Vec<RetainedObject>,
    /// What only a reboot removes.
    pub reboot: Vec<String>,
}

impl Decision {
    fn remove(
        &mut self,
        stage: Stage,
        act: Act,
        target: impl Into<String>,
        reason: &str,
        undo: impl Into<String>,
    ) {
        self.removals.push(Removal { stage, change: Change::new(act, target, reason), undo: undo.into() });
    }

    fn kernel(
        &mut self,
        stage: Stage,
        object: KernelObject,
        target: impl Into<String>,
        reason: &str,
        undo: impl Into<String>,
    ) {
        self.remove(stage, Act::Kernel(Box::new(object)), target, reason, undo);
    }

    fn keep(&mut self, target: impl Into<String>, why: impl Into<String>) {
        self.retained.push(RetainedObject { target: target.into(), why: why.into() });
    }

    fn look_at(&mut self, target: impl Into<String>, why: impl Into<String>) {
        self.look.push(RetainedObject { target: target.into(), why: why.into() });
    }
}

/// Another CNI that is in use on this node.
#[derive(Debug, Clone)]
pub struct ActiveCni {
    /// Who says so: a network of the policy, a conf.
    pub owner: String,
    pub profile: Profile,
    /// What it leaves, its parts' included.
    pub leaves: Vec<Leaves>,
}

/// Decides what becomes of what was found.
#[must_use]
pub fn decide(facts: &CleanupFacts) -> Decision {
    let mut decision = Decision::default();
    let Some(leaves) = &facts.profile.leaves else { return decision };
    decision.refusals = refuse::refusals(facts, leaves);
    network::decide(facts, leaves, &mut decision);
    firewall::decide(facts, leaves, &mut decision);
    files::decide(facts, &mut decision);
    for reboot in &leaves.reboot {
        let shows = |name: &String| reboot.links.iter().any(|pattern| pattern.matches(name));
        let by_link = facts.kernel.links.iter().any(|link| shows(&link.name));
        let by_path = reboot.paths.iter().any(|path| facts.files.shown.contains(path));
        if by_link || by_path || facts.earlier.reboot.contains(&reboot.why) {
            decision.reboot.push(reboot.why.clone());
        }
    }
    // A stable sort: within a stage the order is the one in which things were found.
    decision.removals.sort_by_key(|removal| removal.stage);
    decision.retained.sort();
    decision.retained.dedup();
    decision.look.sort();
    decision.look.dedup();
    decision
}

/// The other profile that names the same object, if there is one.
fn find_claimant(facts: &CleanupFacts, names: impl Fn(&Leaves) -> bool) -> Option<&str> {
    let claims = |cni: &&ActiveCni| cni.leaves.iter().any(&names);
    facts.in_use.iter().find(claims).map(|cni| cni.owner.as_str())
}

/// Why something stays that another CNI in use names as well.
fn describe_claimant(owner: &str) -> String {
    format!("{owner} uses it as well")
}

/// The command line that undoes something, as a person types it.
fn moved_back(to: &std::path::Path, from: &std::path::Path) -> String {
    format!("mv {} {}", to.display(), from.display())
}

/// Where a file is moved to: its whole path, so that two of one name do not meet.
fn aside_path(facts: &CleanupFacts, path: &std::path::Path) -> PathBuf {
    facts.aside_dir.join(path.strip_prefix("/").unwrap_or(path))
}
