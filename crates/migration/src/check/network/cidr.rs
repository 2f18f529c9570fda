//! Overlaps of the new network's addresses with those of the old one and of everything around.

mod plan;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cidr::{self, Claims, Clash};
use crate::cni::support::{Cni, Strategy};

pub(in crate::check) use plan::cluster_cidrs;

pub(in crate::check) const CHECK: Check = Check {
    name: "cidr",
    rules: &[
        &CIDR_INVALID,
        &cidr::CIDR_OVERLAP_BLOCK,
        &cidr::CIDR_OVERLAP_CLOSED_POOL,
        &cidr::CIDR_OVERLAP_EXTERNAL,
        &cidr::CIDR_OVERLAP_NODES,
        &cidr::CIDR_OVERLAP_OWN_BLOCK,
        &cidr::CIDR_OVERLAP_POOL,
        &cidr::CIDR_OVERLAP_RESERVED,
        &cidr::CIDR_OVERLAP_SERVICES,
        &plan::CIDR_PLAN,
        &cidr::CIDR_SAME_ON_NODE,
        &room::CIDR_TOO_SMALL,
        &plan::CIDR_TWO_HALVES,
        &CIDR_UNKNOWN,
    ],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::SERVICE),
        Need::Always(Kind::INGRESS),
        Need::Always(Kind::GATEWAY),
        Need::Always(Kind::CONFIG_MAP),
        Need::With(Cni::Calico, Kind::IP_POOL),
        Need::With(Cni::Calico, Kind::IPAM_BLOCK),
        Need::With(Cni::Calico, Kind::TIGERA_INSTALLATION),
        Need::Always(Kind::POD),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let claims = cidr::gather(scene);
    let Claims { all, wrong, unread, is_shared } = &claims;
    let mut findings = Vec::new();
    if !wrong.is_empty() {
        findings.push(invalid_finding(wrong.clone()));
    }
    if !unread.is_empty() {
        findings.push(unreadable_finding(unread.clone()));
    }
    if !is_shared && !all.iter().any(|claim| claim.usage.is_new()) {
        findings.push(unknown_finding(scene));
    }
    let clashes = cidr::clashes(all, scene.network_strategy());
    let mut by_rule: BTreeMap<(&Rule, Severity), Vec<&Clash<'_>>> = BTreeMap::new();
    for clash in &clashes {
        by_rule.entry((clash.rule, clash.severity)).or_default().push(clash);
    }
    findings.extend(
        by_rule.into_iter().map(|((rule, severity), clashes)| overlap(scene, rule, severity, &clashes)),
    );
    let plan = cidr::plan(&clashes, scene.snapshot.nodes.len(), scene.config.cidrs.drain_at_most_percent);
    findings.extend(plan::plan_findings(plan, &clashes, &claims, scene));
    findings.extend(room::too_small(scene, &claims));
    findings
}

pub(crate) const CIDR_INVALID: Rule = Severity::Risk.rule(
    "cidr-invalid",
    "Objects name ranges that have host bits, or that are no ranges.\n\n\
     It blocks if a range of pods, of either network, cannot be read. A range has no host bits, unlike `10.10.6.42/26`.",
    "Programs disagree on what such a range means. No overlap with a range that cannot be read is found.",
    "Correct the range in each object.",
);

fn invalid_finding(wrong: Vec<Subject>) -> Finding {
    let why = "Programs disagree on what such a range means. This check cleared the host bits.";
    Finding::new(&CIDR_INVALID).why(why).with_objects(wrong)
}

/// The same rule as of host bits, and worse: whatever overlaps such a range is not found.
fn unreadable_finding(unread: Vec<Subject>) -> Finding {
    let what = "Objects name ranges of pods that cannot be read.";
    let why = "No overlap with such a range is found, so it is unknown whether both networks give the same addresses.";
    Finding::new(&CIDR_INVALID).severity(Severity::Blocks).what(what).why(why).with_objects(unread)
}

pub(crate) const CIDR_UNKNOWN: Rule = Severity::Blocks.rule(
    "cidr-unknown",
    "Nothing says from which range the new network gives addresses.",
    "Overlapping ranges are the most frequent reason for lost connections in migrations, and cannot be found without this range.",
    "Set networks.new.cidrs in the settings file to the ranges that you will install the new CNI with.",
);

fn unknown_finding(scene: &Scene<'_>) -> Finding {
    Finding::new(&CIDR_UNKNOWN).what(format!(
        "Neither the cluster nor the settings say from which range {} gives pods their addresses.",
        scene.to
    ))
}

/// One finding for all overlaps of a rule; each object says which ranges overlap.
fn overlap(scene: &Scene<'_>, rule: &'static Rule, severity: Severity, clashes: &[&Clash<'_>]) -> Finding {
    let subject = |clash: &&Clash<'_>| {
        let on = clash.other.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let owner = match &clash.new.node {
            Some(node) => format!("{} of {node}", clash.new.range),
            None => format!("{} of {}", clash.new.range, clash.new.source),
        };
        clash.other.source.clone().detail(format!("{}{on} overlaps {owner}", clash.other.range))
    };
    let mut fix = rule.fix.to_owned();
    if rule == &cidr::CIDR_OVERLAP_POOL && plan::has_calico_ipam(scene) {
        let ranges: BTreeSet<String> = clashes.iter().map(|clash| clash.new.range.to_string()).collect();
        fix = format!(
            "{fix} To hold the state until then, reserve the new ranges in Calico: {}",
            plan::reservation(&ranges)
        );
    }
    let is_of_node = |clash: &&Clash<'_>| {
        [clash.new, clash.other].iter().all(|claim| claim.source.kind == Kind::NODE.name())
    };
    if rule == &cidr::CIDR_SAME_ON_NODE && scene.network_strategy() == Strategy::Rotation {
        fix = "Nothing, as long as no node ever has both networks: each node that is replaced has one of them only.".into();
    } else if rule == &cidr::CIDR_SAME_ON_NODE && clashes.iter().all(is_of_node) {
        fix = "Both CNIs take the pod CIDR of the Node. Move by rotation (--strategy rotation), in which each node has one network only, or to a CNI with ranges of its own (Cilium with cluster-pool, Calico).".into();
    }
    Finding::new(rule).severity(severity).fix(fix).with_objects(clashes.iter().map(subject))
}
