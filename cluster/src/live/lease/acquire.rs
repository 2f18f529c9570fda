//! Takes the Lease.

use std::pin::pin;
use std::time::Duration;

use migration::drive::status::Holder;
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::decide::{Decision, Observer, seems_alive};
use super::held_lease::HeldLease;
use super::object::{self, LeaseRecord};
use super::{MAX_EPOCH, NAME};
use crate::live::api::call::{ApiRequest, Caller, Reply};
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::{MANAGER, NAMESPACE, encode, leases, with_query};

/// How often a Lease is looked at that another holder has.
const LOOK: Duration = Duration::from_secs(5);
/// How often the Lease may change under one's hands before that is an error.
const RACES: u32 = 10;

/// What to do about a Lease that another holder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Give up at once.
    None,
    /// Give up at once if its holder seems to be at work; otherwise the same as [`Self::UntilExpired`].
    IfExpired,
    /// Wait until its holder has not renewed it for [`super::LASTS`]; give up as soon as it renews it.
    UntilExpired,
    /// Take it from its holder, who may be in the middle of an act.
    Force,
}

/// Why the Lease was not taken.
#[derive(Debug)]
pub enum AcquireError {
    /// It has a holder.
    Held(Holder),
    /// The operator ended the wait.
    Interrupted,
    /// A request failed.
    Failed(Exit, Problem),
}

impl From<Failure> for AcquireError {
    fn from((exit, problem): Failure) -> Self {
        Self::Failed(exit, problem)
    }
}

/// The path of the Lease.
pub(super) fn path() -> String {
    format!("{}/{}", leases(), encode(NAME))
}

/// Its path for a write.
pub(super) fn write_path() -> String {
    with_query(&path(), &[("fieldManager", MANAGER)])
}

/// Takes the Lease for this holder, with an epoch above `floor`. `waiting` hears of the holder at each look while it waits, and `stop` ends the wait.
///
/// Nothing ends it while the Lease is being written: its holder would not be known.
pub(in crate::live) async fn take(
    caller: &Caller,
    own: &str,
    floor: u64,
    patience: Patience,
    stop: impl Future<Output = ()>,
    waiting: &mut dyn FnMut(&Holder, Duration),
) -> Result<HeldLease, AcquireError> {
    let mut stop = pin!(stop);
    let what = "take the Lease";
    let mut observer = Observer::default();
    let mut first: Option<Holder> = None;
    let mut races = 0;
    loop {
        let lease = tokio::select! {
            lease = read(caller, what) => lease?,
            () = &mut stop => return Err(AcquireError::Interrupted),
        };
        let now = caller.clock().now();
        let record = lease.as_ref().map(LeaseRecord::read);
        let decision = observer.decide(record.as_ref(), own, patience == Patience::Force, floor, now);
        let acquired = match (decision, lease) {
            (Decision::Wait(holder, remaining), _) => {
                let gives_up = match &first {
                    Some(first) => first.renewed_at != holder.renewed_at,
                    None => match patience {
                        Patience::None => true,
                        Patience::IfExpired => seems_alive(&holder, caller.clock().wall()),
                        Patience::UntilExpired | Patience::Force => false,
                    },
                };
                if gives_up {
                    return Err(AcquireError::Held(holder));
                }
                waiting(&holder, remaining);
                tokio::select! {
                    () = tokio::time::sleep(remaining.min(LOOK)) => {}
                    () = &mut stop => return Err(AcquireError::Interrupted),
                }
                first.get_or_insert(holder);
                continue;
            }
            (Decision::Take(epoch), Some(lease)) => {
                let body = object::take_over(lease, own, epoch, &caller.clock().micro_time());
                (epoch, ApiRequest::put(write_path(), body.to_string().into_bytes()))
            }
            // Its own: an answer was lost. One more write makes sure of it, and of its version.
            (Decision::Held(epoch), Some(lease)) => {
                let body = object::renew(lease, &caller.clock().micro_time());
                (epoch, ApiRequest::put(write_path(), body.to_string().into_bytes()))
            }
            (Decision::Exhausted(epoch), _) => return Err(exhausted_error(epoch)),
            (Decision::Create(epoch) | Decision::Take(epoch) | Decision::Held(epoch), _) => {
                let body = object::new_lease(own, epoch, &caller.clock().micro_time());
                let path = with_query(&leases(), &[("fieldManager", MANAGER)]);
                (epoch, ApiRequest::post(path, body.to_string().into_bytes()))
            }
        };
        let (epoch, ask) = acquired;
        let reply = caller.call_urgently(&ask).await.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() {
            return held_lease(caller, own, epoch, now, &reply);
        }
        races += 1;
        if !reply.refusal().is_conflict() || races > RACES {
            return Err(refused_failure(what, &reply.refusal()).into());
        }
    }
}

fn held_lease(
    caller: &Caller,
    own: &str,
    epoch: u64,
    renewed: Duration,
    reply: &Reply,
) -> Result<HeldLease, AcquireError> {
    let lease: Value = reply.object().map_err(|why| lost_failure("take the Lease", &why))?;
    Ok(HeldLease::new(caller.clone(), own.to_owned(), epoch, renewed, lease))
}

/// Another program wrote the Lease: no run changes hands so often.
fn exhausted_error(epoch: u64) -> AcquireError {
    let what = format!(
        "take the Lease: its leaseTransitions is {epoch}, and must become greater; at most {MAX_EPOCH} is possible"
    );
    let fix = format!("once no program holds the run, delete it: kubectl -n {NAMESPACE} delete lease {NAME}");
    AcquireError::Failed(
        Exit::No,
        Problem::new(what).with_place(format!("Lease/{NAMESPACE}/{NAME}")).fix(fix),
    )
}

/// The Lease as it is; none if there is none.
pub(super) async fn read(caller: &Caller, what: &str) -> Result<Option<Value>, Failure> {
    let reply =
        caller.call_urgently(&ApiRequest::get(path())).await.map_err(|why| lost_failure(what, &why))?;
    if reply.is_done() {
        return reply.object().map(Some).map_err(|why| lost_failure(what, &why));
    }
    match reply.refusal() {
        refusal if refusal.is_not_found() => Ok(None),
        refusal => Err(refused_failure(what, &refusal)),
    }
}

/// Who holds the Lease as it is now, with its epoch; none if it has no holder, or if there is no Lease.
pub(in crate::live) async fn current_holder(caller: &Caller) -> Result<Option<(Holder, u64)>, Failure> {
    let lease = read(caller, "read the Lease").await?;
    let record = lease.as_ref().map(LeaseRecord::read).filter(|record| !record.holder.is_empty());
    Ok(record.map(|LeaseRecord { holder, epoch, acquired, renewed_at: renewed }| {
        (Holder { name: holder, since: acquired, renewed_at: renewed }, epoch)
    }))
}
