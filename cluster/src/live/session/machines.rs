//! The Machines of Cluster API in their management cluster: found before a run begins, watched while it goes on.
//!
//! Every request uses the credential of a context of its own, and is about the one namespace of the Cluster. Nothing is changed there but one annotation.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use migration::config::roll::Method;
use migration::drive::objects::{HOOK, ObservedMachine, machine};
use migration::plan::Plan;
use migration::roll::run::Run;
use migration::roll::step::Hook;
use serde_json::json;
use snapshot::model::Text;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Session;
use crate::cli::access::Access;
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::connect::{connect, connect_for_ever};
use crate::live::api::failure::Failure;
use crate::live::api::path::{MANAGER, encode, with_query};
use crate::live::api::server;
use crate::live::api::watch::{Source, pages};
use crate::live::rights;

/// The API group of Machines, and its versions, the newest first: the older one is not served any more from Cluster API 1.16 on.
const GROUP: &str = "cluster.x-k8s.io";
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
/// The label of every Machine with the name of its Cluster.
const CLUSTER: &str = "cluster.x-k8s.io/cluster-name";
/// The manifest with the rights in the management cluster.
const RIGHTS: &str = "deploy/cluster/rbac-management.yaml";
/// How many Nodes are named.
const NAMED: usize = 3;

/// The management cluster of a run.
#[derive(Debug)]
pub(in crate::live) struct Management {
    /// Requests that end.
    pub(super) caller: Caller,
    /// Requests that stay open.
    pub(super) watcher: Caller,
    /// Where the Machines are; none before they were found.
    pub(super) machines: Option<Machines>,
}

/// The Machines of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machines {
    /// The path of the namespace's Machines.
    path: String,
    /// The name of the Cluster.
    cluster: String,
}

impl Machines {
    pub(super) fn source(&self) -> Source {
        Source::new(&self.path).labels(format!("{CLUSTER}={}", self.cluster))
    }
}

impl Management {
    /// Makes the clients of a management cluster.
    ///
    /// # Errors
    /// The kubeconfig has no such context, or cannot be used.
    pub(super) async fn connect(access: &Access, pace: &Caller) -> Result<Self, Failure> {
        let bad = |problem: Problem| {
            let fix = "name a context that kubectl works with: --management-context CONTEXT, and --management-kubeconfig FILE where another file has it";
            (
                Exit::BadSettings,
                Problem { what: format!("the management cluster: {}", problem.what), ..problem }.fix(fix),
            )
        };
        let caller = Caller::new(connect(access).await.map_err(bad)?, pace.clock().clone());
        let watcher = caller.with_client(connect_for_ever(access).await.map_err(bad)?);
        Ok(Self { caller, watcher, machines: None })
    }

    /// The request that sets or removes the hook of a Machine.
    pub(super) fn request(&self, hook: &Hook) -> Option<ApiRequest> {
        let Hook { machine, run, .. } = hook;
        let meta = json!({"resourceVersion": machine.version, "uid": machine.uid, "annotations": {HOOK: run.as_deref()}});
        let path = format!("{}/{}", self.machines.as_ref()?.path, encode(&machine.name));
        let body = json!({"metadata": meta}).to_string().into_bytes();
        Some(ApiRequest::merge(with_query(&path, &[("fieldManager", MANAGER)]), body))
    }
}

impl Session {
    /// Uses this management cluster for the Machines of the run's nodes.
    ///
    /// # Errors
    /// The kubeconfig has no such context, or cannot be used.
    pub async fn manage(&mut self, access: &Access) -> Result<(), Failure> {
        self.management = Some(Management::connect(access, &self.caller).await?);
        Ok(())
    }

    /// Finds the Machines of the plan's nodes, once the nodes are known. Says whether they are watched from now on. Changes nothing.
    ///
    /// # Errors
    /// A right is missing, the API server serves no Machines, or it has not those of the plan's nodes.
    pub(in crate::live) async fn find_machines(&mut self, run: &Run, plan: &Plan) -> Result<bool, Failure> {
        let Some(management) = self.management.as_ref().filter(|management| management.machines.is_none())
        else {
            return Ok(false);
        };
        let (namespace, cluster) = self.cluster_of(plan)?;
        let client = management.caller.client();
        let version = version(client).await?;
        let missing = rights::missing_to_manage(client, &namespace).await;
        if !missing.is_empty() {
            let problem =
                Problem::new(format!("rights in the management cluster are missing: {}", missing.join(", ")));
            let fix = format!(
                "kubectl apply -f {RIGHTS} in the management cluster, and bind its role as its comments say"
            );
            return Err((Exit::Failed, problem.with_place(format!("Namespace/{namespace}")).fix(fix)));
        }
        let machines = Machines {
            path: format!("/apis/{GROUP}/{version}/namespaces/{}/machines", encode(&namespace)),
            cluster: cluster.to_string(),
        };
        let machines_by_node = list_machines(&management.caller, &machines).await?;
        let planned = self.planned_nodes(run, plan);
        let without: Vec<&str> =
            planned.iter().copied().filter(|name| !machines_by_node.contains_key(*name)).collect();
        let title = format!("Cluster/{namespace}/{cluster}");
        let look = format!(
            "kubectl -n {namespace} get machines -o wide, with the management context, must list the Nodes of this cluster"
        );
        // Where some of them have Machines, the run holds each of the others by its name.
        if !planned.is_empty() && without.len() == planned.len() {
            let names = without.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let what = format!(
                "no Machine of Cluster {namespace}/{cluster} has one of these Nodes: {names} ({} in all)",
                without.len()
            );
            let fix = format!("check --management-context and --context: {look}");
            return Err((Exit::BadSettings, Problem::new(what).with_place(title).fix(fix)));
        }
        if let Some(management) = &mut self.management {
            management.machines = Some(machines);
        }
        Ok(true)
    }

    /// The nodes of the plan that Cluster API replaces, which are there, and which the run does not skip.
    fn planned_nodes<'a>(&self, run: &Run, plan: &'a Plan) -> Vec<&'a str> {
        let planned = plan.waves.iter().flat_map(|wave| &wave.nodes);
        let is_there =
            |name: &Text, uid: &Text| self.cluster.world.nodes.get(name).is_some_and(|node| node.uid == *uid);
        let nodes = planned
            .filter(|node| plan.method(&node.pool) == Method::ClusterApi && is_there(&node.name, &node.uid));
        nodes.map(|node| &*node.name).filter(|name| !run.skipped.contains_key(*name)).collect()
    }

    /// The namespace and the name of the Cluster that the nodes are of: the one that most of them name. A node can write its own annotations.
    fn cluster_of(&self, plan: &Plan) -> Result<(Text, Text), Failure> {
        let nodes =
            self.cluster.world.nodes.iter().filter(|(_, node)| plan.method(&node.pool) == Method::ClusterApi);
        let mut nodes_by_cluster: BTreeMap<(Text, Text), Vec<&Text>> = BTreeMap::new();
        for (name, node) in nodes {
            if let Some(cluster) = &node.cluster {
                nodes_by_cluster.entry(cluster.clone()).or_default().push(name);
            }
        }
        let mut clusters: Vec<((Text, Text), Vec<&Text>)> = nodes_by_cluster.into_iter().collect();
        clusters.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
        let refused = |what: String, fix: &str| {
            Err((Exit::BadSettings, Problem::new(what).with_place("--management-context").fix(fix)))
        };
        match (clusters.first(), clusters.get(1)) {
            (Some((most, nodes)), other) if other.is_none_or(|(_, others)| others.len() < nodes.len()) => {
                Ok(most.clone())
            }
            (None, _) => refused(
                format!(
                    "no node of a pool with the method cluster-api names its Cluster (annotation {CLUSTER})"
                ),
                "leave the option out; plan shows the method of each pool",
            ),
            (Some(((namespace, name), nodes)), other) => {
                let ((other_namespace, other), others) = other.unwrap_or(&clusters[0]);
                let (node, other_node) = (nodes[0], others[0]);
                refused(
                    format!(
                        "as many nodes are of Cluster {namespace}/{name} (node {node}) as of Cluster {other_namespace}/{other} (node {other_node})"
                    ),
                    "correct the annotations of the Nodes: all nodes of a cluster are of one Cluster of Cluster API",
                )
            }
        }
    }
}

/// The newest version of the API of Machines that this program knows and the API server serves.
async fn version(client: &kube::Client) -> Result<&'static str, Failure> {
    let failed = |path: &str, why: String| {
        let problem = Problem::new(format!("the management cluster: {path}: {why}"));
        (
            Exit::TryLater,
            problem
                .with_place("--management-context")
                .fix("check that kubectl get machines works with this context"),
        )
    };
    let served = server::served_version(client, GROUP, &VERSIONS)
        .await
        .map_err(|(path, meaning)| failed(&path, format!("{meaning:?}")))?;
    served.ok_or_else(|| {
        let what = format!(
            "the API server of the management context serves no Machines ({GROUP}/{})",
            VERSIONS.join(", ")
        );
        let fix =
            "name the context of the management cluster, in which kubectl get machines -A lists the Machines";
        (Exit::BadSettings, Problem::new(what).with_place("--management-context").fix(fix))
    })
}

/// The Machines of a Cluster by the names of their Nodes.
async fn list_machines(
    caller: &Caller,
    machines: &Machines,
) -> Result<BTreeMap<Text, ObservedMachine>, Failure> {
    let mut all = BTreeMap::new();
    let mut wrong = None;
    let mut take = |item: Option<&str>| match item.map(machine) {
        None => all.clear(),
        Some(Ok(page)) => all.extend(page.map(|page| (page.node.clone(), page))),
        Some(Err(why)) => wrong = Some(why),
    };
    let listed = pages(caller, &machines.source(), &mut take).await;
    match (listed, wrong) {
        (Ok(_), None) => Ok(all),
        (Err(why), _) | (Ok(_), Some(why)) => {
            let problem =
                Problem::new(format!("the Machines of Cluster {} cannot be read: {why}", machines.cluster));
            let fix = "check that kubectl get machines works with the management context";
            Err((Exit::TryLater, problem.with_place("--management-context").fix(fix)))
        }
    }
}
