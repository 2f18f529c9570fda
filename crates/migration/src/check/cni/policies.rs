//! Policies that hold in the old network, in the new one, or in neither for a while.

use std::collections::BTreeMap;

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::calico;
use crate::cni::enforcement::{Coverage, KINDS, Phase, enforces, lines};
use crate::cni::network::subject;
use crate::cni::support::{Cni, Strategy};

pub(in crate::check) const CHECK: Check = Check {
    name: "policies",
    rules: &[&POLICIES_LOST, &POLICIES_START, &POLICIES_UNENFORCED],
    needs: &[
        Need::Always(Kind::NETWORK_POLICY),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::CONFIG_MAP),
        Need::From(Cni::Calico, Kind::CALICO_NETWORK_POLICY),
        Need::From(Cni::Calico, Kind::CALICO_GLOBAL_NETWORK_POLICY),
        Need::From(Cni::Canal, Kind::CALICO_NETWORK_POLICY),
        Need::From(Cni::Canal, Kind::CALICO_GLOBAL_NETWORK_POLICY),
        Need::From(Cni::AwsVpcCni, Kind::CALICO_NETWORK_POLICY),
        Need::From(Cni::AwsVpcCni, Kind::CALICO_GLOBAL_NETWORK_POLICY),
        Need::Always(Kind::ADMIN_NETWORK_POLICY),
        Need::Always(Kind::BASELINE_ADMIN_NETWORK_POLICY),
        Need::Always(Kind::KUBERNETES_CLUSTER_NETWORK_POLICY),
        Need::To(Cni::Cilium, Kind::CILIUM_NETWORK_POLICY),
        Need::To(Cni::Cilium, Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY),
        Need::To(Cni::Antrea, Kind::ANTREA_NETWORK_POLICY),
        Need::To(Cni::Antrea, Kind::ANTREA_CLUSTER_NETWORK_POLICY),
        Need::To(Cni::Calico, Kind::CALICO_NETWORK_POLICY),
        Need::To(Cni::Calico, Kind::CALICO_GLOBAL_NETWORK_POLICY),
    ],
    run,
};

/// The phases that pods pass through.
const fn phases(strategy: Strategy) -> &'static [Phase] {
    match strategy {
        Strategy::Double => &[Phase::BothOld, Phase::BothNew, Phase::New],
        Strategy::Bridge | Strategy::Rotation => &[Phase::New],
    }
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let items_of = |kind: Kind| scene.snapshot.objects(kind).iter().map(move |object| subject(kind, object));
    let old = |kind: &Kind| enforces(scene, scene.from, *kind);
    let new = |kind: &Kind| enforces(scene, scene.to, *kind);
    let lost: Vec<Subject> =
        KINDS.into_iter().filter(|kind| old(kind) && !new(kind)).flat_map(items_of).collect();
    let start: Vec<Subject> =
        KINDS.into_iter().filter(|kind| !old(kind) && new(kind)).flat_map(items_of).collect();
    let findings = [
        crate::check::cni::policies::lost_policies(scene, lost),
        crate::check::cni::policies::start(scene, start),
        find_unenforced(scene),
    ];
    findings.into_iter().flatten().collect()
}

const POLICIES_LOST: Rule = Severity::Blocks.rule(
    "policies-lost",
    "The new CNI never enforces policies of this kind.\n\n\
     Of AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy, that depends on the releases and settings of both CNIs ([policies.md](policies.md#policies-of-administrators)).",
    "They stop to hold for each pod that moves, and never hold again. Nothing reports this: the objects are still there.",
    "Convert them: `kubectl crossfade policies convert` ([policies.md](policies.md)).",
);

fn lost_policies(scene: &Scene<'_>, objects: Vec<Subject>) -> Option<Finding> {
    let what =
        format!("{} enforces these policies, and {} enforces none of their kind.", scene.from, scene.to);
    let fix =
        format!("{} Accept this finding with a waiver for each policy that is rewritten.", rewrite(scene));
    (!objects.is_empty()).then(|| Finding::new(&POLICIES_LOST).what(what).fix(fix).with_objects(objects))
}

/// How these policies become policies that the new CNI enforces.
fn rewrite(scene: &Scene<'_>) -> String {
    let Scene { from, to, .. } = scene;
    if to.facts().policy_kinds.is_empty() {
        return format!("{to} enforces no policies: filter elsewhere, or choose another CNI.");
    }
    if matches!(from, Cni::Calico | Cni::Canal) || calico::policy_engine(scene.snapshot, *from).is_some() {
        return convert(scene);
    }
    format!(
        "Write each of them as a NetworkPolicy or as a policy of {to}, and compare both: kubectl crossfade policies diff --from {from} --to {to} --policies FILE. Apply the result before the stage finish."
    )
}

fn convert(Scene { from, to, .. }: &Scene<'_>) -> String {
    format!(
        "Convert them: kubectl crossfade policies check --from {from} --to {to} says of each field whether it can be converted, and policies convert writes what means the same. Apply the result before the stage finish."
    )
}

const POLICIES_START: Rule = Severity::Risk.rule(
    "policies-start",
    "No CNI enforces these policies today, and the new CNI will.",
    "These policies have never held here, so it is unknown whether they allow what the applications need. They begin to hold when the new CNI enforces them, for all at once or pod by pod.",
    "Try each policy with the new CNI in a test cluster, or watch its verdicts first (Cilium: Helm value policyAuditMode=true in the stage finish). Delete those that are not meant any more.",
);

fn start(scene: &Scene<'_>, objects: Vec<Subject>) -> Option<Finding> {
    let what = format!("{} enforces no policies of this kind, and {} does.", scene.from, scene.to);
    (!objects.is_empty()).then(|| Finding::new(&POLICIES_START).what(what).with_objects(objects))
}

const POLICIES_UNENFORCED: Rule = Severity::Risk.rule(
    "policies-unenforced",
    "These policies do not hold in every phase of the migration.",
    "Between the first moved pod and the end, pods accept connections that the policies forbid. An attacker who waits for this has hours or days.",
    "Decide for each policy whether the cluster may be without it for this time, and accept this finding with a waiver for each of them: plan asks for them by name. For the others, filter elsewhere in the meantime (security groups, a service mesh, the application), or move their pods last and in one go.",
);

/// Policies that hold today and not in every phase, with the phases.
fn find_unenforced(scene: &Scene<'_>) -> Option<Finding> {
    let policy_phases = phases(scene.network_strategy());
    let mut weak: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for line in lines(scene).iter().filter(|line| enforces(scene, scene.from, line.kind)) {
        if line.holds != Coverage::Yes && policy_phases.contains(&line.phase) {
            let how = if line.holds == Coverage::Partly { "in part" } else { "not" };
            weak.entry(line.kind).or_default().push(format!("{} ({how})", line.phase.into_str()));
        }
    }
    let about = |(kind, phases): (&Kind, &Vec<String>)| {
        let detail = phases.join(", ");
        let kind = *kind;
        scene
            .snapshot
            .objects(kind)
            .iter()
            .map(move |object| subject(kind, object).detail(detail.clone()))
            .collect::<Vec<_>>()
    };
    let objects: Vec<Subject> = weak.iter().flat_map(about).collect();
    (!objects.is_empty()).then(|| Finding::new(&POLICIES_UNENFORCED).with_objects(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    fn list_findings(from: Cni, to: Cni, strategy: Strategy, kind: Kind) -> Vec<(&'static str, String)> {
        let policy = object(kind, "p", json!({"metadata": {"namespace": "x"}, "spec": {}}));
        let mut case = Case::new(from, to, vec![policy]);
        case.strategy = strategy;
        case.findings(&CHECK)
            .into_iter()
            .map(|finding| (finding.rule.code, finding.objects[0].detail.clone()))
            .collect()
    }

    #[test]
    fn policies_are_lost_begin_to_hold_or_pause() {
        use Strategy::{Bridge, Double};
        let own = Kind::CALICO_NETWORK_POLICY;
        let plain = Kind::NETWORK_POLICY;
        let double = "both-old (in part), both-new (in part), new (not)";
        for (from, to, strategy, kind, expected) in [
            (Cni::Calico, Cni::Cilium, Double, plain, &[("policies-unenforced", double)][..]),
            (Cni::Calico, Cni::Cilium, Bridge, plain, &[("policies-unenforced", "new (not)")]),
            (Cni::Calico, Cni::Antrea, Bridge, plain, &[]),
            (
                Cni::Calico,
                Cni::Cilium,
                Bridge,
                own,
                &[("policies-lost", ""), ("policies-unenforced", "new (not)")],
            ),
            (Cni::Canal, Cni::Calico, Bridge, own, &[]),
            (Cni::Flannel, Cni::Cilium, Double, plain, &[("policies-start", "")]),
            (Cni::Flannel, Cni::Cilium, Double, own, &[]),
        ] {
            let findings = list_findings(from, to, strategy, kind);
            let findings: Vec<_> = findings.iter().map(|(code, detail)| (*code, detail.as_str())).collect();
            assert_eq!(findings, expected, "{from} {to} {strategy} {kind}");
        }
    }

    /// A snapshot without policies that a CNI enforces says nothing about them.
    #[test]
    fn whatever_a_cni_may_enforce_is_needed() {
        for pair in crate::cni::requirements::PAIRS {
            let case = Case::new(pair.from, pair.to, vec![]);
            let needed: Vec<Kind> =
                CHECK.needs.iter().filter_map(|need| need.kind_for(pair.from, pair.to)).collect();
            let may =
                |kind: &Kind| [pair.from, pair.to].iter().any(|cni| enforces(&case.scene(), *cni, *kind));
            let missing: Vec<Kind> =
                KINDS.into_iter().filter(|kind| may(kind) && !needed.contains(kind)).collect();
            assert_eq!(missing, [], "{} to {}", pair.from, pair.to);
        }
    }
}
