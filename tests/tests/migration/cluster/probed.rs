//! Runs between real networks whose pods probe each other throughout, over UDP and over TCP connections that stay open. A pod that is to go leaves the mesh
//! first, as a server takes leave of its clients; one that is ready enters it. So a probe that is lost was lost between two pods that lived.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::host::node::Node;
use lab::kubernetes::api::{WITHIN, condition, node_path};
use lab::kubernetes::operator::{CommandOutcome, Running};
use lab::kubernetes::{Api, Cluster, Operator, Worker, manifest};
use lab::probe::Mesh;
use lab::runtime::cri::{Cri, SandboxEntry};
use serde_json::{Value, json};

use super::join::let_join;
use super::real::{reset_settings, roll_limits};
use super::steps::{all_on, all_open, back, deploy_servers, ended, state};
use super::world::{NODES, cluster, in_namespace, real_agents};

/// The boot that follows the reboot.
const REBOOTED: &str = "5ec0b007-0000-4000-8000-000000000003";
/// How long a pod serves on when it is deleted, in seconds: long enough for the mesh to let it go.
const STAYS: u32 = 8;
/// An agent that is silent for so long is dead; agents speak every two seconds.
const SILENCE_MS: u64 = 20_000;
/// How often the pods are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often a pod probes each other one: four clusters share the machine.
const EVERY_MS: u64 = 400;
/// What the mesh must have had at the end, so that it has seen the run.
const PROBES: u64 = 10_000;

/// The pods of a namespace in a mesh, as they come and go.
pub(crate) struct Company<'a> {
    api: &'a Api,
    namespace: &'a str,
    /// Each node, with its runtime.
    hosts: Vec<(Node, Cri)>,
    mesh: Mesh,
    /// Names by UIDs.
    inside: BTreeMap<String, String>,
    /// Containers that a reboot has ended, though their pods do not say so yet.
    ended: BTreeSet<String>,
}

impl<'a> Company<'a> {
    /// Servers in the namespace that stay for a while when they are to go ([`super::steps::deploy_servers`]), all of them in a mesh.
    pub(crate) fn deploy(cluster: &Cluster, api: &'a Api, namespace: &'a str) -> Result<Company<'a>> {
        deploy_servers(api, namespace, &manifest::server_that_stays(STAYS))?;
        let host = |worker: &Worker| Ok((worker.node.clone(), Cri::new(&worker.containerd.socket())?));
        let mut company = Company {
            api,
            namespace,
            hosts: cluster.workers.iter().take(NODES.len()).map(host).collect::<Result<_>>()?,
            mesh: Mesh::new("old", SILENCE_MS).every(EVERY_MS),
            inside: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        company.gather()?;
        Ok(company)
    }

    fn pods(&self) -> Result<Vec<Value>> {
        self.api.list(&format!("/api/v1/namespaces/{}/pods", self.namespace))
    }

    /// Looks once, and rests: all pods that are to go leave, and one that is ready enters, since no pod that goes may wait for long.
    fn follow(&mut self) -> Result<()> {
        let pods = self.pods()?;
        for (uid, name) in self.inside.clone() {
            let pod = pods.iter().find(|pod| pod["metadata"]["uid"] == uid.as_str());
            let pod = pod.with_context(|| format!("{name} went sooner than it was to"))?;
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                self.retire(&uid)?;
            }
        }
        let enters = |pod: &&Value| {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            let container = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
            pod["metadata"]["deletionTimestamp"].is_null()
                && condition(pod, "Ready") == "True"
                && !self.inside.contains_key(uid)
                && !self.ended.contains(container)
        };
        pods.iter().find(enters).map_or(Ok(()), |pod| self.enter(pod))?;
        std::thread::sleep(LOOK);
        Ok(())
    }

    fn enter(&mut self, pod: &Value) -> Result<()> {
        let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
        let (name, uid) = (text("name"), text("uid"));
        let host = self.hosts.iter().find(|(node, _)| pod["spec"]["nodeName"] == node.name());
        let (node, cri) = host.with_context(|| format!("the node of {name}"))?;
        let is_its = |sandbox: &SandboxEntry| {
            sandbox.ready && sandbox.name == name && sandbox.namespace == self.namespace
        };
        // It may have begun to go since; and the runtime of a node that boots answers later.
        let Some(sandbox) = cri.list().ok().and_then(|all| all.into_iter().find(is_its)) else {
            return Ok(());
        };
        let Ok(status) = cri.status(&sandbox.id) else { return Ok(()) };
        let netns = node.outside(status.netns);
        let address = pod["status"]["podIP"].as_str().unwrap_or_default();
        let address = address.parse().with_context(|| format!("{name} publishes {address:?}"))?;
        self.mesh.enter(&name, &netns, &[address])?;
        self.inside.insert(uid, name);
        Ok(())
    }

    fn retire(&mut self, uid: &str) -> Result<()> {
        let Some(name) = self.inside.remove(uid) else { return Ok(()) };
        self.mesh.retire(&name)
    }

    /// Follows until something is so.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut so: impl FnMut(&Company<'_>) -> Result<Option<T>>,
    ) -> Result<T> {
        lab::host::deadline::until(what, WITHIN * 12, || {
            self.follow()?;
            so(self)
        })
        .with_context(|| format!("in the mesh: {:?}", self.inside.values()))
    }

    /// Waits until every pod of the namespace is in the mesh.
    fn gather(&mut self) -> Result<()> {
        self.until("all pods in the mesh", |company| {
            Ok((company.pods()?.len() == company.inside.len()).then_some(()))
        })
    }

    /// Takes all pods of a node out, which is about to lose its power.
    fn leave(&mut self, node: &str) -> Result<()> {
        for pod in self.pods()?.iter().filter(|pod| pod["spec"]["nodeName"] == node) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            self.retire(&text(&pod["metadata"]["uid"]))?;
            self.ended.insert(text(&pod["status"]["containerStatuses"][0]["containerID"]));
        }
        Ok(())
    }

    /// Follows a run to its end; then all pods of the namespace are in the mesh again.
    pub(crate) fn follow_run(
        &mut self,
        mut roll: Running,
        mut meanwhile: impl FnMut(&mut Company<'_>, &mut Running) -> Result<()>,
    ) -> Result<CommandOutcome> {
        self.mesh.phase("the run")?;
        let begun = std::time::Instant::now();
        while !roll.has_ended()? {
            ensure!(begun.elapsed() < WITHIN * 20, "it goes on: {}", roll.stderr_text()?);
            self.follow()?;
            meanwhile(self, &mut roll)?;
        }
        self.gather()?;
        roll.ends(WITHIN)
    }

    /// Ends the mesh, which must have lost no probe.
    pub(crate) fn finish(self) -> Result<()> {
        let report = self.mesh.finish()?;
        let first: Vec<String> = report.losses.iter().take(8).map(ToString::to_string).collect();
        println!("{}: {} probes, {} lost", self.namespace, report.total.sent, report.total.lost);
        ensure!(report.total.lost == 0, "{} lost; the first: {first:#?}", report.total.lost);
        ensure!(report.total.sent >= PROBES, "{} probes, expected {PROBES} or more", report.total.sent);
        Ok(())
    }
}

/// One pass over nodes that forward between the networks.
pub(crate) fn a_run_of_one_pass_is_probed_throughout() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let roll = json!({ "limits": roll_limits(), "bridge": { "accept": "the nodes of the lab forward" } });
    let operator = Operator::new(&cluster.plane, "bridge", json!({ "roll": roll }))?.waiving_what_blocks()?;
    in_namespace(&api, "probed", |namespace| {
        let mut company = Company::deploy(&cluster, &api, namespace)?;
        let there = rolled(&mut company, &operator, "new", |_, _| Ok(())).and_then(|()| {
            all_on(&cluster, &api, namespace, "new")?;
            company.finish()
        });
        ended(there, &operator, &api)?;
        back(&api)
    })
}

/// Three passes on nodes that join and leave by themselves; a node loses its power in the second one, while its pods move.
pub(crate) fn a_run_of_joins_and_leaves_is_probed_and_a_node_reboots_in_it() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    let before: Vec<Vec<u8>> =
        cluster.workers.iter_mut().take(NODES.len()).map(let_join).collect::<Result<_>>()?;
    let settings = json!({ "roll": { "limits": roll_limits() } });
    let operator = Operator::new(&cluster.plane, "double", settings)?.waiving_what_blocks()?;
    let run = in_namespace(&api, "reboot", |namespace| {
        let mut company = Company::deploy(&cluster, &api, namespace)?;
        let mut has_rebooted = false;
        let there = rolled(&mut company, &operator, "new", |company, roll| {
            if has_rebooted {
                return Ok(());
            }
            let Some(node) = moves_to(company.api, "both-new")? else { return Ok(()) };
            has_rebooted = true;
            reboot(&mut cluster, company, roll, node)
        })
        .and_then(|()| {
            ensure!(has_rebooted, "no node was seen to move in the second pass");
            all_on(&cluster, &api, namespace, "new")?;
            all_open(&api)?;
            company.finish()
        });
        ended(there, &operator, &api)?;
        back(&api)
    });
    run.and(reset_settings(&mut cluster, before))
}

/// Plans, and carries the plan out with the mesh behind it.
fn rolled(
    company: &mut Company<'_>,
    operator: &Operator,
    phase: &str,
    meanwhile: impl FnMut(&mut Company<'_>, &mut Running) -> Result<()>,
) -> Result<()> {
    let hash = operator.plan()?;
    let roll = operator.begin(&["roll", "--plan", &hash[..12]])?;
    company.follow_run(roll, meanwhile)?;
    operator.ends(&["roll", "stragglers", "--phase", phase], 0).map(drop)
}

/// A node whose pods a run moves to a phase now.
fn moves_to(api: &Api, phase: &str) -> Result<Option<&'static str>> {
    for name in NODES {
        let node = api.get(&node_path(name))?;
        let is_asked = node["metadata"]["annotations"]["crossfade/desired"] == phase;
        if is_asked && state(&node).as_deref() == Some("moving") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A node loses its power, and boots when the run has said that it waits for it. Its pods come back to the mesh by themselves.
fn reboot(cluster: &mut Cluster, company: &mut Company<'_>, roll: &mut Running, name: &str) -> Result<()> {
    let Some(at) = NODES.iter().position(|node| *node == name) else { bail!("no node {name}") };
    company.mesh.phase("a node without power")?;
    company.leave(name)?;
    let worker = &mut cluster.workers[at];
    worker.power_off()?;
    real_agents()?[at].power_off()?;
    let waits = format!("Node/{name} waits, NodeNotReady");
    company.until("a run that waits for the node", |_| {
        roll.goes_on()?;
        Ok(roll.stderr_text()?.contains(&waits).then_some(()))
    })?;
    company.mesh.phase("a node that boots")?;
    std::thread::scope(|scope| {
        let booting = scope.spawn(|| {
            let mut agents = real_agents()?;
            // The agents come with the node's other services, so boot does not wait for them.
            worker.boot_again(REBOOTED)?;
            agents[at].boot()
        });
        while !booting.is_finished() {
            company.follow()?;
        }
        booting.join().unwrap_or_else(|_| bail!("a panic"))
    })
}
