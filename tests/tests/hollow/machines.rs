//! A rotation by Cluster API: a stand-in for its controller of Machines, whose objects are real ones of the API server, deletes old Machines and drains their Nodes
//! once no pre-drain hook is left.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::build::dist;
use lab::host::deadline::until;
use lab::kubernetes::{Api, MERGE, Operator, User, manifest};
use lab::standin::hollow::{Cluster, Fleet, audited, unhurried};
use serde_json::{Value, json};

lab::trials![hooks_on_machines_hold_nodes_until_their_turn];

const FLEET: Fleet = Fleet { nodes: 4, zones: 1, first: 4, joins: false, is_plain: true };
const NAMESPACE: &str = "hollow";
/// The namespace of the Machines, and the name of their Cluster.
const CLUSTER: [&str; 2] = ["fleets", "blue"];
/// The operator's user in the management cluster.
const MANAGER: &str = "manager";
const MACHINES: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/fleets/machines";
/// How the annotations begin that keep Cluster API from draining a Node.
const HOOKS: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/";
/// Keeps a Machine that is deleted until its Node has gone, as Cluster API's own finalizer does.
const FINALIZER: &str = "machine.cluster.x-k8s.io";

/// The management cluster is the cluster itself, reached with another credential, which may do nothing but patch Machines.
fn hooks_on_machines_hold_nodes_until_their_turn() -> Result<()> {
    let cluster = Cluster::start(FLEET)?;
    let api = cluster.api()?;
    cluster.serve_dns(2)?;
    api.namespace(NAMESPACE)?;
    let pods = 2 * FLEET.nodes as usize;
    let web = manifest::workload("Deployment", NAMESPACE, "web", Some(2 * FLEET.nodes), &manifest::server());
    api.create(&[web, manifest::budget(NAMESPACE, "web", &json!({ "maxUnavailable": 3 }), &api)?])?;
    cluster.until_running(NAMESPACE, pods)?;
    define_machines(&api)?;
    let old: Vec<String> = FLEET.members().map(|member| member.name()).collect();
    for node in &old {
        add_machine(&api, node)?;
    }

    let operator = Operator::new(&cluster.plane, "rotation", unhurried(2))?.waiving_what_blocks()?;
    let hash = operator.plan()?;
    let kubeconfig = operator.file("management");
    fs::write(&kubeconfig, cluster.plane.kubeconfig(User::Component(MANAGER))?.to_string())?;
    let kubeconfig = kubeconfig.to_str().context("a path")?;
    let words = |context| {
        [
            "roll",
            "--plan",
            &hash[..12],
            "--management-context",
            context,
            "--management-kubeconfig",
            kubeconfig,
        ]
    };
    for (context, status, part) in [
        ("elsewhere", 78, "--management-context"),
        ("lab", 1, "patch machines.cluster.x-k8s.io in namespace fleets"),
    ] {
        let refused = operator.ends(&words(context), status)?;
        ensure!(refused.answer["problems"].to_string().contains(part), "{refused:#?}");
    }
    grant(&cluster)?;

    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&words("lab"))?;
    until("a hook on each Machine", Duration::from_mins(10), || {
        run.goes_on()?;
        Ok((hooked(&api)?.len() == old.len()).then_some(()))
    })?;
    // The pipeline begins with the node that the plan has last, then deletes all others at once.
    let (last, others) = old.split_last().context("nodes")?;
    delete_machine(&api, last)?;
    replace(&cluster, &api, &mut run, &BTreeSet::from([last.clone()]))?;
    for node in others {
        delete_machine(&api, node)?;
    }
    let mut left: BTreeSet<String> = others.iter().cloned().collect();
    while !left.is_empty() {
        let gone = replace(&cluster, &api, &mut run, &left)?;
        left.remove(&gone);
        cluster.until_running(NAMESPACE, pods)?;
    }
    let rolled = run.ends(Duration::from_mins(30))?;
    ensure!(rolled.status == Some(0), "{rolled:#?}");
    cluster.ensure_all_on(NAMESPACE, pods, "new")?;
    ensure!(hooked(&api)?.is_empty(), "hooks are left: {:?}", hooked(&api)?);
    let (requests, _) = audited(&cluster.plane.audit_log(), begin)?;
    ensure!(
        !requests.contains_key("create pods/eviction"),
        "Cluster API drains, and not the run: {requests:#?}"
    );
    cluster.hollow.ensure_sound()
}

/// Waits until the Machine of one of these nodes may be drained, and does what Cluster API does then. Gives the node.
fn replace(
    cluster: &Cluster,
    api: &Api,
    run: &mut lab::kubernetes::operator::Running,
    nodes: &BTreeSet<String>,
) -> Result<String> {
    let mut free = Vec::new();
    until("a Machine without a hook", Duration::from_mins(30), || {
        run.goes_on()?;
        let held = hooked(api)?;
        free = nodes.iter().filter(|node| !held.contains(*node)).cloned().collect();
        Ok((!free.is_empty()).then_some(()))
    })?;
    ensure!(free.len() <= 2, "{free:?} may go at once, and two nodes may be in transit");
    let node = &free[0];
    let fresh = cluster.hollow.start_replacement(node)?;
    add_machine(api, &fresh)?;
    for words in [
        vec!["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s"],
        vec!["delete", "node", node],
    ] {
        lab::host::node::run(&mut cluster.plane.kubectl(&words)?)?;
    }
    let patch = json!({ "metadata": { "finalizers": null } });
    api.client.patch(&format!("{MACHINES}/m-{node}"), MERGE, &patch)?.object()?;
    Ok(node.clone())
}

/// The kind of Machines, with whatever fields they have.
fn define_machines(api: &Api) -> Result<()> {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version = json!({ "name": "v1beta2", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } });
    api.create(&[json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "machines.cluster.x-k8s.io",
            "annotations": { "api-approved.kubernetes.io": "unapproved, a test's" },
        },
        "spec": {
            "group": "cluster.x-k8s.io", "scope": "Namespaced", "versions": [version],
            "names": { "plural": "machines", "singular": "machine", "kind": "Machine", "listKind": "MachineList" },
        },
    })])?;
    api.create(&[manifest::namespace(CLUSTER[0])])?;
    until("Machines are served", Duration::from_mins(5), || {
        Ok((api.client.get(MACHINES)?.status == 200).then_some(()))
    })
}

/// The Machine of a Node, and the annotations that Cluster API writes on it.
fn add_machine(api: &Api, node: &str) -> Result<()> {
    let [namespace, name] = CLUSTER;
    for (key, value) in
        [("machine", format!("m-{node}").as_str()), ("cluster-namespace", namespace), ("cluster-name", name)]
    {
        api.annotate(node, &format!("cluster.x-k8s.io/{key}"), json!(value))?;
    }
    api.create(&[json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
        "metadata": {
            "name": format!("m-{node}"), "namespace": namespace, "finalizers": [FINALIZER],
            "labels": { "cluster.x-k8s.io/cluster-name": name },
        },
        "spec": { "clusterName": name }, "status": { "nodeRef": { "name": node } },
    })])
}

fn delete_machine(api: &Api, node: &str) -> Result<()> {
    api.client.delete(&format!("{MACHINES}/m-{node}"))?.object().map(drop)
}

/// The nodes of Machines with a pre-drain hook.
fn hooked(api: &Api) -> Result<BTreeSet<String>> {
    let has_hook = |machine: &&Value| {
        let annotations = machine["metadata"]["annotations"].as_object();
        annotations.is_some_and(|all| all.keys().any(|key| key.starts_with(HOOKS)))
    };
    let node = |machine: &Value| machine["status"]["nodeRef"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(api.list(MACHINES)?.iter().filter(has_hook).map(node).collect())
}

/// Binds the rights of `deploy/cluster/rbac-management.yaml` as its head says.
fn grant(cluster: &Cluster) -> Result<()> {
    let file = dist::workspace().join("deploy/cluster/rbac-management.yaml");
    let user = format!("--user={MANAGER}");
    let role = ["create", "rolebinding", "crossfade-management", "--clusterrole=crossfade-management", &user];
    for words in
        [vec!["apply", "-f", file.to_str().context("a path")?], [&["-n", CLUSTER[0]], &role[..]].concat()]
    {
        lab::host::node::run(&mut cluster.plane.kubectl(&words)?)?;
    }
    Ok(())
}
