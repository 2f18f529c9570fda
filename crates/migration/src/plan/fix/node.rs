//! Nodes whose stragglers a plan leaves alone, and why.

use std::collections::{BTreeMap, BTreeSet};

use types::api::observed::NodeObservation;
use types::command::problem::Problem;
use types::policy::Phase;

use crate::cni::reach::is_parted;
use crate::plan::site::Site;

/// What keeps the stragglers of each node from being moved, and what a person can do; a node that is not there is not kept.
pub(super) struct Obstacles(BTreeMap<String, Problem>);

impl Obstacles {
    /// Nodes of which too little is known, or that cannot be brought to the phase.
    pub(super) fn gather(sites: &[Site<'_>], to: Phase, is_bridged: bool) -> Self {
        let obstacle = |site: &Site<'_>| {
            let because = silent(site).or_else(|| {
                if is_done(site, to) {
                    return None;
                }
                minted_obstacle(site, to)
                    .or_else(|| unfollowed_obstacle(site, to))
                    .or_else(|| if is_bridged { None } else { parting(site, sites, to) })
            });
            Some((site.name().to_owned(), because?))
        };
        Self(sites.iter().filter_map(obstacle).collect())
    }

    /// A node that no plan touches.
    pub(super) fn leave_out(&mut self, name: &str, why: &str) {
        let fix = "the settings leave its node out: roll.leaveOut";
        self.0.insert(name.to_owned(), Problem::new(why).fix(fix));
    }

    /// A node of which no straggler can be moved. The run would wait there for nothing.
    pub(super) fn note_nothing_moves(&mut self, name: &str) {
        let what = "none of its stragglers can be moved without a person";
        self.0.entry(name.to_owned()).or_insert(Problem::new(what));
    }

    /// A node with attachments of other phases, and no pod that they could be of.
    pub(super) fn note_no_pod_known(&mut self, name: &str) {
        let obstacle = Problem::new("no pod is known for its attachments of other phases")
            .fix("on the node: crossfade-bootstrap attachments; or wait until they are swept");
        self.0.entry(name.to_owned()).or_insert(obstacle);
    }

    /// What keeps a node.
    pub(super) fn obstacle(&self, name: &str) -> Option<&Problem> {
        self.0.get(name)
    }
}

/// Every phase that pods of a node have, or may get there as it is now.
pub(super) fn living_phases<'s>(site: &'s Site<'_>) -> impl Iterator<Item = Phase> + use<'s> {
    site.phases().into_iter().chain(site.extra())
}

/// The node is in the phase, and says that nothing of another one is attached to it.
pub(super) fn is_done(site: &Site<'_>, to: Phase) -> bool {
    let has_none = |observation: &NodeObservation| {
        let attached = observation.attached.as_ref();
        attached.is_some_and(|attached| attached.unknown == 0)
            && other_phases(observation, to).next().is_none()
    };
    site.phase() == Some(to) && site.observed.as_ref().is_some_and(has_none)
}

/// The other phases of what is attached to the node.
fn other_phases(observation: &NodeObservation, to: Phase) -> impl Iterator<Item = Phase> {
    let attached = observation.attached.iter().flat_map(|attached| &attached.by_phase);
    attached.filter(move |(phase, count)| **phase != to && **count > 0).map(|(phase, _)| *phase)
}

/// A node that does not say what a run must know of it.
fn silent(site: &Site<'_>) -> Option<Problem> {
    let is_complete = |observation: &NodeObservation| {
        observation.phase.is_some() && observation.attached.is_some() && observation.base.is_some()
    };
    (!site.observed.as_ref().is_some_and(is_complete)).then(|| {
        Problem::new("its node does not say its phase, its policy or what is attached to it")
            .fix("on the node: systemctl status crossfade-watch, and crossfade-bootstrap status")
    })
}

/// A node whose policy gives some pods another phase: when they are moved, they come back in it.
fn minted_obstacle(site: &Site<'_>, to: Phase) -> Option<Problem> {
    let observation = site.observed.as_ref()?;
    let phase = other_phases(observation, to)
        .find(|phase| site.phase() == Some(to) && observation.mints.contains(phase))?;
    let what =
        format!("a rule or an annotation gives pods phase {phase} there, so they would come back in it");
    Some(Problem::new(what).fix("on the node: crossfade-bootstrap policy explain; take the rule away first"))
}

/// A node that would not do what a run asks.
fn unfollowed_obstacle(site: &Site<'_>, to: Phase) -> Option<Problem> {
    let observation = site.observed.as_ref()?;
    (!observation.follows.contains(&to)).then(|| {
        Problem::new(format!("its node does not go to phase {to} when it is asked to")).fix(format!(
            "in node.json of the node: \"desired\": \"node-annotation\", and \"{to}\" in \"allowed\" (docs/kubernetes.md)"
        ))
    })
}

/// A node in another phase whose pods would lose those of other nodes.
///
/// A node that is in the phase already is not asked for it: its stragglers are parted from the others by now, if they are at all.
fn parting(site: &Site<'_>, sites: &[Site<'_>], to: Phase) -> Option<Problem> {
    let phase = site.phase().filter(|phase| *phase != to)?;
    let others: BTreeSet<Phase> =
        sites.iter().filter(|other| other.name() != site.name()).flat_map(living_phases).collect();
    let lost = others.into_iter().find(|other| is_parted(to, *other) && !is_parted(phase, *other))?;
    let what = format!(
        "its node is in phase {phase}, and pods in {to} would not reach those in {lost} that other nodes have"
    );
    let fix = "bring the others there first, then call stragglers --fix again; or make a plan of all passes: kubectl crossfade plan";
    Some(Problem::new(what).fix(fix))
}
