//! The two images, and what a machine of one becomes a node by: what joining writes, and the agents, which a cluster brings.

use std::sync::OnceLock;

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::agents;
pub(crate) use lab::boot::agents::conf;
use lab::boot::furniture::{self, Network};
use lab::build::image_build::{Build, BuildResult};
use serde_json::{Value, json};

/// The label that a migration to Cilium brings by itself.
pub(crate) const LABEL: (&str, &str) = ("io.cilium.migration/cilium-default", "true");
/// The taint likewise, as kubelet says it.
pub(crate) const TAINT: &str = "node.cilium.io/agent-not-ready=:NoSchedule";
/// The label that the final image is asked for.
pub(crate) const FINAL_LABEL: (&str, &str) = ("example.org/network", "cilium");

/// The image of the way from flannel to Cilium.
pub(crate) fn migration() -> Result<&'static BuildResult> {
    static IMAGE: OnceLock<Result<BuildResult, String>> = OnceLock::new();
    made(&IMAGE, migration_variables)
}

/// The image of Cilium alone.
pub(crate) fn final_image() -> Result<&'static BuildResult> {
    static IMAGE: OnceLock<Result<BuildResult, String>> = OnceLock::new();
    made(&IMAGE, || {
        json!({ "crossfade_image": "final", "crossfade_new_cni": "cilium",
                "crossfade_labels": { FINAL_LABEL.0: FINAL_LABEL.1 } })
    })
}

/// All variables that the build of a migration image needs.
pub(crate) fn migration_variables() -> Value {
    json!({ "crossfade_image": "migration", "crossfade_old_cni": "flannel", "crossfade_new_cni": "cilium",
            "crossfade_old_cidrs": ["10.244.0.0/16"], "crossfade_new_cidrs": ["10.245.0.0/16"] })
}

fn made(
    image: &'static OnceLock<Result<BuildResult, String>>,
    variables: fn() -> Value,
) -> Result<&'static BuildResult> {
    let make = || -> Result<BuildResult> {
        let built = Build::new(variables())?.run()?;
        ensure!(built.status == 0, "packer: exit status {}\n{}", built.status, built.output);
        Ok(built)
    };
    let built = image.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    built.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// A machine of an image that joins: kubelet finds its configuration, and has two pods to run.
pub(crate) fn joining(image: &BuildResult) -> Result<Machine> {
    let machine = image.machine()?;
    join(&machine)?;
    Ok(machine)
}

/// What joining a network and a cluster leaves on a node. containerd starts no sandbox without a resolv.conf.
pub(crate) fn join(machine: &Machine) -> Result<()> {
    machine.write("/etc/resolv.conf", "")?;
    machine.write(furniture::KUBELET_CONFIG, furniture::kubelet_config(&[]).to_string())?;
    machine.write(furniture::PODS, "one\ntwo\n")
}

/// A machine of the migration image whose old agent comes at once; the new one waits at its gate.
pub(crate) fn migrating() -> Result<Machine> {
    let machine = joining(migration()?)?;
    agent(&machine, Network::Old, true)?;
    agent(&machine, Network::New, false)?;
    Ok(machine)
}

/// The agent of a network with the conf of the stand-in.
pub(crate) fn agent(machine: &Machine, network: Network, open: bool) -> Result<()> {
    agents::install(machine, network, &network.conflist(), open)
}

/// Everything of this boot is up but the new network's agent, and no pod is even tried.
pub(crate) fn ensure_held(machine: &mut Machine) -> Result<()> {
    machine.ensure_held(&conf(Network::Old))
}

/// Opens the new agent's gate, waits for so many pods over all boots, and has every one of them on the new network, and every one
/// that was made under a policy that names it.
pub(crate) fn ensure_released(machine: &mut Machine, pods: usize) -> Result<()> {
    machine.open_gate(Network::New)?;
    machine.until_pods(pods)?;
    machine.ensure_only(Network::New)?;
    for pod in machine.pods()? {
        ensure!(pod.policies == ["new", "new"], "{pod:?}");
    }
    Ok(())
}

/// No unit of the machine has failed.
pub(crate) fn ensure_nothing_failed(machine: &Machine) -> Result<()> {
    let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend", "--plain"])?;
    ensure!(failed.trim().is_empty(), "failed: {failed}\n{}", machine.journal()?.tail());
    Ok(())
}
