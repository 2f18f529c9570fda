//! The parts of a plan that are what the cluster and the settings say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use snapshot::model::{Kind, Text};
use types::policy::{Phase, Side};

use super::build::{unenforced_kinds, waivers};
use super::canon::{bytes, sha256};
use super::image::{self, NewestNode};
use super::site::{Site, Survey};
use super::{Agent, Bridge, Dns, ExcludedNode, Gate, GateSource, Networks, Plan, Pool, Wave};
use crate::check::Scene;
use crate::check::finding::Finding;
use crate::cni::cidr;
use crate::cni::cidr::Usage;
use crate::cni::reach::{self, Way};
use crate::cni::support::Strategy;
use crate::config::roll::{BUILT_IN, Image, Method};
use crate::config::{Config, ProbeGate, roll};
use crate::workload::{Provisioner, STARTUP_TAINTS, agents as agents_of, provisioner, startup_taints};
use snapshot::{Range, merge};

/// How often a gate of the plan's own is asked, in seconds. It only reads what is watched anyway.
const EVERY_SECONDS: u32 = 15;
/// How old a verdict of such a gate may be, in seconds.
const FRESH_SECONDS: u32 = 60;

/// What a plan does with which nodes; everything else of it is what the cluster and the settings say.
pub(super) struct Course {
    /// The phase that the first pass begins in.
    pub(super) start: Phase,
    /// The phase of each pass.
    pub(super) passes: Vec<Phase>,
    /// The phase of the image that nodes are replaced by; none where all nodes stay.
    pub(super) image: Option<Phase>,
    /// How each of them brings pods there; empty if all of them restart pods.
    pub(super) ways: Vec<Way>,
    /// How it is known that nodes forward between both networks.
    pub(super) bridge: Option<Bridge>,
    /// The nodes in their order.
    pub(super) waves: Vec<Wave>,
    /// Nodes that no pass touches.
    pub(super) left_out: Vec<ExcludedNode>,
    /// Pools of the nodes.
    pub(super) pools: Vec<Pool>,
    /// Policies of the nodes.
    pub(super) policies: Vec<String>,
}

/// The plan of a course, in the cluster of this UID.
pub(super) fn plan(scene: &Scene<'_>, findings: &[Finding], cluster: &str, course: Course) -> Plan {
    let (config, Course { start, passes, image, ways, bridge, waves, left_out, pools, policies }) =
        (scene.config, course);
    let mut plan = Plan {
        version: Plan::VERSION,
        cluster: cluster.to_owned(),
        from: scene.from,
        to: scene.to,
        strategy: scene.strategy,
        settings: settings(config),
        start,
        image,
        ways,
        bridge,
        waves,
        left_out,
        leave_out: config.roll.leave_out.clone(),
        pools,
        limits: config.roll.limits.clone(),
        margin_percent: config.capacity.margin_percent,
        pods: config.roll.pods.clone(),
        gates: gates(config),
        dns: Dns { namespace: config.dns.namespace.clone(), labels: config.dns.labels.clone() },
        policies,
        pool_labels: if image.is_some() { config.nodes.pool_labels.clone() } else { Vec::new() },
        startup_taints: if image.is_some() { startup_keys(scene) } else { Vec::new() },
        networks: networks(scene),
        agents: agents(scene, image.is_some()),
        unenforced: unenforced_kinds(scene, &passes).keys().map(ToString::to_string).collect(),
        waivers: waivers(scene, findings),
        passes,
    };
    let denies = plan.passes.iter().chain([&plan.start]).any(|phase| plan.must_deny(*phase));
    let has_bridge = plan.bridge.is_some();
    plan.gates.retain(|gate| match gate.source {
        // Without a bridge there may never be pods on either network alone at a time, between which packets could be seen to pass.
        GateSource::Probe(ProbeGate::Forwarding) => has_bridge,
        GateSource::Probe(ProbeGate::Enforcement) => denies,
        GateSource::Probe(ProbeGate::Packets | ProbeGate::DnsQueries | ProbeGate::ApiServerToPods)
        | GateSource::Workload
        | GateSource::Dns
        | GateSource::ApiServer
        | GateSource::Watched
        | GateSource::Command(_) => true,
    });
    plan
}

/// SHA-256 of the settings, with all defaults, in hex. Without those of conversions of network policies: no node moves by them, so a plan stays the
/// one that was approved.
pub(super) fn settings(config: &Config) -> String {
    let mut settings = serde_json::to_value(config).unwrap_or_default();
    if let Some(all) = settings.as_object_mut() {
        all.remove("policies");
    }
    sha256(&bytes(&settings))
}

/// The gates: those that every plan has, that of the watched workloads if there are some, those of the agents that probe, and the operator's.
#[must_use]
pub fn gates(config: &Config) -> Vec<Gate> {
    let [workload, dns, api_server, watched] = BUILT_IN;
    let built_in = |name: &str, source: GateSource| Gate {
        name: name.into(),
        source,
        every_seconds: EVERY_SECONDS,
        fresh_seconds: FRESH_SECONDS,
    };
    let mut gates = vec![
        built_in(workload, GateSource::Workload),
        built_in(dns, GateSource::Dns),
        built_in(api_server, GateSource::ApiServer),
    ];
    if !config.watched_resources.all().is_empty() {
        gates.push(built_in(watched, GateSource::Watched));
    }
    gates.extend(config.probe.gates.iter().map(|gate| built_in(gate.into_str(), GateSource::Probe(*gate))));
    gates.extend(config.roll.gates.iter().map(|gate| Gate {
        name: gate.name.clone(),
        source: GateSource::Command(gate.command.clone()),
        every_seconds: gate.every_seconds,
        fresh_seconds: gate.fresh_seconds,
    }));
    gates
}

/// The pools of these nodes, by name.
pub(super) fn pools(scene: &Scene<'_>, sites: &[Site<'_>], image: Option<Phase>) -> Vec<Pool> {
    let mut sites_by_pool: BTreeMap<&str, Vec<&Site<'_>>> = BTreeMap::new();
    for site in sites {
        sites_by_pool.entry(site.pool).or_default().push(site);
    }
    let newest = image::newest_nodes(scene);
    let pool = |(name, sites): (&str, Vec<&Site<'_>>)| {
        let zones: BTreeSet<&str> = sites.iter().map(|site| site.zone()).collect();
        let method = method(scene.config, name, image, || labelled_method(&sites));
        Pool {
            name: name.into(),
            nodes: u32::try_from(sites.len()).unwrap_or(u32::MAX),
            zones: zones.into_iter().map(Text::from).collect(),
            method,
            image: image::of_pool(
                scene.config,
                name,
                method,
                image,
                newest.get(name).and_then(NewestNode::image),
            ),
        }
    };
    sites_by_pool.into_iter().map(pool).collect()
}

/// How the nodes of a pool move: as the settings say, else as their labels do in a plan that replaces nodes. In any other, they are drained.
pub(super) fn method(
    config: &Config,
    pool: &str,
    image: Option<Phase>,
    labelled: impl FnOnce() -> Method,
) -> Method {
    let method = config.roll.method(pool);
    match image {
        Some(_) => method.unwrap_or_else(labelled),
        None => method.filter(|method| !method.replaces()).unwrap_or_default(),
    }
}

/// The method that the pipeline allows which the labels of these nodes name.
fn labelled_method(sites: &[&Site<'_>]) -> Method {
    let pipelines: BTreeSet<Option<Provisioner>> = sites.iter().map(|site| provisioner(site.node)).collect();
    match pipelines.first() {
        Some(Some(Provisioner::Karpenter)) => Method::Karpenter,
        Some(Some(Provisioner::ManagedNodeGroup | Provisioner::ProviderPool)) => Method::Follow,
        Some(Some(Provisioner::ClusterApi)) => Method::ClusterApi,
        Some(None) | None => Method::Permit,
    }
}

/// The phase of the image that a strategy replaces nodes by; none where all nodes stay.
pub(super) fn image(strategy: Strategy, config: &Config) -> Option<Phase> {
    (strategy == Strategy::Rotation).then(|| config.roll.image.map_or(Phase::New, Image::phase))
}

/// Whether a rotation replaces nodes by the final image.
pub(super) fn is_final(strategy: Strategy, config: &Config) -> bool {
    strategy == Strategy::Rotation && config.roll.image == Some(Image::Final)
}

/// The targets of the passes from this phase to the new network, where these pools move or are replaced.
pub(super) fn targets(strategy: Strategy, config: &Config, start: Phase, pools: &[Pool]) -> Vec<Phase> {
    if is_final(strategy, config) {
        // Its nodes give their pods the network that they have.
        return vec![Phase::New];
    }
    // Images in phase `new` are one pass, with the forwarding that nodes of both phases need beside each other. Beside an image in another phase, nodes of such a
    // pool go there in place before they are replaced.
    let images = images(image(strategy, config), pools);
    let is_bridged = strategy == Strategy::Bridge || images == [Phase::New].into();
    reach::path(start, Phase::New, is_bridged)
}

/// The phases of the images of these pools, in a plan with this image; that one alone where no pool is replaced.
pub(super) fn images(image: Option<Phase>, pools: &[Pool]) -> BTreeSet<Phase> {
    let images: BTreeSet<Phase> = pools.iter().filter_map(|pool| pool.image_phase(image)).collect();
    if images.is_empty() { image.into_iter().collect() } else { images }
}

/// The nodes of each policy, by what they say of it without the phase. Both are sorted.
pub(super) fn nodes_by_policy<'s>(sites: &'s [Site<'_>]) -> BTreeMap<&'s str, Vec<&'s str>> {
    let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for site in sites {
        if let Some(base) = site.observed.as_ref().and_then(|observation| observation.base.as_deref()) {
            nodes.entry(base).or_default().push(site.name());
        }
    }
    nodes
}

/// What nodes say of their policies without the phase, sorted.
pub(super) fn policies(sites: &[Site<'_>]) -> Vec<String> {
    nodes_by_policy(sites).into_keys().map(str::to_owned).collect()
}

/// The nodes whose policy, without the phase, is another than that of most nodes, by name. Of two policies that as many nodes have, the first one
/// counts.
#[must_use]
pub fn other_policies(survey: &Survey<'_>) -> Vec<String> {
    let mut nodes = nodes_by_policy(&survey.sites);
    let most = nodes.iter().min_by_key(|(_, names)| Reverse(names.len())).map(|(base, _)| *base);
    nodes.retain(|base, _| most != Some(*base));
    let mut others: Vec<String> = nodes.into_values().flatten().map(str::to_owned).collect();
    others.sort();
    others
}

/// The ranges from which pods of both networks get addresses.
pub(super) fn networks(scene: &Scene<'_>) -> Networks {
    ranges(scene, |used| matches!(used, Usage::OldPool { .. }))
}

/// The same, with the ranges that single nodes have now.
#[must_use]
pub fn pod_ranges(scene: &Scene<'_>) -> Networks {
    ranges(scene, |used| matches!(used, Usage::OldPool { .. } | Usage::OldBlock))
}

fn ranges(scene: &Scene<'_>, is_old: impl Fn(Usage) -> bool) -> Networks {
    let claims = cidr::gather(scene).all;
    let texts = |belongs: &dyn Fn(Usage) -> bool| -> Vec<String> {
        let ranges: Vec<Range> =
            claims.iter().filter(|claim| belongs(claim.usage)).map(|claim| claim.range).collect();
        merge(ranges).iter().map(ToString::to_string).collect()
    };
    Networks { old: texts(&is_old), new: texts(&|used| used == Usage::NewPool) }
}

/// Keys of the taints that nodes bear until their network is ready: those that are known as such, and every start-up taint of a NodePool.
fn startup_keys(scene: &Scene<'_>) -> Vec<Text> {
    let known = startup_taints(scene).into_iter().map(|taint| taint.key);
    let pools = scene.snapshot.objects(Kind::KARPENTER_NODE_POOL).iter();
    let taints = pools.flat_map(|pool| pool.list(STARTUP_TAINTS));
    let of_pools = taints.filter_map(|taint| taint.get("key").and_then(Value::as_str)).map(Text::from);
    let keys: BTreeSet<Text> = known.chain(of_pools).collect();
    keys.into_iter().collect()
}

/// The DaemonSets of the agents of both CNIs, by namespace and name; with their CNIs in a plan that replaces nodes.
pub(super) fn agents(scene: &Scene<'_>, replaces: bool) -> Vec<Agent> {
    let all = [scene.from, scene.to].into_iter().flat_map(|cni| agents_of(scene, cni));
    let mut agents: Vec<Agent> = all
        .map(|agent| {
            let meta = &agent.daemon_set.metadata;
            Agent {
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                generation: meta.generation.unwrap_or_default(),
                cni: replaces.then_some(agent.cni),
            }
        })
        .collect();
    agents.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    agents.dedup();
    agents
}

/// The passes of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passes {
    /// The lowest phase of a node or of something attached to one.
    pub(super) start: Phase,
    /// The phase that each pass brings all nodes to.
    pub(super) targets: Vec<Phase>,
    /// The phases of the images that nodes are replaced by; none where all nodes stay.
    pub(super) images: BTreeSet<Phase>,
}

/// Pods that a pass would part, unless nodes forward between both networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disconnection<'a> {
    /// The phase that the pass brings nodes to.
    pub(super) target: Phase,
    /// The phase of pods that do not reach others.
    pub(super) client: Phase,
    /// The phase of the others.
    pub(super) server: Phase,
    /// Nodes with pods of a phase that is neither the one which the pass leaves nor the one that it leads to. Empty if the pass itself parts pods.
    pub(super) nodes: Vec<&'a str>,
}

impl Passes {
    /// The passes that bring all nodes to the new network; none if no node says in which phase it is.
    pub(super) fn decide(scene: &Scene<'_>, sites: &[Site<'_>], pools: &[Pool]) -> Option<Self> {
        let image = image(scene.strategy, scene.config);
        // Without Crossfade, all pods of a node are on the old network, or on the new one after the migration; only a rotation has a way for such a node.
        let network = if is_final(scene.strategy, scene.config) { Phase::New } else { Phase::Old };
        let plain = sites.iter().any(|site| image.is_some() && site.is_plain()).then_some(network);
        let start = sites.iter().flat_map(Site::phases).chain(plain).min()?;
        let targets = targets(scene.strategy, scene.config, start, pools);
        Some(Self { start, targets, images: images(image, pools) })
    }

    /// The passes that bring nodes in place to their phases before the one that replaces them by an image in this phase; all of them if none does.
    pub(super) fn phases_in_place(&self, image: Option<Phase>) -> &[Phase] {
        let end = self.targets.iter().position(|target| image == Some(*target));
        &self.targets[..end.unwrap_or(self.targets.len())]
    }

    /// The phase that each pass leaves, and the one that it leads to.
    fn steps(&self) -> impl Iterator<Item = (Phase, Phase)> {
        let from = [self.start].into_iter().chain(self.targets.iter().copied());
        from.zip(self.targets.iter().copied())
    }

    /// How each pass brings pods to its phase on some node, where not all nodes restart them; empty if every pass restarts all pods.
    pub(super) fn ways(&self, sites: &[Site<'_>]) -> Vec<Way> {
        let of_sites = |(from, to)| {
            if self.images.contains(&to) {
                return Way::Replace;
            }
            // What nodes of the image allow is not known before there are some.
            let is_of_image = self.images.iter().any(|image| *image <= from);
            let new = is_of_image.then(|| reach::way(from, to, &Side::BOTH));
            let mut ways = sites.iter().map(|site| reach::way(from, to, site.joins())).chain(new);
            ways.find(|way| *way != Way::Restart).unwrap_or(Way::Restart)
        };
        let ways: Vec<Way> = self.steps().map(of_sites).collect();
        if ways.iter().all(|way| *way == Way::Restart) { Vec::new() } else { ways }
    }

    /// The first pass that parts pods.
    pub(super) fn disconnection<'a>(&self, sites: &[Site<'a>]) -> Option<Disconnection<'a>> {
        self.steps().enumerate().find_map(|(index, (from, target))| {
            let others = |site: &Site<'_>| -> BTreeSet<Phase> {
                let mut phases = site.extra();
                if index == 0 {
                    // Later, the barrier between passes has brought all nodes to one phase.
                    phases.extend(site.phases());
                }
                phases.retain(|phase| *phase != from && *phase != target);
                phases
            };
            let mut living: BTreeSet<Phase> = sites.iter().flat_map(others).collect();
            living.extend([from, target]);
            let (client, server) = reach::find_cut(&living)?;
            let nodes = sites.iter().filter(|site| !others(site).is_empty()).map(Site::name).collect();
            let nodes = if reach::find_cut(&[from, target].into()).is_some() { Vec::new() } else { nodes };
            Some(Disconnection { target, client, server, nodes })
        })
    }
}

/// The bridge of the settings, as a plan has it: without one, the gate of the agents that prove forwarding, if the settings have it.
pub(super) fn bridge(config: &Config) -> Option<Bridge> {
    let forwarding = ProbeGate::Forwarding;
    match &config.roll.bridge {
        Some(roll::Bridge::Gate(name)) => Some(Bridge::Gate(name.clone())),
        Some(roll::Bridge::Accept(reason)) => Some(Bridge::Accepted(reason.clone())),
        None => config.probe.has_gate(forwarding).then(|| Bridge::Gate(forwarding.into_str().to_owned())),
    }
}
