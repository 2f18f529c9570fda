//! The drift of a cluster since its plan was made, and whether the plan still holds.

mod cnis;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::Kind;
use types::policy::{Phase, Side};

use super::canon::shorten_hash;
use super::fix::unfinished_migration;
use super::parts::Course;
use super::site::{Site, Survey, cluster, join_names};
use super::{Agent, Plan, Pool, Wave, WaveKind, image, parts};
use crate::check::finding::Severity;
use crate::check::{SERVICES_BRIDGED, Scene, services};
use crate::cni::network::subject;
use crate::cni::reach::{self, Way};
use crate::config::roll::Method;
use crate::plan::build::unenforced_kinds;
use crate::plan::parts::bridge;
use crate::roll::run::UnenforcedPolicies;

/// What a plan and a cluster differ in, by the worst of it. The lines are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// The plan holds: its rules have an answer to everything that has changed. Without lines nothing has.
    Absorbed(Vec<String>),
    /// The cluster has policies that no CNI enforces for a while, of kinds that no person accepted. They keep a run from beginning. One that has begun goes on: any
    /// tenant can make a policy, pods of nodes that have moved are without it already, and half a migration enforces it no better than a whole one.
    Unenforced(Vec<UnenforcedPolicies>),
    /// The plan does not cover the cluster any more: a new one must be made and approved.
    Stale(Vec<String>),
    /// The plan is of another cluster or another migration.
    Refused(Vec<String>),
}

/// What has changed between the plan and this scene, which has the settings of today.
#[must_use]
pub fn drift(plan: &Plan, scene: &Scene<'_>) -> Drift {
    let refused = refused_lines(plan, scene);
    if !refused.is_empty() {
        return Drift::Refused(refused);
    }
    let survey = Survey::gather(scene);
    let mut absorbed = nodes(plan, &survey);
    let mut stale = settings(plan, scene, &survey);
    absorbed.extend(policies(plan, &survey));
    let unenforced = unenforced_policies(plan, scene);
    stale.extend(parted_services(plan, scene));
    let changed = agents(&plan.agents, &parts::agents(scene, plan.image.is_some()));
    if changed.is_empty() {
        stale.extend(cnis::ungiven(plan, scene, &survey));
    }
    stale.extend(changed);
    match (stale.is_empty(), unenforced.is_empty()) {
        (false, _) => {
            Drift::Stale(stale.into_iter().chain(unenforced.iter().map(ToString::to_string)).collect())
        }
        (true, false) => Drift::Unenforced(unenforced),
        (true, true) => Drift::Absorbed(absorbed),
    }
}

fn refused_lines(plan: &Plan, scene: &Scene<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match cluster(scene) {
        Some(uid) if uid == plan.cluster => {}
        Some(uid) => {
            lines.push(format!("The plan is of cluster {}, and this is cluster {uid}.", plan.cluster))
        }
        None => lines
            .push(format!("The plan is of cluster {}, and nothing says which one this is.", plan.cluster)),
    }
    if (plan.from, plan.to, plan.strategy) != (scene.from, scene.to, scene.strategy) {
        lines.push(format!(
            "The plan moves {} to {}, {}, and {} to {}, {}, is asked for.",
            plan.from, plan.to, plan.strategy, scene.from, scene.to, scene.strategy
        ));
    }
    lines
}

/// Nodes that came or went. The plan's rules have an answer to each: a node has its name and writes its own labels, so whatever they say concerns that node
/// alone. Where the settings leave out other nodes than those of the plan, the settings have changed.
fn nodes(plan: &Plan, survey: &Survey<'_>) -> Vec<String> {
    let mut gone: BTreeMap<&str, &str> = BTreeMap::new();
    gone.extend(plan.waves.iter().flat_map(super::Wave::members));
    let mut gone_out: BTreeSet<&str> = plan.left_out.iter().map(|out| &*out.name).collect();
    let pools: BTreeSet<&str> = plan.pools.iter().map(|pool| &*pool.name).collect();
    let zones: BTreeSet<&str> = plan.pools.iter().flat_map(|pool| &pool.zones).map(|zone| &**zone).collect();
    let mut absorbed = Vec::new();
    for site in &survey.sites {
        let (name, pool, zone) = (site.name(), site.pool, site.zone());
        let is_known = gone.get(name) == Some(&&*site.node.metadata.uid);
        if is_known {
            gone.remove(name);
        }
        // Of those that a fix leaves out, some are mended by a person meanwhile; the fix still leaves them alone.
        if gone_out.remove(name) {
            if plan.fixes_stragglers() {
                continue;
            }
            absorbed.push(format!(
                "Node {name} is left out by the plan, and its labels say that it takes part now."
            ));
        } else if !pools.contains(pool) {
            absorbed.push(format!(
                "Node {name} is of pool {pool:?}, which the plan does not know; the run holds it."
            ));
        } else if !zones.contains(zone) {
            absorbed.push(format!(
                "Node {name} is in zone {zone:?}, which the plan does not know; the run holds it."
            ));
        } else if let Some(wave) = other_zone(plan, site) {
            absorbed.push(format!(
                "Node {name} is in zone {zone:?}, and the plan moves it in the wave {}; the run holds it.",
                wave.name
            ));
        } else if !is_known && plan.rotates(pool) {
            absorbed.push(format!("Node {name} came to pool {pool:?}, whose nodes are replaced."));
        } else if !is_known && !plan.fixes_stragglers() {
            absorbed.push(format!("Node {name} came; it moves after the nodes of its zone."));
        }
    }
    for out in &survey.left_out {
        let is_known = gone_out.remove(&*out.name);
        if gone.remove(&*out.name).is_some() {
            absorbed.push(format!(
                "Node {} takes part in the plan, and would be left out now: {}.",
                out.name, out.why
            ));
        } else if let (false, Some(why)) = (is_known, plan.exclusion(&out.name)) {
            absorbed.push(format!("Node {} came, and is left out: {why}.", out.name));
        } else if !is_known {
            absorbed.push(format!(
                "Node {} came, and the plan does not leave it out; the run holds it: {}.",
                out.name, out.why
            ));
        }
    }
    absorbed.extend(gone.keys().chain(&gone_out).map(|name| format!("Node {name} is gone.")));
    absorbed
}

/// The wave of another zone that a node is in.
fn other_zone<'p>(plan: &'p Plan, site: &Site<'_>) -> Option<&'p Wave> {
    let node = (site.name(), &*site.node.metadata.uid);
    let mut waves = plan.waves.iter().filter(|wave| !wave.takes(site.zone()));
    waves.find(|wave| wave.members().any(|member| member == node))
}

fn settings(plan: &Plan, scene: &Scene<'_>, survey: &Survey<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let settings = parts::settings(scene.config);
    if settings != plan.settings {
        lines.push(format!(
            "The settings file has changed: {}, was {}.",
            shorten_hash(&settings),
            shorten_hash(&plan.settings)
        ));
    } else {
        lines.extend(ungiven(plan, scene, survey));
    }
    let networks = parts::networks(scene);
    for (what, now, then) in
        [("old", &networks.old, &plan.networks.old), ("new", &networks.new, &plan.networks.new)]
    {
        if now != then {
            lines.push(format!(
                "Ranges of the {what} network: {}, was {}.",
                list_names(now),
                list_names(then)
            ));
        }
    }
    lines
}

/// Keys of a plan that are compared elsewhere, or that depend on the cluster or on findings of the day on which the plan was made.
const COMPARED: [&str; 5] = ["networks", "agents", "startupTaints", "unenforced", "waivers"];

/// What a plan says that the settings do not give whose hash it names. This program makes no such plan, but the hash of the settings is only what the plan
/// claims, and others can write plans into the cluster.
fn ungiven(plan: &Plan, scene: &Scene<'_>, survey: &Survey<'_>) -> Vec<String> {
    let current_plan = parts::plan(scene, &[], &plan.cluster, course(plan, scene));
    let (says, gives) = (keys(plan), keys(&current_plan));
    let names: BTreeSet<&String> = says.keys().chain(gives.keys()).collect();
    let differ = |name: &&String| !COMPARED.contains(&name.as_str()) && says.get(*name) != gives.get(*name);
    let mut lines: Vec<String> = names
        .into_iter()
        .filter(differ)
        .map(|name| format!("The plan's {name} are not what the settings give whose hash it names."))
        .collect();
    let accepted: BTreeSet<String> =
        scene.config.roll.unenforced.iter().map(|kind| kind.kind().to_string()).collect();
    let kinds = plan.unenforced.iter().filter(|kind| !accepted.contains(*kind));
    lines.extend(kinds.map(|kind| {
        format!("The plan accepts unenforced policies of kind {kind}, and the settings do not.")
    }));
    let waivers = plan.waivers.iter().filter(|waiver| !scene.config.waivers.contains(waiver));
    lines.extend(
        waivers.map(|waiver| {
            format!("The plan waives the finding {}, and the settings do not.", waiver.finding)
        }),
    );
    lines.extend(order::ungiven(plan, survey, scene.config));
    let has_scouts = plan.waves.first().is_some_and(|wave| wave.kind == WaveKind::Scouts);
    if plan.waves.iter().any(|wave| matches!(wave.kind, WaveKind::Canary | WaveKind::Zone)) && !has_scouts {
        lines.push("The plan has no scouts.".into());
    }
    let phases = || [plan.start].into_iter().chain(plan.passes.iter().copied());
    let mut parted = phases().zip(phases().skip(1)).filter(|(from, to)| reach::is_parted(*from, *to));
    if let (true, None, Some((from, to))) = (lines.is_empty(), &plan.bridge, parted.next()) {
        lines.push(format!("The plan goes from {from} to {to}, which needs a bridge, and has none."));
    }
    if plan.fixes_stragglers() {
        lines.extend(
            unfinished_migration(survey, plan.target())
                .map(|problem| format!("The plan moves stragglers: {}.", problem.what)),
        );
    }
    lines
}

/// The course of a plan as these settings would have it.
fn course(plan: &Plan, scene: &Scene<'_>) -> Course {
    let config = scene.config;
    let limits = &config.roll.limits;
    let waves = plan.waves.iter().map(|wave| {
        let (most, soak_seconds) = match wave.kind {
            WaveKind::Scouts => (1, limits.soak_seconds),
            WaveKind::Dns | WaveKind::Stateful | WaveKind::ControlPlane => (1, 0),
            // How many zones there are, and how large they are, is of the day on which the plan was made; the run holds `zonePercent` by itself.
            WaveKind::Canary | WaveKind::Zone => (limits.in_transit.max(1), 0),
        };
        Wave { at_once: wave.at_once.min(most), soak_seconds, ..wave.clone() }
    });
    let image = parts::image(plan.strategy, config).filter(|_| !plan.fixes_stragglers());
    // Which node was the newest is of the day on which the plan was made, as are labels.
    let pool = |pool: &Pool| {
        let method = method(pool, scene, image);
        let newest = pool.image.filter(|phase| *phase > plan.start);
        Pool { method, image: image::of_pool(config, &pool.name, method, image, newest), ..pool.clone() }
    };
    let pools: Vec<Pool> = plan.pools.iter().map(pool).collect();
    let images = parts::images(image, &pools);
    let passes = if plan.fixes_stragglers() {
        plan.passes.clone()
    } else {
        parts::targets(plan.strategy, config, plan.start, &pools)
    };
    // Which nodes let networks join is of the day on which the plan was made, and each pass has but one way beside a restart.
    let possible = |(from, to, way): (Phase, Phase, Way)| {
        if images.contains(&to) {
            Way::Replace
        } else if way == reach::way(from, to, &Side::BOTH) {
            way
        } else {
            Way::Restart
        }
    };
    let ways = plan.steps().map(possible).take(plan.ways.len());
    Course {
        start: plan.start,
        image,
        ways: ways.collect(),
        passes,
        bridge: plan.bridge.as_ref().and_then(|_| bridge(config)),
        waves: waves.collect(),
        left_out: plan.left_out.clone(),
        pools,
        policies: plan.policies.clone(),
    }
}

/// The method that a pool of a plan may have: that of the settings, else any that the labels of its nodes could have given on the day of the plan.
fn method(pool: &Pool, scene: &Scene<'_>, image: Option<Phase>) -> Method {
    let labelled = if pool.method.replaces() { pool.method } else { Method::Permit };
    parts::method(scene.config, &pool.name, image, || labelled)
}

/// A plan by its keys.
fn keys(plan: &Plan) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(plan) {
        Ok(serde_json::Value::Object(keys)) => keys,
        // A plan has names for keys, so that it always serialises.
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}

/// Nodes with a policy that the plan does not know. A node writes its own report, so what it says there concerns that node alone.
fn policies(plan: &Plan, survey: &Survey<'_>) -> Vec<String> {
    let unknown = |base: &str| plan.policies.iter().all(|base_of_plan| base_of_plan != base);
    let members: BTreeSet<(&str, &str)> = plan.waves.iter().flat_map(Wave::members).collect();
    let is_member = |site: &Site<'_>| members.contains(&(site.name(), &*site.node.metadata.uid));
    let is_of_image = |site: &Site<'_>| plan.rotates(site.pool) && !is_member(site);
    let sites: Vec<Site<'_>> = survey.sites.iter().filter(|site| !is_of_image(site)).cloned().collect();
    let unknown = parts::nodes_by_policy(&sites).into_iter().filter(|(base, _)| unknown(base));
    let line = |(base, nodes)| {
        format!(
            "These nodes have a policy that the plan does not know ({}); the run holds them: {}.",
            shorten_hash(base),
            join_names(nodes)
        )
    };
    unknown.map(line).collect()
}

/// Policies that no CNI enforces for a while, of kinds that neither the plan nor the settings accept.
fn unenforced_policies(plan: &Plan, scene: &Scene<'_>) -> Vec<UnenforcedPolicies> {
    let is_accepted = |kind: Kind| {
        plan.unenforced.iter().any(|accepted| accepted == kind.name())
            || scene.config.roll.unenforced.iter().any(|accepted| accepted.kind() == kind)
    };
    let policies = |(kind, phases): (Kind, Vec<&str>)| {
        let titles = scene.snapshot.objects(kind).iter().map(|policy| subject(kind, policy).to_string());
        UnenforcedPolicies::new(kind.name(), phases, titles)
    };
    unenforced_kinds(scene, &plan.passes)
        .into_iter()
        .filter(|(kind, _)| !is_accepted(*kind))
        .map(policies)
        .collect()
}

/// Services that the pass between `both-old` and `both-new` parts from clients now. A plan that waives this never relied on their translation at sockets.
fn parted_services(plan: &Plan, scene: &Scene<'_>) -> Option<String> {
    let mixes =
        |(from, to, _): (Phase, Phase, Way)| from.min(to) == Phase::BothOld && from.max(to) == Phase::BothNew;
    let is_waived = plan.waivers.iter().any(|waiver| waiver.finding == SERVICES_BRIDGED.code);
    if is_waived || !plan.steps().any(mixes) {
        return None;
    }
    let finding = services(scene).into_iter().find(|finding| finding.severity == Severity::Blocks)?;
    let names: Vec<String> = finding.objects.iter().map(ToString::to_string).collect();
    Some(format!(
        "Services need nodes that forward between both networks now, as they did not when the plan was made (finding {} of kubectl crossfade check): {}.",
        SERVICES_BRIDGED.code,
        join_names(names.iter().map(String::as_str))
    ))
}

fn agents(then: &[Agent], now: &[Agent]) -> Vec<String> {
    let title = |agent: &Agent| format!("DaemonSet {}/{}", agent.namespace, agent.name);
    let same = |a: &Agent, b: &Agent| (&a.namespace, &a.name) == (&b.namespace, &b.name);
    let changed = then.iter().filter_map(|old| match now.iter().find(|new| same(old, new)) {
        None => Some(format!("{} is gone.", title(old))),
        Some(new) if new.uid != old.uid => Some(format!("{} was deleted and made again.", title(old))),
        Some(new) if new.generation != old.generation => Some(format!(
            "{} has changed: generation {}, was {}.",
            title(old),
            new.generation,
            old.generation
        )),
        Some(_) => None,
    });
    let came = now.iter().filter(|new| !then.iter().any(|old| same(old, new)));
    changed.chain(came.map(|new| format!("{} is new.", title(new)))).collect()
}

fn list_names(all: &[String]) -> String {
    if all.is_empty() { "none".into() } else { all.join(", ") }
}
