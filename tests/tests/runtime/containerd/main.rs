//! A real containerd on each node, without Crossfade and through it.

mod shim;
mod verbs;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::{Fabric, Overlay};
use lab::host::node::Node;
use lab::runtime::containerd::{Containerd, Options};
use lab::runtime::cri::{Sandbox, Status};
use lab::scene::Setup;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            sandboxes_live_on_the_overlay,
            sandboxes_outlive_containerd,
            sandboxes_can_be_asked_for_at_once,
            network_readiness_follows_the_conf,
            shim::every_phase_attaches_as_the_policy_says,
            shim::repeated_dels_reach_a_delegate_once,
            shim::a_flip_sends_del_to_the_network_that_did_add,
            shim::a_flip_in_mid_add_changes_the_next_pod_only,
            shim::port_mappings_lead_to_the_pod,
            shim::an_annotation_arrives,
            shim::a_failed_del_is_retried,
            shim::pods_outlive_a_restart,
            shim::networks_join_and_leave_sandboxes_that_run,
            shim::a_restart_in_mid_add_leaves_nothing,
            verbs::the_status_of_a_delegate_is_the_status_of_the_node,
            verbs::no_gc_comes_from_containerd,
        ]
    })
}

/// The conf of a node's only network, where a person would have put it.
fn install(node: &Node, overlay: &Overlay) -> Result<()> {
    let conf = serde_json::to_vec_pretty(&overlay.conflist(node.index()))?;
    node.write(format!("/etc/cni/net.d/10-{}.conflist", overlay.name), conf)
}

/// A sandbox that was run, with its first status.
pub(crate) struct Pod {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) address: String,
}

pub(crate) fn run(containerd: &Containerd, sandbox: &Sandbox) -> Result<Pod> {
    let id = containerd.cri().run_sandbox(sandbox)?;
    let status = containerd.cri().status(&id)?;
    let address = status.ip.context("an address")?.to_string();
    Ok(Pod { id, status, address })
}

fn sandboxes_live_on_the_overlay() -> Result<()> {
    let fabric = Fabric::new(2)?;
    let old = fabric.old()?;
    let mut nodes = Vec::new();
    for node in fabric.nodes() {
        install(node, &old)?;
        let containerd = Containerd::start(node, &Options::default())?;
        ensure!(containerd.cri().version()?.starts_with("containerd "), "{}", containerd.cri().version()?);
        let pod = run(&containerd, &Sandbox::new("pod"))?;
        ensure!(pod.status.ready && pod.status.pid > 0, "{:?}", pod.status);
        ensure!(pod.address.starts_with(&format!("10.244.{}.", node.index())), "{}", pod.address);
        ensure!(
            old.leases(node)? == [pod.status.ip.context("an address")?],
            "leases {:?}",
            old.leases(node)?
        );
        nodes.push((node, containerd, pod));
    }
    for ((node, _, from), (_, _, to)) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        node.ping_from(&from.status.netns, &to.address)
            .with_context(|| format!("{} to {}", from.address, to.address))?;
    }
    for (node, containerd, pod) in &nodes {
        let cri = containerd.cri();
        let listed = cri.list()?;
        ensure!(listed.len() == 1 && listed[0].id == pod.id && listed[0].ready, "{listed:?}");
        cri.stop(&pod.id)?;
        ensure!(old.leases(node)?.is_empty(), "a stopped sandbox keeps {:?}", old.leases(node)?);
        let status = cri.status(&pod.id)?;
        ensure!(!status.ready && status.ip.is_none(), "{status:?}");
        cri.stop(&pod.id)?;
        cri.remove(&pod.id)?;
        ensure!(cri.list()?.is_empty(), "{:?}", cri.list()?);
        ensure!(cri.status(&pod.id).is_err(), "a removed sandbox has a status");
        let left: Vec<_> = std::fs::read_dir(node.outside("/run/netns"))?.collect();
        ensure!(left.is_empty(), "namespaces left: {left:?}");
    }
    Ok(())
}

fn sandboxes_outlive_containerd() -> Result<()> {
    let mut scene = Setup::bare().start()?;
    let pod = run(&scene.containerd, &Sandbox::new("pod"))?;
    let first = scene.containerd.pid();
    scene.containerd.stop()?;
    ensure!(scene.cri().list().is_err(), "a stopped containerd answers");
    scene.node().ping_from(&pod.status.netns, "10.244.1.1").context("while containerd is away")?;
    scene.containerd.start_again()?;
    ensure!(
        scene.containerd.pid().is_some() && scene.containerd.pid() != first,
        "containerd did not restart"
    );
    let status = scene.cri().status(&pod.id)?;
    ensure!(status.ready && status.pid == pod.status.pid && status.ip == pod.status.ip, "{status:?}");
    scene.containerd.kill()?;
    scene.containerd.start_again()?;
    let status = scene.cri().status(&pod.id)?;
    ensure!(status.ready && status.pid == pod.status.pid && status.ip == pod.status.ip, "{status:?}");
    scene.end(&pod.id)?;
    ensure!(scene.crossfade.leases()?.0.is_empty(), "leases {:?}", scene.crossfade.leases()?.0);
    Ok(())
}

fn sandboxes_can_be_asked_for_at_once() -> Result<()> {
    let scene = Setup::bare().start()?;
    let results: Vec<Result<Pod>> = std::thread::scope(|scope| {
        let start = |number| {
            let containerd = &scene.containerd;
            scope.spawn(move || run(containerd, &Sandbox::new(&format!("pod-{number}"))))
        };
        let threads: Vec<_> = (0..12).map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a caller panicked")))
            .collect()
    });
    let pods = results.into_iter().collect::<Result<Vec<Pod>>>()?;
    let mut addresses: Vec<_> = pods.iter().filter_map(|pod| pod.status.ip).collect();
    addresses.sort();
    ensure!(
        scene.crossfade.leases()?.0 == addresses,
        "leases {:?}, addresses {addresses:?}",
        scene.crossfade.leases()?.0
    );
    for pod in pods {
        scene.cri().remove(&pod.id)?;
    }
    ensure!(scene.crossfade.leases()?.0.is_empty(), "leases {:?}", scene.crossfade.leases()?.0);
    Ok(())
}

fn network_readiness_follows_the_conf() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let old = fabric.old()?;
    let node = fabric.node(1);
    let options = Options { conf_dir: "/run/conf".into(), ..Options::default() };
    let containerd = Containerd::start(node, &options)?;
    let (ready, reason) = containerd.cri().network_ready()?;
    ensure!(!ready && reason.contains("cni plugin not initialized"), "{ready}: {reason}");
    let refused = containerd.cri().run_sandbox(&Sandbox::new("early"));
    ensure!(refused.is_err(), "a sandbox ran without a network");
    let conf = serde_json::to_vec(&old.conflist(1))?;
    // A temporary file and a rename in the same directory: containerd does not see a file that arrives from elsewhere.
    node.write("/run/conf/10-old.conflist", conf)?;
    until("NetworkReady", LIMIT, || Ok(containerd.cri().network_ready()?.0.then_some(())))?;
    let pod = run(&containerd, &Sandbox::new("late"))?;
    ensure!(Path::new(&pod.status.netns).starts_with("/var/run/netns"), "{:?}", pod.status.netns);
    std::fs::remove_file(node.outside("/run/conf/10-old.conflist"))?;
    until("the end of NetworkReady", LIMIT, || Ok((!containerd.cri().network_ready()?.0).then_some(())))
}
