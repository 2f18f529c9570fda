//! Evicts and deletes pods by their UIDs.
//!
//! The request is written here and not by kube, whose `Api::evict` sends the options of the deletion under the key `delete_options`, which the API server
//! does not know: the UID would be lost, and with it the promise that no other pod of the same name is evicted (kube-core 5.0.0, `subresource.rs`).

use serde::{Deserialize, Serialize};

use super::{Hand, Outcome};
use crate::live::call::{Ask, Caller, Reply};
use crate::live::failure::{Failed, lost, refused};
use crate::live::path::pod;
use crate::live::refusal::Refusal;
use crate::roll::act::{Answer, PodId};

/// The API that evictions are asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::live) enum Evictions {
    /// `policy/v1`, from Kubernetes 1.22 on.
    V1,
    /// `policy/v1beta1`.
    V1Beta1,
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
    metadata: Named<'a>,
    delete_options: Options<'a>,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Debug, Serialize)]
struct Options<'a> {
    preconditions: Preconditions<'a>,
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
    preconditions: Preconditions<'a>,
}

impl Evictions {
    /// Asks which one the API server has. *Source*: kubectl, `pkg/drain/drain.go`, `CheckEvictionSupport`: the resource `pods/eviction` of `v1` names it.
    pub(in crate::live) async fn of(caller: &Caller) -> Result<Self, Failed> {
        let what = "ask for the API of evictions";
        let reply = caller.call(&Ask::get("/api/v1")).await.map_err(|why| lost(what, &why))?;
        if !reply.is_done() {
            return Err(refused(what, &reply.refusal()));
        }
        let Resources { resources } = reply.object().map_err(|why| lost(what, &why))?;
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

    /// The request that evicts a pod.
    pub(super) fn ask(self, id: &PodId) -> Result<Ask, String> {
        let eviction = Eviction {
            api_version: self.api_version(),
            kind: "Eviction",
            metadata: Named { name: &id.name, namespace: &id.namespace },
            delete_options: Options { preconditions: Preconditions { uid: uid(id)? } },
        };
        let body = serde_json::to_vec(&eviction).map_err(|e| e.to_string())?;
        Ok(Ask::post(format!("{}/eviction", pod(&id.namespace, &id.name)), body))
    }

    /// Evicts a pod.
    pub(in crate::live) async fn evict(self, hand: &Hand, id: Box<PodId>) -> Outcome {
        answered(hand, self.ask(&id), id).await
    }
}

/// The request that deletes a pod.
pub(super) fn deletion(id: &PodId) -> Result<Ask, String> {
    let options = DeleteOptions {
        api_version: "v1",
        kind: "DeleteOptions",
        preconditions: Preconditions { uid: uid(id)? },
    };
    let body = serde_json::to_vec(&options).map_err(|e| e.to_string())?;
    Ok(Ask::delete(pod(&id.namespace, &id.name), body))
}

/// Deletes a pod that nobody makes again.
pub(in crate::live) async fn delete(hand: &Hand, id: Box<PodId>) -> Outcome {
    answered(hand, deletion(&id), id).await
}

/// An empty UID would be none: any pod of the name would do.
fn uid(id: &PodId) -> Result<&str, String> {
    if id.uid.is_empty() { Err(format!("Pod/{}/{} has no UID", id.namespace, id.name)) } else { Ok(&id.uid) }
}

async fn answered(hand: &Hand, ask: Result<Ask, String>, id: Box<PodId>) -> Outcome {
    let ask = match ask {
        Ok(ask) => ask,
        Err(why) => return Outcome::Pod(id, Answer::Failed(why)),
    };
    match hand.call(&ask).await {
        Ok(reply) => Outcome::Pod(id, answer(&reply)),
        Err(Outcome::Failed(why)) => Outcome::Pod(id, Answer::Failed(why)),
        Err(barred) => barred,
    }
}

/// What an answer means.
///
/// *Source*: Kubernetes, `pkg/registry/core/pod/storage/eviction.go` (budgets, and two of them), `staging/src/k8s.io/apiserver/pkg/registry/rest/delete.go`
/// and `.../storage/interfaces.go` (the UID), `pkg/admission/plugin/namespace/lifecycle` (a namespace that goes), and `.../server/filters` (too many
/// requests).
pub(super) fn answer(reply: &Reply) -> Answer {
    if reply.is_done() {
        return Answer::Accepted;
    }
    match reply.refusal() {
        refusal if refusal.is_not_found() => Answer::Gone,
        refusal if refusal.is_conflict() && is_other_uid(&refusal) => Answer::Gone,
        refusal if refusal.is_budget() => Answer::Budget(refusal.retry_after),
        refusal if refusal.code == 429 => Answer::Busy(refusal.retry_after),
        refusal if refusal.code == 500 && refusal.message.contains("more than one PodDisruptionBudget") => {
            Answer::TwoBudgets
        }
        refusal if refusal.code == 403 && refusal.has_cause("NamespaceTerminating") => Answer::NamespaceGoes,
        refusal => Answer::Failed(refusal.to_string()),
    }
}

/// The pod of this name has another UID. A conflict may also be about the version that the API server itself put into the request.
fn is_other_uid(refusal: &Refusal) -> bool {
    refusal.message.contains("the UID in the precondition") || refusal.message.contains("UID in precondition")
}
