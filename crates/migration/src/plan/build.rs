//! The plan of a cluster, or what keeps it from being made.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::Kind;
use types::api::observed;
use types::command::problem::Problem;
use types::policy::Phase;

use super::image::early_images_of;
use super::parts::Course;
use super::site::{Site, Survey, cluster, join_names};
use super::waves::waves;
use super::{Plan, Pool, parts};
use crate::check::Scene;
use crate::check::finding::Finding;
use crate::cni::enforcement::{Coverage, lines};
use crate::config::roll::Method;
use crate::config::{self, Config, Freeze, Waiver};
use crate::plan::parts::{Disconnection, Passes, bridge};
use crate::workload::NetworkRanges;
use crate::workload::{CAPI_ANNOTATIONS, KARPENTER_POOL, Provisioner, provisioner};

/// The plan of a migration. `survey` has the nodes of the scene, and `findings` are those of `check` in the same one.
///
/// # Errors
/// Everything that keeps the plan from being made, each with its object and what to do.
pub fn build(scene: &Scene<'_>, survey: &Survey<'_>, findings: &[Finding]) -> Result<Plan, Vec<Problem>> {
    let image = parts::image(scene.strategy, scene.config);
    let pools = parts::pools(scene, &survey.sites, image);
    let passes = Passes::decide(scene, &survey.sites, &pools);
    let mut problems = snapshot_problem(scene);
    problems.extend(findings_problem(scene, findings));
    problems.extend(scaled_problem(scene.config));
    problems.extend(nothing_to_do_problem(survey, passes.as_ref()));
    problems.extend(pipeline_problems(scene, survey, &pools));
    problems.extend(passes.iter().flat_map(|passes| image_problems(scene, passes, &pools)));
    problems.extend(final_problems(scene, survey));
    problems.extend(missing_reports(&survey.sites, &pools, image, passes.as_ref()));
    let parted = passes.as_ref().and_then(|passes| passes.disconnection(&survey.sites));
    let bridge = parted.as_ref().and_then(|_| bridge(scene.config));
    problems.extend(parted.as_ref().filter(|_| bridge.is_none()).map(disconnection_problem));
    problems.extend(passes.iter().flat_map(|passes| unaccepted_problems(scene, &passes.targets)));
    let (Some(passes), Some(cluster), true) = (passes, cluster(scene), problems.is_empty()) else {
        return Err(problems);
    };
    let Survey { sites, left_out } = survey;
    let config = scene.config;
    let course = Course {
        start: passes.start,
        image,
        ways: passes.ways(sites),
        bridge,
        waves: waves(sites, config, image.is_some()),
        passes: passes.targets,
        left_out: left_out.clone(),
        pools,
        policies: parts::policies(sites),
    };
    Ok(parts::plan(scene, findings, cluster, course))
}

/// Kinds without which there is no order of nodes.
const NEEDED: [Kind; 3] = [Kind::NODE, Kind::POD, Kind::DAEMON_SET];

/// Pools whose methods do not go with the strategy, or with each other.
pub(super) fn pipeline_problems(scene: &Scene<'_>, survey: &Survey<'_>, pools: &[Pool]) -> Vec<Problem> {
    let Some(image) = parts::image(scene.strategy, scene.config) else {
        let problem = |pool: &Pool| {
            let method = scene.config.roll.method(&pool.name).filter(|method| method.replaces())?;
            let what = format!(
                "pool {:?} has the method {}, and only a rotation replaces nodes",
                pool.name,
                method.into_str()
            );
            let fix = "plan a rotation: --strategy rotation; or choose drain or churn for the pool";
            Some(Problem::new(what).with_place("roll.methods").fix(fix))
        };
        return pools.iter().filter_map(problem).collect();
    };
    if !pools.is_empty() && !pools.iter().any(|pool| pool.method.replaces()) {
        return vec![
            Problem::new("every pool moves in place, so no node is replaced")
                .with_place("roll.methods")
                .fix("plan nodes that stay: --strategy double, or --strategy bridge; or let a pipeline replace the nodes of a pool: roll: {methods: {POOL: permit}}"),
        ];
    }
    let mut problems = Vec::new();
    for pool in pools.iter().filter(|pool| pool.method.replaces()) {
        let sites = || survey.sites.iter().filter(|site| *site.pool == *pool.name);
        let mut pipelines: BTreeMap<Option<Provisioner>, Vec<&str>> = BTreeMap::new();
        for site in sites() {
            pipelines.entry(provisioner(site.node)).or_default().push(site.name());
        }
        let unlabelled = pipelines.remove(&None);
        let has = |pipeline| pipelines.contains_key(&Some(pipeline));
        let missing = match pool.method {
            Method::Karpenter if !has(Provisioner::Karpenter) => Some(format!("the label {KARPENTER_POOL}")),
            Method::ClusterApi if !has(Provisioner::ClusterApi) => {
                Some(format!("all annotations of a Machine: {}", CAPI_ANNOTATIONS.join(", ")))
            }
            Method::Drain
            | Method::Churn
            | Method::Permit
            | Method::Karpenter
            | Method::ClusterApi
            | Method::Follow => None,
        };
        let mut by_pipeline = pipelines.into_values().chain(unlabelled);
        let (first, others) =
            (by_pipeline.next().unwrap_or_default(), by_pipeline.collect::<Vec<_>>().concat());
        let name = pool.title();
        if !others.is_empty() {
            problems.push(
                Problem::new(format!(
                    "two pipelines replace nodes of the pool {name}: that of {}, and that of {}",
                    join_names(first),
                    join_names(others)
                ))
                .with_place(format!("Pool/{name}"))
                .fix(
                    "tell them apart by a label of their own, first in nodes.poolLabels of the settings file",
                ),
            );
        }
        if let Some(missing) = missing {
            let method = pool.method.into_str();
            problems.push(
                Problem::new(format!(
                    "the pool {name} has the method {method}, and none of its nodes has {missing}"
                ))
                .with_place("roll.methods")
                .fix("choose permit, if the pipeline can run a command before it drains a node, else follow"),
            );
        }
        let further: Vec<&str> = sites()
            .filter(|site| site.phases().last().copied() > pool.image_phase(Some(image)))
            .map(Site::name)
            .collect();
        if let Some(first) = further.first() {
            problems.push(
                Problem::new(format!(
                    "these nodes of the pool {name} are further than an image in phase {}: {}",
                    pool.image_phase(Some(image)).unwrap_or(image),
                    join_names(further.iter().copied())
                ))
                .with_place(format!("Node/{first}"))
                .fix("name the phase of the image that they have: roll: {image: PHASE}"),
            );
        }
    }
    problems
}

/// Pools whose images are in no phase that a pass leads to, or have come before the pass that allows them.
fn image_problems(scene: &Scene<'_>, passes: &Passes, pools: &[Pool]) -> Vec<Problem> {
    let Passes { start, targets, images } = passes;
    let image = parts::image(scene.strategy, scene.config);
    let mut problems = early_images_of(scene, pools, image, targets);
    // Where that is so of all pools, there is nothing to be planned.
    if images.is_disjoint(&targets.iter().copied().collect()) {
        return problems;
    }
    let has_no_pass = |phase: &Phase| !targets.contains(phase);
    let behind = pools.iter().filter_map(|pool| Some((pool, pool.image_phase(image).filter(has_no_pass)?)));
    problems.extend(behind.map(|(pool, phase)| {
        let name = pool.title();
        Problem::new(format!(
            "every node is in phase {start} already, so no pass replaces the nodes of the pool {name} by an image in phase {phase}"
        ))
        .with_place(format!("Pool/{name}"))
        .fix("move its nodes in place: roll: {methods: {POOL: drain}}; or name the phase of its image: roll: {images: {POOL: PHASE}}")
    }));
    problems
}

/// What keeps nodes from being replaced by the final image: nodes that still have another network than the new one, or none that has Crossfade.
fn final_problems(scene: &Scene<'_>, survey: &Survey<'_>) -> Vec<Problem> {
    if !parts::is_final(scene.strategy, scene.config) || survey.sites.is_empty() {
        return Vec::new();
    }
    let cause = |site: &Site<'_>| {
        let others = site.phases().into_iter().chain(site.extra()).any(|phase| phase != Phase::New);
        others || site.is_plain() && has_foreign_addresses(scene, site)
    };
    let behind: Vec<&str> = survey.sites.iter().filter(|site| cause(site)).map(Site::name).collect();
    if let Some(first) = behind.first() {
        let names = join_names(behind.iter().copied());
        let what = format!(
            "these nodes have pods on the old network, or give it to pods, so they are not ready for a final image: {names}"
        );
        let fix =
            "end the migration first: a plan with roll: {image: new}, or with the image that you migrated by";
        return vec![Problem::new(what).with_place(format!("Node/{first}")).fix(fix)];
    }
    let is_over = survey.sites.iter().all(Site::is_plain);
    let over = || {
        Problem::new("no node has Crossfade, so there is none to be replaced by the final image")
            .with_place("Node/*")
            .fix("nothing is left to be planned: kubectl get nodes -L crossfade/phase")
    };
    is_over.then(over).into_iter().collect()
}

/// Whether pods of a node have addresses that are not of the new network.
fn has_foreign_addresses(scene: &Scene<'_>, site: &Site<'_>) -> bool {
    let ranges = NetworkRanges::new(&parts::networks(scene));
    let pods = scene.snapshot.pods.iter().filter(|pod| *pod.spec.node_name == *site.name());
    pods.filter(|pod| !pod.is_finished()).any(|pod| ranges.is_foreign(pod))
}

/// Groups that ask for what no run does yet. Without this, their pods would move one at a time, without notice.
pub(super) fn scaled_problem(config: &Config) -> Vec<Problem> {
    let groups = config.freeze.iter().filter(|group| group.method == config::Method::Scale);
    let problem = |group: &Freeze| {
        Problem::new(format!("group {} is to be scaled to no replica, and a run cannot do that yet", group.name))
            .with_place(format!("freeze/{}", group.name))
            .fix("method: ordinals moves its pods one at a time; or scale its members to 0 before the run and back after it, without the group")
    };
    groups.map(problem).collect()
}

/// What the snapshot does not tell.
pub(super) fn snapshot_problem(scene: &Scene<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if cluster(scene).is_none() {
        let what = "the snapshot does not say which cluster it is of: the UID of the namespace kube-system is missing";
        let fix = "take it with kubectl crossfade snapshot, or add: kubectl get namespace kube-system -o json > namespace.json";
        problems.push(Problem::new(what).with_place("Namespace/kube-system").fix(fix));
    }
    for kind in NEEDED.into_iter().filter(|kind| !scene.snapshot.knows(*kind)) {
        let what = format!("the objects of kind {kind} are unknown, so no node has its place");
        let fix =
            format!("add them: kubectl get {} -A -o json > {}.json", kind.resource(), kind.plural_name());
        problems.push(Problem::new(what).with_place(format!("{kind}/*")).fix(fix));
    }
    problems
}

/// Findings of `check` that block.
pub(super) fn findings_problem(scene: &Scene<'_>, findings: &[Finding]) -> Option<Problem> {
    let blocking = findings.iter().filter(|finding| finding.blocks());
    let mut codes: Vec<&str> = blocking.map(|finding| finding.rule.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let Scene { from, to, strategy, .. } = scene;
    (!codes.is_empty()).then(|| {
        Problem::new(format!("findings block the migration: {}", codes.join(", "))).with_place("check").fix(format!(
            "kubectl crossfade check --from {from} --to {to} --strategy {strategy} has their objects, reasons and fixes; a waiver accepts one that you can live with"
        ))
    })
}

/// There is nothing to move.
pub(super) fn nothing_to_do_problem(survey: &Survey<'_>, passes: Option<&Passes>) -> Option<Problem> {
    if survey.sites.is_empty() {
        let what = format!("no node is left to move; {} are left out", survey.left_out.len());
        let fix = "look at roll.leaveOut in the settings file, and at kubectl get nodes";
        return Some(Problem::new(what).with_place("Node/*").fix(fix));
    }
    let is_beyond = |passes: &&Passes| {
        !passes.images.is_empty() && !passes.targets.iter().any(|target| passes.images.contains(target))
    };
    if let Some(passes) = passes.filter(is_beyond).filter(|passes| !passes.targets.is_empty()) {
        let what = format!(
            "every node is in phase {} already, so no node is replaced by an image in an earlier phase",
            passes.start
        );
        let fix = "plan the rest in place: --strategy double; or name the image's phase: roll: {image: new}";
        return Some(Problem::new(what).with_place("Node/*").fix(fix));
    }
    passes.filter(|passes| passes.targets.is_empty()).map(|passes| {
        let what = format!("every node is in phase {} already, so there is no pass", passes.start);
        Problem::new(what)
            .with_place("Node/*")
            .fix("nothing is left to be planned: kubectl get nodes -L crossfade/phase")
    })
}

/// A pass would part pods, and nothing says that nodes forward between both networks.
pub(super) fn disconnection_problem(parted: &Disconnection<'_>) -> Problem {
    let Disconnection { target, client, server, nodes } = parted;
    let apart = format!(
        "in the pass to {target}, pods in {client} reach pods in {server} only if nodes forward between both networks"
    );
    let proof = "let agents prove that again and again: probe: {gates: [forwarding]}; or let a command of yours: roll: {gates: [{name: bridge, command: [PROGRAM]}], bridge: {gate: bridge}}; or accept it unproven: roll: {bridge: {accept: WHY}}";
    if nodes.is_empty() {
        return Problem::new(format!("{apart}, and nothing proves that they do"))
            .with_place("roll.bridge")
            .fix(format!("{proof}; or move without: --strategy double"));
    }
    let first = nodes.first().copied().unwrap_or_default();
    Problem::new(format!("{apart}; these nodes have or make such pods: {}", join_names(nodes.iter().copied())))
        .with_place(format!("Node/{first}"))
        .fix(format!(
            "bring these nodes to the phase of the others (kubectl get nodes -L crossfade/phase), and take rules and annotations with other phases from their policy; or {proof}"
        ))
}

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
fn missing_reports(
    sites: &[Site<'_>],
    pools: &[Pool],
    image: Option<Phase>,
    passes: Option<&Passes>,
) -> Vec<Problem> {
    let mut nodes_by_fact: BTreeMap<MissingFact, Vec<&str>> = BTreeMap::new();
    for site in sites {
        let image =
            pools.iter().find(|pool| *pool.name == *site.pool).and_then(|pool| pool.image_phase(image));
        let targets = passes.map_or(&[][..], |passes| passes.phases_in_place(image));
        // Before it is replaced, nothing is asked of a node without Crossfade.
        if image.is_some() && targets.is_empty() && site.is_plain() {
            continue;
        }
        for lack in missing_facts(site, targets) {
            nodes_by_fact.entry(lack).or_default().push(site.name());
        }
    }
    nodes_by_fact.into_iter().map(|(lack, nodes)| missing_facts_problem(lack, &nodes)).collect()
}

/// What a node lacks. Without a report, or in a phase that is not known, nothing else is asked of it.
fn missing_facts(site: &Site<'_>, targets: &[Phase]) -> Vec<MissingFact> {
    let Some(observation) = &site.observed else { return vec![MissingFact::Report] };
    let Some(phase) = observation.phase else { return vec![MissingFact::Phase] };
    let mut lacks = Vec::new();
    if observation.attached.is_none() {
        lacks.push(MissingFact::Attachments);
    }
    if observation.base.is_none() {
        lacks.push(MissingFact::Policy);
    }
    let unfollowed = |target: &&Phase| **target != phase && !observation.follows.contains(target);
    lacks.extend(targets.iter().filter(unfollowed).map(|target| MissingFact::Follow(*target)));
    lacks
}

fn missing_facts_problem(lack: MissingFact, nodes: &[&str]) -> Problem {
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
            format!("these nodes do not say what is attached to them, so it is unknown when they are done: {names}"),
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
    Problem::new(what).with_place(format!("Node/{first}")).fix(fix)
}

/// The kinds of policies of the cluster that no CNI enforces in one of these phases, with the phases.
pub(super) fn unenforced_kinds(scene: &Scene<'_>, phases: &[Phase]) -> BTreeMap<Kind, Vec<&'static str>> {
    let mut kinds: BTreeMap<Kind, Vec<&'static str>> = BTreeMap::new();
    let is_passed = |name: &str| phases.iter().any(|phase| phase.as_str() == name);
    for line in lines(scene) {
        if line.policies > 0 && line.holds == Coverage::No && is_passed(line.phase.into_str()) {
            kinds.entry(line.kind).or_default().push(line.phase.into_str());
        }
    }
    kinds
}

/// A blocker for each such kind that the settings do not accept.
pub(super) fn unaccepted_problems(scene: &Scene<'_>, phases: &[Phase]) -> Vec<Problem> {
    let accepted: BTreeSet<Kind> = scene.config.roll.unenforced.iter().map(|kind| kind.kind()).collect();
    let kinds = unenforced_kinds(scene, phases).into_iter().filter(|(kind, _)| !accepted.contains(kind));
    let problem = |(kind, phases): (Kind, Vec<&str>)| {
        let count = scene.snapshot.objects(kind).len();
        Problem::new(format!(
            "the cluster has {count} objects of kind {kind}, and no CNI enforces them for pods in phase {}",
            phases.join(", ")
        ))
        .with_place("roll.unenforced")
        .fix(format!(
            "accept that by name in the settings file: roll: {{unenforced: [{kind}]}}; the finding policies-unenforced of kubectl crossfade check has the objects and other ways"
        ))
    };
    kinds.map(problem).collect()
}

/// The waivers that accept a finding, in the order of the settings.
pub(super) fn waivers(scene: &Scene<'_>, findings: &[Finding]) -> Vec<Waiver> {
    let is_used = |waiver: &&Waiver| {
        let is_waived = |finding: &Finding| {
            finding.rule.code == waiver.finding && finding.waived.as_deref() == Some(&*waiver.reason)
        };
        findings.iter().any(is_waived)
    };
    scene.config.waivers.iter().filter(is_used).cloned().collect()
}
