//! The API server's state of this node's Node and its pods, for a command that reports and writes nothing.
//!
//! kubelet's credential may read its own Node and the pods that are bound to it, and nothing else. So a pod is looked for among those.

use convergence::publish::node_read::{ApiServerState, ObservedCondition, ObservedPod, RegisteredNode};

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use types::api::node_keys::DESIRED;
use types::command::problem::Problem;

use super::error::{ErrorKind, Trouble};
use super::link::Link;
use super::pods::PodObject;
use crate::publish::report::Credential;
use convergence::publish::node_object::NodeObject;

/// Why the API server said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiReadError {
    /// kubelet has no credential yet, so there is no client to ask with.
    NoCredential(String),
    /// It was asked, or was to be asked, and did not answer; the next step.
    Trouble(Problem),
}

impl ApiReadError {
    pub(super) fn from_text(why: impl Into<String>) -> Self {
        Self::Trouble(Problem::new(why.into()).with_place("the API server"))
    }
}

impl From<Trouble> for ApiReadError {
    fn from(trouble: Trouble) -> Self {
        match trouble.kind {
            ErrorKind::NoCredential => Self::NoCredential(trouble.why.what),
            ErrorKind::BadCredential
            | ErrorKind::Unauthorized
            | ErrorKind::Forbidden
            | ErrorKind::Exists
            | ErrorKind::Conflict
            | ErrorKind::Refused
            | ErrorKind::Unreachable => Self::Trouble(trouble.why),
        }
    }
}

/// Asks for this node's Node and its pods, once.
///
/// # Errors
/// [`ApiReadError`]; after `within` at the latest.
pub(crate) fn gather(credential: &Credential, within: Duration) -> Result<ApiServerState, ApiReadError> {
    let failed = |e: std::io::Error| ApiReadError::Trouble(Problem::new(format!("start a runtime: {e}")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let result = runtime.block_on(async { tokio::time::timeout(within, ask(credential)).await });
    // A look-up that still hangs in a thread of the runtime's is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(answer) => answer.map_err(ApiReadError::from),
        Err(_) => {
            let what = format!("the API server: no answer within {} s", within.as_secs());
            Err(ApiReadError::from_text(what))
        }
    }
}

async fn ask(credential: &Credential) -> Result<ApiServerState, Trouble> {
    let (link, _) = Link::open(credential).await?;
    let (node, _) = link.list().await?;
    let now = Timestamp::now().as_second();
    let pods = link.pods().await?.iter().map(|pod| pod_seen(pod, now)).collect();
    Ok(ApiServerState { registered: node.as_ref().map(registered_node), pods, node: link.node })
}

fn registered_node(node: &NodeObject) -> RegisteredNode {
    let annotation = |key: &str| node.metadata.annotations.get(key).cloned();
    let condition = |node_condition: &convergence::publish::node_object::Condition| {
        let (status, reason, message) =
            (node_condition.status.clone(), node_condition.reason.clone(), node_condition.message.clone());
        (node_condition.kind.clone(), ObservedCondition { status, reason, message })
    };
    RegisteredNode {
        labels: node.metadata.labels.clone(),
        conditions: node.status.conditions.iter().map(condition).collect(),
        desired: annotation(DESIRED),
        observed: annotation(types::api::observed::KEY),
        step: annotation(types::api::step::KEY),
    }
}

fn pod_seen(pod: &PodObject, now: i64) -> ObservedPod {
    let secs_since = |time: &str| {
        let since: Timestamp = time.parse().ok()?;
        u64::try_from(now - since.as_second()).ok()
    };
    let (metadata, status) = (&pod.metadata, &pod.status);
    let begins = !status.has_ended() && !status.has_a_container();
    ObservedPod {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        annotations: metadata.annotations.clone(),
        host_network: pod.spec.host_network,
        starting_secs: status.start_time.as_deref().filter(|_| begins).and_then(secs_since),
        // The time already has the grace period in it. *Source*: `metav1.ObjectMeta`, `deletionTimestamp`.
        overdue_secs: metadata.deletion_timestamp.as_deref().and_then(secs_since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_starting_until_a_container_was_created_and_overdue_once_its_time_is_over() {
        let start = "2026-01-01T00:00:00Z";
        let now = "2026-01-01T00:10:00Z".parse::<Timestamp>().expect("a time").as_second();
        for (more, containers, starting, overdue) in [
            ("", "", Some(600), None),
            ("", r#"{"state":{"waiting":{"reason":"ContainerCreating"}}}"#, Some(600), None),
            ("", r#"{"state":{"waiting":{"reason":"CrashLoopBackOff"}},"containerID":"c"}"#, None, None),
            ("", r#"{"state":{"running":{}},"containerID":"c"}"#, None, None),
            (
                r#","deletionTimestamp":"2026-01-01T00:05:00Z""#,
                r#"{"state":{"running":{}},"containerID":"c"}"#,
                None,
                Some(300),
            ),
            (
                r#","deletionTimestamp":"2026-01-01T00:15:00Z""#,
                r#"{"state":{"running":{}},"containerID":"c"}"#,
                None,
                None,
            ),
        ] {
            let text = format!(
                r#"{{"metadata":{{"namespace":"a","name":"b","annotations":{{"k":"v"}}{more}}},
                "spec":{{"hostNetwork":true}},"status":{{"phase":"Pending","startTime":"{start}","containerStatuses":[{containers}]}}}}"#
            );
            let seen = pod_seen(&serde_json::from_str(&text).expect("a Pod"), now);
            assert_eq!((seen.starting_secs, seen.overdue_secs), (starting, overdue), "{text}");
            assert_eq!((seen.annotations["k"].as_str(), seen.host_network), ("v", true));
        }
        let ended =
            r#"{"metadata":{"name":"b"},"status":{"phase":"Succeeded","startTime":"2026-01-01T00:00:00Z"}}"#;
        assert_eq!(pod_seen(&serde_json::from_str(ended).expect("a Pod"), now).starting_secs, None);
    }
}
