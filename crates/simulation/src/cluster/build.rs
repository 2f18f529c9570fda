//! Builds a cluster: nodes, what runs on them, and how each pod is attached before anything happens. A snapshot's cluster is built the same way, by
//! `likeness`.

mod likeness;

use std::collections::BTreeSet;

use migration::roll::world::{self, Color, Condition, Owner, Trait};
use migration::workload::capacity::Request;
use snapshot::model::Text;
use types::policy::{Phase, Side};

use crate::cluster::truth::{Attachment, Gate, Machine, Node, Pod, Truth, Workload};
use crate::cluster::{controllers, watch};
use crate::history::queue::{Millis, SECOND};

/// A node to be built.
#[derive(Debug, Clone)]
pub(crate) struct NodeBlueprint {
    pub(crate) name: Text,
    pub(crate) zone: Text,
    pub(crate) pool: Text,
    /// The phase of its policy, and of its image.
    pub(crate) phase: Phase,
    /// The policy without its phase.
    pub(crate) base: Text,
    /// The networks that join and leave its pods while these run.
    pub(crate) joins: Vec<Side>,
    /// What it says that pods may request of it in sum.
    pub(crate) offers: Request,
    /// What fits on it beside the pods of DaemonSets.
    pub(crate) room: Request,
}

/// What a workload is made as.
#[derive(Debug, Clone)]
pub(crate) struct WorkloadBlueprint {
    /// Its kind and name.
    pub(crate) owner: Owner,
    /// How many pods it wants; without meaning for DaemonSets.
    pub(crate) replicas: u32,
    /// What holds of each of its pods.
    pub(crate) traits: BTreeSet<Trait>,
    /// What each of its pods requests.
    pub(crate) request: Request,
    /// How long its pods take to become Ready.
    pub(crate) start: Millis,
    /// How long its pods take to end.
    pub(crate) grace: Millis,
    /// How long a pod of a Job works.
    pub(crate) lasts: Option<Millis>,
}

impl Truth {
    /// Adds a node whose kubelet has not registered yet.
    pub(crate) fn add_node(&mut self, built: &NodeBlueprint) -> usize {
        let index = self.nodes.len();
        let NodeBlueprint { name, zone, pool, phase, base, joins, offers, room } = built.clone();
        let machine = Machine {
            phase,
            has_crossfade: true,
            image: phase,
            image_base: base.clone(),
            base,
            follows: Phase::ALL.to_vec(),
            joins,
            is_joining: false,
            hangs_until: 0,
            boot: (index as u64) << 20,
            is_up: true,
            is_connected: true,
            turn: 0,
            has_watch: true,
            watch_ended: None,
            is_publishing: false,
            flip: 0,
            works_from: 0,
            leftovers: Vec::new(),
            flipped: 0,
            misjudged: None,
            forgets: BTreeSet::new(),
        };
        let api = world::Node {
            uid: Text::from(format!("node-{index}")),
            version: Text::from("0"),
            zone,
            pool,
            offers,
            boot: Text::from(watch::boot(machine.boot)),
            ..world::Node::default()
        };
        self.nodes.push(Node {
            api,
            name,
            pool: built.pool.clone(),
            version: 0,
            gone_at: None,
            undisturbed_by: None,
            capi: None,
            capi_changed: 0,
            cordoned_by: None,
            forged: None,
            troubled: None,
            is_lured: false,
            down_since: None,
            shut_since: None,
            going_since: None,
            booted_at: None,
            surprise: None,
            created_at: 0,
            published_at: (0, 0),
            agent_lost: None,
            claimed: 0,
            unclaimed: 0,
            resumed: 0,
            drained: 0,
            opened: 0,
            released: 0,
            is_drifted: false,
            drift_changed: 0,
            uncordoned_at: 0,
            room,
            requested: Request::default(),
            pods: BTreeSet::new(),
            machine,
        });
        index
    }

    /// Adds a workload without its pods.
    pub(crate) fn add_workload(&mut self, blueprint: WorkloadBlueprint) -> usize {
        self.workloads.push(Workload {
            blueprint,
            refuses: false,
            agent_of: None,
            evicted: Vec::new(),
            is_over: false,
            pods: BTreeSet::new(),
            is_awake: false,
            status: world::Availability::default(),
            is_counting: false,
            short: None,
        });
        self.workloads.len() - 1
    }

    /// Adds a pod that nothing makes again.
    pub(crate) fn add_pod(&mut self, name: &str, owner: Option<Owner>, traits: BTreeSet<Trait>) -> u32 {
        self.created_pods += 1;
        let id = self.created_pods;
        let api = world::Pod {
            namespace: "default".into(),
            name: name.into(),
            uid: controllers::uid(id),
            node: Text::default(),
            owner,
            traits,
        };
        self.pods.insert(id, Pod { start: 2 * SECOND, ..Pod::from_api(api) });
        id
    }

    /// Adds a gate that is green.
    pub(crate) fn add_gate(&mut self, name: &str, every: Millis) {
        self.gates.push(Gate { name: name.to_owned(), every, color: Some(Color::Green) });
    }

    /// Brings everything to rest: nodes are Ready and say what they are, and every pod runs.
    pub(crate) fn settle(&mut self) {
        for node in &mut self.nodes {
            node.api.is_ready = true;
        }
        for workload in 0..self.workloads.len() {
            let daemon = &*self.workloads[workload].blueprint.owner.kind == "DaemonSet";
            let replicas =
                if daemon { self.nodes.len() } else { self.workloads[workload].blueprint.replicas as usize };
            for ordinal in 0..replicas {
                if daemon && !self.has_daemon(workload, ordinal) {
                    continue;
                }
                let id = self.make(workload, u32::try_from(ordinal).unwrap_or_default());
                self.settle_pod(id, daemon.then_some(ordinal));
            }
        }
        let alone: Vec<u32> =
            self.pods.iter().filter(|(_, pod)| pod.workload.is_none()).map(|(id, _)| *id).collect();
        alone.into_iter().for_each(|id| self.settle_pod(id, None));
        self.publish_status();
    }

    /// Workloads say how many of their pods are ready, and nodes what they are.
    pub(crate) fn publish_status(&mut self) {
        for index in 0..self.workloads.len() {
            self.workloads[index].status = self.available(index);
        }
        for index in
            (0..self.nodes.len()).filter(|index| self.nodes[*index].machine.has_crossfade).collect::<Vec<_>>()
        {
            let observed = self.observe(index);
            let node = &mut self.nodes[index];
            node.api.label = observed.phase;
            node.api.crossfade = Some(Condition { is_true: true, message: Text::default() });
            node.api.observed = Some(observed);
        }
    }

    /// A pod that has run for long: on its node if it has one, else on the best one.
    fn settle_pod(&mut self, id: u32, node: Option<usize>) {
        let Some(node) = node.or_else(|| self.node_for(id)) else {
            self.pending.insert(id);
            return;
        };
        let (name, phase) = (self.nodes[node].name.clone(), self.nodes[node].machine.phase);
        self.place(id, node);
        let Some(pod) = self.pods.get_mut(&id) else { return };
        (pod.node, pod.api.node, pod.sandbox) = (Some(node), name, 1);
        pod.api.traits.insert(Trait::Ready);
        pod.attached = pod.has_network().then_some(Attachment::new(phase, 0));
    }
}
