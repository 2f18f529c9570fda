//! Takes the Lease.

use std::time::Duration;

use serde_json::Value;
use types::exit::Exit;
use types::problem::Problem;

use super::NAME;
use super::decide::{Decision, Holder, Observer};
use super::hold::Held;
use super::object::{self, Seen};
use crate::live::call::{Ask, Caller, Reply};
use crate::live::failure::{Failed, lost, refused};
use crate::live::path::{MANAGER, encoded, leases, with_query};

/// How often a Lease is looked at that somebody else holds.
const LOOK: Duration = Duration::from_secs(5);
/// How often the Lease may change under one's hands before that is an error.
const RACES: u32 = 10;

/// What to do about a Lease that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Give up at once.
    None,
    /// Wait until its holder has not renewed it for [`super::LASTS`]; give up as soon as it renews it.
    UntilExpired,
    /// Take it from its holder, who may be in the middle of an act.
    Force,
}

/// Why the Lease was not taken.
#[derive(Debug)]
pub enum Untaken {
    /// Somebody holds it.
    Held(Holder),
    /// A request failed.
    Failed(Exit, Problem),
}

impl From<Failed> for Untaken {
    fn from((exit, problem): Failed) -> Self {
        Self::Failed(exit, problem)
    }
}

/// The path of the Lease.
pub(super) fn path() -> String {
    format!("{}/{}", leases(), encoded(NAME))
}

/// Its path for a write.
pub(super) fn write_path() -> String {
    with_query(&path(), &[("fieldManager", MANAGER)])
}

/// Takes the Lease for this holder. `waiting` hears of the holder at each look while it waits.
pub(in crate::live) async fn take(
    caller: &Caller,
    own: &str,
    patience: Patience,
    waiting: &mut dyn FnMut(&Holder),
) -> Result<Held, Untaken> {
    let what = "take the Lease";
    let mut observer = Observer::default();
    let mut first: Option<Holder> = None;
    let mut races = 0;
    loop {
        let lease = read(caller, what).await?;
        let now = caller.clock().now();
        let seen = lease.as_ref().map(Seen::read);
        let decision = observer.decide(seen.as_ref(), own, patience == Patience::Force, now);
        let taken = match (decision, lease) {
            (Decision::Wait(holder), _) => {
                let has_renewed = first.as_ref().is_some_and(|first| first.renewed != holder.renewed);
                if patience == Patience::None || has_renewed {
                    return Err(Untaken::Held(holder));
                }
                waiting(&holder);
                tokio::time::sleep(holder.left.min(LOOK)).await;
                first.get_or_insert(holder);
                continue;
            }
            (Decision::Take(epoch), Some(lease)) => {
                let body = object::taken(lease, own, epoch, &caller.clock().micro_time());
                (epoch, Ask::put(write_path(), body.to_string().into_bytes()))
            }
            // Its own: an answer was lost. One more write makes sure of it, and of its version.
            (Decision::Held(epoch), Some(lease)) => {
                let body = object::renewed(lease, &caller.clock().micro_time());
                (epoch, Ask::put(write_path(), body.to_string().into_bytes()))
            }
            (_, _) => {
                let body = object::created(own, &caller.clock().micro_time());
                let path = with_query(&leases(), &[("fieldManager", MANAGER)]);
                (1, Ask::post(path, body.to_string().into_bytes()))
            }
        };
        let (epoch, ask) = taken;
        let reply = caller.urgent(&ask).await.map_err(|why| lost(what, &why))?;
        if reply.is_done() {
            return held(caller, own, epoch, now, &reply);
        }
        races += 1;
        if !reply.refusal().is_conflict() || races > RACES {
            return Err(refused(what, &reply.refusal()).into());
        }
    }
}

fn held(caller: &Caller, own: &str, epoch: u64, renewed: Duration, reply: &Reply) -> Result<Held, Untaken> {
    let lease: Value = reply.object().map_err(|why| lost("take the Lease", &why))?;
    Ok(Held::new(caller.clone(), own.to_owned(), epoch, renewed, lease))
}

/// The Lease as it is; none if there is none.
pub(super) async fn read(caller: &Caller, what: &str) -> Result<Option<Value>, Failed> {
    let reply = caller.urgent(&Ask::get(path())).await.map_err(|why| lost(what, &why))?;
    if reply.is_done() {
        return reply.object().map(Some).map_err(|why| lost(what, &why));
    }
    match reply.refusal() {
        refusal if refusal.is_not_found() => Ok(None),
        refusal => Err(refused(what, &refusal)),
    }
}

/// Who holds the Lease as it is now; none if nobody does, or if there is none.
pub(in crate::live) async fn holder(caller: &Caller) -> Result<Option<String>, Failed> {
    let lease = read(caller, "read the Lease").await?;
    let name = lease.as_ref().map(Seen::read).map(|seen| seen.holder);
    Ok(name.filter(|name| !name.is_empty()))
}
