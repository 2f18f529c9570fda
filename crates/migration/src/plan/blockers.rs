//! What keeps a plan from being made.

use snapshot::model::Kind;
use types::problem::Problem;

use super::passes::{Disconnection, Passes};
use super::site::{Survey, cluster, join_names};
use crate::check::Scene;
use crate::check::finding::Finding;
use crate::cni::support::Strategy;
use crate::config::{Config, Freeze, Method};

/// Kinds without which there is no order of nodes.
const NEEDED: [Kind; 3] = [Kind::NODE, Kind::POD, Kind::DAEMON_SET];

/// The strategy cannot be planned.
pub(super) fn strategy(strategy: Strategy) -> Option<Problem> {
    (strategy == Strategy::Rotation).then(|| {
        Problem::new("a rotation of nodes cannot be planned yet; it comes with pipelines")
            .at("--strategy")
            .fix("plan nodes that stay: --strategy double, or --strategy bridge; for images see docs/images.md")
    })
}

/// Groups that ask for what no run does yet. Without this, their pods would move one at a time, and nobody would know.
pub(super) fn scaled(config: &Config) -> Vec<Problem> {
    let groups = config.freeze.iter().filter(|group| group.method == Method::Scale);
    let problem = |group: &Freeze| {
        Problem::new(format!("group {} is to be scaled to no replica, and a run cannot do that yet", group.name))
            .at(format!("freeze/{}", group.name))
            .fix("method: ordinals moves its pods one at a time; or scale its members to 0 before the run and back after it, without the group")
    };
    groups.map(problem).collect()
}

/// What the snapshot does not tell.
pub(super) fn snapshot(scene: &Scene<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if cluster(scene).is_none() {
        let what = "the snapshot does not say which cluster it is of: the UID of the namespace kube-system is missing";
        let fix = "take it with kubectl crossfade snapshot, or add: kubectl get namespace kube-system -o json > namespace.json";
        problems.push(Problem::new(what).at("Namespace/kube-system").fix(fix));
    }
    for kind in NEEDED.into_iter().filter(|kind| !scene.snapshot.knows(*kind)) {
        let what = format!("nobody knows the objects of kind {kind}, so no node has its place");
        let fix = format!("add them: kubectl get {} -A -o json > {}.json", kind.resource(), kind.plural());
        problems.push(Problem::new(what).at(format!("{kind}/*")).fix(fix));
    }
    problems
}

/// Findings of `check` that block.
pub(super) fn findings(scene: &Scene<'_>, findings: &[Finding]) -> Option<Problem> {
    let blocking = findings.iter().filter(|finding| finding.blocks());
    let mut codes: Vec<&str> = blocking.map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let Scene { from, to, strategy, .. } = scene;
    (!codes.is_empty()).then(|| {
        Problem::new(format!("findings block the migration: {}", codes.join(", "))).at("check").fix(format!(
            "kubectl crossfade check --from {from} --to {to} --strategy {strategy} has their objects, reasons and fixes; a waiver accepts one that you can live with"
        ))
    })
}

/// There is nothing to move.
pub(super) fn nothing_to_do(survey: &Survey<'_>, passes: Option<&Passes>) -> Option<Problem> {
    if survey.sites.is_empty() {
        let what = format!("no node is left to move; {} are left out", survey.left_out.len());
        let fix = "look at roll.leaveOut in the settings file, and at kubectl get nodes";
        return Some(Problem::new(what).at("Node/*").fix(fix));
    }
    passes.filter(|passes| passes.targets.is_empty()).map(|passes| {
        let what = format!("every node is in phase {} already, so there is no pass", passes.start);
        Problem::new(what)
            .at("Node/*")
            .fix("nothing is left to be planned: kubectl get nodes -L crossfade/phase")
    })
}

/// A pass would part pods, and nothing says that nodes forward between both networks.
pub(super) fn disconnection_problem(parted: &Disconnection<'_>) -> Problem {
    let Disconnection { target, client, server, nodes } = parted;
    let apart = format!(
        "in the pass to {target}, pods in {client} reach pods in {server} only if nodes forward between both networks"
    );
    let proof = "let a command prove that again and again: roll: {gates: [{name: bridge, command: [PROGRAM]}], bridge: {gate: bridge}}; or accept it unproven: roll: {bridge: {accept: WHY}}";
    if nodes.is_empty() {
        return Problem::new(format!("{apart}, and nothing proves that they do"))
            .at("roll.bridge")
            .fix(format!("{proof}; or move without: --strategy double"));
    }
    let first = nodes.first().copied().unwrap_or_default();
    Problem::new(format!("{apart}; these nodes have or make such pods: {}", join_names(nodes.iter().copied())))
        .at(format!("Node/{first}"))
        .fix(format!(
            "bring these nodes to the phase of the others (kubectl get nodes -L crossfade/phase), and take rules and annotations with other phases from their policy; or {proof}"
        ))
}
