//! Nodes that do not say what a run must know of them.

use std::collections::BTreeMap;

use types::observed;
use types::policy::Phase;
use types::problem::Problem;

use super::passes::Passes;
use super::site::{Site, join_names};

/// What a node does not say or do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MissingFact {
    Report,
    Phase,
    Attachments,
    Policy,
    Follow(Phase),
}

/// A blocker for each thing that nodes lack, with the nodes by name.
pub(super) fn silent(sites: &[Site<'_>], passes: Option<&Passes>) -> Vec<Problem> {
    let targets = passes.map_or(&[][..], |passes| &passes.targets);
    let mut by: BTreeMap<MissingFact, Vec<&str>> = BTreeMap::new();
    for site in sites {
        for lack in lacks(site, targets) {
            by.entry(lack).or_default().push(site.name());
        }
    }
    by.into_iter().map(|(lack, nodes)| problem(lack, &nodes)).collect()
}

/// What a node lacks. Without a report, or in a phase that nobody knows, nothing else is asked of it.
fn lacks(site: &Site<'_>, targets: &[Phase]) -> Vec<MissingFact> {
    let Some(seen) = &site.observed else { return vec![MissingFact::Report] };
    let Some(phase) = seen.phase else { return vec![MissingFact::Phase] };
    let mut lacks = Vec::new();
    if seen.attached.is_none() {
        lacks.push(MissingFact::Attachments);
    }
    if seen.base.is_none() {
        lacks.push(MissingFact::Policy);
    }
    let unfollowed = |target: &&Phase| **target != phase && !seen.follows.contains(target);
    lacks.extend(targets.iter().filter(unfollowed).map(|target| MissingFact::Follow(*target)));
    lacks
}

fn problem(lack: MissingFact, nodes: &[&str]) -> Problem {
    let names = join_names(nodes.iter().copied());
    let first = nodes.first().copied().unwrap_or_default();
    let (what, fix) = match lack {
        MissingFact::Report => (
            format!("no Crossfade reports to these Nodes (annotation {}): {names}", observed::KEY),
            "install it there (docs/packages.md, docs/daemonset.md) with report.node: true in node.json, or leave nodes out: roll: {leaveOut: [{node: NAME, reason: WHY}]}".to_owned(),
        ),
        MissingFact::Phase => (
            format!("these nodes are in no phase, since their policy cannot be used: {names}"),
            format!("on each node: crossfade-bootstrap policy check; from here: kubectl describe node {first}"),
        ),
        MissingFact::Attachments => (
            format!("these nodes do not say what is attached to them, so nobody knows when they are done: {names}"),
            "update Crossfade there to this release; then: crossfade-bootstrap status on the node".to_owned(),
        ),
        MissingFact::Policy => (
            format!("these nodes do not say which policy they have beside its phase: {names}"),
            "update Crossfade there to this release; then: crossfade-bootstrap status on the node".to_owned(),
        ),
        MissingFact::Follow(phase) => (
            format!("these nodes would not go to phase {phase}: {names}"),
            format!("in node.json of each: \"desired\": \"node-annotation\", and {:?} in \"allowed\" (docs/kubernetes.md)", phase.as_str()),
        ),
    };
    Problem::new(what).at(format!("Node/{first}")).fix(fix)
}
