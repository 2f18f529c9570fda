//! A real Kubernetes: a control plane, and nodes with a real containerd, kubelet and kube-proxy each.
//!
//! Pods are on one of two overlays, as on every [`Fabric`]; which one is up to the confs on their node. Everything ends with the
//! [`Cluster`]; nothing but the control plane's processes is outside its nodes.

pub mod api;
pub mod booted;
mod client;
pub mod cnis;
mod control;
pub mod dns;
pub mod manifest;
pub mod operator;
mod pki;
mod programs;
pub mod tools;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

pub use api::Api;
pub use booted::BootedNode;
pub use client::{Answer, Client, MERGE, STRATEGIC};
pub use control::{ControlPlane, Controllers, PORT, SERVICES, Setup, User, base};
pub use operator::Operator;
pub use pki::{Authority, Identity};
pub use programs::Programs;
pub use worker::{KUBECONFIG, STATIC_PODS, Worker};

use crate::host::fabric::{Fabric, Overlay};
use crate::host::scratch::Scratch;
use crate::install::crossfade::CONF_DIR;

/// Addresses of all pods: both overlays.
pub const PODS: &str = "10.244.0.0/15";
/// The Service of the cluster's DNS server.
pub const DNS: &str = "10.96.0.10";
/// The cluster's domain.
pub const DOMAIN: &str = "cluster.local";

/// A cluster. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes, n1 first.
    pub workers: Vec<Worker>,
    pub plane: ControlPlane,
    _images: Scratch,
    /// 10.244.0.0/16.
    pub old: Overlay,
    /// 10.245.0.0/16.
    pub new: Overlay,
    /// The wire.
    pub fabric: Fabric,
}

impl Cluster {
    /// A control plane, and as many nodes on which nothing runs yet and no network has a conf.
    ///
    /// # Errors
    /// A part is missing, or the control plane does not start.
    pub fn prepare(nodes: u8) -> Result<Cluster> {
        let fabric = Fabric::new(nodes)?;
        let [old, new] = fabric.old_and_new()?;
        let address = fabric.join()?;
        [&old, &new].into_iter().try_for_each(|overlay| fabric.route_to_pods(overlay))?;
        let setup = Setup {
            address,
            names: &[],
            tokens: Vec::new(),
            controllers: Controllers::Prompt,
            audited: Some(operator::USER),
        };
        let plane = ControlPlane::start(&setup)?;
        let images = Scratch::new("images")?;
        let image = images.join("tools.tar");
        fs::write(&image, tools::archive()?).context("the image of the pods")?;
        let prepare = |node| Worker::prepare(node, &plane, &image);
        let workers = fabric.nodes().iter().map(prepare).collect::<Result<_>>()?;
        Ok(Cluster { workers, plane, _images: images, old, new, fabric })
    }

    /// Does something with every node, with all of them at once.
    ///
    /// # Errors
    /// The first node's that fails.
    pub fn each(&mut self, act: impl Fn(&mut Worker) -> Result<()> + Sync) -> Result<()> {
        let act = &act;
        std::thread::scope(|scope| {
            let act_on = |worker| scope.spawn(move || act(worker));
            let threads: Vec<_> = self.workers.iter_mut().map(act_on).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a panic")))
        })
    }

    /// A person who may do everything.
    ///
    /// # Errors
    /// Their certificate cannot be signed.
    pub fn api(&self) -> Result<Api> {
        Ok(Api { client: self.plane.admin()? })
    }

    /// The DNS server, with these names; its pods need nodes that run.
    ///
    /// # Errors
    /// What the API server says.
    pub fn serve_dns(&self, records: &[dns::Record<'_>]) -> Result<()> {
        self.api()?.create(&dns::objects(records))
    }

    /// The ranges of both networks, as an operator's settings have them.
    pub fn networks(&self) -> Value {
        let network = |overlay: &Overlay| json!({ "cidrs": [overlay.cidr()] });
        json!({ "old": network(&self.old), "new": network(&self.new) })
    }

    /// A policy between the two networks, of which pods get the old one.
    pub fn policy(&self) -> Value {
        let network = |overlay: &Overlay| json!({ "conf": [conf_path(overlay)], "cidrs": [overlay.cidr()], "secondary": "works", "join": "works" });
        json!({
            "version": 1, "attach": "old", "unrecorded": "old",
            "networks": { "old": network(&self.old), "new": network(&self.new) },
        })
    }
}

/// Rules of a policy by which agents of probes are on either network alone, so that forwarding is proven before the first node moves.
pub fn agent_rules() -> Value {
    let rule = |network: &str| json!({ "namespace": "crossfade-probe", "pod": format!("{network}-*"), "attach": network });
    json!([rule("old"), rule("new")])
}

/// Where a network's agent puts its conf. The new one sorts first: that is what goes wrong without Crossfade.
pub fn conf_path(overlay: &Overlay) -> PathBuf {
    let order = if overlay.name == "new" { "05" } else { "10" };
    Path::new(CONF_DIR).join(format!("{order}-{}.conflist", overlay.name))
}
