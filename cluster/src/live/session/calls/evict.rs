//! Evicts and deletes pods by their UIDs.

use migration::roll::step::PodId;
use types::api::eviction::{self, Answer, Depth, Evictions, Target};

use super::{LeasedCaller, Outcome};
use crate::live::api::call::{ApiRequest, Caller, Reply};
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::pod;

/// Asks which API of evictions the API server has.
pub(in crate::live) async fn version(caller: &Caller) -> Result<Evictions, Failure> {
    let what = "ask for the API of evictions";
    let reply =
        caller.call(&ApiRequest::get(Evictions::ASK_AT)).await.map_err(|why| lost_failure(what, &why))?;
    if !reply.is_done() {
        return Err(refused_failure(what, &reply.refusal()));
    }
    Evictions::read(&reply.body).map_err(|why| lost_failure(what, &why))
}

/// The request that evicts a pod.
pub(super) fn eviction(version: Evictions, id: &PodId) -> Result<ApiRequest, String> {
    let body = version.body(target(id), Depth::Carried)?;
    Ok(ApiRequest::post(format!("{}/eviction", pod(&id.namespace, &id.name)), body))
}

/// Evicts a pod.
pub(in crate::live) async fn evict(version: Evictions, hand: &LeasedCaller, id: Box<PodId>) -> Outcome {
    outcome_of(hand, eviction(version, &id), id).await
}

/// The request that deletes a pod.
pub(super) fn deletion(id: &PodId) -> Result<ApiRequest, String> {
    let body = eviction::deletion(target(id), Depth::Carried)?;
    Ok(ApiRequest::delete(pod(&id.namespace, &id.name), body))
}

/// Deletes a pod that no controller makes again.
pub(in crate::live) async fn delete(hand: &LeasedCaller, id: Box<PodId>) -> Outcome {
    outcome_of(hand, deletion(&id), id).await
}

fn target(id: &PodId) -> Target<'_> {
    Target { namespace: &id.namespace, name: &id.name, uid: &id.uid }
}

async fn outcome_of(hand: &LeasedCaller, ask: Result<ApiRequest, String>, id: Box<PodId>) -> Outcome {
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

pub(super) fn answer(reply: &Reply) -> Answer {
    if reply.is_done() { Answer::Accepted } else { Answer::from_refusal(&reply.refusal()) }
}
