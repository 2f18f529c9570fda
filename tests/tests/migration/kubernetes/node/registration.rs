//! kubelet registers its Node with what `render` tells it, and what is forbidden stays forbidden.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::kubelet;
use crate::subject::Subject;
use crate::tree::Tree;
use lab::install::package::{KUBELET_VARIABLE, words_of};
use lab::kubernetes::{MERGE, STRATEGIC};

lab::trials![
    labels_and_taints_are_there_from_the_first_version,
    a_node_that_is_there_keeps_what_it_has,
    a_kubelet_changes_no_taints,
    a_kubelet_changes_no_other_node,
    labels_of_kubernetes_are_refused,
    what_render_accepts_the_api_server_takes,
];

/// node.json of a node with labels and a taint.
fn settings() -> Value {
    json!({
        "labels": { "io.cilium.migration/cilium-default": "false", "crossfade/phase": "old" },
        "taints": [{ "key": "node.cilium.io/agent-not-ready", "value": "true", "effect": "NoExecute" }],
    })
}

/// kubelet's whole command line: its own words, and those that `render` made for it.
fn command_line(node: &str) -> Result<(Tree, Vec<String>)> {
    let tree = Tree::new(node, &settings())?;
    let ours = words_of(&tree.render()?, KUBELET_VARIABLE)?;
    let words = tree.kubelet(node, &ours);
    Ok((tree, words))
}

fn labels_and_taints_are_there_from_the_first_version() -> Result<()> {
    let subject = Subject::unregistered("registered")?;
    let (_tree, line) = command_line(subject.node)?;
    let selector = format!("fieldSelector=metadata.name={}", subject.node);
    let list = subject.admin.get(&format!("/api/v1/nodes?{selector}"))?.object()?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a version")?;
    let mut events = subject
        .admin
        .watch(&format!("/api/v1/nodes?watch=1&timeoutSeconds=60&{selector}&resourceVersion={version}"))?;
    kubelet::register(&subject.kubelet, subject.node, &line)?;
    let first = events.next().context("nothing happened")??;
    ensure!(first["type"] == "ADDED", "{first}");
    let node = &first["object"];
    let labels = json!({
        "kubernetes.io/hostname": "registered", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "site": "lab", "io.cilium.migration/cilium-default": "false", "crossfade/phase": "old",
    });
    ensure!(node["metadata"]["labels"] == labels, "{}", node["metadata"]["labels"]);
    // The last one is the API server's own, until kubelet says that the Node is ready.
    let taints = json!([
        { "key": "example.com/from-config", "value": "x", "effect": "NoSchedule" },
        { "key": "karpenter.sh/unregistered", "effect": "NoExecute" },
        { "key": "node.cilium.io/agent-not-ready", "value": "true", "effect": "NoExecute" },
        { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
    ]);
    ensure!(node["spec"]["taints"] == taints, "{}", node["spec"]["taints"]);
    Ok(())
}

fn a_node_that_is_there_keeps_what_it_has() -> Result<()> {
    let subject = Subject::unregistered("rebooted")?;
    let (_tree, line) = command_line(subject.node)?;
    kubelet::register(&subject.kubelet, subject.node, &line)?;
    let lifted = json!({ "spec": { "taints": [] }, "metadata": { "labels": { "crossfade/phase": "new" } } });
    subject.admin.patch(&subject.path(), MERGE, &lifted)?.object()?;
    let node = kubelet::register(&subject.kubelet, subject.node, &line)?;
    ensure!(node["spec"]["taints"].is_null(), "{}", node["spec"]);
    ensure!(node["metadata"]["labels"]["crossfade/phase"] == "new", "{}", node["metadata"]["labels"]);
    Ok(())
}

fn a_kubelet_changes_no_taints() -> Result<()> {
    let subject = Subject::unregistered("tainted")?;
    let (_tree, line) = command_line(subject.node)?;
    kubelet::register(&subject.kubelet, subject.node, &line)?;
    let more = json!({ "spec": { "taints": [{ "key": "crossfade/not-ready", "effect": "NoSchedule" }] } });
    for (kind, body) in [
        (MERGE, &json!({ "spec": { "taints": [] } })),
        (MERGE, &json!({ "spec": { "taints": null } })),
        (STRATEGIC, &more),
    ] {
        let why = subject.kubelet.patch(&subject.path(), kind, body)?.refusal()?;
        ensure!(why.contains("taint"), "{why}");
    }
    let mut node = subject.node()?;
    node["spec"]["taints"] = json!([]);
    let why = subject.kubelet.replace(&subject.path(), &node)?.refusal()?;
    ensure!(why.contains("taint"), "{why}");
    Ok(())
}

fn a_kubelet_changes_no_other_node() -> Result<()> {
    let subject = Subject::registered("neighbour")?;
    let other = subject.server.kubelet("not-the-neighbour")?;
    let before = subject.node()?;
    let label = json!({ "metadata": { "labels": { "crossfade/phase": "new" } } });
    other.patch(&subject.path(), MERGE, &label)?.refusal()?;
    let condition = json!({ "status": { "conditions": [{ "type": "CrossfadeReady", "status": "True" }] } });
    other.patch(&format!("{}/status", subject.path()), STRATEGIC, &condition)?.refusal()?;
    ensure!(other.delete(&subject.path())?.status == 403, "deleted");
    let theirs = kubelet::initial_node("other-node", &[])?;
    other.create("/api/v1/nodes", &theirs)?.refusal()?;
    ensure!(subject.node()? == before, "touched");
    Ok(())
}

/// Labels that a kubelet may not set on its own Node.
const REFUSED: [&str; 7] = [
    "app.kubernetes.io/name",
    "kubernetes.io/role",
    "k8s.io/x",
    "node-role.kubernetes.io/worker",
    "pool.node-restriction.kubernetes.io/secure",
    "topology.kubernetes.io/rack",
    "x.k8s.io/y",
];
/// Labels that it may.
const TAKEN: [&str; 6] = [
    "cni",
    "io.cilium.migration/cilium-default",
    "node.cilium.io/x",
    "node.kubernetes.io/anything",
    "kubelet.kubernetes.io/x",
    "topology.kubernetes.io/zone",
];

fn labels_of_kubernetes_are_refused() -> Result<()> {
    let subject = Subject::registered("labelled")?;
    let newcomer = Subject::unregistered("newcomer")?;
    for label in REFUSED {
        // When the image is built.
        let tree = Tree::new(newcomer.node, &json!({ "labels": { label: "x" } }))?;
        let findings = tree.check()?;
        ensure!(findings.iter().any(|finding| finding.contains(label)), "{label}: {findings:?}");
        ensure!(tree.render().is_err(), "rendered {label}");
        // When the Node is registered, by a kubelet that would not have noticed.
        let mut node = kubelet::initial_node(newcomer.node, &[])?;
        node["metadata"]["labels"][label] = json!("x");
        let why = newcomer.kubelet.create("/api/v1/nodes", &node)?.refusal()?;
        ensure!(why.contains(label), "{why}");
        // And afterwards.
        let body = json!({ "metadata": { "labels": { label: "x" } } });
        let why = subject.kubelet.patch(&subject.path(), MERGE, &body)?.refusal()?;
        ensure!(why.contains(label), "{why}");
    }
    Ok(())
}

fn what_render_accepts_the_api_server_takes() -> Result<()> {
    let subject = Subject::unregistered("accepted")?;
    let labels: serde_json::Map<_, _> = TAKEN.iter().map(|label| ((*label).to_owned(), json!("x"))).collect();
    let tree = Tree::new(subject.node, &json!({ "labels": labels }))?;
    let against: Vec<_> = tree.check()?.into_iter().filter(|finding| finding.contains("label")).collect();
    ensure!(against.is_empty(), "{against:?}");
    let node =
        kubelet::register(&subject.kubelet, subject.node, &words_of(&tree.render()?, KUBELET_VARIABLE)?)?;
    for label in TAKEN {
        ensure!(node["metadata"]["labels"][label] == "x", "{label}: {}", node["metadata"]["labels"]);
    }
    // What is published later is as free.
    let own = json!({ "metadata": { "labels": { "crossfade/phase": "old" }, "annotations": { "crossfade/observed": "{}" } } });
    let node = subject.kubelet.patch(&subject.path(), MERGE, &own)?.object()?;
    ensure!(node["metadata"]["labels"]["crossfade/phase"] == "old", "{node}");
    Ok(())
}
