//! Overlaps of the new network's addresses with those of the old one and of everything around.

mod plan;
mod room;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cidr::{self, Claims, Clash, OverlapCode};
use crate::cni::support::{Cni, Strategy};

pub(in crate::check) use plan::cluster_cidrs;

pub(in crate::check) const CHECK: Check = Check {
    name: "cidr",
    codes: &[
        ("cidr-invalid", "a range has host bits, or is none"),
        (
            OverlapCode::Block.as_str(),
            "a pod CIDR of the new network overlaps a block of the old one on another node",
        ),
        (
            OverlapCode::ClosedPool.as_str(),
            "a range of the new network is in a pool of the old one that gives no more addresses",
        ),
        (OverlapCode::External.as_str(), "a range of the new network covers addresses outside the cluster"),
        (OverlapCode::Nodes.as_str(), "a range of the new network covers addresses of nodes"),
        (
            OverlapCode::OwnBlock.as_str(),
            "a pod CIDR of the new network overlaps a block of the old one on the same node",
        ),
        (
            OverlapCode::Pool.as_str(),
            "a range of the new network overlaps a pool from which the old one still takes blocks",
        ),
        (
            OverlapCode::Reserved.as_str(),
            "a range of the new network covers addresses with a meaning of their own",
        ),
        (
            OverlapCode::Services.as_str(),
            "a range of the new network covers addresses of Services, or those that lead to them",
        ),
        ("cidr-plan", "what to do about the overlaps of both networks"),
        (OverlapCode::SameOnNode.as_str(), "both networks give the same addresses on a node"),
        ("cidr-too-small", "the new network has too few addresses for the nodes or their pods"),
        ("cidr-two-halves", "a migration in two halves is accepted, with broken connections between them"),
        ("cidr-unknown", "nothing says from which range the new network gives addresses"),
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
    let mut by_code: BTreeMap<(OverlapCode, Severity), Vec<&Clash<'_>>> = BTreeMap::new();
    for clash in &clashes {
        by_code.entry((clash.code, clash.severity)).or_default().push(clash);
    }
    findings.extend(
        by_code.into_iter().map(|((code, severity), clashes)| overlap(scene, code, severity, &clashes)),
    );
    let plan = cidr::plan(&clashes, scene.snapshot.nodes.len(), scene.config.cidrs.drain_at_most_percent);
    findings.extend(plan::plan_findings(plan, &clashes, &claims, scene));
    findings.extend(room::too_small(scene, &claims));
    findings
}

fn invalid_finding(wrong: Vec<Subject>) -> Finding {
    let what = "Objects name ranges that have host bits, or that are no ranges.";
    let why = "Programs disagree on what such a range means. This check cleared the host bits.";
    Finding::new("cidr-invalid", Severity::Risk, what, why, "Correct the range in each object.")
        .with_objects(wrong)
}

/// The same code as of host bits, and worse: whatever overlaps such a range is not found.
fn unreadable_finding(unread: Vec<Subject>) -> Finding {
    let what = "Objects name ranges of pods that cannot be read.";
    let why = "No overlap with such a range is found, so it is unknown whether both networks give the same addresses.";
    Finding::new("cidr-invalid", Severity::Blocks, what, why, "Correct the range in each object.")
        .with_objects(unread)
}

fn unknown_finding(scene: &Scene<'_>) -> Finding {
    Finding::new(
        "cidr-unknown",
        Severity::Blocks,
        format!(
            "Neither the cluster nor the settings say from which range {} gives pods their addresses.",
            scene.to
        ),
        "Overlapping ranges are the most frequent reason for lost connections in migrations, and cannot be found without this range.",
        "Set networks.new.cidrs in the settings file to the ranges that you will install the new CNI with.",
    )
}

/// One finding for all overlaps of a code; each object says which ranges overlap.
fn overlap(scene: &Scene<'_>, code: OverlapCode, severity: Severity, clashes: &[&Clash<'_>]) -> Finding {
    let subject = |clash: &&Clash<'_>| {
        let on = clash.other.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let owner = match &clash.new.node {
            Some(node) => format!("{} of {node}", clash.new.range),
            None => format!("{} of {}", clash.new.range, clash.new.source),
        };
        clash.other.source.clone().detail(format!("{}{on} overlaps {owner}", clash.other.range))
    };
    let (what, why, fix) = words(code);
    let mut fix = fix.to_owned();
    if code == OverlapCode::Pool && plan::has_calico_ipam(scene) {
        let ranges: BTreeSet<String> = clashes.iter().map(|clash| clash.new.range.to_string()).collect();
        fix = format!(
            "{fix} To hold the state until then, reserve the new ranges in Calico: {}",
            plan::reservation(&ranges)
        );
    }
    let is_of_node = |clash: &&Clash<'_>| {
        [clash.new, clash.other].iter().all(|claim| claim.source.kind == Kind::NODE.name())
    };
    if code == OverlapCode::SameOnNode && scene.network_strategy() == Strategy::Rotation {
        fix = "Nothing, as long as no node ever has both networks: each node that is replaced has one of them only.".into();
    } else if code == OverlapCode::SameOnNode && clashes.iter().all(is_of_node) {
        fix = "Both CNIs take the pod CIDR of the Node. Move by rotation (--strategy rotation), in which each node has one network only, or to a CNI with ranges of its own (Cilium with cluster-pool, Calico).".into();
    }
    Finding::new(code.as_str(), severity, what, why, fix).with_objects(clashes.iter().map(subject))
}

const CHOOSE: &str = "Choose a range for the new network that overlaps nothing (networks.new.cidrs), and install the new CNI with it.";

/// What an overlap is, why it matters and how to remove it.
fn words(code: OverlapCode) -> (&'static str, &'static str, &'static str) {
    match code {
        OverlapCode::Block => (
            "Pod CIDRs of the new network overlap address blocks that the old network uses on other nodes.",
            "Routers and nodes use the route with the longest prefix, so packets for one node's pods go to another node and are lost.",
            "Do what the finding cidr-plan says, then check again.",
        ),
        OverlapCode::OwnBlock => (
            "Pod CIDRs of the new network overlap address blocks that the old network uses on the same node.",
            "The packets reach the right node. While the node has both networks, other nodes cannot tell through which network to send them.",
            "Do what the finding cidr-plan says, or accept the finding with a waiver if no node has both networks.",
        ),
        OverlapCode::SameOnNode => (
            "Both networks give pods addresses from the same range of a node.",
            "Each CNI counts its addresses alone, so two pods get the same address.",
            CHOOSE,
        ),
        OverlapCode::Pool => (
            "Ranges of the new network overlap pools from which the old network still takes address blocks.",
            "A new block may appear inside a range of the new network at any moment, and then packets for it go to the wrong node.",
            "Do what the finding cidr-plan says.",
        ),
        OverlapCode::ClosedPool => (
            "Ranges of the new network are in pools of the old network that give no more addresses.",
            "This is safe while the pools stay disabled.",
            "Leave spec.disabled of these pools true until the old network is removed.",
        ),
        OverlapCode::Services => (
            "Ranges of the new network cover addresses of Services, or those that lead to them.",
            "Packets for a Service with the address of a pod, or the other way round, go to the wrong place.",
            CHOOSE,
        ),
        OverlapCode::Nodes => (
            "Ranges of the new network cover addresses of nodes.",
            "With a route for pods that covers the nodes, nodes lose each other and the API server. Cilium's default range 10.0.0.0/8 often does this.",
            CHOOSE,
        ),
        OverlapCode::External => (
            "Ranges of the new network cover addresses outside the cluster that pods must reach.",
            "Pods no longer reach these addresses: the packets stay in the cluster.",
            CHOOSE,
        ),
        OverlapCode::Reserved => (
            "Ranges of the new network cover addresses that have a meaning of their own.",
            "Kernels and clouds treat these addresses differently, so pods with them are not reachable.",
            CHOOSE,
        ),
    }
}
