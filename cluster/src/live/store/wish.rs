//! The stored requests of operators to a run that another process holds.

use migration::roll::run::{MAX_WISH_SEQ, RunRequest, Wish};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::object::{self, RUN, WISH_KEY, bytes, change_path};
use super::{Store, StoredRun};
use crate::live::api::call::ApiRequest;
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::WISHER;

/// How many wishes are kept that the run has taken up.
const KEPT: usize = 20;
/// How often a wish is written anew because another client wrote the ConfigMap at the same time, or because an answer was lost.
const TRIES: u32 = 10;

impl Store {
    /// Asks something of the run, and says with which number.
    ///
    /// This is the one write that is tried again: a wish that is there already is found by its number and its words, and is not written twice.
    ///
    /// # Errors
    /// There is no run, or a request failed.
    pub async fn wish(&self, operator: &str, reason: &str, what: &RunRequest) -> Result<u64, Failure> {
        let mut mine: Option<Wish> = None;
        let mut failed = None;
        for _ in 0..TRIES {
            let Some(stored) = self.run().await? else { return Err(no_run_failure()) };
            if let Some(wish) = mine.as_ref().filter(|wish| stored.wishes.contains(wish)) {
                return Ok(wish.seq);
            }
            let wish = Wish {
                seq: next_seq(&stored)?,
                operator: operator.into(),
                reason: reason.into(),
                what: what.clone(),
            };
            let change =
                object::change_object(&stored.version, &[], &[(WISH_KEY, Some(&list(&stored, &wish)?))]);
            let ask = ApiRequest::merge(change_path(RUN, WISHER), bytes(&change));
            let seq = wish.seq;
            mine = Some(wish);
            match self.caller.call(&ask).await {
                Ok(reply) if reply.is_done() => return Ok(seq),
                Ok(reply) if reply.refusal().is_conflict() => {
                    failed = Some(refused_failure("ask it of the run", &reply.refusal()))
                }
                Ok(reply) => return Err(refused_failure("ask it of the run", &reply.refusal())),
                Err(why) => failed = Some(lost_failure("ask it of the run", &why)),
            }
        }
        Err(failed.unwrap_or_else(no_run_failure))
    }
}

fn no_run_failure() -> Failure {
    let problem = Problem::new("there is no run").with_place(format!("ConfigMap/crossfade/{RUN}"));
    (Exit::No, problem.fix("begin one: kubectl crossfade roll --plan HASH"))
}

/// The number of the next wish.
fn next_seq(stored: &StoredRun) -> Result<u64, Failure> {
    let last = stored.wishes.iter().map(|wish| wish.seq).max().unwrap_or(0).max(stored.run.wish);
    last.checked_add(1).filter(|next| *next <= MAX_WISH_SEQ).ok_or_else(|| {
        let what = format!("the run's last wish has the number {last}, and no greater one is possible: another program wrote it");
        let problem = Problem::new(what).with_place(format!("ConfigMap/crossfade/{RUN}"));
        (Exit::No, problem.fix("to pause the run, end the program that holds it; kubectl crossfade status names the holder"))
    })
}

/// All wishes with this one, without the oldest of those that the run has taken up.
fn list(stored: &StoredRun, wish: &Wish) -> Result<String, Failure> {
    let answered_count = stored.wishes.iter().filter(|wish| wish.seq <= stored.run.wish).count();
    let recent_wishes = stored.wishes.iter().skip(answered_count.saturating_sub(KEPT));
    let all: Vec<&Wish> = recent_wishes.chain([wish]).collect();
    serde_json::to_string(&all).map_err(|e| (Exit::Failed, Problem::new(format!("ask it of the run: {e}"))))
}
