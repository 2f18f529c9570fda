//! The annotations of the pods that are bound to this node: read once, and removed one pod after the other.
//!
//! kubelet's credential may patch the status of its own node's pods, which is where a CNI's plugin writes its annotations. NodeRestriction compares
//! the labels in such a patch and not the annotations. *Source*: Kubernetes, `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, `NodeRules`;
//! `plugin/pkg/admission/noderestriction`, `admitPodStatus`.
//!
//! A thread of its own asks the API server, since a credential plugin and a look-up of an address hold their thread up. So an answer that does not come
//! costs its time and no more.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use serde_json::{Value, json};
use types::api::refusal::Refusal;

use crate::publish::error::Trouble;
use crate::publish::link::Link;
use crate::publish::node_read::ApiReadError;
use crate::publish::pods::bound::bound_pod;
use crate::publish::report::Credential;
use convergence::change::StaleAnnotations;
use convergence::publish::pods::BoundPod;

/// The pods of this node at the API server.
#[derive(Debug)]
pub(crate) struct AnnotatedPods {
    node: String,
    requests: Sender<StaleAnnotations>,
    answers: Receiver<AnnotationRemoval>,
    deadline: Instant,
}

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AnnotationRemoval {
    /// The annotations are gone.
    Done,
    /// The Pod is gone, or says something else by now; nothing of it was changed.
    Changed,
    /// The API server refused for another reason, or did not answer in time; why.
    Failed(String),
}

impl AnnotatedPods {
    /// Connects and reads the pods, as the API server's cache has them; nothing is asked after `deadline`.
    ///
    /// # Errors
    /// [`ApiReadError`].
    pub(crate) fn open(
        credential: &Credential,
        deadline: Instant,
    ) -> Result<(Self, Vec<BoundPod>), ApiReadError> {
        let (requests, requests_of_caller) = channel();
        let (answer, answers) = channel();
        let (sender, first) = channel();
        let credential = credential.clone();
        let ask = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime.map_err(|e| ApiReadError::from_text(format!("start a runtime: {e}")))
            {
                Ok(runtime) => runtime,
                Err(why) => return drop(sender.send(Err(why))),
            };
            let opened = runtime.block_on(async {
                let (link, _) = Link::open(&credential).await?;
                let pods = link.pods_in_cache().await?;
                Ok::<_, Trouble>((link, pods))
            });
            let link = match opened {
                Ok((link, pods)) => {
                    let pods = pods.into_iter().map(bound_pod).collect();
                    let sent = sender.send(Ok((link.node.clone(), pods)));
                    if sent.is_err() {
                        return;
                    }
                    link
                }
                Err(trouble) => return drop(sender.send(Err(trouble.into()))),
            };
            // It ends with the sender of the requests, or when the caller does not wait for the answer any more.
            for stale in requests_of_caller {
                if answer.send(runtime.block_on(remove(&link, &stale))).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("annotations".into())
            .spawn(ask)
            .map_err(|e| ApiReadError::from_text(format!("start a thread: {e}")))?;
        let answer = first.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let late = |_| Err(ApiReadError::from_text("list the pods of this node: no answer in time"));
        let (node, pods) = answer.unwrap_or_else(late)?;
        Ok((Self { node, requests, answers, deadline }, pods))
    }

    /// The name of this node's Node.
    #[must_use]
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Removes the annotations from their Pod, unless the Pod says something else by now.
    #[must_use]
    pub(crate) fn remove(&self, stale: &StaleAnnotations) -> AnnotationRemoval {
        let late = || AnnotationRemoval::Failed("no answer in time".into());
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() || self.requests.send(stale.clone()).is_err() {
            return late();
        }
        // One that is late is the last one: deadline then the time is over, and no other answer is taken for it.
        self.answers.recv_timeout(remaining).unwrap_or_else(|_| late())
    }
}

async fn remove(link: &Link, stale: &StaleAnnotations) -> AnnotationRemoval {
    let path = format!("{}/status", Link::pod(&stale.namespace, &stale.pod));
    match link.patch(&path, patch(stale).to_string().into_bytes()).await {
        Ok(reply) if reply.is_done() => AnnotationRemoval::Done,
        // 422: a test of the patch failed. 409: another client writes the Pod again and again.
        Ok(reply) if matches!(reply.status, 404 | 409 | 422) => AnnotationRemoval::Changed,
        Ok(reply) => {
            AnnotationRemoval::Failed(Refusal::read(reply.status, reply.retry_after, &reply.body).to_string())
        }
        Err(trouble) => AnnotationRemoval::Failed(trouble.why.to_string()),
    }
}

/// The JSON patch. A test that fails leaves the Pod as it is. *Source*: RFC 6902, sections 4.6 and 5.
fn patch(stale: &StaleAnnotations) -> Value {
    let test = |path: String, value: &str| json!({ "op": "test", "path": path, "value": value });
    let tests_of_state = [&stale.sandbox, &stale.address].map(|(key, value)| test(pointer(key), value));
    let removals = stale.keys.iter().map(|key| json!({ "op": "remove", "path": pointer(key) }));
    let same = test("/metadata/uid".into(), &stale.uid);
    std::iter::once(same).chain(tests_of_state).chain(removals).collect()
}

/// Where a Pod has an annotation. *Source*: RFC 6901, section 3.
fn pointer(key: &str) -> String {
    format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tests_what_was_seen_before_it_removes() {
        let stale = StaleAnnotations {
            namespace: "a".into(),
            pod: "b".into(),
            uid: "1f".into(),
            sandbox: ("c.example/id".into(), "s1".into()),
            address: ("c.example/i~p".into(), "10.0.0.1/32".into()),
            keys: vec!["c.example/id".into(), "c.example/i~p".into()],
        };
        let expected = json!([
            { "op": "test", "path": "/metadata/uid", "value": "1f" },
            { "op": "test", "path": "/metadata/annotations/c.example~1id", "value": "s1" },
            { "op": "test", "path": "/metadata/annotations/c.example~1i~0p", "value": "10.0.0.1/32" },
            { "op": "remove", "path": "/metadata/annotations/c.example~1id" },
            { "op": "remove", "path": "/metadata/annotations/c.example~1i~0p" },
        ]);
        assert_eq!(patch(&stale), expected);
    }
}
