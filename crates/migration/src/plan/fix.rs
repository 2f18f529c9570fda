//! A plan that brings stragglers to the phase that the cluster is in: its only pass begins where it leads, and only nodes whose stragglers can be moved have
//! a place in its waves. Limits, gates and decisions about pods are those of any plan.

mod node;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use snapshot::model::Pod;
use types::command::problem::Problem;
use types::policy::Phase;

use super::parts::Course;
use super::site::{Site, Survey, cluster};
use super::{ExcludedNode, Plan, Wave, WaveKind, WaveName, parts, waves};
use crate::check::Scene;
use crate::check::finding::Finding;
use crate::cni::reach;
use crate::config::Config;
use crate::plan::build::{self, unaccepted_problems};
use crate::plan::parts::bridge;
use crate::plan::pods::{PodDisposition, PodFacts, StayReason, pod_disposition};
use crate::plan::stragglers::{Straggler, StragglerReason, group_by_node};
use crate::workload::{asks_to_stay, has_empty_dir, owner};

/// What can be done about the stragglers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The plan; none if there is nothing to move.
    pub plan: Option<Plan>,
    /// Every straggler, by node and name.
    pub pods: Vec<StragglerFix>,
    /// Nodes without a straggler that is known by name, and that are left to a person nevertheless.
    pub nodes: Vec<ManualNode>,
}

/// A node that is left to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Left"))]
#[serde(rename_all = "camelCase")]
pub struct ManualNode {
    /// Its name.
    pub node: String,
    /// Why.
    pub why: String,
    /// What a person can do.
    pub help: String,
}

/// A straggler, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Fixed"))]
#[serde(rename_all = "camelCase")]
pub struct StragglerFix {
    /// Its node.
    pub node: String,
    /// `NAMESPACE/NAME`.
    pub pod: String,
    /// What makes it: `Deployment/default/web`; a pod without an owner is its own.
    pub owner: String,
    /// Why it is a straggler.
    pub because: StragglerReason,
    /// What becomes of it.
    #[serde(flatten)]
    pub becomes: Remedy,
}

/// What becomes of a straggler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Becomes"))]
#[serde(rename_all = "kebab-case", tag = "becomes")]
pub enum Remedy {
    /// A network joins or leaves it while it runs. If only a restart helps after all, it is evicted.
    Joined,
    /// It is evicted.
    Evicted,
    /// It is evicted, unless its Job ends within the time that the limits give it.
    EvictedLater,
    /// It is deleted.
    Deleted,
    /// It stays for a person.
    Stays {
        /// Why.
        why: String,
        /// What a person can do.
        help: String,
    },
}

/// The plan that brings stragglers to phase `to`. `survey` has the nodes of the scene, `findings` are those of `check` in it, and `delete` names pods without an owner that may be
/// deleted.
///
/// # Errors
/// Everything that keeps such a plan from being made, each with its object and what to do.
pub fn fix(
    scene: &Scene<'_>,
    survey: &Survey<'_>,
    findings: &[Finding],
    to: Phase,
    delete: &BTreeSet<String>,
) -> Result<Fix, Vec<Problem>> {
    let mut problems = build::snapshot_problem(scene);
    problems.extend(build::findings_problem(scene, findings));
    problems.extend(build::scaled_problem(scene.config));
    problems.extend(unfinished_migration(survey, to));
    problems.extend(unaccepted_problems(scene, &[to]));
    let (Some(cluster), true) = (cluster(scene), problems.is_empty()) else { return Err(problems) };

    let mut living: BTreeSet<Phase> = survey.sites.iter().flat_map(node::living_phases).collect();
    living.insert(to);
    let bridge = reach::find_cut(&living).and_then(|_| bridge(scene.config));
    let (pools, policies) = (parts::pools(scene, &survey.sites, None), parts::policies(&survey.sites));

    let stragglers: BTreeMap<&str, Vec<Straggler<'_>>> = group_by_node(scene.snapshot, to, scene.config)
        .into_iter()
        .map(|(node, pods)| (node.name(), pods))
        .collect();
    let mut obstacles = node::Obstacles::gather(&survey.sites, to, bridge.is_some());
    for out in &survey.left_out {
        obstacles.leave_out(&out.name, &out.why);
    }
    let mut pods: Vec<StragglerFix> = Vec::new();
    let joined: BTreeSet<&str> =
        survey.sites.iter().filter(|site| site.runs_on(to)).map(Site::name).collect();
    for (name, on) in &stragglers {
        let fixed = on.iter().map(|(pod, because)| {
            let is_ending = *because == StragglerReason::Terminating;
            let becomes = if joined.contains(name) && obstacles.obstacle(name).is_none() && !is_ending {
                Remedy::Joined
            } else {
                becomes(scene, pod, *because, obstacles.obstacle(name), delete)
            };
            StragglerFix {
                node: (*name).to_owned(),
                pod: title(pod),
                owner: owner(pod).subject().to_string(),
                because: *because,
                becomes,
            }
        });
        let fixed: Vec<StragglerFix> = fixed.collect();
        if fixed.is_empty() {
            continue;
        }
        if fixed.iter().all(|fix| matches!(fix.becomes, Remedy::Stays { .. })) {
            obstacles.note_nothing_moves(name);
        }
        pods.extend(fixed);
    }
    pods.sort_by(|a, b| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)));

    let Survey { sites, left_out } = survey;
    for site in sites {
        if site.phase() == Some(to) && !node::is_done(site, to) && !has_any(&pods, site.name()) {
            obstacles.note_no_pod_known(site.name());
        }
    }
    let is_kept = |site: &Site<'_>| obstacles.obstacle(site.name());
    let manual_node = |site: &Site<'_>| {
        let Problem { what, fix, .. } = is_kept(site).filter(|_| !has_any(&pods, site.name()))?.clone();
        Some(ManualNode { node: site.name().to_owned(), why: what, help: fix })
    };
    let nodes = sites.iter().filter_map(manual_node).collect();
    let mut left_out = left_out.clone();
    left_out.extend(sites.iter().filter_map(|site| {
        let meta = &site.node.metadata;
        let why = is_kept(site)?.what.clone();
        Some(ExcludedNode { name: meta.name.clone(), uid: meta.uid.clone(), why })
    }));
    left_out.sort_by(|a, b| a.name.cmp(&b.name));
    let behind = |site: &&Site<'_>| is_kept(site).is_none() && !node::is_done(site, to);
    let sites: Vec<Site<'_>> = sites.iter().filter(behind).cloned().collect();
    if sites.is_empty() {
        return Ok(Fix { plan: None, pods, nodes });
    }
    let course = Course {
        start: to,
        passes: vec![to],
        image: None,
        ways: Vec::new(),
        bridge,
        waves: straggler_waves(sites, scene.config, &stragglers),
        left_out,
        pools,
        policies,
    };
    let plan = parts::plan(scene, findings, cluster, course);
    Ok(Fix { plan: Some(plan), pods, nodes })
}

fn has_any(pods: &[StragglerFix], node: &str) -> bool {
    pods.iter().any(|fix| fix.node == node)
}

/// Most nodes are in another phase: then the cluster is to be moved, and not single pods of it.
pub(super) fn unfinished_migration(survey: &Survey<'_>, to: Phase) -> Option<Problem> {
    let there = survey.sites.iter().filter(|site| site.phase() == Some(to)).count();
    let all = survey.sites.len();
    (there * 2 < all).then(|| {
        Problem::new(format!("{there} of {all} nodes are in phase {to}, so it is the cluster that has to be moved, and not a few pods"))
            .with_place("--phase")
            .fix("name the phase that most nodes are in: --phase PHASE; or move the cluster: kubectl crossfade plan --save, then kubectl crossfade roll --plan HASH")
    })
}

fn title(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace(), pod.name())
}

/// What becomes of a straggler, by what keeps its node and then by the plan's decisions about pods.
fn becomes(
    scene: &Scene<'_>,
    pod: &Pod,
    because: StragglerReason,
    node: Option<&Problem>,
    delete: &BTreeSet<String>,
) -> Remedy {
    let stays = |why: &str, help: String| Remedy::Stays { why: why.to_owned(), help };
    let (title, decisions) = (title(pod), &scene.config.roll.pods);
    let (namespace, name) = (pod.namespace(), pod.name());
    match because {
        StragglerReason::Terminating => {
            let help =
                format!("wait, then look at its finalizers: kubectl -n {namespace} get pod {name} -o yaml");
            return stays("it is being deleted", help);
        }
        StragglerReason::Plain => {
            let help = "replace its node by one of the new image (docs/images.md)".to_owned();
            return stays("Crossfade is not on its node", help);
        }
        StragglerReason::Attached | StragglerReason::Node | StragglerReason::Silent => {}
    }
    if let Some(Problem { what, fix, .. }) = node {
        return stays(what, fix.clone());
    }
    let facts = PodFacts {
        title: &title,
        owner: pod.metadata.controller().map(|owner| &*owner.kind),
        is_static: pod.is_static(),
        asks_to_stay: asks_to_stay(pod),
        has_empty_dir: has_empty_dir(pod),
    };
    let why = match pod_disposition(&facts, decisions, delete) {
        PodDisposition::Evict => return Remedy::Evicted,
        PodDisposition::Delete => return Remedy::Deleted,
        PodDisposition::AwaitJob if decisions.evict_jobs => return Remedy::EvictedLater,
        PodDisposition::AwaitJob => {
            let help = "wait for its Job; or in the settings: roll: {pods: {evictJobs: true}}";
            return stays("its Job goes on", help.into());
        }
        PodDisposition::Stay(why) => why,
    };
    let help = match why {
        StayReason::Static => {
            "on the node, move its file out of the directory for static pods and back".into()
        }
        StayReason::Undisturbed => {
            format!("remove its annotation; or in the settings: roll: {{pods: {{disrupt: [{title}]}}}}")
        }
        StayReason::EmptyDir => {
            "delete the pod yourself; or in the settings: roll: {pods: {deleteEmptyDir: true}}".into()
        }
        StayReason::Bare => format!("if that is right, name it: --delete-bare {title}"),
    };
    stays(why.words(), help)
}

/// The waves of any plan, but that nodes with stragglers of DNS are last: other stragglers may reach no DNS pod but those.
fn straggler_waves(
    sites: Vec<Site<'_>>,
    config: &Config,
    stragglers: &BTreeMap<&str, Vec<Straggler<'_>>>,
) -> Vec<Wave> {
    let has_dns = |site: &Site<'_>| {
        let late = stragglers.get(site.name()).into_iter().flatten();
        late.into_iter().any(|(pod, _)| site.dns.iter().any(|dns| dns.metadata.uid == pod.metadata.uid))
    };
    let (mut last, first): (Vec<_>, Vec<_>) = sites.into_iter().partition(has_dns);
    let mut all = waves::waves(&first, config, false);
    if !last.is_empty() {
        last.sort_by(|a, b| {
            (a.node.is_control_plane(), a.order()).cmp(&(b.node.is_control_plane(), b.order()))
        });
        let nodes = last.iter().map(|site| (site, "it has a DNS pod that is a straggler".to_owned()));
        all.push(waves::wave(WaveName::DnsStragglers, WaveKind::Dns, 1, waves::planned_nodes(nodes)));
    }
    all
}
