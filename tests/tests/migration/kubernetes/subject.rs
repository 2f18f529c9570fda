//! A Node of a case's own, seen by its kubelet and by an administrator.
//!
//! An object of the API server, without any node of the lab behind it.

use anyhow::{Context, Result};
use lab::host::deadline::until;
use serde_json::{Value, json};

use crate::publisher::WITHIN;
use crate::server::Server;
use crate::{kubelet, server};
use lab::kubernetes::{Client, MERGE};

/// One Node.
pub(crate) struct Subject {
    pub(crate) server: &'static Server,
    pub(crate) node: &'static str,
    pub(crate) kubelet: Client,
    pub(crate) admin: Client,
}

impl Subject {
    /// A Node that is not registered yet.
    pub(crate) fn unregistered(node: &'static str) -> Result<Self> {
        let server = server()?;
        Ok(Self { server, node, kubelet: server.kubelet(node)?, admin: server.admin()? })
    }

    /// A Node that kubelet registered with nothing of ours.
    pub(crate) fn registered(node: &'static str) -> Result<Self> {
        let subject = Self::unregistered(node)?;
        subject.register()?;
        Ok(subject)
    }

    pub(crate) fn register(&self) -> Result<Value> {
        // By an administrator: some kubelets here are known by a token only.
        kubelet::register(&self.admin, self.node, &[])
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/nodes/{}", self.node)
    }

    /// The Node as it is.
    pub(crate) fn node(&self) -> Result<Value> {
        self.admin.get(&self.path())?.object()
    }

    /// A condition of it.
    pub(crate) fn condition(&self, kind: &str) -> Result<Value> {
        let node = self.node()?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.into_iter().find(|condition| condition["type"] == kind);
        condition.with_context(|| format!("no {kind} on {}", self.node))
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, WITHIN, || {
            let node = self.node()?;
            Ok(so(&node).then_some(node))
        })
    }

    /// An administrator writes an annotation; null takes it away.
    pub(crate) fn annotate(&self, key: &str, value: &Value) -> Result<Value> {
        let body = json!({ "metadata": { "annotations": { key: value } } });
        self.admin.patch(&self.path(), MERGE, &body)?.object()
    }

    /// The Node's events.
    pub(crate) fn events(&self) -> Result<Vec<Value>> {
        let path =
            format!("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={}", self.node);
        let list = self.admin.get(&path)?.object()?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }
}

/// What the publisher's condition says on this Node: status, reason, message.
pub(crate) fn says(node: &Value) -> [&str; 3] {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition["type"] == "CrossfadeReady");
    ["status", "reason", "message"]
        .map(|field| condition.and_then(|condition| condition[field].as_str()).unwrap_or_default())
}
