//! A Lease that is held: renews it, says whether its holder may act, and gives it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::acquire::{read, write_path};
use super::object::{self, LeaseRecord};
use super::{ACTS_WITHIN, EVERY, FRESH};
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::failure::{Failure, lost_failure, refused_failure};

/// How long after a failure the Lease is renewed anew.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a renewal may take. After that it counts as failed, and if it was done after all, the next one finds that out.
const WITHIN: Duration = EVERY;

/// A Lease that this program holds, or held.
#[derive(Debug, Clone)]
pub struct HeldLease {
    caller: Caller,
    identity: String,
    epoch: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The Lease as it was written last.
    lease: Value,
    /// When the last request began that renewed it.
    renewed_at: Duration,
    /// Why it is lost; it never comes back to this holder.
    loss: Option<String>,
    /// Until when an act without an answer may take effect.
    doubtful: Duration,
}

/// Whether a holder may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Fresh,
    /// The last renewal is this old, and another holder may take the Lease soon. A renewal makes it fresh again.
    Stale(Duration),
    /// The Lease is another holder's, or is gone; in words. It stays lost.
    Lost(String),
}

impl HeldLease {
    pub(super) fn new(caller: Caller, own: String, epoch: u64, renewed: Duration, lease: Value) -> Self {
        Self {
            caller,
            identity: own,
            epoch,
            state: Arc::new(Mutex::new(State {
                lease,
                renewed_at: renewed,
                loss: None,
                doubtful: Duration::ZERO,
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the Lease changed hands, up to this holder.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// This holder: `user@host:pid:random`.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.identity
    }

    /// When the last request began that renewed the Lease, by the holder's clock.
    #[must_use]
    pub fn renewed_at(&self) -> Duration {
        self.state().renewed_at
    }

    /// Whether its holder may act now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let now = self.caller.clock().now();
        let state = self.state();
        let age = now.saturating_sub(state.renewed_at);
        match &state.loss {
            Some(why) => Standing::Lost(why.clone()),
            None if age < FRESH => Standing::Fresh,
            None => Standing::Stale(age),
        }
    }

    /// How long an act that begins now may be under way: it has ended before another holder can take the Lease. Nothing is left once the Lease is lost.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let now = self.caller.clock().now();
        let state = self.state();
        if state.loss.is_some() {
            return Duration::ZERO;
        }
        ACTS_WITHIN.saturating_sub(now.saturating_sub(state.renewed_at))
    }

    /// An act had no answer: the API server may still carry it out, for as long as an act may be under way.
    pub(in crate::live) fn note_unanswered(&self) {
        let mut state = self.state();
        state.doubtful = state.renewed_at + ACTS_WITHIN;
    }

    /// Renews the Lease once.
    ///
    /// A conflict means that another client wrote it since. If the Lease still names this holder and its epoch, that was an own write whose answer was lost, or
    /// a label, and the next renewal stands on what was read. Otherwise the Lease is lost.
    ///
    /// # Errors
    /// A failure that may pass, or why the Lease is lost.
    pub async fn renew(&self) -> Result<(), Failure> {
        let what = "renew the Lease";
        if let Standing::Lost(why) = self.standing() {
            return Err(lost_failure(what, &why));
        }
        let began = self.caller.clock().now();
        let lease = object::renew(self.state().lease.clone(), &self.caller.clock().micro_time());
        let reply = self.write(&lease).await.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() {
            let lease = reply.object().map_err(|why| lost_failure(what, &why))?;
            let mut state = self.state();
            (state.lease, state.renewed_at) = (lease, began);
            return Ok(());
        }
        let refusal = reply.refusal();
        if refusal.is_conflict() || refusal.is_not_found() {
            self.read_holder(what).await?;
        }
        Err(refused_failure(what, &refusal))
    }

    async fn write(&self, lease: &Value) -> Result<crate::live::api::call::Reply, String> {
        self.caller.call_urgently(&ApiRequest::put(write_path(), lease.to_string().into_bytes())).await
    }

    /// Reads whose the Lease is.
    async fn read_holder(&self, what: &str) -> Result<(), Failure> {
        let lease = read(&self.caller, what).await?;
        let mut state = self.state();
        match lease {
            None => state.loss = Some("another client deleted it".into()),
            Some(lease) if self.is_own(&lease) => state.lease = lease,
            Some(lease) => {
                let LeaseRecord { holder, acquired, .. } = LeaseRecord::read(&lease);
                let holding = format!("{holder} holds it since {acquired}");
                state.loss =
                    Some(if holder.is_empty() { "another process released it".into() } else { holding });
            }
        }
        Ok(())
    }

    /// Renews the Lease again and again, until it is lost. It ends when it is dropped.
    pub async fn keep(&self) {
        let mut failed = false;
        loop {
            let age = self.caller.clock().now().saturating_sub(self.renewed_at());
            let wait = if failed { AGAIN } else { EVERY.saturating_sub(age) };
            tokio::time::sleep(wait).await;
            failed = !matches!(tokio::time::timeout(WITHIN, self.renew()).await, Ok(Ok(())));
            if matches!(self.standing(), Standing::Lost(_)) {
                return;
            }
        }
    }

    /// Gives the Lease back, so that the next holder need not wait. Afterwards it is lost. While an act may still take effect, the Lease is left to expire: no
    /// other holder may be there before.
    ///
    /// # Errors
    /// The Lease could not be written. Others can take it once it has expired.
    pub async fn release(&self) -> Result<(), Failure> {
        let what = "release the Lease";
        if matches!(self.standing(), Standing::Lost(_)) {
            return Ok(());
        }
        let lease = self.state().lease.clone();
        self.state().loss = Some("this program released it".into());
        if self.caller.clock().now() < self.state().doubtful {
            return Ok(());
        }
        let mut reply =
            self.write(&self.release_object(lease)).await.map_err(|why| lost_failure(what, &why))?;
        // A renewal may have been under way.
        if !reply.is_done() && reply.refusal().is_conflict() {
            let Some(current) = read(&self.caller, what).await?.filter(|current| self.is_own(current)) else {
                return Ok(());
            };
            reply =
                self.write(&self.release_object(current)).await.map_err(|why| lost_failure(what, &why))?;
        }
        if reply.is_done() { Ok(()) } else { Err(refused_failure(what, &reply.refusal())) }
    }

    fn release_object(&self, lease: Value) -> Value {
        object::release(lease, &self.caller.clock().micro_time())
    }

    fn is_own(&self, lease: &Value) -> bool {
        let record = LeaseRecord::read(lease);
        record.holder == self.identity && record.epoch == self.epoch
    }
}
