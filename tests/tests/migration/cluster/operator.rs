//! The findings of `kubectl crossfade check` on the live cluster, run as a plugin by the cluster's own kubectl.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use lab::kubernetes::{MERGE, Operator, manifest};
use serde_json::json;

use super::world::{NODES, cluster, flip, in_namespace};

/// The objects of each finding by its code: `Node/n1`, `Pod/default/web`.
type Findings = BTreeMap<String, Vec<String>>;

/// What `check` finds. The lab's networks are neither CNI's, so something always blocks.
fn findings(operator: &Operator) -> Result<Findings> {
    let checked = operator.check()?;
    // kubectl ends with 1 whatever its plugin ends with, or with that; the answer says it as well.
    ensure!(checked.answer["ok"] == false && checked.status != Some(0), "{checked:#?}");
    ensure!(checked.answer["nodes"] == NODES.len(), "{} nodes", checked.answer["nodes"]);
    let mut findings = Findings::new();
    for finding in checked.answer["findings"].as_array().context("findings")? {
        let objects: &mut Vec<String> =
            findings.entry(finding["code"].as_str().context("code")?.into()).or_default();
        for object in finding["objects"].as_array().into_iter().flatten() {
            let parts = [&object["kind"], &object["namespace"], &object["name"]];
            let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
            objects.push(parts.join("/"));
        }
    }
    Ok(findings)
}

/// Whether a finding names an object.
fn has(findings: &Findings, code: &str, object: &str) -> bool {
    findings.get(code).is_some_and(|objects| objects.iter().any(|name| name == object))
}

pub(crate) fn what_stands_in_the_way_is_found_while_it_is_there() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let operator = Operator::new(&cluster.plane, "bridge", json!({}))?;
    in_namespace(&api, "operator", |namespace| {
        let all = [
            ("pdb-never-yields", format!("PodDisruptionBudget/{namespace}/strict")),
            ("pod-without-owner", format!("Pod/{namespace}/alone")),
            ("daemonset-starts-early", format!("DaemonSet/{namespace}/everywhere")),
            ("node-cordoned", format!("Node/{}", NODES[1])),
        ];
        let before = findings(&operator)?;
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
            manifest::budget(namespace, "strict", &json!({ "minAvailable": 2 }), &api)?,
            manifest::workload("DaemonSet", namespace, "everywhere", None, &tolerant),
        ])?;
        super::world::run_on(&api, namespace, "alone", NODES[0])?;
        api.until_rolled_out(&strict)?;
        api.until_rolled_out(&everywhere)?;
        api.cordon(NODES[1], true)?;
        let meanwhile = findings(&operator);
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
        let after = findings(&operator)?;
        for (code, object) in &all {
            ensure!(!has(&after, code, object), "still {code} {object}: {after:#?}");
        }
        // A node of another phase reports as well.
        flip(&api, NODES[2], "both-old")?;
        let moved = findings(&operator);
        flip(&api, NODES[2], "old")?;
        ensure!(!moved?.contains_key("crossfade-silent"));
        Ok(())
    })
}
