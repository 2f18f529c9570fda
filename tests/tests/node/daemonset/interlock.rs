//! One watch per node: the node's own or the pod's.

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::daemonset::manifest;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::running::{Running, settings};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_pod_looks_on_while_the_node_watches_itself,
    ]
}

fn a_pod_looks_on_while_the_node_watches_itself() -> Result<()> {
    let scene = Running::new()?;
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    ensure!(pod.run_init("install")? == 0 && pod.run_init("boot")? == 0, "{}", pod.logs());
    let by_hand = scene.watch()?;
    let watch = scene.status()["watch"]["pid"].clone();
    pod.start_containers()?;
    until("what the pod says", LIMIT, || Ok(pod.log("watch")?.contains("this pod looks on").then_some(())))
        .with_context(|| pod.logs())?;
    // The pod is ready all the same: the node is, and the other watch looks after it.
    pod.until_ready()?;
    ensure!(scene.status()["watch"]["pid"] == watch, "both did the work");
    by_hand.terminate()?;
    let own = pod.pid("watch")?;
    until("the pod's turn", LIMIT, || Ok((scene.status()["watch"]["pid"] == own).then_some(())))?;
    pod.until_ready()?;
    // And the other way round: the node's own is refused while the pod holds the lock.
    scene.run_expecting(&["unit", "watch"], 75)?;
    pod.end()
}
