//! A real control plane with a fleet of hollow nodes.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::fleet::{Fleet, network_of};
use super::play::Hollow;
use crate::host::deadline::until;
use crate::kubernetes::api::pod_path;
use crate::kubernetes::{Api, ControlPlane, Controllers, manifest};

/// Namespace and name of what stands for the cluster's DNS.
const DNS: [&str; 2] = ["kube-system", "coredns"];
/// What is waited for a cluster of this size on a machine that is busy otherwise.
const WITHIN: Duration = Duration::from_mins(60);

/// A cluster. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes.
    pub hollow: Hollow,
    pub plane: ControlPlane,
}

impl Cluster {
    /// A control plane, and a fleet whose nodes are Ready.
    ///
    /// # Errors
    /// A program is missing, or the control plane does not start.
    pub fn start(fleet: Fleet) -> Result<Self> {
        let plane = ControlPlane::without_nodes(Controllers::Hollow)?;
        let hollow = Hollow::start(&plane.admin()?, fleet, plane.programs().minor())?;
        let cluster = Self { hollow, plane };
        let api = cluster.api()?;
        until("nodes without taints", WITHIN, || {
            std::thread::sleep(Duration::from_millis(500));
            let nodes = api.list("/api/v1/nodes")?;
            let are_free = nodes.iter().all(|node| node["spec"]["taints"].is_null());
            Ok((are_free && nodes.len() == fleet.nodes as usize).then_some(()))
        })?;
        Ok(cluster)
    }

    /// A person who may do everything.
    ///
    /// # Errors
    /// Their certificate cannot be signed.
    pub fn api(&self) -> Result<Api> {
        Ok(Api { client: self.plane.admin()? })
    }

    /// Runs pods that stand for the cluster's DNS: without one that is ready, a run starts no node.
    ///
    /// # Errors
    /// They do not come to run.
    pub fn serve_dns(&self, replicas: u32) -> Result<()> {
        let api = self.api()?;
        api.until_admits_pods(DNS[0])?;
        let mut dns = manifest::workload("Deployment", DNS[0], DNS[1], Some(replicas), &manifest::server());
        for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            if let Some(labels) = dns.pointer_mut(labels) {
                labels["k8s-app"] = json!("kube-dns");
            }
        }
        api.create(&[dns])?;
        self.until_running(DNS[0], replicas as usize)
    }

    /// Waits until a namespace has so many pods that run.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn until_running(&self, namespace: &str, pods: usize) -> Result<()> {
        let mut last = 0;
        until(&format!("{pods} pods that run in {namespace}"), WITHIN, || {
            std::thread::sleep(Duration::from_millis(200));
            let running = self.hollow.running(namespace);
            if running / 1_000 != last / 1_000 {
                eprintln!("{running} of {pods} pods run");
            }
            last = running;
            self.hollow.ensure_sound()?;
            Ok((running == pods).then_some(()))
        })
    }

    /// Holds when so many pods of a namespace are there, all of them on a network.
    ///
    /// # Errors
    /// Which are not.
    pub fn ensure_all_on(&self, namespace: &str, pods: usize, network: &str) -> Result<()> {
        let there = all_pods(&self.api()?, namespace)?;
        let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let there: Vec<&Value> = there.iter().filter(stays).collect();
        ensure!(there.len() == pods, "{} pods, expected {pods}", there.len());
        let elsewhere: Vec<String> =
            there.iter().filter(|pod| network_of(pod) != network).map(|pod| pod_path(pod)).collect();
        ensure!(
            elsewhere.is_empty(),
            "{} pods are not on {network}: {:?}",
            elsewhere.len(),
            elsewhere.first()
        );
        Ok(())
    }
}

/// All pods of a namespace, page by page: thousands are more than one answer holds.
fn all_pods(api: &Api, namespace: &str) -> Result<Vec<Value>> {
    let (mut pods, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/namespaces/{namespace}/pods?limit=500&continue={next}");
        let mut page = api.get(&path)?;
        next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if let Value::Array(items) = page["items"].take() {
            // No more of each than is asked for here.
            pods.extend(items.iter().map(|pod| {
                let metadata = &pod["metadata"];
                json!({
                    "metadata": {
                        "name": metadata["name"], "namespace": metadata["namespace"],
                        "deletionTimestamp": metadata["deletionTimestamp"],
                    },
                    "status": { "podIP": pod["status"]["podIP"] },
                })
            }));
        }
        if next.is_empty() {
            return Ok(pods);
        }
    }
}
