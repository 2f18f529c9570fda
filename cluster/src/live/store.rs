//! The storage of a run, in ConfigMaps of the namespace `crossfade`: the approved plan, the run with what people ask of it, and the journal.
//!
//! | ConfigMap | keys | who writes it |
//! |---|---|---|
//! | `crossfade-plan-HASH` | `plan.json.gz`; immutable | `plan --save`, once |
//! | `crossfade-run` | `run.json` | the holder of the Lease |
//! | | `wish.json` | every command that asks something of the run |
//! | `crossfade-run-ID` | both, of a run that is over | the holder that begins the next run |
//! | `crossfade-journal-ID-NNNN` | `journal.jsonl` | the holder of the Lease |
//! | `crossfade-permits` | UIDs of Nodes | pipelines that ask to take a node away |
//! | `crossfade-finish` | `finish.json` | the holder of the Lease, at the end of a migration |
//! | `crossfade-gates-ID` | `verdicts.json` | the holder of the Lease |
//!
//! Each write names the `resourceVersion` that it was made on. Of runs that are over, the objects of the newest ten stay.

mod finish;
pub(super) mod history;
mod journal;
mod mirror;
mod object;
mod permit;
mod plan;
mod prune;
mod run;
pub(super) mod saved_plans;
mod verdicts;
mod wish;

pub use journal::Journal;
pub(super) use object::{RUN, RUN_KEY};
pub(super) use permit::permits;
pub(super) use run::NEW_RUN;
pub(super) use run::{RecordOutcome, StoredRun, UnreadableRun};
pub(super) use verdicts::{Verdicts, last_verdict};

use crate::live::api::call::{ApiRequest, Caller, Reply};
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::{config_map, config_maps, with_query};
use object::MetaList;

/// Reads and writes them.
#[derive(Debug, Clone)]
pub struct Store {
    caller: Caller,
}

impl Store {
    /// The store of this cluster.
    pub(super) const fn new(caller: Caller) -> Self {
        Self { caller }
    }

    /// A ConfigMap as the API server has it; none if it is not there.
    async fn read(&self, what: &str, name: &str) -> Result<Option<Reply>, Failure> {
        let reply = self.caller.call(&ApiRequest::get(config_map(name))).await;
        let reply = reply.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() {
            return Ok(Some(reply));
        }
        match reply.refusal() {
            refusal if refusal.is_not_found() => Ok(None),
            refusal => Err(refused_failure(what, &refusal)),
        }
    }

    /// The metadata of the ConfigMaps that a label selector selects.
    async fn list_meta(&self, what: &str, selector: &str) -> Result<MetaList, Failure> {
        let mut ask = ApiRequest::get(with_query(&config_maps(), &[("labelSelector", selector)]));
        ask.accept = Some(object::METADATA);
        let reply = self.caller.call(&ask).await.map_err(|why| lost_failure(what, &why))?;
        if !reply.is_done() {
            return Err(refused_failure(what, &reply.refusal()));
        }
        reply.object().map_err(|why| lost_failure(what, &why))
    }
}

#[cfg(test)]
mod tests;
