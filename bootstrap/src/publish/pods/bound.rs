//! The pods that are bound to this node, for a command that moves them: their facts, evictions and deletions.
//!
//! kubelet's credential may read, evict and delete the pods of its own node, and no others. *Source*: Kubernetes, `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`,
//! `NodeRules`; `plugin/pkg/admission/noderestriction`, `admitPodEviction`.

use convergence::publish::pods::{BoundPod, MIRROR, Owner};

use tokio::runtime::Runtime;
use types::api::eviction::{Answer, Depth, Evictions, Target, deletion};
use types::api::refusal::Refusal;
use types::api::step::Step;

use crate::publish::error::Trouble;
use crate::publish::link::{Link, Reply};
use crate::publish::node_read::ApiReadError;
use crate::publish::pods::PodObject;
use crate::publish::report::Credential;

/// What the API server has of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The pods that are bound to the node.
    pub pods: Vec<BoundPod>,
    /// The step of a run that the Node bears.
    pub step: Option<Step>,
}

/// Asks the API server about the pods of this node.
pub(crate) struct BoundPods {
    runtime: Runtime,
    link: Link,
    evictions: Evictions,
}

impl BoundPods {
    /// Connects, and asks which API of evictions there is.
    ///
    /// # Errors
    /// [`ApiReadError`].
    pub(crate) fn open(credential: &Credential) -> Result<Self, ApiReadError> {
        let failed = |e: std::io::Error| ApiReadError::from_text(format!("start a runtime: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (link, evictions) = runtime.block_on(async {
            let (link, _) = Link::open(credential).await?;
            let reply = link.get(Evictions::ASK_AT).await?;
            Ok::<_, Trouble>((link, reply))
        })?;
        let evictions = match evictions.is_done() {
            true => Evictions::read(&evictions.body).map_err(ApiReadError::from_text)?,
            false => return Err(ApiReadError::from_text(evictions.refusal().to_string())),
        };
        Ok(Self { runtime, link, evictions })
    }

    /// What there is now.
    ///
    /// # Errors
    /// [`ApiReadError`].
    pub(crate) fn list(&self) -> Result<Bound, ApiReadError> {
        let listed = self.runtime.block_on(async {
            let (node, _) = self.link.list().await?;
            let pods = self.link.pods().await?;
            Ok::<_, Trouble>((node, pods))
        });
        let (node, pods) = listed?;
        let step = node.as_ref().and_then(|node| node.metadata.annotations.get(types::api::step::KEY));
        Ok(Bound {
            pods: pods.into_iter().map(bound_pod).collect(),
            step: step.and_then(|text| Step::parse(text).ok()),
        })
    }

    /// Evicts a pod, or asks what the API server would say.
    #[must_use]
    pub(crate) fn evict(&self, pod: &BoundPod, depth: Depth) -> Answer {
        let body = self.evictions.body(target(pod), depth);
        self.request(body, async |body| {
            self.link.post(&format!("{}/eviction", Link::pod(&pod.namespace, &pod.name)), body).await
        })
    }

    /// Deletes a pod that no controller makes again, or asks what the API server would say.
    #[must_use]
    pub(crate) fn delete(&self, pod: &BoundPod, depth: Depth) -> Answer {
        let body = deletion(target(pod), depth);
        self.request(body, async |body| self.link.delete(&Link::pod(&pod.namespace, &pod.name), body).await)
    }

    fn request(
        &self,
        body: Result<Vec<u8>, String>,
        ask: impl AsyncFnOnce(Vec<u8>) -> Result<Reply, Trouble>,
    ) -> Answer {
        match body.map(|body| self.runtime.block_on(ask(body))) {
            Ok(Ok(reply)) if reply.is_done() => Answer::Accepted,
            Ok(Ok(reply)) => Answer::from_refusal(&reply.refusal()),
            Ok(Err(trouble)) => Answer::Failed(trouble.why.to_string()),
            Err(why) => Answer::Failed(why),
        }
    }
}

impl std::fmt::Debug for BoundPods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundPods").field("node", &self.link.node).finish_non_exhaustive()
    }
}

impl Reply {
    /// Why the API server did not do what it was asked for.
    fn refusal(&self) -> Refusal {
        Refusal::read(self.status, self.retry_after, &self.body)
    }
}

pub(in crate::publish) fn target(pod: &BoundPod) -> Target<'_> {
    Target { namespace: &pod.namespace, name: &pod.name, uid: &pod.uid }
}

pub(in crate::publish) fn bound_pod(pod: PodObject) -> BoundPod {
    let PodObject { metadata, spec, status } = pod;
    let owner = metadata.owner_references.into_iter().find(|owner| owner.controller);
    BoundPod {
        is_static: metadata.annotations.contains_key(MIRROR),
        owner: owner.map(|owner| Owner { kind: owner.kind, uid: owner.uid }),
        node: spec.node_name,
        host_network: spec.host_network,
        // *Source*: `core/v1`, `PodSpec`: the defaults of both.
        restarts_always: spec.restart_policy.as_deref().is_none_or(|policy| policy == "Always"),
        grace_secs: spec.termination_grace_period_seconds.unwrap_or(30),
        has_pre_stop: spec.containers.iter().any(|container| container.has_pre_stop()),
        has_empty_dir: spec.volumes.iter().any(|volume| volume.empty_dir.is_some()),
        has_ended: status.has_ended(),
        is_leaving: metadata.deletion_timestamp.is_some(),
        is_ready: status.is_ready(),
        containers: status.containers(),
        has_started: status.has_a_container(),
        container_names: spec.containers.into_iter().map(|container| container.name).collect(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        annotations: metadata.annotations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_decides_about_a_pod_is_read() {
        let text = r#"{"metadata":{"namespace":"a","name":"b","uid":"1f","deletionTimestamp":"2026-01-01T00:00:00Z",
            "annotations":{"kubernetes.io/config.mirror":"x"},
            "ownerReferences":[{"kind":"Other","uid":"0"},{"kind":"ReplicaSet","uid":"2","controller":true}]},
            "spec":{"nodeName":"n1","hostNetwork":true,"restartPolicy":"Never","terminationGracePeriodSeconds":7,
              "containers":[{"name":"c"},{"name":"d","lifecycle":{"preStop":{"exec":{}}}}],"volumes":[{"name":"v","emptyDir":{}}]},
            "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],
              "initContainerStatuses":[{"containerID":"i"}],"containerStatuses":[{"containerID":"c1"},{}]}}"#;
        let all = bound_pod(serde_json::from_str(text).expect("a Pod"));
        assert_eq!(all.uid_on_node(), "x");
        assert_eq!(
            all,
            BoundPod {
                namespace: "a".into(),
                name: "b".into(),
                uid: "1f".into(),
                node: "n1".into(),
                owner: Some(Owner { kind: "ReplicaSet".into(), uid: "2".into() }),
                annotations: BTreeMap::from([("kubernetes.io/config.mirror".into(), "x".into())]),
                is_static: true,
                host_network: true,
                restarts_always: false,
                has_pre_stop: true,
                has_empty_dir: true,
                grace_secs: 7,
                has_ended: false,
                is_leaving: true,
                is_ready: true,
                containers: BTreeSet::from(["c1".into()]),
                container_names: BTreeSet::from(["c".into(), "d".into()]),
                has_started: true,
            }
        );
        let text = r#"{"metadata":{"namespace":"a","name":"b","uid":"1f"},"spec":{"containers":[{"lifecycle":{"postStart":{}}}],
            "volumes":[{"hostPath":{}}]},"status":{"phase":"Failed","conditions":[{"type":"Ready","status":"False"}]}}"#;
        let none = bound_pod(serde_json::from_str(text).expect("a Pod"));
        let plain =
            BoundPod { restarts_always: true, grace_secs: 30, has_ended: true, ..BoundPod::default() };
        let container_names = BTreeSet::from([String::new()]);
        assert_eq!(
            none,
            BoundPod { namespace: "a".into(), name: "b".into(), uid: "1f".into(), container_names, ..plain }
        );
    }
}
