//! A pod of this node, by the API server and by its record.

use std::time::Duration;

use convergence::failure::Failure;
use convergence::node::attachments::Line;
use convergence::node::facts::NodeFacts;
use convergence::report::Page;
use serde::Serialize;
use types::command::exit::Exit;

use crate::host::root::Root;
use crate::node::attachments;
use crate::publish::node_read::{self, ApiReadError};
use crate::publish::reporter;

/// How long the API server may take to answer.
const SERVER_WITHIN: Duration = Duration::from_secs(15);
/// The namespace of a pod that is named without one, as for kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// A pod of this node.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Live {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) pod: String,
    /// Whether it is on the node's own network, so that no policy is about it; none if only its record is known.
    #[serde(rename = "hostNetwork")]
    host_network: Option<bool>,
    /// What it has now: none where it was attached past Crossfade, or has no sandbox yet.
    attachments: Vec<Line>,
}

/// What is known of a pod besides.
#[derive(Debug, Default)]
pub(super) struct PodFacts {
    pub(super) annotations: Vec<(String, String)>,
    /// What the explanation cannot know.
    pub(super) doubts: Vec<String>,
}

impl Live {
    /// Finds the pod that is `named` as NAME or NAMESPACE/NAME.
    ///
    /// # Errors
    /// 3 if neither the API server nor a record has it; the records cannot be listed.
    pub(super) fn find(
        node: &NodeFacts,
        named: &str,
        namespace: Option<&str>,
    ) -> Result<(Self, PodFacts), Failure> {
        let (namespace, pod) = split_name(named, namespace)?;
        let attachments = attachments::list(&node.dirs.layout, node.policy())?;
        let is_it =
            |line: &Line| line.namespace.as_deref() == Some(namespace) && line.pod.as_deref() == Some(pod);
        let recorded: Vec<Line> = attachments.attachments.into_iter().filter(is_it).collect();
        let (observed_pod, doubt) = gather_pod(node, namespace, pod);
        if observed_pod.is_none() && recorded.is_empty() {
            let what =
                format!("pod {namespace}/{pod}: neither the API server nor a record has it on this node");
            let failure = Failure::new(Exit::No, what).with_place(format!("pod {namespace}/{pod}"));
            return Err(failure.fix(doubt.unwrap_or_else(|| {
                "name a pod of this node, as crossfade-bootstrap attachments lists it".into()
            })));
        }
        let mut pod_facts = PodFacts::default();
        if let Some(observed_pod) = &observed_pod {
            pod_facts.annotations = observed_pod.annotations.clone().into_iter().collect();
        } else if node.policy().is_some_and(|policy| policy.pod_annotation.is_some()) {
            let why = doubt.unwrap_or_else(|| "the API server has no such pod on this node".into());
            pod_facts
                .doubts
                .push(format!("the pod's annotations are not known, and the policy heeds one: {why}"));
        }
        let live = Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            host_network: observed_pod.map(|observed_pod| observed_pod.host_network),
            attachments: recorded,
        };
        if live.host_network == Some(true) {
            pod_facts.doubts.push("the pod is on the node's own network, so it gets none of these".into());
        }
        Ok((live, pod_facts))
    }

    /// What the pod has now, for people.
    pub(super) fn show(&self, text: &mut Page) {
        if self.attachments.is_empty() {
            let _ =
                writeln!(text, "now: {}/{} has no attachment through Crossfade", self.namespace, self.pod);
        }
        for line in &self.attachments {
            let parts = line.networks.iter().map(|part| format!("{} on {}", part.name, part.ifname));
            let parts = parts.collect::<Vec<_>>().join(", ");
            let _ =
                writeln!(text, "now: {}/{} is {} to {parts}", self.namespace, self.pod, line.life.into_str());
        }
    }
}

/// The namespace and the name on the command line.
fn split_name<'a>(named: &'a str, namespace: Option<&'a str>) -> Result<(&'a str, &'a str), Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("POD {named}: {why}"))
            .with_place("POD")
            .fix("name the pod as NAME or NAMESPACE/NAME")
    };
    match (named.split_once('/'), namespace) {
        (Some((first, _)), Some(other)) if first != other => {
            Err(wrong("it names another namespace than --namespace"))
        }
        (Some((namespace, pod)), _) if !namespace.is_empty() && !pod.is_empty() => Ok((namespace, pod)),
        (Some(_), _) => Err(wrong("a namespace or a name is missing")),
        (None, namespace) => Ok((namespace.unwrap_or(DEFAULT_NAMESPACE), named)),
    }
}

/// The pod as the API server has it, or why the API server cannot be asked.
fn gather_pod(
    node: &NodeFacts,
    namespace: &str,
    pod: &str,
) -> (Option<convergence::publish::node_read::ObservedPod>, Option<String>) {
    let none = |why: String| (None, Some(why));
    let Some(credential) = reporter(&Root::new(&node.root), &node.settings) else {
        return none("this node has no kubelet whose credential could ask the API server".into());
    };
    match node_read::gather(&credential, SERVER_WITHIN) {
        Ok(looked) => {
            let is_it = |observed_pod: &convergence::publish::node_read::ObservedPod| {
                observed_pod.namespace == namespace && observed_pod.name == pod
            };
            (looked.pods.into_iter().find(is_it), None)
        }
        Err(ApiReadError::NoCredential(why)) => none(why),
        Err(ApiReadError::Trouble(why)) => none(why.what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_named_with_its_namespace_or_without() {
        for (named, namespace, expected) in [
            ("web/a", None, Some(("web", "a"))),
            ("web/a", Some("web"), Some(("web", "a"))),
            ("a", Some("web"), Some(("web", "a"))),
            ("a", None, Some(("default", "a"))),
            ("web/a", Some("other"), None),
            ("/a", None, None),
            ("web/", None, None),
        ] {
            assert_eq!(split_name(named, namespace).ok(), expected, "{named} {namespace:?}");
        }
    }
}
