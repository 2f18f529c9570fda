//! What `kubectl crossfade check` finds on the live cluster, run as a plugin by the cluster's own kubectl.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use lab::kubernetes::{Api, Cluster, MERGE, manifest};
use serde_json::{Value, json};

use super::world::{NODES, cluster, flip, in_namespace};

/// The objects of each finding by its code: `Node/n1`, `Pod/default/web`.
type Findings = BTreeMap<String, Vec<String>>;

/// Runs the plugin. The lab's networks are neither CNI's, so some findings are always there.
fn findings(cluster: &Cluster) -> Result<Findings> {
    let line =
        ["crossfade", "check", "--from", "flannel", "--to", "cilium", "--strategy", "bridge", "-o", "json"];
    let program = lab::dist::kubectl()?;
    let dir = program.parent().context("the program's directory")?;
    let mut kubectl = cluster.plane.kubectl(&line)?;
    let output = kubectl.env("PATH", format!("{}:{}", dir.display(), lab::node::PATH)).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // kubectl ends with 1 whatever its plugin ends with, or with that; the answer says it as well.
    let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| said.clone())?;
    ensure!(answer["ok"] == false && !output.status.success(), "{said}");
    ensure!(answer["nodes"] == NODES.len(), "{} nodes", answer["nodes"]);
    let mut found = Findings::new();
    for finding in answer["findings"].as_array().context("findings")? {
        let objects: &mut Vec<String> =
            found.entry(finding["code"].as_str().context("code")?.into()).or_default();
        for object in finding["objects"].as_array().into_iter().flatten() {
            let parts = [&object["kind"], &object["namespace"], &object["name"]];
            let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
            objects.push(parts.join("/"));
        }
    }
    Ok(found)
}

/// Whether a finding names an object.
fn has(found: &Findings, code: &str, object: &str) -> bool {
    found.get(code).is_some_and(|objects| objects.iter().any(|one| one == object))
}

/// A budget for the pods of `app`.
pub(crate) fn budget(api: &Api, namespace: &str, app: &str, min_available: u32) -> Result<Value> {
    let newer = api.client.get("/apis/policy/v1")?.status == 200;
    Ok(json!({
        "apiVersion": if newer { "policy/v1" } else { "policy/v1beta1" }, "kind": "PodDisruptionBudget",
        "metadata": { "namespace": namespace, "name": app },
        "spec": { "minAvailable": min_available, "selector": { "matchLabels": { "app": app } } },
    }))
}

pub(crate) fn what_stands_in_the_way_is_found_while_it_is_there() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "operator", |namespace| {
        let all = [
            ("pdb-never-yields", format!("PodDisruptionBudget/{namespace}/strict")),
            ("pod-without-owner", format!("Pod/{namespace}/alone")),
            ("daemonset-starts-early", format!("DaemonSet/{namespace}/everywhere")),
            ("node-cordoned", format!("Node/{}", NODES[1])),
        ];
        let before = findings(&cluster)?;
        for (code, object) in &all {
            ensure!(!has(&before, code, object), "{code} {object} before it is there: {before:#?}");
        }
        // Every node reports.
        for code in ["crossfade-absent", "crossfade-silent", "crossfade-stale", "node-not-ready"] {
            ensure!(!before.contains_key(code), "{code}: {before:#?}");
        }

        let mut tolerant = manifest::server();
        tolerant["tolerations"] = json!([{ "operator": "Exists" }]);
        let strict = format!("/apis/apps/v1/namespaces/{namespace}/deployments/strict");
        let everywhere = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/everywhere");
        api.create(&[
            manifest::workload("Deployment", namespace, "strict", Some(2), &manifest::server()),
            budget(&api, namespace, "strict", 2)?,
            manifest::workload("DaemonSet", namespace, "everywhere", None, &tolerant),
        ])?;
        super::world::run_on(&api, namespace, "alone", NODES[0])?;
        api.until_rolled_out(&strict)?;
        api.until_rolled_out(&everywhere)?;
        api.cordon(NODES[1], true)?;
        let meanwhile = findings(&cluster);
        api.cordon(NODES[1], false)?;
        let meanwhile = meanwhile?;
        for (code, object) in &all {
            ensure!(has(&meanwhile, code, object), "no {code} {object}: {meanwhile:#?}");
        }

        // Mended as the findings say.
        let lenient = json!({ "spec": { "replicas": 3 } });
        api.client.patch(&strict, MERGE, &lenient)?.object()?;
        api.until_rolled_out(&strict)?;
        api.client.delete(&everywhere)?.object()?;
        api.until_gone(&everywhere)?;
        let alone = format!("/api/v1/namespaces/{namespace}/pods/alone");
        api.client.delete(&alone)?.object()?;
        api.until_gone(&alone)?;
        let after = findings(&cluster)?;
        for (code, object) in &all {
            ensure!(!has(&after, code, object), "still {code} {object}: {after:#?}");
        }
        // A node of another phase reports as well.
        flip(&api, NODES[2], "both-old")?;
        let moved = findings(&cluster);
        flip(&api, NODES[2], "old")?;
        ensure!(!moved?.contains_key("crossfade-silent"));
        Ok(())
    })
}
