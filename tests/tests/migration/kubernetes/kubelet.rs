//! The part of kubelet that speaks to the API server about its Node: what it registers, and what it does when there is one.
//!
//! What its command line means is the lab's stand-in's to say ([`lab::standin::kubelet`]).
//!
//! *Source*: `pkg/kubelet/kubelet_node_status.go` of Kubernetes (`initialNode`, `tryRegisterWithAPIServer`): a Node that is there
//! gets the default labels and nothing else.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use lab::standin::kubelet::Registration;
use serde_json::{Value, json};

use lab::kubernetes::{Client, MERGE};

/// The Node that kubelet would register with this command line.
pub(crate) fn initial_node(name: &str, words: &[String]) -> Result<Value> {
    let node = Registration::parse(words)?.node;
    let mut labels = default_labels(name);
    labels.extend(node.labels);
    let taints = node.taints.iter().map(|text| taint(text)).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": { "taints": taints },
    }))
}

fn default_labels(name: &str) -> BTreeMap<String, String> {
    [("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// `key=value:Effect` as the API has it.
fn taint(text: &str) -> Result<Value> {
    let (pair, effect) = text.rsplit_once(':').with_context(|| format!("no effect in taint {text:?}"))?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let mut taint = json!({ "key": key, "effect": effect });
    if !value.is_empty() {
        taint["value"] = json!(value);
    }
    Ok(taint)
}

/// Registers: creates the Node, or finds it there and puts right nothing but the default labels.
pub(crate) fn register(client: &Client, name: &str, words: &[String]) -> Result<Value> {
    let answer = client.create("/api/v1/nodes", &initial_node(name, words)?)?;
    if answer.status != 409 {
        return answer.object();
    }
    let path = format!("/api/v1/nodes/{name}");
    let labels = json!({ "metadata": { "labels": default_labels(name) } });
    client.patch(&path, MERGE, &labels)?.object()
}
