//! kubelet registers its Node with what `render` tells it, and what is forbidden stays forbidden.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::{MERGE, STRATEGIC};
use super::kubelet::{self, words};
use super::scene::Scene;

lab::trials![
    labels_and_taints_are_there_from_the_first_version,
    a_node_that_is_there_keeps_what_it_has,
    a_kubelet_changes_no_taints,
    a_kubelet_changes_no_other_node,
    labels_of_kubernetes_are_refused,
    a_kubelet_may_do_what_we_do,
];

const ENV: &str = "CROSSFADE_KUBELET_ARGS=--node-labels=io.cilium.migration/cilium-default=false,crossfade/phase=old --register-with-taints=karpenter.sh/unregistered:NoExecute,node.cilium.io/agent-not-ready=true:NoExecute\n";

fn labels_and_taints_are_there_from_the_first_version() -> Result<()> {
    let scene = Scene::unregistered("registered")?;
    let selector = format!("fieldSelector=metadata.name={}", scene.node);
    let list = scene.admin.get(&format!("/api/v1/nodes?{selector}"))?.object()?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a version")?;
    let mut events = scene
        .admin
        .watch(&format!("/api/v1/nodes?watch=1&timeoutSeconds=60&{selector}&resourceVersion={version}"))?;
    kubelet::register(&scene.kubelet, scene.node, &words(ENV)?)?;
    let first = events.next().context("nothing happened")??;
    ensure!(first["type"] == "ADDED", "{first}");
    let node = &first["object"];
    let labels = json!({
        "kubernetes.io/hostname": "registered", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "io.cilium.migration/cilium-default": "false", "crossfade/phase": "old",
    });
    ensure!(node["metadata"]["labels"] == labels, "{}", node["metadata"]["labels"]);
    // The last one is the API server's own, until kubelet says that the Node is ready.
    let taints = json!([
        { "key": "karpenter.sh/unregistered", "effect": "NoExecute" },
        { "key": "node.cilium.io/agent-not-ready", "value": "true", "effect": "NoExecute" },
        { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
    ]);
    ensure!(node["spec"]["taints"] == taints, "{}", node["spec"]["taints"]);
    Ok(())
}

fn a_node_that_is_there_keeps_what_it_has() -> Result<()> {
    let scene = Scene::unregistered("rebooted")?;
    kubelet::register(&scene.kubelet, scene.node, &words(ENV)?)?;
    let lifted = json!({ "spec": { "taints": [] }, "metadata": { "labels": { "crossfade/phase": "new" } } });
    scene.admin.patch(&scene.path(), MERGE, &lifted)?.object()?;
    let node = kubelet::register(&scene.kubelet, scene.node, &words(ENV)?)?;
    ensure!(node["spec"]["taints"].is_null(), "{}", node["spec"]);
    ensure!(node["metadata"]["labels"]["crossfade/phase"] == "new", "{}", node["metadata"]["labels"]);
    Ok(())
}

fn a_kubelet_changes_no_taints() -> Result<()> {
    let scene = Scene::unregistered("tainted")?;
    kubelet::register(&scene.kubelet, scene.node, &words(ENV)?)?;
    let more = json!({ "spec": { "taints": [{ "key": "crossfade/not-ready", "effect": "NoSchedule" }] } });
    for (kind, body) in [
        (MERGE, &json!({ "spec": { "taints": [] } })),
        (MERGE, &json!({ "spec": { "taints": null } })),
        (STRATEGIC, &more),
    ] {
        let why = scene.kubelet.patch(&scene.path(), kind, body)?.refusal()?;
        ensure!(why.contains("taint"), "{why}");
    }
    let mut node = scene.node()?;
    node["spec"]["taints"] = json!([]);
    let why = scene.kubelet.replace(&scene.path(), &node)?.refusal()?;
    ensure!(why.contains("taint"), "{why}");
    Ok(())
}

fn a_kubelet_changes_no_other_node() -> Result<()> {
    let scene = Scene::registered("neighbour")?;
    let other = scene.server.kubelet("not-the-neighbour")?;
    let before = scene.node()?;
    let label = json!({ "metadata": { "labels": { "crossfade/phase": "new" } } });
    other.patch(&scene.path(), MERGE, &label)?.refusal()?;
    let condition = json!({ "status": { "conditions": [{ "type": "CrossfadeReady", "status": "True" }] } });
    other.patch(&format!("{}/status", scene.path()), STRATEGIC, &condition)?.refusal()?;
    ensure!(other.delete(&scene.path())?.status == 403, "deleted");
    let theirs = kubelet::initial_node("somebody-else", &[])?;
    other.create("/api/v1/nodes", &theirs)?.refusal()?;
    ensure!(scene.node()? == before, "touched");
    Ok(())
}

/// Labels that a kubelet may not set on its own Node.
const REFUSED: [&str; 5] = [
    "app.kubernetes.io/name",
    "kubernetes.io/role",
    "node-role.kubernetes.io/worker",
    "pool.node-restriction.kubernetes.io/secure",
    "x.k8s.io/y",
];

fn labels_of_kubernetes_are_refused() -> Result<()> {
    let scene = Scene::registered("labelled")?;
    for label in REFUSED {
        let newcomer = Scene::unregistered("newcomer")?;
        let mut node = kubelet::initial_node(newcomer.node, &[])?;
        node["metadata"]["labels"][label] = json!("x");
        let why = newcomer.kubelet.create("/api/v1/nodes", &node)?.refusal()?;
        ensure!(why.contains(label), "{why}");
        let body = json!({ "metadata": { "labels": { label: "x" } } });
        let why = scene.kubelet.patch(&scene.path(), MERGE, &body)?.refusal()?;
        ensure!(why.contains(label), "{why}");
    }
    Ok(())
}

fn a_kubelet_may_do_what_we_do() -> Result<()> {
    let scene = Scene::registered("allowed")?;
    let own = json!({ "metadata": { "labels": { "crossfade/phase": "old", "io.cilium.migration/cilium-default": "true" },
        "annotations": { "crossfade/observed": "{}" } } });
    let node: Value = scene.kubelet.patch(&scene.path(), MERGE, &own)?.object()?;
    ensure!(node["metadata"]["labels"]["crossfade/phase"] == "old", "{node}");
    Ok(())
}
