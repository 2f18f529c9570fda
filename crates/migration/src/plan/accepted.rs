//! What somebody accepts: policies that nobody enforces for a while, and findings.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::Kind;
use types::policy::Phase;
use types::problem::Problem;

use crate::check::Scene;
use crate::check::finding::Finding;
use crate::cni::enforcement::{Coverage, lines};
use crate::config::Waiver;

/// The kinds of policies of the cluster that nobody enforces in one of these phases, with the phases.
pub(super) fn unenforced(scene: &Scene<'_>, phases: &[Phase]) -> BTreeMap<Kind, Vec<&'static str>> {
    let mut kinds: BTreeMap<Kind, Vec<&'static str>> = BTreeMap::new();
    let is_passed = |name: &str| phases.iter().any(|phase| phase.as_str() == name);
    for line in lines(scene) {
        if line.policies > 0 && line.holds == Coverage::No && is_passed(line.phase.name()) {
            kinds.entry(line.kind).or_default().push(line.phase.name());
        }
    }
    kinds
}

/// A blocker for each such kind that the settings do not accept.
pub(super) fn unaccepted(scene: &Scene<'_>, phases: &[Phase]) -> Vec<Problem> {
    let accepted: BTreeSet<Kind> = scene.config.roll.unenforced.iter().map(|kind| kind.kind()).collect();
    let kinds = unenforced(scene, phases).into_iter().filter(|(kind, _)| !accepted.contains(kind));
    let problem = |(kind, phases): (Kind, Vec<&str>)| {
        let count = scene.snapshot.objects(kind).len();
        Problem::new(format!(
            "the cluster has {count} objects of kind {kind}, and nobody enforces them for pods in phase {}",
            phases.join(", ")
        ))
        .at("roll.unenforced")
        .fix(format!(
            "accept that by name in the settings file: roll: {{unenforced: [{kind}]}}; the finding policies-unenforced of kubectl crossfade check has the objects and other ways"
        ))
    };
    kinds.map(problem).collect()
}

/// The waivers that accept a finding, in the order of the settings.
pub(super) fn waivers(scene: &Scene<'_>, findings: &[Finding]) -> Vec<Waiver> {
    let is_used = |waiver: &&Waiver| {
        let is = |finding: &Finding| {
            finding.code == waiver.finding && finding.waived.as_deref() == Some(&*waiver.reason)
        };
        findings.iter().any(is)
    };
    scene.config.waivers.iter().filter(is_used).cloned().collect()
}
