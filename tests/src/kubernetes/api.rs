//! A test's requests about a cluster's objects.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::{Client, MERGE};
use super::manifest;
use crate::host::deadline::until;

/// Tells a cluster that gets there from one that does not; a busy machine takes ten seconds for a pod.
pub const WITHIN: Duration = Duration::from_secs(120);

/// Objects in one page of a list.
const PAGE: u32 = 500;

/// A person who may do everything, and knows the kinds.
#[derive(Debug, Clone)]
pub struct Api {
    /// For what has no method here.
    pub client: Client,
}

impl Api {
    /// Creates objects, in their order.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn create(&self, objects: &[Value]) -> Result<()> {
        for object in objects {
            let answer = self.client.create(&collection(object)?, object)?;
            answer
                .object()
                .with_context(|| format!("creating {} {}", object["kind"], object["metadata"]["name"]))?;
        }
        Ok(())
    }

    /// An object, by its path.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.client.get(path)?.object().with_context(|| path.to_owned())
    }

    /// The objects of a collection, by its path, which may end in a selector. All pages, for the client reads 10 MiB of a body at most.
    ///
    /// # Errors
    /// What the API server says.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit={PAGE}");
        let (mut all, mut page) = (Vec::new(), first.clone());
        loop {
            let mut list = self.get(&page)?;
            let Value::Array(items) = list["items"].take() else {
                anyhow::bail!("{path}: {list} is no list");
            };
            all.extend(items);
            match list["metadata"]["continue"].as_str() {
                // The token is base64 for URLs.
                Some(token) if !token.is_empty() => page = format!("{first}&continue={token}"),
                _ => return Ok(all),
            }
        }
    }

    /// Waits until an object is so, and returns it.
    ///
    /// # Errors
    /// It does not become so; the message has its status.
    pub fn until(&self, path: &str, what: &str, so: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        until(&format!("{path}: {what}"), WITHIN, || {
            pause();
            let answer = self.client.get(path)?;
            let is_so = answer.status == 200 && so(&answer.body);
            last = answer.body;
            Ok(is_so.then_some(()))
        })
        .with_context(|| format!("it is {}", last["status"]))?;
        Ok(last)
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// It stays.
    pub fn until_gone(&self, path: &str) -> Result<()> {
        until(&format!("the end of {path}"), WITHIN, || {
            Ok((self.client.get(path)?.status == 404).then_some(()))
        })
    }

    /// Makes a namespace, and waits until it admits pods.
    ///
    /// # Errors
    /// The API server refuses it, or it does not come to that.
    pub fn namespace(&self, name: &str) -> Result<()> {
        self.create(&[manifest::namespace(name)])?;
        self.until_admits_pods(name)
    }

    /// Waits until a namespace admits pods, which it does when the controller manager has made its ServiceAccount and, before Kubernetes 1.24, a token
    /// for it. So a pod is tried, without being made.
    ///
    /// # Errors
    /// It does not come to that; the message has the last refusal.
    pub fn until_admits_pods(&self, namespace: &str) -> Result<()> {
        let pods = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let pod = manifest::pod(namespace, "admitted", &manifest::server());
        let mut last = Value::Null;
        until(&format!("{namespace} admits pods"), WITHIN, || {
            pause();
            let answer = self.client.create(&pods, &pod)?;
            last = answer.body;
            Ok((answer.status == 201).then_some(()))
        })
        .with_context(|| format!("the last answer: {last}"))
    }

    /// Waits until a workload, by its path, has every pod that it is to have, of its newest template, ready.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn until_rolled_out(&self, path: &str) -> Result<()> {
        self.until(path, "all of its pods are ready", is_rolled_out).map(drop)
    }

    /// Waits until a Node is Ready, and returns it.
    ///
    /// # Errors
    /// It does not become so.
    pub fn until_ready(&self, node: &str) -> Result<Value> {
        self.until(&node_path(node), "is Ready", |node| condition(node, "Ready") == "True")
    }

    /// The pods of all namespaces that a node has, those of the host's network left out.
    ///
    /// # Errors
    /// What the API server says.
    pub fn pods_on(&self, node: &str) -> Result<Vec<Value>> {
        let pods = self.list(&format!("/api/v1/pods?fieldSelector=spec.nodeName={node}"))?;
        Ok(pods.into_iter().filter(|pod| pod["spec"]["hostNetwork"] != json!(true)).collect())
    }

    /// Writes an annotation of a Node; null takes it away.
    ///
    /// # Errors
    /// What the API server says.
    pub fn annotate(&self, node: &str, key: &str, value: Value) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.client.patch(&node_path(node), MERGE, &patch)?.object().map(drop)
    }

    /// Closes a Node to new pods, or opens it.
    ///
    /// # Errors
    /// What the API server says.
    pub fn cordon(&self, node: &str, closed: bool) -> Result<()> {
        let patch = json!({ "spec": { "unschedulable": closed } });
        self.client.patch(&node_path(node), MERGE, &patch)?.object().map(drop)
    }
}

/// An API server that is asked without a pause has no time for others.
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

pub fn node_path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

pub fn pod_path(pod: &Value) -> String {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("/api/v1/namespaces/{}/pods/{}", text("namespace"), text("name"))
}

/// The status of a condition, as `True`; empty where there is none.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition["type"] == kind);
    condition.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

/// Whether the controller has seen the newest template, and every pod is of it and ready.
fn is_rolled_out(workload: &Value) -> bool {
    let status = &workload["status"];
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let is_observed = number(&status["observedGeneration"]) >= number(&workload["metadata"]["generation"]);
    let pods = if workload["kind"] == "DaemonSet" {
        [&status["desiredNumberScheduled"], &status["updatedNumberScheduled"], &status["numberReady"]]
    } else {
        [&workload["spec"]["replicas"], &status["updatedReplicas"], &status["readyReplicas"]]
    };
    let [wanted, updated, ready] = pods.map(number);
    is_observed && wanted > 0 && updated == wanted && ready == wanted
}

/// Where an object is created.
fn collection(object: &Value) -> Result<String> {
    let text =
        |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("a field of {object}"));
    let (version, kind) = (text(&object["apiVersion"])?, text(&object["kind"])?);
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let plural = format!("{}s", kind.to_lowercase());
    ensure!(!plural.ends_with("ys"), "the plural of {kind} is not known here");
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{version}/{plural}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_rolled_out_when_all_of_its_newest_pods_are_ready() {
        let deployment = |generation: u32, observed: u32, updated: u32, ready: u32| {
            json!({ "kind": "Deployment", "metadata": { "generation": generation }, "spec": { "replicas": 2 },
                    "status": { "observedGeneration": observed, "updatedReplicas": updated, "readyReplicas": ready } })
        };
        for (workload, expected) in [
            (deployment(1, 1, 2, 2), true),
            (deployment(2, 1, 2, 2), false),
            (deployment(1, 1, 1, 2), false),
            (deployment(1, 1, 2, 1), false),
            (json!({ "kind": "DaemonSet", "status": {} }), false),
        ] {
            assert_eq!(is_rolled_out(&workload), expected, "{workload}");
        }
    }

    #[test]
    fn objects_are_created_in_the_collection_of_their_kind() {
        let object = |version: &str, kind: &str, namespace: Value| json!({ "apiVersion": version, "kind": kind, "metadata": { "namespace": namespace } });
        for (object, path) in [
            (object("v1", "Namespace", Value::Null), "/api/v1/namespaces"),
            (object("v1", "Pod", json!("a")), "/api/v1/namespaces/a/pods"),
            (object("apps/v1", "DaemonSet", json!("a")), "/apis/apps/v1/namespaces/a/daemonsets"),
        ] {
            assert_eq!(collection(&object).expect("a path"), path);
        }
    }
}
