//! A stand-in for the part of kubelet that registers its Node: flags to a Node object, and what it does when there is one.
//!
//! *Source*: `cmd/kubelet/app/options` (labels of repeated flags merge, a repeated list of taints replaces) and
//! `pkg/kubelet/kubelet_node_status.go` (`initialNode`, `tryRegisterWithAPIServer`) of Kubernetes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::client::{Client, MERGE};

/// The words that systemd makes of `$CROSSFADE_KUBELET_ARGS` as a word of its own: split at blanks.
pub(crate) fn words(env: &str) -> Result<Vec<String>> {
    let mut lines = env.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let value =
        lines.find_map(|line| line.strip_prefix("CROSSFADE_KUBELET_ARGS=")).context("no arguments")?;
    ensure!(!value.contains(['"', '\'', '\\', '$']), "systemd would not take {value:?} as it is");
    Ok(value.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The Node that kubelet would register with this command line.
pub(crate) fn initial_node(name: &str, words: &[String]) -> Result<Value> {
    let mut labels = default_labels(name);
    let mut taints = Vec::new();
    for word in words {
        if let Some(list) = word.strip_prefix("--node-labels=") {
            for pair in list.split(',').filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                labels.insert(key.to_owned(), value.to_owned());
            }
        } else if let Some(list) = word.strip_prefix("--register-with-taints=") {
            let list = list.split(',').filter(|taint| !taint.is_empty());
            taints = list.map(taint).collect::<Result<Vec<_>>>()?;
        } else {
            bail!("kubelet's part that stands in here knows no {word}");
        }
    }
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
