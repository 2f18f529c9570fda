//! Rotations: every pipeline that `docs/pipelines` has replaces all nodes of a fleet without Crossfade, under a run with the rights of
//! `deploy/cluster/rbac-operator.yaml`.
//!
//! `CROSSFADE_HOLLOW_NODES` is the size of the fleet.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::build::dist;
use lab::host::deadline::until;
use lab::kubernetes::operator::Running;
use lab::kubernetes::{Api, Operator, User, manifest};
use lab::standin::hollow::{
    Cluster, Fleet, Karpenter, MANAGED, MachineDeployment, NodeGroup, Pipeline, ScalingGroup, Truth, audited,
    delete_machine, hooked, rotate, unhurried, until_waiting,
};
use serde_json::{Value, json};
use types::policy::Phase;

lab::trials![
    karpenter_takes_nodes_when_the_run_has_released_them,
    hooks_on_machines_hold_nodes_until_their_turn,
    a_managed_node_group_is_followed,
    an_instance_refresh_waits_for_permits,
    networks_join_and_leave_around_one_rotation,
];

const NAMESPACE: &str = "hollow";
/// The operator's user in the management cluster.
const MANAGER: &str = "manager";
const DNS: u32 = 2;
/// Nodes of the fleet, unless the environment says otherwise.
const NODES: u32 = 8;
/// So many nodes that have room the scheduler compares at least, and not always more: it may miss all new ones, which it would prefer
/// (`percentageOfNodesToScore`).
const SCORED: u32 = 100;
/// Pods on each node.
const PODS: u32 = 2;

/// A fleet of old nodes, its pods, and an operator with a plan.
struct World {
    cluster: Cluster,
    fleet: Fleet,
    api: Api,
    pods: usize,
    /// Nodes in transit at once.
    allowed: u32,
}

impl World {
    /// Pods request so many cores. Nodes are replaced by those of an image in this phase: in `new`, nodes without Crossfade; in `both-new`, nodes
    /// whose pods have both networks by then.
    fn new(cores: u32, image: Phase) -> Result<Self> {
        let nodes = match std::env::var("CROSSFADE_HOLLOW_NODES") {
            Ok(text) => text.parse().context("CROSSFADE_HOLLOW_NODES: expected a number of nodes")?,
            Err(_) => NODES,
        };
        let joins = image != Phase::New;
        // Three passes instead of one.
        let nodes = if joins { nodes.div_ceil(2) } else { nodes };
        let fleet = Fleet { nodes, zones: 1, first: nodes, joins, is_plain: !joins, image };
        let cluster = Cluster::start(fleet)?;
        let api = cluster.api()?;
        cluster.serve_dns(DNS)?;
        api.namespace(NAMESPACE)?;
        let allowed = if joins { nodes.min(25) } else { (nodes / 5).clamp(2, 25) };
        let mut server = manifest::server();
        server["containers"][0]["resources"] = json!({ "requests": { "cpu": cores.to_string() } });
        // The scheduler spreads pods over nodes by itself, which may count for more than the taint of old nodes. This constraint takes the place of that.
        server["topologySpreadConstraints"] = json!([{
            "maxSkew": 1, "topologyKey": "kubernetes.io/os", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "app": "web" } },
        }]);
        let web = manifest::workload("Deployment", NAMESPACE, "web", Some(PODS * nodes), &server);
        let budget = json!({ "maxUnavailable": PODS * allowed });
        api.create(&[web, manifest::budget(NAMESPACE, "web", &budget, &api)?])?;
        let pods = (PODS * nodes) as usize;
        cluster.until_running(NAMESPACE, pods)?;
        cluster.ensure_all_on(NAMESPACE, pods, "old")?;
        Ok(Self { cluster, fleet, api, pods, allowed })
    }

    fn operator(&self) -> Result<Operator> {
        let mut settings = unhurried(self.allowed);
        if self.fleet.joins {
            // Every pair of pods has a network in common, so nothing has to forward.
            let roll = settings["roll"].as_object_mut().context("settings")?;
            roll.remove("bridge");
            roll.insert("image".into(), json!(self.fleet.image.as_str()));
        }
        Operator::new(&self.cluster.plane, "rotation", settings)?.waiving_what_blocks()
    }

    /// Waits for the end of the run, and looks at what it has come to. The audit log counts the run's requests from `begin` on.
    fn ensure_rotated(&self, run: Running, truth: &Truth, begin: u64) -> Result<()> {
        let rolled = run.ends(Duration::from_mins(30))?;
        ensure!(rolled.status == Some(0), "{rolled:#?}");
        self.cluster.until_running(NAMESPACE, self.pods)?;
        self.cluster.ensure_all_on(NAMESPACE, self.pods, "new")?;
        self.cluster.ensure_all_on("kube-system", DNS as usize, "new")?;
        for node in self.api.list("/api/v1/nodes")? {
            let metadata = &node["metadata"];
            ensure!(metadata["labels"]["crossfade/phase"] == "new", "{metadata}");
            ensure!(metadata["annotations"]["karpenter.sh/do-not-disrupt"].is_null(), "{metadata}");
            ensure!(node["spec"]["taints"].is_null(), "{}: {}", metadata["name"], node["spec"]["taints"]);
        }
        let double = truth.double_moves(&self.cluster);
        // The taint of old nodes is a preference. A scheduler that is behind, since the machine is busy, has not heard of the new node yet when it places a pod.
        ensure!(
            4 * double.values().sum::<usize>() <= self.pods || 2 * self.fleet.nodes > SCORED,
            "pods started on nodes that were to be replaced: {double:?}"
        );
        let (requests, _) = audited(&self.cluster.plane.audit_log(), begin)?;
        ensure!(
            !requests.contains_key("create pods/eviction"),
            "the pipeline drains, and not the run: {requests:#?}"
        );
        eprintln!(
            "{} nodes, {} pods: {} away at most, {} requests of the run, moved twice: {double:?}",
            self.fleet.nodes,
            self.pods,
            truth.most_away,
            requests.values().sum::<u64>(),
        );
        self.cluster.hollow.ensure_sound()
    }

    /// Holds if each pod has moved once, to a new node, and so many machines were launched.
    fn ensure_each_moved_once(&self, truth: &Truth, pipeline: &dyn Pipeline, launches: u32) -> Result<()> {
        ensure!(
            pipeline.launches() == launches as usize,
            "{} machines were launched, expected {launches}",
            pipeline.launches()
        );
        let (moves, pods) = (truth.moves(&self.cluster), self.pods + DNS as usize);
        ensure!(moves == pods, "{moves} pods have started on new nodes, expected {pods}");
        Ok(())
    }
}

/// Nodes are full, so that each one needs a replacement. One of them expires while the run holds it, with a pod that must not be disrupted.
fn karpenter_takes_nodes_when_the_run_has_released_them() -> Result<()> {
    let world = World::new(30, Phase::New)?;
    let World { cluster, fleet, api, .. } = &world;
    // The run allows fewer than the budget does.
    let mut karpenter = Karpenter::new(cluster, *fleet, fleet.nodes)?;
    let operator = world.operator()?;
    let hash = operator.plan()?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&["roll", "--plan", &hash[..12]])?;
    until_waiting(&world.api, *fleet, || run.goes_on())?;
    Karpenter::select_image(api)?;
    let mut truth = Truth::new(cluster, *fleet, world.allowed);
    let mut aged = None;
    rotate(cluster, &mut karpenter, &mut truth, |nodes| {
        run.has_ended()?;
        let is_undisturbed =
            |node: &&Value| node["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true";
        let waiting: Vec<&Value> = nodes.iter().filter(is_undisturbed).collect();
        if aged.is_none() && waiting.len() < fleet.nodes as usize / 2 {
            let node = waiting.last().and_then(|node| node["metadata"]["name"].as_str()).context("a node")?;
            let pods =
                api.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods?fieldSelector=spec.nodeName={node}"))?;
            let pod = lab::kubernetes::api::pod_path(pods.first().context("a pod")?);
            let annotation =
                json!({ "metadata": { "annotations": { "karpenter.sh/do-not-disrupt": "true" } } });
            api.client.patch(&pod, lab::kubernetes::MERGE, &annotation)?.object()?;
            Karpenter::age(api, node, "10s")?;
            aged = Some(node.to_owned());
        }
        Ok(())
    })?;
    ensure!(aged.as_ref().is_some_and(|node| karpenter.is_unheld(node)), "{aged:?} has not expired");
    world.ensure_rotated(run, &truth, begin)?;
    world.ensure_each_moved_once(&truth, &karpenter, fleet.nodes)
}

/// The management cluster is the cluster itself, reached with another credential, which may do nothing but patch Machines.
fn hooks_on_machines_hold_nodes_until_their_turn() -> Result<()> {
    let world = World::new(1, Phase::New)?;
    let World { cluster, fleet, api, .. } = &world;
    let mut deployment = MachineDeployment::new(cluster, *fleet, world.allowed)?;
    let operator = world.operator()?;
    let hash = operator.plan()?;
    let kubeconfig = operator.file("management");
    fs::write(&kubeconfig, cluster.plane.kubeconfig(User::Component(MANAGER))?.to_string())?;
    let kubeconfig = kubeconfig.to_str().context("a path")?;
    let words = |context| {
        [
            "roll",
            "--plan",
            &hash[..12],
            "--management-context",
            context,
            "--management-kubeconfig",
            kubeconfig,
        ]
    };
    for (context, status, part) in [
        ("elsewhere", 78, "--management-context"),
        ("lab", 1, "patch machines.cluster.x-k8s.io in namespace fleets"),
    ] {
        let refused = operator.ends(&words(context), status)?;
        ensure!(refused.answer["problems"].to_string().contains(part), "{refused:#?}");
    }
    grant(cluster)?;

    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&words("lab"))?;
    until("a hook on each Machine", Duration::from_mins(30), || {
        run.goes_on()?;
        std::thread::sleep(Duration::from_millis(300));
        Ok((hooked(api)?.len() == fleet.nodes as usize).then_some(()))
    })?;
    let mut truth = Truth::new(cluster, *fleet, world.allowed);
    // The pipeline begins with a node that the plan has last.
    let last = fleet.members().last().context("nodes")?.name();
    delete_machine(api, &last)?;
    deployment.change_template()?;
    rotate(cluster, &mut deployment, &mut truth, |_| run.has_ended().map(drop))?;
    world.ensure_rotated(run, &truth, begin)?;
    world.ensure_each_moved_once(&truth, &deployment, fleet.nodes)?;
    ensure!(hooked(api)?.is_empty(), "hooks are left: {:?}", hooked(api)?);
    Ok(())
}

/// Nothing holds it: the run drains nothing meanwhile, and ends when all old nodes are gone and the new ones are proven.
fn a_managed_node_group_is_followed() -> Result<()> {
    let world = World::new(1, Phase::New)?;
    let World { cluster, fleet, .. } = &world;
    let most = world.allowed;
    let mut group = NodeGroup::new(cluster, *fleet, most)?;
    let operator = world.operator()?;
    let hash = operator.plan()?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&["roll", "--plan", &hash[..12]])?;
    // No node shows that the run has begun.
    until("the run", Duration::from_mins(10), || {
        run.goes_on()?;
        let maps = world.api.list("/api/v1/namespaces/crossfade/configmaps")?;
        Ok(maps.iter().any(|map| map["metadata"]["name"] == "crossfade-run").then_some(()))
    })?;
    group.update();
    let mut truth = Truth::new(cluster, *fleet, most);
    rotate(cluster, &mut group, &mut truth, |_| run.has_ended().map(drop))?;
    world.ensure_rotated(run, &truth, begin)?;
    let burst = most.max(2 * fleet.zones);
    ensure!(
        group.launches() == (fleet.nodes + burst) as usize,
        "{} machines were launched",
        group.launches()
    );
    Ok(())
}

/// The first new instance never works and is abandoned, and the first call of the terminating hook is interrupted.
fn an_instance_refresh_waits_for_permits() -> Result<()> {
    let world = World::new(1, Phase::New)?;
    let World { cluster, fleet, .. } = &world;
    let operator = world.operator()?;
    let hash = operator.plan()?;
    let hook = operator.pipeline(&cluster.plane)?;
    let mut group = ScalingGroup::new(cluster, *fleet, &hook, world.allowed)?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&["roll", "--plan", &hash[..12]])?;
    until_waiting(&world.api, *fleet, || run.goes_on())?;
    group.refresh();
    let mut truth = Truth::new(cluster, *fleet, world.allowed);
    rotate(cluster, &mut group, &mut truth, |_| run.has_ended().map(drop))?;
    world.ensure_rotated(run, &truth, begin)?;
    // One of them was abandoned.
    world.ensure_each_moved_once(&truth, &group, fleet.nodes + 1)?;
    let gone = fleet.members().next().context("nodes")?.name();
    hook.ends(&["permit", &gone], 3).map(drop)
}

/// In place, the new network joins the pods that run. Their nodes are replaced by those of an image in `both-new`, and the old network leaves.
fn networks_join_and_leave_around_one_rotation() -> Result<()> {
    let world = World::new(1, Phase::BothNew)?;
    let World { cluster, fleet, .. } = &world;
    let operator = world.operator()?;
    let hash = operator.plan()?;
    let hook = operator.pipeline(&cluster.plane)?;
    let mut group = ScalingGroup::new(cluster, *fleet, &hook, world.allowed)?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&["roll", "--plan", &hash[..12]])?;
    let mut truth = Truth::new(cluster, *fleet, world.allowed);
    until_waiting(&world.api, *fleet, || run.goes_on())?;
    for node in world.api.list("/api/v1/nodes")? {
        ensure!(node["metadata"]["labels"]["crossfade/phase"] == "both-old", "{}", node["metadata"]);
    }
    world.cluster.ensure_all_on(NAMESPACE, world.pods, "old")?;
    group.refresh();
    rotate(cluster, &mut group, &mut truth, |_| run.has_ended().map(drop))?;
    world.ensure_rotated(run, &truth, begin)?;
    world.ensure_each_moved_once(&truth, &group, fleet.nodes + 1)
}

/// Binds the rights of `deploy/cluster/rbac-management.yaml` as its head says.
fn grant(cluster: &Cluster) -> Result<()> {
    let file = dist::workspace().join("deploy/cluster/rbac-management.yaml");
    let user = format!("--user={MANAGER}");
    let role = ["create", "rolebinding", "crossfade-management", "--clusterrole=crossfade-management", &user];
    for words in
        [vec!["apply", "-f", file.to_str().context("a path")?], [&["-n", MANAGED[0]], &role[..]].concat()]
    {
        lab::host::command::run(&mut cluster.plane.kubectl(&words)?)?;
    }
    Ok(())
}
