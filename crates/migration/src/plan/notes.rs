//! Notes on a plan that do not keep it from being carried out, whether its cluster is too full, and how long it takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;

use snapshot::model::Node;
use types::api::node_keys::IMAGE;
use types::api::observed::{self, NodeObservation};
use types::policy::Phase;
use types::text::glob;
use types::text::list::join_first;

use super::site::{Site, Survey, attached_phases, join_names};
use super::{Method, Plan, PlannedNode, Pool, Wave};
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Scene, bridged_services};
use crate::cni::reach::{self, Way};
use crate::config::roll::Roll;
use crate::roll::replacement::pipeline::{self, NodeGroup};
use crate::workload::capacity::{Place, Request, Room, Shortage, State, barring};
use crate::workload::{
    EKS_NODE_GROUP, Requests, agents, describe_images, image, is_dns, is_movable, look_alikes,
};

/// What to know of a plan that was made of this scene and these nodes, in sentences.
#[must_use]
pub fn notes(scene: &Scene<'_>, survey: &Survey<'_>, plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    // The settings are those of the migration, of which a fix is a small part.
    notes.extend(
        Some(unused_settings(scene, plan)).filter(|_| !plan.fixes_stragglers()).into_iter().flatten(),
    );
    notes.extend(stranded_note(scene, plan));
    notes.extend(returning(plan, survey));
    notes.extend(restarting(plan, survey));
    notes.extend(crowding(scene, plan, survey));
    notes.extend(replacement_notes(&scene.config.roll, plan, survey));
    notes.extend(newest_images(scene, plan));
    notes.extend(way_back(plan, survey));
    notes.extend(images(plan, survey));
    let stuck = survey.sites.iter().filter(|site| !site.is_plain()).filter(|site| {
        !site.observed.as_ref().is_some_and(|observation| observation.follows.contains(&plan.start))
    });
    let stuck: Vec<&str> = stuck.map(Site::name).collect();
    // Stragglers, and nodes that wait for the final image, have no phase to be brought back to.
    if !stuck.is_empty() && plan.passes != [plan.start] {
        notes.push(format!(
            "These nodes do not follow the annotation back to {}, so they cannot be rolled back from here: {}.",
            plan.start,
            join_names(stuck)
        ));
    }
    if !scene.snapshot.pods.iter().any(|pod| is_dns(&scene.config.dns, pod)) {
        notes.push("No pod of the cluster's DNS is found, so none is kept while nodes move; the settings name them under dns.".into());
    }
    for cni in [scene.from, scene.to].into_iter().filter(|cni| agents(scene, *cni).is_empty()) {
        let others: Vec<String> = look_alikes(scene, cni)
            .take(FEW)
            .map(|workload| format!("{}/{}", workload.namespace(), workload.name()))
            .collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" {} has its container, and is in no namespace of the system.", others.join(", "))
        };
        notes.push(format!(
            "No DaemonSet of {cni} is found, so the plan does not notice when its agent changes; the settings name it under agents.{others}"
        ));
    }
    notes
}

/// How many DaemonSets a note names.
const FEW: usize = 3;

/// Nodes that are further than the first pass leads: it brings them back, since a pass brings all nodes to one phase.
fn returning(plan: &Plan, survey: &Survey<'_>) -> Option<String> {
    let first = *plan.passes.first()?;
    let lowest = |site: &&Site<'_>| site.phases().into_iter().min().is_some_and(|phase| phase > first);
    let further: Vec<&str> = survey.sites.iter().filter(lowest).map(Site::name).collect();
    if further.is_empty() {
        return None;
    }
    let behind = survey.sites.len() - further.len();
    let help = if behind < further.len() {
        format!(
            " More nodes are further than are not; kubectl crossfade roll stragglers --fix moves the {behind} others instead."
        )
    } else {
        String::new()
    };
    Some(format!(
        "These nodes are further than {first}, and the first pass brings them back to it, since others are in {}: {}.{help}",
        plan.start,
        join_names(further)
    ))
}

/// What pipelines do that the run does not hold.
fn replacement_notes(settings: &Roll, plan: &Plan, survey: &Survey<'_>) -> Vec<String> {
    let is_of_group = |pool: &Pool, site: &Site<'_>| {
        *site.pool == *pool.name && site.node.metadata.label(EKS_NODE_GROUP).is_some()
    };
    let note = |pool: &Pool| {
        let is_node_group = survey.sites.iter().any(|site| is_of_group(pool, site));
        let max_unavailable = settings.max_unavailable(&pool.name, pool.nodes as usize);
        let group = is_node_group.then_some(NodeGroup { max_unavailable });
        Some(pipeline::for_method(pool.method)?.note(pool, group))
    };
    let pools = || plan.pools.iter();
    pools().filter_map(note).chain(pools().filter_map(|pool| controlling(pool, survey))).collect()
}

/// Nodes of the control plane in a pool that is replaced. Whether something replaces them is not known here: where nothing does, the run never ends.
fn controlling(pool: &Pool, survey: &Survey<'_>) -> Option<String> {
    let sites = survey.sites.iter().filter(|site| *site.pool == *pool.name);
    let nodes: Vec<&str> = sites.filter(|site| site.node.is_control_plane()).map(Site::name).collect();
    let first = *nodes.first().filter(|_| pool.method.replaces())?;
    let name = &pool.name;
    // The settings name no pool by an empty name.
    let in_place = if name.is_empty() {
        String::new()
    } else {
        format!("; or, with Crossfade on them, move them in place: roll: {{methods: {{{name:?}: drain}}}}")
    };
    Some(format!(
        "Nodes of the control plane are replaced as well, by the method {} of pool {name:?}: {}. The run ends once all of them are. Where nothing replaces them, leave them out: roll: {{leaveOut: [{{node: {first}, reason: nothing replaces it}}]}}{in_place}.",
        pool.method.into_str(),
        join_names(nodes)
    ))
}

/// Which way back a rotation has, and how long it takes for all nodes.
fn way_back(plan: &Plan, survey: &Survey<'_>) -> Vec<String> {
    if plan.is_final() {
        return vec!["Both images give pods the new network, so no node has to be brought back: kubectl crossfade roll abort --to new ends the run, and gives back what it has put on nodes.".into()];
    }
    plan.image_phases().into_iter().map(|image| way_back_from(plan, survey, image)).collect()
}

/// The way back of nodes that are replaced by an image in this phase.
fn way_back_from(plan: &Plan, survey: &Survey<'_>, image: Phase) -> String {
    let passes = reach::path(image, Phase::Old, plan.bridge.is_some());
    let is_replaced = |planned: &&PlannedNode| plan.image_phase(&planned.pool) == Some(image);
    let count = plan.waves.iter().flat_map(|wave| &wave.nodes).filter(is_replaced).count();
    let minutes =
        |node: u64| plan.waves.iter().map(|wave| wave_seconds(wave, node)).sum::<u64>().div_ceil(60);
    let in_place = minutes(NODE_SECONDS).saturating_mul(u64::try_from(passes.len()).unwrap_or(1));
    let others = if passes == [Phase::Old] {
        // A pipeline that asks may keep the Node while its machine boots another image.
        let may_keep =
            |pool: &Pool| pool.method == Method::Permit && plan.image_phase(&pool.name) == Some(image);
        let kept = if plan.pools.iter().any(may_keep) {
            ". A Node that is kept while its machine boots the earlier image bears the report of the new one: kubectl crossfade status names it (Arriving), with the command that helps; one that goes back in place is held (NodeSilent) if its machine does that before the run has ended"
        } else {
            ""
        };
        format!(
            "any other is replaced by a node of the earlier image (about {} min if all of them are){kept}",
            minutes(REPLACED_SECONDS)
        )
    } else {
        format!(
            "any other is held (PhaseNotFollowed), since no replacement leads from {image} to old: bake the image with \"desired\": \"node-annotation\" and all four phases in \"allowed\""
        )
    };
    let of_image = |site: &&Site<'_>| {
        plan.image_phase(site.pool) == Some(image) && site.phase() == Some(image) && image != plan.start
    };
    let here: Vec<&Site<'_>> = survey.sites.iter().filter(of_image).collect();
    let follows =
        |site: &&&Site<'_>| site.observed.as_ref().is_some_and(|seen| seen.follows.contains(&Phase::Old));
    let known = match here.len() {
        0 => String::new(),
        all => {
            format!(" Of {all} such nodes that are here, {} follow it.", here.iter().filter(follows).count())
        }
    };
    let of_images =
        if plan.image_phases().len() > 1 { format!(" by an image in phase {image}") } else { String::new() };
    format!(
        "Way back, kubectl crossfade roll abort --to old: of the {count} nodes that pipelines replace{of_images}, those that have not gone stay. A node of the new image that follows the phase old goes back in place (about {in_place} min if all of them do), and {others}.{known}"
    )
}

/// Pools whose images no setting names, so that their newest nodes have decided.
fn newest_images(scene: &Scene<'_>, plan: &Plan) -> Vec<String> {
    let is_inferred =
        |pool: &&Pool| pool.image.is_some() && scene.config.roll.image_phase(&pool.name).is_none();
    let note = |pool: &Pool| {
        Some(format!(
            "The image of pool {:?} is taken to be in phase {}, as its newest node is; roll.images in the settings names another one.",
            pool.name,
            plan.image_phase(&pool.name)?
        ))
    };
    plan.pools.iter().filter(is_inferred).filter_map(note).collect()
}

/// Which images the nodes of each pool that is replaced have, where one of them says.
fn images(plan: &Plan, survey: &Survey<'_>) -> Vec<String> {
    let note = |pool: &Pool| {
        let mut images: BTreeMap<String, u32> = BTreeMap::new();
        let mut without = 0;
        for site in survey.sites.iter().filter(|site| *site.pool == *pool.name) {
            match image(site.node) {
                Some(image) => *images.entry(image).or_default() += 1,
                None => without += 1,
            }
        }
        let counts = describe_images(images.iter().map(|(image, nodes)| (image.as_str(), *nodes)), without);
        (!images.is_empty())
            .then(|| format!("Images of the nodes of pool {:?} (label {IMAGE}): {counts}.", pool.name))
    };
    plan.pools.iter().filter(|pool| plan.rotates(&pool.name)).filter_map(note).collect()
}

/// The risks that `check` finds and a rotation takes, since they do not keep the plan from being made; none if there are none.
#[must_use]
pub fn risks(plan: &Plan, findings: &[Finding]) -> Option<String> {
    let is_risk = |finding: &&Finding| finding.severity == Severity::Risk && finding.waived.is_none();
    let object = |object: &Subject| match &*object.detail {
        "" => object.to_string(),
        detail => format!("{object} ({detail})"),
    };
    let name = |finding: &Finding| {
        let code = finding.rule.code.to_owned();
        join_first(iter::once(code).chain(finding.objects.iter().map(object)), 1 + FEW)
    };
    let risks: Vec<String> = findings.iter().filter(is_risk).map(name).collect();
    let command =
        format!("kubectl crossfade check --from {} --to {} --strategy {}", plan.from, plan.to, plan.strategy);
    (plan.image.is_some() && !risks.is_empty()).then(|| {
        format!("Risks of this rotation: {}. {command} has the reasons and what to do.", risks.join("; "))
    })
}

/// Nodes that restart all their pods in passes in which networks join or leave the running pods of other nodes.
fn restarting(plan: &Plan, survey: &Survey<'_>) -> Vec<String> {
    let joined = plan.steps().filter(|(_, _, way)| matches!(way, Way::Join | Way::Leave));
    let note = |(from, to, way): (Phase, Phase, Way)| {
        // Nodes that are replaced before this pass have no part in it.
        let is_gone = |site: &Site<'_>| plan.image_phase(site.pool).is_some_and(|image| image <= from);
        let restarts =
            |site: &&Site<'_>| !is_gone(site) && reach::way(from, to, site.joins()) == Way::Restart;
        let nodes: Vec<&str> = survey.sites.iter().filter(restarts).map(Site::name).collect();
        (!nodes.is_empty()).then(|| {
            format!(
                "In the pass to {to}, whose way is {}, these nodes restart their pods instead, since they let the network neither join nor leave pods that run: {}.",
                way.into_str(),
                join_names(nodes)
            )
        })
    };
    joined.filter_map(note).collect()
}

/// Settings that have no effect.
fn unused_settings(scene: &Scene<'_>, plan: &Plan) -> Vec<String> {
    let roll = &scene.config.roll;
    let mut notes = Vec::new();
    let nodes = || scene.snapshot.nodes.iter().map(Node::name);
    for out in roll.leave_out.iter().filter(|out| !nodes().any(|name| glob::matches(&out.node, name))) {
        notes.push(format!("roll.leaveOut: no node is called {}.", out.node));
    }
    let is_unknown = |name: &str| !plan.pools.iter().any(|pool| glob::matches(name, &pool.name));
    let named = roll.methods.keys().map(|pool| ("methods", pool));
    for (key, pool) in named.chain(roll.images.keys().map(|pool| ("images", pool))) {
        if is_unknown(pool) {
            notes.push(format!("roll.{key}: no pool is called {pool}."));
        }
    }
    let accepted = roll.unenforced.iter().map(|kind| kind.kind().name());
    for kind in accepted.filter(|kind| !plan.unenforced.iter().any(|item| item == kind)) {
        notes.push(format!("roll.unenforced: {kind} need not be accepted: there is none, or a CNI enforces it in every phase."));
    }
    if roll.bridge.is_some() && plan.bridge.is_none() {
        let is_for_services = plan.passes.contains(&Phase::BothNew) && !bridged_services(scene).is_empty();
        notes.push(if is_for_services {
            "roll.bridge: in the pass to both-new, Services need nodes that forward between both networks."
                .into()
        } else {
            "roll.bridge: no pass needs nodes that forward between both networks.".into()
        });
    }
    notes
}

/// Nodes that are left out with pods that lose others.
fn stranded_note(scene: &Scene<'_>, plan: &Plan) -> Option<String> {
    let is_cut = |node: &Node| {
        let observation: Option<NodeObservation> =
            node.metadata.annotation(observed::KEY).and_then(|text| serde_json::from_str(text).ok());
        let mut living: BTreeSet<Phase> = attached_phases(observation.as_ref()).collect();
        if living.is_empty() {
            return false;
        }
        living.insert(plan.target());
        reach::find_cut(&living).is_some()
    };
    let is_out = |node: &&Node| plan.left_out.iter().any(|out| *out.name == *node.name());
    let nodes: Vec<&str> =
        scene.snapshot.nodes.iter().filter(is_out).filter(|node| is_cut(node)).map(Node::name).collect();
    (!nodes.is_empty() && plan.bridge.is_none()).then(|| {
        format!(
            "These nodes are left out with pods that do not reach pods in {}, nor these them, unless nodes forward between both networks: {}.",
            plan.target(),
            join_names(nodes)
        )
    })
}

/// A note on the nodes that a run would not drain as the cluster is now; none if there is none.
pub(super) fn crowding(scene: &Scene<'_>, plan: &Plan, survey: &Survey<'_>) -> Option<String> {
    let mut on: HashMap<&str, (Request, Request)> = HashMap::new();
    let mut requests = Requests::default();
    for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished() && !pod.spec.node_name.is_empty()) {
        let (moves, stays) = on.entry(&pod.spec.node_name).or_default();
        *(if is_movable(pod) { moves } else { stays }) += requests.read(&pod.spec);
    }
    let mut room = Room::default();
    let mut drained: Vec<(&str, Place<'_>)> = Vec::new();
    for site in &survey.sites {
        let (moves, stays) = on.get(site.name()).copied().unwrap_or_default();
        let is_ready = site.node.condition("Ready").is_none_or(|ready| &*ready.status == "True");
        let state = if is_ready && !site.node.spec.unschedulable { State::Open } else { State::Closed };
        let offers = Request::from_resources(&site.node.status.allocatable);
        let place = Place { taints: barring(site.node), offers, moves, stays, state };
        room.add(place.clone());
        let pool = plan.pools.iter().find(|pool| &*pool.name == site.pool);
        let is_planned =
            || plan.waves.iter().flat_map(|wave| &wave.nodes).any(|planned| *planned.name == *site.name());
        if plan.fixes_stragglers() && !is_planned() {
            continue;
        }
        let needs_room = |method: Method| match pipeline::for_method(method) {
            Some(pipeline) => pipeline.drains_first(),
            None => method != Method::Churn,
        };
        if state == State::Open && pool.is_none_or(|pool| needs_room(pool.method)) {
            drained.push((site.name(), place));
        }
    }
    let short = |(name, place): &(&'_ str, Place<'_>)| {
        room.shortage(place, plan.margin_percent).map(|short| ((*name).to_owned(), short))
    };
    let short: Vec<(String, Shortage)> = drained.iter().filter_map(short).collect();
    let (first, why) = short.first()?;
    Some(format!(
        "The run drains none of these nodes before the others have room for its pods (NoCapacity): {}. For {first}, {why}.",
        join_names(short.iter().map(|(name, _)| name.as_str()))
    ))
}

/// Seconds from a node's claim until it is done: 2 for the claim, 15 for the flip, 90 until its pods have moved, and the rest for proofs and quiet.
pub const NODE_SECONDS: u64 = 180;

/// The same of a node whose pods networks join or leave: 30 instead of 90, of which connections may take as long to end.
pub const JOINED_SECONDS: u64 = 120;

/// The same of a node that is replaced: as for one that restarts its pods, and 240 until a machine has started and its network is proven.
pub const REPLACED_SECONDS: u64 = 420;

/// Seconds from the first node of the first pass to the last one of the last pass, if nothing waits for a person, a window or a budget.
#[must_use]
pub fn eta_seconds(plan: &Plan) -> u64 {
    let nodes: u64 = plan.waves.iter().map(node_count).sum();
    let pace = match u64::from(plan.limits.per_hour) {
        0 => 0,
        per_hour => nodes.saturating_mul(3600) / per_hour,
    };
    let pass = |(_, _, way): (Phase, Phase, Way)| -> u64 {
        let node = match way {
            Way::Restart => NODE_SECONDS,
            Way::Replace => REPLACED_SECONDS,
            Way::Join | Way::Leave => JOINED_SECONDS,
        };
        plan.waves.iter().map(|wave| wave_seconds(wave, node)).sum::<u64>().max(pace)
    };
    plan.steps().map(pass).fold(0, u64::saturating_add)
}

fn node_count(wave: &Wave) -> u64 {
    u64::try_from(wave.nodes.len()).unwrap_or(u64::MAX)
}

fn wave_seconds(wave: &Wave, node: u64) -> u64 {
    let rounds = node_count(wave).div_ceil(u64::from(wave.at_once.max(1)));
    rounds.saturating_mul(node).saturating_add(wave.soak_seconds.into())
}
