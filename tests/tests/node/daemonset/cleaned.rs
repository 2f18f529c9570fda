//! cleanup.yaml: a node is as it was before the old CNI came, and the pod is ready only then.

use std::fs;

use anyhow::{Result, ensure};
use lab::install::daemonset::manifest;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::running::{Running, settings};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_node_is_cleaned_by_its_daemonset_and_no_earlier_than_it_may,
    ]
}

/// What Flannel leaves.
const LEFT: &str = "
ip link add cni0 type bridge
iptables-nft -t nat -N FLANNEL-POSTRTG
iptables-nft -t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 -j MASQUERADE
iptables-nft -t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG
mkdir -p /run/flannel
echo FLANNEL_MTU=1450 >/run/flannel/subnet.env
";

/// Interfaces, rules and files of the node.
const STATE: &str = "ip -o link | cut -d: -f2; iptables-nft-save -t nat | grep -v '^#' | sed 's/\\[.*//'; ls -A /run/flannel 2>/dev/null || true";

fn a_node_is_cleaned_by_its_daemonset_and_no_earlier_than_it_may() -> Result<()> {
    let scene = Running::new()?;
    // A table that is empty is one that was looked at.
    scene.node().run(&["sh", "-ec", "iptables-nft -t nat -S >/dev/null"])?;
    let state = || scene.node().run(&["sh", "-ec", STATE]);
    let fresh = state()?;
    scene.node().run(&["sh", "-ec", LEFT])?;
    let left = state()?;
    ensure!(left.contains("cni0") && left.contains("FLANNEL-POSTRTG"), "{left}");

    let kubelet = scene.kubelet();
    let set = manifest::daemonset("cleanup.yaml")?;
    let mut pod = kubelet.pod(&set, &settings("new")?)?;
    // A conf of Flannel's that the runtime uses says that pods still get its network.
    let conf = scene.outside("/etc/cni/net.d/00-flannel.conflist");
    fs::write(&conf, r#"{"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel"}]}"#)?;
    ensure!(pod.run_init("cleanup")? == 3, "{}", pod.logs());
    ensure!(state()? == left, "something was removed: {}", state()?);
    fs::remove_file(&conf)?;

    ensure!(pod.run_init("cleanup")? == 0, "{}", pod.logs());
    ensure!(state()? == fresh, "expected {fresh}\nfound {}\n{}", state()?, pod.logs());
    pod.start_containers()?;
    pod.until_ready()?;
    // A pod that is started again finds nothing to do.
    ensure!(pod.run_init("cleanup")? == 0, "{}", pod.logs());
    pod.end()
}
