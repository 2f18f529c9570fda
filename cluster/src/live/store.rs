//! What is kept of a run, in ConfigMaps of the namespace `crossfade`: the approved plan, the run with what people ask of it, and the journal.
//!
//! | ConfigMap | keys | who writes it |
//! |---|---|---|
//! | `crossfade-plan-HASH` | `plan.json.gz`; immutable | `plan --save`, once |
//! | `crossfade-run` | `run.json` | the holder of the Lease |
//! | | `wish.json` | anybody who asks something of the run |
//! | `crossfade-run-ID` | both, of a run that is over | whoever begins the next run |
//! | `crossfade-journal-ID-NNNN` | `journal.jsonl` | the holder of the Lease |
//! | `crossfade-gates-ID` | `verdicts.json` | the holder of the Lease |
//!
//! Each write names the `resourceVersion` that it was made on. Of runs that are over, the objects of the newest ten stay.

mod journal;
mod mirror;
mod object;
mod plan;
mod prune;
mod run;
mod verdicts;
mod wish;

pub use journal::Journal;
pub(super) use object::{RUN, RUN_KEY};
pub(super) use run::NEW_RUN;
pub use run::{Recorded, Stored, Unreadable};
pub(super) use verdicts::last_verdict;
pub use verdicts::{RecordedVerdict, Verdicts};

use super::call::{Ask, Caller};
use super::failure::{Failed, lost, refused};
use super::path::{config_maps, with_query};
use object::Named;

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

    /// The metadata of the ConfigMaps that a label selector selects.
    async fn listed(&self, what: &str, selector: &str) -> Result<Named, Failed> {
        let mut ask = Ask::get(with_query(&config_maps(), &[("labelSelector", selector)]));
        ask.accept = Some(object::METADATA);
        let reply = self.caller.call(&ask).await.map_err(|why| lost(what, &why))?;
        if !reply.is_done() {
            return Err(refused(what, &reply.refusal()));
        }
        reply.object().map_err(|why| lost(what, &why))
    }
}

#[cfg(test)]
mod tests;
