//! A stand-in for Karpenter: it replaces nodes that have drifted, ends those that have expired, and launches machines for pods that find no node.
//!
//! *Source*: Karpenter 1.14: `pkg/controllers/disruption` (one command in a pass, the queue waits until all replacements are initialised, and gives up after ten
//! minutes), `pkg/controllers/nodeclaim/expiration` (a claim is deleted whatever budgets and its Node say), `pkg/controllers/node/termination`,
//! `pkg/controllers/provisioning/scheduling` (pods of nodes that go count as pending; a taint that is neither known nor declared keeps them from a node that starts).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    AGENT, Cluster, Fleet, MERGE, Machines, Nodes, Pipeline, define, is_movable, is_up, name, named, taints,
};
use crate::kubernetes::Api;
use crate::kubernetes::api::{condition, pod_path};

const CLAIMS: &str = "/apis/karpenter.sh/v1/nodeclaims";
const POOL: &str = "web";
const POOLS: &str = "/apis/karpenter.sh/v1/nodepools/web";
const CLASS: &str = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses/web";
const UNDISTURBED: &str = "karpenter.sh/do-not-disrupt";
const DISRUPTED: &str = "karpenter.sh/disrupted";
const DRIFTED: &str = "Drifted";
const FINALIZER: &str = "karpenter.sh/termination";
/// A replacement that is not initialised by then is given up.
const GIVE_UP: Duration = Duration::from_mins(10);
/// What a hollow node has, in millicores.
const CORES: u64 = 64_000;

/// Karpenter with a single NodePool.
#[derive(Debug)]
pub struct Karpenter<'a> {
    machines: Machines<'a>,
    /// Old nodes whose replacements are under way.
    commands: Vec<Replacement>,
    /// Nodes whose claims are deleted.
    going: BTreeSet<String>,
    expired: BTreeSet<String>,
}

#[derive(Debug)]
struct Replacement {
    old: String,
    new: Vec<String>,
    since: Instant,
}

/// What Karpenter knows in one look.
struct State<'n> {
    nodes: Nodes<'n>,
    /// By the names of their nodes.
    claims: BTreeMap<String, Value>,
    /// By the names of their nodes; those that have none under an empty name.
    pods: BTreeMap<String, Vec<Value>>,
    declared: Vec<String>,
}

impl<'a> Karpenter<'a> {
    /// Takes over a fleet, whose nodes are of the image `ami-old`. At most so many nodes are disrupted at once.
    ///
    /// # Errors
    /// What the API server says.
    pub fn new(cluster: &'a Cluster, fleet: Fleet, budget: u32) -> Result<Self> {
        let machines = Machines::new(cluster, fleet)?;
        let api = &machines.api;
        for (group, kind) in [
            ("karpenter.sh", "NodePool"),
            ("karpenter.sh", "NodeClaim"),
            ("karpenter.k8s.aws", "EC2NodeClass"),
        ] {
            define(api, [group, "v1", kind], "Cluster")?;
        }
        let class = json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": POOL },
            "spec": {}, "status": { "amis": [{ "id": "ami-old" }] },
        });
        let pool = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": POOL },
            "spec": {
                "disruption": { "budgets": [
                    { "nodes": budget.to_string() }, { "nodes": "0", "reasons": ["Empty", "Underutilized"] },
                ] },
                "template": { "spec": {
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": POOL },
                    "expireAfter": "720h", "startupTaints": [{ "key": AGENT, "effect": "NoSchedule" }],
                } },
            },
        });
        api.client.create("/apis/karpenter.k8s.aws/v1/ec2nodeclasses", &class)?.object()?;
        api.client.create("/apis/karpenter.sh/v1/nodepools", &pool)?.object()?;
        let karpenter =
            Self { machines, commands: Vec::new(), going: BTreeSet::new(), expired: BTreeSet::new() };
        for node in &karpenter.machines.old {
            karpenter.claim(node, "ami-old")?;
            karpenter.initialize(node)?;
        }
        Ok(karpenter)
    }

    /// Selects the new image, so that every node drifts.
    ///
    /// # Errors
    /// What the API server says.
    pub fn select_image(api: &Api) -> Result<()> {
        let status = json!({ "status": { "amis": [{ "id": "ami-new" }] } });
        api.client.patch(CLASS, MERGE, &status)?.object().map(drop)
    }

    /// Makes a node as old as it may get. Pods that are not to be disrupted are ended so long after that.
    ///
    /// # Errors
    /// What the API server says.
    pub fn age(api: &Api, node: &str, grace: &str) -> Result<()> {
        let spec = json!({ "spec": { "expireAfter": "1s", "terminationGracePeriod": grace } });
        api.client.patch(&format!("{CLAIMS}/c-{node}"), MERGE, &spec)?.object().map(drop)
    }

    fn claim(&self, node: &str, image: &str) -> Result<Value> {
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": {
                "name": format!("c-{node}"), "labels": { "karpenter.sh/nodepool": POOL }, "finalizers": [FINALIZER],
            },
            "spec": { "expireAfter": "720h" },
            "status": { "imageID": image, "nodeName": node, "providerID": format!("aws:///z/{node}") },
        });
        self.machines.api.client.create(CLAIMS, &claim)?.object()
    }

    fn initialize(&self, node: &str) -> Result<()> {
        self.machines.patch(node, &json!({ "metadata": {
            "labels": {
                "karpenter.sh/nodepool": POOL, "karpenter.sh/registered": "true", "karpenter.sh/initialized": "true",
            },
            "finalizers": [FINALIZER],
        } }))
    }

    /// Ends a claim, and with it its node.
    fn delete(&self, node: &str) -> Result<()> {
        self.machines.settled(self.machines.api.client.delete(&format!("{CLAIMS}/c-{node}"))?)
    }

    fn launch(&mut self, like: &str, state: &mut State<'_>) -> Result<String> {
        let node = self.machines.launch(like, super::Boot::Begun)?;
        let claim = self.claim(&node, "ami-new")?;
        state.claims.insert(node.clone(), claim);
        Ok(node)
    }

    /// Nodes that go, or are about to.
    fn leaving(&self) -> BTreeSet<String> {
        self.going.iter().cloned().chain(self.commands.iter().map(|command| command.old.clone())).collect()
    }

    /// Ends claims that have reached their age, whatever holds their nodes.
    fn expire(&mut self, state: &State<'_>) -> Result<()> {
        for (node, claim) in &state.claims {
            let limit: SignedDuration =
                claim["spec"]["expireAfter"].as_str().context("expireAfter")?.parse()?;
            if !self.going.contains(node) && since(&claim["metadata"]["creationTimestamp"])? >= limit {
                self.expired.insert(node.clone());
                self.delete(node)?;
            }
        }
        Ok(())
    }

    /// Drains nodes whose claims are deleted, and takes the empty ones away.
    fn terminate(&mut self, state: &State<'_>) -> Result<()> {
        for (node, claim) in &state.claims {
            let deleted = &claim["metadata"]["deletionTimestamp"];
            if deleted.is_null() {
                continue;
            }
            self.going.insert(node.clone());
            if state.nodes.get(node.as_str()).is_some_and(|object| is_staying(object)) {
                self.machines.taint(node, DISRUPTED, "NoSchedule")?;
                // Its finalizer keeps the Node until it is empty.
                self.machines.end(node)?;
            }
            let grace = claim["spec"]["terminationGracePeriod"].as_str();
            let is_over = grace.map(|grace| Ok::<_, anyhow::Error>(since(deleted)? >= grace.parse()?));
            let pods: Vec<&Value> = state.pods_on(node).filter(|pod| is_movable(pod)).collect();
            for pod in pods.iter().filter(|pod| is_staying(pod)) {
                if is_over.as_ref().is_some_and(|is_over| matches!(is_over, Ok(true))) {
                    self.machines.settled(self.machines.api.client.delete(&pod_path(pod))?)?;
                } else if !is_undisturbed(pod) {
                    self.machines.evict(pod)?;
                }
            }
            if pods.is_empty() {
                let patch = json!({ "metadata": { "finalizers": null } });
                self.machines.patch(node, &patch)?;
                let claim = format!("{CLAIMS}/c-{node}");
                self.machines.settled(self.machines.api.client.patch(&claim, MERGE, &patch)?)?;
            }
        }
        self.going.retain(|node| state.claims.contains_key(node));
        Ok(())
    }

    /// Goes on with replacements: an old claim is deleted when the new nodes are initialised.
    fn replace(&mut self, state: &State<'_>) -> Result<()> {
        for command in std::mem::take(&mut self.commands) {
            let is_there =
                |node: &String| state.nodes.get(node.as_str()).is_some_and(|node| is_initialized(node));
            if command.new.iter().all(is_there) {
                self.delete(&command.old)?;
                self.going.insert(command.old);
            } else if command.since.elapsed() > GIVE_UP {
                self.machines.untaint(&command.old, DISRUPTED)?;
            } else {
                self.commands.push(command);
            }
        }
        Ok(())
    }

    /// Launches machines for pods that find no node.
    fn provide(&mut self, state: &mut State<'_>) -> Result<()> {
        for _ in 0..state.shortage(&self.leaving()) {
            let like = self.machines.old.first().cloned().unwrap_or_default();
            self.launch(&like, state)?;
        }
        Ok(())
    }

    /// Marks the claims whose nodes are not of the image that the class names.
    fn mark_drift(&self, state: &mut State<'_>) -> Result<()> {
        let image = self.machines.api.get(CLASS)?["status"]["amis"][0]["id"].clone();
        for (node, claim) in &mut state.claims {
            if claim["status"]["imageID"] == image || condition(claim, DRIFTED) == "True" {
                continue;
            }
            let conditions = json!([{ "type": DRIFTED, "status": "True", "reason": "AMIDrift" }]);
            let patch = json!({ "status": { "conditions": conditions } });
            let path = format!("{CLAIMS}/c-{node}");
            self.machines.settled(self.machines.api.client.patch(&path, MERGE, &patch)?)?;
            claim["status"]["conditions"] = conditions;
        }
        Ok(())
    }

    /// Begins with one drifted node, if the budget allows it: an empty one first, else the one that drifted first. Says whether there was one.
    fn disrupt(&mut self, state: &mut State<'_>) -> Result<bool> {
        let api = &self.machines.api;
        let budget: usize = api.get(POOLS)?["spec"]["disruption"]["budgets"][0]["nodes"]
            .as_str()
            .context("a budget")?
            .parse()?;
        let mut leaving = self.leaving();
        let unready =
            state.nodes.iter().filter(|(name, node)| !leaving.contains(**name) && !is_initialized(node));
        if leaving.len() + unready.count() >= budget {
            return Ok(false);
        }
        let mut candidates = Vec::new();
        for (node, claim) in &state.claims {
            let Some(object) = state.nodes.get(node.as_str()).filter(|object| is_initialized(object)) else {
                continue;
            };
            let pods = || state.pods_on(node).filter(|pod| is_staying(pod) && is_movable(pod));
            let refuses = object["metadata"]["annotations"][UNDISTURBED] == "true"
                || claim["spec"]["terminationGracePeriod"].is_null() && pods().any(is_undisturbed);
            if condition(claim, DRIFTED) == "True" && !leaving.contains(node) && !refuses {
                candidates.push((pods().count() > 0, node.clone()));
            }
        }
        let Some((_, old)) = candidates.into_iter().min() else { return Ok(false) };
        leaving.insert(old.clone());
        let needed = state.shortage(&leaving);
        self.machines.taint(&old, DISRUPTED, "NoSchedule")?;
        let new = (0..needed).map(|_| self.launch(&old, state)).collect::<Result<_>>()?;
        self.commands.push(Replacement { old, new, since: Instant::now() });
        Ok(true)
    }

    fn state<'n>(&self, nodes: &'n [Value]) -> Result<State<'n>> {
        let api = &self.machines.api;
        let node =
            |claim: Value| (claim["status"]["nodeName"].as_str().unwrap_or_default().to_owned(), claim);
        let pool = api.get(POOLS)?;
        let declared =
            pool["spec"]["template"]["spec"]["startupTaints"].as_array().cloned().unwrap_or_default();
        let mut pods: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for pod in api.list("/api/v1/pods")? {
            pods.entry(pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned())
                .or_default()
                .push(pod);
        }
        Ok(State {
            nodes: named(nodes),
            claims: api.list(CLAIMS)?.into_iter().map(node).collect(),
            pods,
            declared: declared.iter().filter_map(|taint| taint["key"].as_str().map(str::to_owned)).collect(),
        })
    }
}

impl Pipeline for Karpenter<'_> {
    fn advance(&mut self, nodes: &[Value]) -> Result<()> {
        self.machines.lift(nodes)?;
        for node in nodes.iter().filter(|node| is_up(node) && !is_initialized(node)) {
            self.initialize(name(node))?;
        }
        let mut state = self.state(nodes)?;
        self.expire(&state)?;
        self.replace(&state)?;
        self.terminate(&state)?;
        self.provide(&mut state)?;
        self.mark_drift(&mut state)?;
        // A pass each, which Karpenter makes ten seconds apart.
        while self.disrupt(&mut state)? {}
        Ok(())
    }

    fn draining(&self) -> BTreeSet<String> {
        self.leaving()
    }

    fn is_unheld(&self, node: &str) -> bool {
        self.expired.contains(node)
    }

    fn is_done(&self, nodes: &[Value]) -> bool {
        self.leaving().is_empty() && self.machines.are_replaced(nodes)
    }

    fn launches(&self) -> usize {
        self.machines.new.len()
    }
}

impl State<'_> {
    fn pods_on(&self, node: &str) -> impl Iterator<Item = &Value> {
        self.pods.get(node).into_iter().flatten()
    }

    /// How many new nodes it takes for pods that find no node, and for those of nodes that leave.
    fn shortage(&self, leaving: &BTreeSet<String>) -> usize {
        let needs_room = |pod: &&Value| {
            let node = pod["spec"]["nodeName"].as_str();
            let is_pending = || condition(pod, "PodScheduled") == "False";
            is_staying(pod) && is_movable(pod) && node.map_or_else(is_pending, |node| leaving.contains(node))
        };
        let pods: Vec<u64> = self.pods.values().flatten().filter(needs_room).map(cores).collect();
        shortage(&pods, self.rooms(leaving))
    }

    /// What each node has free for pods that nodes leave which go. One that starts counts, unless a taint keeps pods from it that is neither known nor declared.
    fn rooms(&self, leaving: &BTreeSet<String>) -> Vec<u64> {
        let is_barred = |node: &Value| {
            let is_starting = !is_initialized(node);
            let passes = |key: &str| {
                is_starting
                    && (key.starts_with("readiness.k8s.io/")
                        || self.declared.iter().any(|known| known == key))
            };
            taints(node).iter().any(|taint| {
                taint["effect"] != "PreferNoSchedule" && !passes(taint["key"].as_str().unwrap_or_default())
            })
        };
        let used = |node: &str| self.pods_on(node).filter(|pod| is_staying(pod)).map(cores).sum();
        let goes = |node: &str, claim: &Value| {
            leaving.contains(node) || !claim["metadata"]["deletionTimestamp"].is_null()
        };
        let free = |(node, claim): (&String, &Value)| {
            // One that has not registered yet is empty.
            let is_closed = self.nodes.get(node.as_str()).is_some_and(|object| is_barred(object));
            (!goes(node, claim) && !is_closed).then(|| CORES.saturating_sub(used(node)))
        };
        self.claims.iter().filter_map(free).collect()
    }
}

/// How many new nodes pods need that these rooms do not take.
fn shortage(pods: &[u64], mut rooms: Vec<u64>) -> usize {
    let there = rooms.len();
    for cores in pods {
        match rooms.iter_mut().find(|room| **room >= *cores) {
            Some(room) => *room -= cores,
            None => rooms.push(CORES.saturating_sub(*cores)),
        }
    }
    rooms.len() - there
}

/// What the containers of a pod request, in millicores.
fn cores(pod: &Value) -> u64 {
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let request = |container: &Value| {
        let cpu = container["resources"]["requests"]["cpu"].as_str().unwrap_or("0");
        cpu.strip_suffix('m')
            .map_or_else(|| cpu.parse::<u64>().map(|cores| cores * 1_000), str::parse)
            .unwrap_or_default()
    };
    containers.iter().map(request).sum()
}

fn is_staying(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_undisturbed(pod: &Value) -> bool {
    pod["metadata"]["annotations"][UNDISTURBED] == "true"
}

fn is_initialized(node: &Value) -> bool {
    node["metadata"]["labels"]["karpenter.sh/initialized"] == "true"
}

/// How long ago a time of the API server was.
fn since(time: &Value) -> Result<SignedDuration> {
    let time: Timestamp = time.as_str().context("a time")?.parse()?;
    Ok(Timestamp::now().duration_since(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_need_as_many_nodes_as_do_not_fit() {
        for (pods, rooms, expected) in [
            (&[30_000, 30_000][..], &[][..], 1),
            (&[30_000, 30_000, 30_000], &[], 2),
            (&[30_000, 30_000], &[4_000, 30_000], 1),
            (&[30_000, 30_000], &[64_000], 0),
            (&[0], &[0], 0),
            (&[], &[], 0),
        ] {
            assert_eq!(shortage(pods, rooms.to_vec()), expected, "{pods:?} {rooms:?}");
        }
    }

    #[test]
    fn a_starting_node_takes_pods_later_if_its_taint_is_known() {
        let node = |key: &str, labels: Value| json!({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}});
        let claims = BTreeMap::from([("n".to_owned(), json!({}))]);
        for (node, declared, expected) in [
            (node("readiness.k8s.io/crossfade", json!({})), "", 1),
            (node("lab/agent", json!({})), "", 0),
            (node("lab/agent", json!({})), "lab/agent", 1),
            (node("lab/agent", json!({"karpenter.sh/initialized": "true"})), "lab/agent", 0),
        ] {
            let nodes = [node];
            let state = State {
                nodes: named(&nodes),
                claims: claims.clone(),
                pods: BTreeMap::new(),
                declared: vec![declared.to_owned()],
            };
            assert_eq!(state.rooms(&BTreeSet::new()).len(), expected, "{nodes:?} {declared}");
            assert_eq!(state.rooms(&BTreeSet::from(["n".to_owned()])), [0; 0]);
        }
    }
}
