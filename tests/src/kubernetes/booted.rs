//! A node of the cluster that is a machine: it boots an image, and its systemd starts containerd, kubelet and kube-proxy.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::control::User;
use super::worker::{self, KUBELET, ONE_KIND_OF_RUNTIME, TUNABLES};
use super::{Cluster, KUBECONFIG};
use crate::boot::furniture::{KUBELET_CONFIG, Network};
use crate::boot::{Machine, agents};
use crate::build::image;
use crate::build::image_build::{self, Build, BuildResult};
use crate::host::node::Node;
use crate::runtime::cri::Cri;

/// The words that kubeadm leaves for kubelet, where its drop-in reads them.
const KUBEADM_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// containerd's, on an image of its distribution.
const SOCKET: &str = "/run/containerd/containerd.sock";
const PROXY_UNIT: &str = "[Unit]\nDescription=kube-proxy\n[Service]\n\
    ExecStart=/usr/bin/kube-proxy --config=/etc/kubernetes/proxy.json\nRestart=always\nRestartSec=1\n";

/// A node that has booted. Dropping it pulls the plug.
#[derive(Debug)]
pub struct BootedNode {
    machine: Machine,
    cri: Cri,
    // Its network: what runs on it ends before.
    node: Node,
}

/// Has Packer make an image of a node of this cluster; `variables` are the bundle's.
///
/// # Errors
/// A part is missing. That Packer fails is in the result.
pub fn build(cluster: &Cluster, mut variables: Value) -> Result<BuildResult> {
    let programs = cluster.plane.programs();
    let images = super::tools::archive_named(&[image::PAUSE])?;
    let parts = image_build::of_cluster(&programs.path("kubelet"), &[&programs.path("kube-proxy")], &images)?;
    variables["lab_parts"] = json!(parts.path());
    Build::new(variables)?.run()
}

impl BootedNode {
    /// Boots a machine of an image as this node of the cluster's fabric, of which it has the network. Each of these networks has its agent
    /// there, which waits at its gate.
    ///
    /// # Errors
    /// What the file system says, or the machine does not boot.
    pub fn boot(
        image: &BuildResult,
        cluster: &Cluster,
        node: &Node,
        networks: &[Network],
    ) -> Result<BootedNode> {
        let mut machine = image.machine()?;
        join(&machine, cluster, node)?;
        for network in networks {
            let overlay = match network {
                Network::Old => &cluster.old,
                Network::New => &cluster.new,
            };
            agents::install(&machine, *network, &overlay.conflist(node.index()), false)?;
        }
        // Written before, since a machine may find its settings read-only.
        node.run(&["sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"])?;
        machine.plug_into(format!("/proc/{}/ns/net", node.pid()).into());
        machine.boot()?;
        let cri = Cri::new(&machine.inside(SOCKET)?)?;
        Ok(BootedNode { machine, cri, node: node.clone() })
    }

    /// The name of its Node.
    pub fn name(&self) -> &str {
        self.node.name()
    }

    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Its runtime.
    pub fn cri(&self) -> &Cri {
        &self.cri
    }

    /// Where the lab finds a network namespace of its pods.
    ///
    /// # Errors
    /// The machine is off.
    pub fn netns(&self, inside: &Path) -> Result<PathBuf> {
        // Through /proc an absolute link leads back to the lab's root, and /var/run is one.
        let inside = inside.strip_prefix("/var").unwrap_or(inside);
        self.machine.inside(Path::new("/").join(inside))
    }
}

/// What joining the cluster leaves on a machine that is off.
fn join(machine: &Machine, cluster: &Cluster, node: &Node) -> Result<()> {
    let plane = &cluster.plane;
    let mut config = worker::kubelet_config();
    // The machine underneath may have the controllers elsewhere, so containerd makes no cgroups for pods either.
    config["cgroupsPerQOS"] = json!(false);
    config["enforceNodeAllocatable"] = json!([]);
    let mut words = format!(
        "--hostname-override={} --node-ip={} --container-runtime-endpoint=unix://{SOCKET} --v=2",
        node.name(),
        node.address()
    );
    if plane.programs().minor() < ONE_KIND_OF_RUNTIME {
        words += " --container-runtime=remote";
    }
    let kubelet = plane.kubeconfig(User::Kubelet(node.name()))?;
    let proxy = plane.kubeconfig(User::Component("system:kube-proxy"))?;
    let own = |name: &str| Path::new(KUBELET).join(name);
    for (path, content) in [
        (KUBELET_CONFIG.into(), config.to_string()),
        (KUBEADM_FLAGS.into(), format!("KUBELET_KUBEADM_ARGS=\"{words}\"\n")),
        (KUBECONFIG.into(), kubelet.to_string()),
        (own("ca.pem"), plane.authority.certificate()),
        (own("proxy.conf"), proxy.to_string()),
        (own("proxy.json"), worker::proxy_config(node.name()).to_string()),
        (own("resolv.conf"), String::new()),
        // containerd starts no sandbox without it.
        ("/etc/resolv.conf".into(), String::new()),
    ] {
        machine.write(path, content)?;
    }
    for (setting, value) in TUNABLES {
        machine.write(Path::new("/etc/lab/sysctl").join(setting), format!("{value}\n"))?;
    }
    std::fs::create_dir_all(machine.disk(super::STATIC_PODS)).context("the directory of static pods")?;
    machine.unit("kube-proxy.service", PROXY_UNIT)
}
