//! Builds the cluster of a snapshot, as far as a run can see it.
//!
//! What a snapshot does not tell is drawn: how long pods take to start and to end, and how long Jobs work. Every node takes pods up to what it says that they
//! may request, and a DaemonSet has a pod on every node.

use std::collections::{BTreeMap, BTreeSet};

use migration::check::Scene;
use migration::drive::objects::{self, PodClassifier};
use migration::plan::{Agent, Plan};
use migration::roll::world::{self, Trait};
use migration::workload::capacity::{Request, barring};
use migration::workload::{Requests, owner, platform, pool_of};
use snapshot::model::{self, Text};
use types::api::observed::{self, NodeObservation};
use types::policy::Side;

use super::{NodeBlueprint, WorkloadBlueprint};
use crate::cluster::truth::{Actor, Budget, Truth};
use crate::draw::random::Random;
use crate::draw::{Choice, Scenario, rotation};
use crate::history::queue::{MINUTE, SECOND};

/// How many pods kubelet runs where a node does not say it. *Source*: Kubernetes 1.33, kubelet's `maxPods`.
const PODS: u128 = 110;
/// What fits on a node of a resource of which it says nothing: more than any cluster has.
const ANY: u128 = 1 << 100;

/// What fits on a node that offers this.
fn offered_or_any(offers: Request) -> Request {
    let or = |offered: u128, any: u128| if offered == 0 { any } else { offered };
    Request {
        cpu: or(offers.cpu, ANY),
        memory: or(offers.memory, ANY),
        pods: or(offers.pods, Request::POD.times(PODS).pods),
    }
}

impl Scenario {
    /// The cluster of a scene, and a plan for it. The seed decides what is drawn and, with the choice, what goes wrong.
    #[must_use]
    pub fn like(scene: &Scene<'_>, plan: &Plan, seed: u64, choice: Choice) -> Self {
        let mut likeness = Likeness {
            truth: Truth { is_open: true, ..Truth::default() },
            random: Random::new(seed),
            nodes: BTreeMap::new(),
            workloads: BTreeMap::new(),
            requests: Requests::default(),
        };
        likeness.nodes(scene, plan);
        likeness.pods(scene, &PodClassifier::from_plan(plan));
        for gate in &plan.gates {
            likeness.truth.add_gate(&gate.name, u64::from(gate.every_seconds) * SECOND);
        }
        rotation::pipelines(&mut likeness.random, &mut likeness.truth, plan, 0);
        rotation::machines(&mut likeness.truth);
        likeness.truth.publish_status();
        let agents = likeness.agents(plan);
        Self::new(likeness.truth, Plan { agents, ..plan.clone() }, seed, choice)
    }
}

/// A likeness in the making.
struct Likeness {
    truth: Truth,
    random: Random,
    /// Places of nodes by name.
    nodes: BTreeMap<Text, usize>,
    /// Places of workloads.
    workloads: BTreeMap<world::Owner, usize>,
    requests: Requests,
}

impl Likeness {
    fn nodes(&mut self, scene: &Scene<'_>, plan: &Plan) {
        let mut daemons: BTreeMap<&str, Request> = BTreeMap::new();
        for pod in scene.snapshot.pods.iter().filter(|pod| owner(pod).kind == "DaemonSet") {
            *daemons.entry(&pod.spec.node_name).or_default() += self.requests.read(&pod.spec);
        }
        for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
            let message = node.metadata.annotation(observed::KEY);
            let is_plain = message.is_none() && plan.rotates(pool_of(scene, node));
            let observed: NodeObservation =
                message.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let policy = plan.policies.first().cloned().unwrap_or_default();
            let offers = Request::from_resources(&node.status.allocatable);
            let daemons = daemons.get(node.name()).copied().unwrap_or_default();
            let index = self.truth.add_node(&NodeBlueprint {
                name: node.metadata.name.clone(),
                zone: node.zone().into(),
                pool: pool_of(scene, node).into(),
                phase: observed.phase.unwrap_or(plan.start),
                base: Text::from(observed.base.unwrap_or(policy)),
                joins: observed.joins,
                offers,
                room: offered_or_any(offers).subtract(daemons),
            });
            let new_node = &mut self.truth.nodes[index];
            new_node.api.uid = node.metadata.uid.clone();
            new_node.api.is_ready = true;
            (new_node.machine.has_crossfade, new_node.machine.has_watch) = (!is_plain, !is_plain);
            new_node.api.taints = barring(node).into_iter().map(Text::from).collect();
            if !observed.follows.is_empty() {
                new_node.machine.follows = observed.follows;
            }
            if node.spec.unschedulable {
                (new_node.api.is_cordoned, new_node.cordoned_by) = (true, Some(Actor::Other));
            }
            self.nodes.insert(node.metadata.name.clone(), index);
        }
    }

    fn pods(&mut self, scene: &Scene<'_>, about: &PodClassifier) {
        let budgets = &scene.snapshot.budgets;
        let mut selected: Vec<Option<usize>> = vec![None; budgets.len()];
        for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
            let node = self.nodes.get(&pod.spec.node_name).copied();
            if node.is_none() && !pod.spec.node_name.is_empty() {
                // Its node has no Crossfade.
                continue;
            }
            let read = objects::pod_of(pod, about);
            let made_by = read.owner.clone().filter(|owner| &*owner.kind != "Node");
            let request = self.requests.read(&pod.spec);
            let workload = made_by.map(|owner| self.workload(owner, &read, request));
            for (budget, index) in budgets.iter().zip(&mut selected) {
                let selects = |rule: &model::Selector| rule.selects(&pod.metadata.labels);
                let is_selected = budget.spec.selector.as_ref().is_some_and(selects);
                if index.is_none() && budget.metadata.namespace == pod.metadata.namespace && is_selected {
                    *index = workload;
                }
            }
            self.pod(pod, read, request, workload, node);
        }
        for (budget, workload) in budgets.iter().zip(selected) {
            if let Some(workload) = workload {
                let least = u32::try_from(budget.status.desired_healthy).unwrap_or_default();
                self.truth.budgets.push(Budget { workload, least });
            }
        }
    }

    /// The agents of a plan. One whose DaemonSet has no pod comes on no new node, and proves none.
    fn agents(&mut self, plan: &Plan) -> Vec<Agent> {
        let mut agents = plan.agents.clone();
        for agent in &mut agents {
            let owner = world::Owner {
                kind: "DaemonSet".into(),
                namespace: agent.namespace.clone(),
                name: agent.name.clone(),
            };
            agent.cni = agent.cni.filter(|_| self.workloads.contains_key(&owner));
            if let (Some(cni), Some(workload)) =
                (agent.cni.filter(|_| plan.is_final()), self.workloads.get(&owner))
            {
                let side = if cni == plan.to { Side::New } else { Side::Old };
                self.truth.workloads[*workload].agent_of = Some(side);
            }
        }
        agents
    }

    /// The workload that a pod is of, made with its first pod.
    fn workload(&mut self, owner: world::Owner, pod: &world::Pod, request: Request) -> usize {
        if let Some(index) = self.workloads.get(&owner) {
            return *index;
        }
        let passing =
            [Trait::Ready, Trait::Terminating, Trait::Unschedulable, Trait::Finished, Trait::OtherNetwork];
        let traits: BTreeSet<Trait> =
            pod.traits.iter().copied().filter(|pod_trait| !passing.contains(pod_trait)).collect();
        let lasts = (&*owner.kind == "Job").then(|| self.random.number_between(5, 90) * MINUTE);
        let index = self.truth.add_workload(WorkloadBlueprint {
            owner: owner.clone(),
            replicas: 0,
            traits,
            request,
            start: self.random.number_between(SECOND, 30 * SECOND),
            grace: self.random.number_between(SECOND, 30 * SECOND),
            lasts,
        });
        self.workloads.insert(owner, index);
        index
    }

    fn pod(
        &mut self,
        pod: &model::Pod,
        read: world::Pod,
        request: Request,
        workload: Option<usize>,
        node: Option<usize>,
    ) {
        let id = if let Some(workload) = workload {
            let controller = &mut self.truth.workloads[workload];
            let ordinal = pod.name().rsplit('-').next().and_then(|end| end.parse().ok());
            let ordinal = ordinal.unwrap_or(controller.blueprint.replicas);
            controller.blueprint.replicas += 1;
            self.truth.make(workload, ordinal)
        } else {
            let traits = read.traits.iter().copied().filter(|pod_trait| *pod_trait != Trait::Ready).collect();
            self.truth.add_pod(pod.name(), read.owner.clone(), traits)
        };
        if let Some(new_pod) = self.truth.pods.get_mut(&id) {
            (new_pod.api.name, new_pod.api.namespace) = (read.name, read.namespace);
            new_pod.request = request;
        }
        match node {
            Some(node) => self.truth.settle_pod(id, Some(node)),
            None => {
                self.truth.pending.insert(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use migration::cni::support::{Cni, Strategy};
    use migration::config::Config;
    use serde_json::{Value, json};
    use snapshot::model::Snapshot;

    use super::*;
    use crate::history::History;
    use crate::history::outcome::Outcome;
    use crate::tamper::Tamper;

    /// A rotation of three nodes.
    struct Rotation {
        snapshot: Snapshot,
        config: Config,
        plan: Plan,
    }

    impl Rotation {
        /// The plan, with these changes; each node is as `node` makes it.
        fn new(node: impl Fn(&str) -> Value, changes: Value) -> Self {
            let names = ["a", "b", "c"];
            let nodes = names.map(|name| serde_json::from_value(node(name)).expect("a node"));
            let planned =
                |name: &&str| json!({"name": name, "uid": format!("uid-{name}"), "pool": "blue", "why": ""});
            let planned: Vec<Value> = names.iter().map(planned).collect();
            let mut plan = json!({
                "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "rotation", "settings": "s",
                "start": "old", "passes": ["new"], "image": "new", "ways": ["replace"], "bridge": {"accepted": "so"},
                "waves": [{"name": "zone", "kind": "zone", "atOnce": 2, "soakSeconds": 0, "nodes": planned}],
                "leftOut": [], "pods": {}, "limits": {"inTransit": 2, "zonePercent": 100},
                "pools": [{"name": "blue", "nodes": 3, "zones": [""], "method": "cluster-api"}], "marginPercent": 10, "gates": [],
                "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []},
                "agents": [], "unenforced": [], "waivers": [],
            });
            for (key, value) in changes.as_object().expect("changes") {
                plan[key] = value.clone();
            }
            let mut config = Config::default();
            config.nodes.pool_labels = vec!["pool".into()];
            let snapshot = Snapshot { nodes: nodes.into(), ..Snapshot::default() };
            Self { snapshot, config, plan: serde_json::from_value(plan).expect("a plan") }
        }

        fn scenario(&self, seed: u64) -> Scenario {
            let (from, to, strategy) = (Cni::Calico, Cni::Cilium, Strategy::Rotation);
            let scene = Scene { snapshot: &self.snapshot, config: &self.config, from, to, strategy };
            Scenario::like(&scene, &self.plan, seed, Choice::Quiet)
        }

        /// What became of it.
        fn played(&self, seed: u64, tamper: Option<Tamper>) -> Outcome {
            History::new(self.scenario(seed), tamper).play()
        }
    }

    fn node(name: &str) -> Value {
        json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"pool": "blue"}}})
    }

    #[test]
    fn machines_of_cluster_api_wait_at_the_hook_of_the_run() {
        let rotation = Rotation::new(node, json!({}));
        for seed in 0..4 {
            let outcome = rotation.played(seed, None);
            assert_eq!(outcome.violations, []);
            let count = |what: &str| outcome.tally.times.get(what).copied();
            assert_eq!((count("a hook set"), count("a hook taken away")), (Some(3), Some(3)), "{seed}");
        }
    }

    /// Their agents and the addresses of their pods prove nodes of the final image. A pod that moves there from a node of the migration image has an address of the
    /// new network, whatever the one before it had.
    #[test]
    fn the_last_rotation_is_played_with_the_agents_of_the_cluster() {
        let observed =
            json!({"bootId": "b", "phase": "new", "base": "p", "mints": ["new"], "attached": {"new": 1}});
        let migrated = |name: &str| {
            let mut node = node(name);
            node["metadata"]["labels"]["crossfade/phase"] = "new".into();
            node["metadata"]["annotations"] = json!({"crossfade/observed": observed.to_string()});
            node["status"] = json!({"nodeInfo": {"bootID": "b"}, "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}});
            node
        };
        let pod = |kind: &str, name: &str, node: &str, ip: &str| {
            let pod = json!({
                "metadata": {"name": format!("{name}-{node}"), "namespace": "x", "uid": format!("{name}-{node}"),
                    "ownerReferences": [{"kind": kind, "name": name, "controller": true}]},
                "spec": {"nodeName": node, "hostNetwork": kind == "DaemonSet"},
                "status": {"phase": "Running", "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]},
            });
            serde_json::from_value(pod).expect("a pod")
        };
        let agent = |name: &str, cni: &str| json!({"namespace": "x", "name": name, "uid": "u", "generation": 1, "cni": cni});
        let mut last = Rotation::new(
            migrated,
            json!({
                "start": "new", "bridge": null, "policies": ["p"], "networks": {"old": ["10.1.0.0/16"], "new": ["10.2.0.0/16"]},
                "agents": [agent("calico-node", "calico"), agent("cilium", "cilium")],
                "pools": [{"name": "blue", "nodes": 3, "zones": [""], "method": "permit"}],
            }),
        );
        for node in ["a", "b", "c"] {
            let agents = ["calico-node", "cilium"].map(|name| pod("DaemonSet", name, node, "10.0.0.1"));
            last.snapshot.pods.extend(agents);
            last.snapshot.pods.push(pod("ReplicaSet", "web", node, "10.1.0.1"));
        }
        for seed in 0..4 {
            let outcome = last.played(seed, None);
            assert_eq!((outcome.violations, outcome.tally.holds), (vec![], BTreeMap::new()), "{seed}");
            let count = |what: &str| outcome.tally.times.get(what).copied();
            assert!(count("a node done") >= Some(3) && count("a run done") == Some(1), "{seed}");
        }
        let pods = last.scenario(0).truth.pods;
        assert!(pods.len() > 8 && pods.values().all(|pod| !pod.api.has_trait(Trait::OtherNetwork)));
        let is_noticed =
            |seed| last.played(seed, Some(Tamper::Agents)).violations.iter().any(|why| why.invariant == "R8");
        assert!((0..20).any(is_noticed), "each new node has to have its agent");
    }
}
