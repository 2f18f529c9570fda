//! Evictions and deletions of pods: what is asked of the API server, and what its answer means.
//!
//! The requests are written here and not by kube, whose `Api::evict` sends the options of the deletion under the key `delete_options`, which the API
//! server does not know: the UID would be lost, and with it the promise that no other pod of the same name is evicted (kube-core 5.0.0,
//! `subresource.rs`).

use serde::{Deserialize, Serialize};

use crate::api::refusal::Refusal;

/// Annotations that ask for a pod not to be disrupted, with the value that does.
///
/// *Source*: cluster-autoscaler FAQ, "What types of pods can prevent CA from removing a node?"; Karpenter 1.14, "Disruption", "Pod-level controls".
pub const STAY: [(&str, &str); 2] =
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];

/// A pod as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID; no other pod of this name is meant.
    pub uid: &'a str,
}

/// The API that evictions are asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evictions {
    /// `policy/v1`, from Kubernetes 1.22 on.
    V1,
    /// `policy/v1beta1`.
    V1Beta1,
}

/// Whether a request is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// It is.
    Carried,
    /// The API server only says what it would answer. *Source*: Kubernetes API conventions, `dryRun`.
    Tried,
}

/// What became of an eviction or a deletion of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The API server deletes the pod.
    Accepted,
    /// No such pod is there any more: none of this name, or one with another UID.
    Gone,
    /// A PodDisruptionBudget forbids it now; the seconds after which to ask again, if the API server named them.
    Budget(Option<u32>),
    /// The API server has too much to do; the seconds after which to ask again, if it named them.
    Busy(Option<u32>),
    /// More than one PodDisruptionBudget selects the pod, so that no eviction of it succeeds.
    TwoBudgets,
    /// The namespace is being deleted, and its pods with it.
    NamespaceGoes,
    /// Not known: the call was refused for another reason, or its answer was lost.
    Failed(String),
}

/// What `/api/v1` answers.
#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    name: String,
    group: String,
    version: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Eviction<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: ObjectMeta<'a>,
    delete_options: Options<'a>,
}

#[derive(Debug, Serialize)]
struct ObjectMeta<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    preconditions: Preconditions<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dry_run: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct Preconditions<'a> {
    uid: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteOptions<'a> {
    api_version: &'a str,
    kind: &'a str,
    #[serde(flatten)]
    options: Options<'a>,
}

impl Evictions {
    /// Where the API server says which one it has.
    pub const ASK_AT: &'static str = "/api/v1";

    /// Reads the answer of [`Self::ASK_AT`]. *Source*: kubectl, `pkg/drain/drain.go`, `CheckEvictionSupport`: the resource `pods/eviction` of `v1` names it.
    ///
    /// # Errors
    /// It is no list of resources.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let read = serde_json::from_slice(body);
        let Resources { resources } = read.map_err(|e| format!("the API server's answer: {e}"))?;
        let eviction = resources.into_iter().find(|resource| resource.name == "pods/eviction");
        let is_v1 = eviction.is_none_or(|eviction| eviction.group != "policy" || eviction.version == "v1");
        Ok(if is_v1 { Self::V1 } else { Self::V1Beta1 })
    }

    const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "policy/v1",
            Self::V1Beta1 => "policy/v1beta1",
        }
    }

    /// The body of the request that evicts a pod, for the path of the pod followed by `/eviction`.
    ///
    /// # Errors
    /// The pod has no UID.
    pub fn body(self, pod: Target<'_>, depth: Depth) -> Result<Vec<u8>, String> {
        let eviction = Eviction {
            api_version: self.api_version(),
            kind: "Eviction",
            metadata: ObjectMeta { name: pod.name, namespace: pod.namespace },
            delete_options: pod.options(depth)?,
        };
        serde_json::to_vec(&eviction).map_err(|e| e.to_string())
    }
}

/// The body of the request that deletes a pod.
///
/// # Errors
/// The pod has no UID.
pub fn deletion(pod: Target<'_>, depth: Depth) -> Result<Vec<u8>, String> {
    let options = DeleteOptions { api_version: "v1", kind: "DeleteOptions", options: pod.options(depth)? };
    serde_json::to_vec(&options).map_err(|e| e.to_string())
}

impl<'a> Target<'a> {
    /// An empty UID would be none: any pod of the name would do.
    fn options(&self, depth: Depth) -> Result<Options<'a>, String> {
        if self.uid.is_empty() {
            return Err(format!("Pod/{}/{} has no UID", self.namespace, self.name));
        }
        let dry_run = if depth == Depth::Tried { &["All"][..] } else { &[] };
        Ok(Options { preconditions: Preconditions { uid: self.uid }, dry_run })
    }
}

impl Answer {
    /// What a refusal of an eviction or a deletion means.
    ///
    /// *Source*: Kubernetes, `pkg/registry/core/pod/storage/eviction.go` (budgets, and two of them), `staging/src/k8s.io/apiserver/pkg/registry/rest/delete.go`
    /// and `.../storage/interfaces.go` (the UID), `pkg/admission/plugin/namespace/lifecycle` (a namespace that goes), and `.../server/filters` (too many
    /// requests).
    #[must_use]
    pub fn from_refusal(refusal: &Refusal) -> Self {
        match refusal {
            refusal if refusal.is_not_found() => Self::Gone,
            refusal if refusal.is_conflict() && is_other_uid(refusal) => Self::Gone,
            refusal if refusal.is_budget() => Self::Budget(refusal.retry_after),
            refusal if refusal.code == 429 => Self::Busy(refusal.retry_after),
            refusal
                if refusal.code == 500 && refusal.message.contains("more than one PodDisruptionBudget") =>
            {
                Self::TwoBudgets
            }
            refusal if refusal.code == 403 && refusal.has_cause("NamespaceTerminating") => {
                Self::NamespaceGoes
            }
            refusal => Self::Failed(refusal.to_string()),
        }
    }
}

/// The pod of this name has another UID. A conflict may also be about the version that the API server itself put into the request.
fn is_other_uid(refusal: &Refusal) -> bool {
    refusal.message.contains("the UID in the precondition") || refusal.message.contains("UID in precondition")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Target<'static> = Target { namespace: "x", name: "web-0", uid: "1f2e" };

    #[test]
    fn a_request_names_the_uid_and_may_be_tried_only() {
        let text = |body: Result<Vec<u8>, String>| String::from_utf8(body.expect("a body")).expect("text");
        assert_eq!(
            text(Evictions::V1.body(POD, Depth::Tried)),
            r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-0","namespace":"x"},"deleteOptions":{"preconditions":{"uid":"1f2e"},"dryRun":["All"]}}"#
        );
        assert_eq!(
            text(deletion(POD, Depth::Carried)),
            r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"1f2e"}}"#
        );
        let any = Target { uid: "", ..POD };
        assert!(Evictions::V1.body(any, Depth::Carried).is_err() && deletion(any, Depth::Carried).is_err());
    }
}
