//! Carries out what was decided: one call each, made once.
//!
//! An act is prepared at once and carried out later, so that many may be under way. Whatever does not work is known as a fact, and the next decision looks
//! at the world anew.

mod evict;
mod patch;

use types::api::eviction::Answer;

use crate::live::api::call::{ApiRequest, Caller, Reply};
use crate::live::lease::{HeldLease, Standing};

use crate::live::api::watch::{Source, pages};
pub(in crate::live) use evict::{delete, evict, version};
use migration::drive::objects::count_pod;
use migration::roll::step::PodId;
use migration::roll::world::{Census, Hosts};
pub(in crate::live) use patch::patch;

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The Node is patched, or the run is recorded.
    Done,
    /// What became of an eviction or a deletion.
    Pod(Box<PodId>, Answer),
    /// All pods are counted; the next world has the count.
    Counted(Census),
    /// Another client changed the object since it was read: look again.
    Changed,
    /// The Node, or the run, is not there any more.
    Gone,
    /// Nothing was asked for: this holder must not act now; why.
    Barred(String),
    /// Not known: the call was refused, or its answer was lost; in words.
    Failed(String),
}

/// Makes the requests of a holder, and none when it must not act.
#[derive(Debug, Clone)]
pub(in crate::live) struct LeasedCaller {
    caller: Caller,
    lease: HeldLease,
}

impl LeasedCaller {
    pub(in crate::live) fn new(caller: &Caller, held_lease: HeldLease) -> Self {
        let lease = held_lease.clone();
        Self { caller: caller.with_time_limit(move || lease.time_left()), lease: held_lease }
    }

    /// What makes its requests: none of them outlives the Lease.
    pub(in crate::live) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether the holder may act now.
    pub(in crate::live) fn may(&self) -> Result<(), Outcome> {
        match self.lease.standing() {
            Standing::Fresh => Ok(()),
            Standing::Stale(age) => Err(Outcome::Barred(format!(
                "the Lease was renewed {} s ago, and must be renewed first",
                age.as_secs()
            ))),
            Standing::Lost(why) => Err(Outcome::Barred(format!("the Lease is lost: {why}"))),
        }
    }

    /// Makes a request when its turn comes, if the holder may act then.
    pub(in crate::live) async fn call(&self, ask: &ApiRequest) -> Result<Reply, Outcome> {
        self.caller.turn().await;
        self.may()?;
        self.caller.call_urgently(ask).await.map_err(|why| {
            self.lease.note_unanswered();
            Outcome::Failed(why)
        })
    }
}

/// Changes a Node. Gives the Node as it is then.
pub(in crate::live) async fn change(hand: &LeasedCaller, ask: &ApiRequest) -> Result<String, Outcome> {
    let reply = hand.call(ask).await?;
    if reply.is_done() {
        return Ok(String::from_utf8_lossy(&reply.body).into_owned());
    }
    Err(match reply.refusal() {
        refusal if refusal.is_conflict() => Outcome::Changed,
        refusal if refusal.is_not_found() => Outcome::Gone,
        refusal => Outcome::Failed(refusal.to_string()),
    })
}

/// Counts them. Each page is let go before the next one is asked for.
///
/// # Errors
/// Why they cannot be counted.
pub(in crate::live) async fn census(caller: &Caller, hosts: &Hosts) -> Result<Census, String> {
    let empty_census = Census { started_at: caller.clock().now(), ..Census::default() };
    let mut census = empty_census.clone();
    let mut wrong = None;
    let mut count = |item: Option<&str>| match item.map(count_pod) {
        // The list begins anew.
        None => census.clone_from(&empty_census),
        Some(Ok(Some(pod))) => census.count(pod, hosts),
        Some(Ok(None)) => {}
        Some(Err(why)) => wrong = Some(why),
    };
    pages(caller, &Source::new("/api/v1/pods"), &mut count).await.map_err(|why| why.to_string())?;
    match wrong {
        None => Ok(census),
        Some(why) => Err(why),
    }
}

#[cfg(test)]
mod tests;
