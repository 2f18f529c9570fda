//! Acts of a session.

use std::sync::{Arc, Mutex, PoisonError};
use types::api::eviction::Evictions;

use jiff::Timestamp;
use migration::drive::objects;
use migration::roll::run::{Run, Wish};
use migration::roll::step::{Act, Hook, Patch, PodId};
use migration::roll::world::Hosts;
use tokio::sync::mpsc::UnboundedSender;

use super::Session;
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::session::calls::{LeasedCaller, Outcome, census, change, delete, evict, patch};
use crate::live::session::state::Event;
use crate::live::store::{RecordOutcome, Store, StoredRun};

impl Session {
    /// Carries out an act, once. What is known now is looked at now; the rest happens when the future is driven, which may go on beside the session.
    ///
    /// Nothing is asked for without a Lease that was renewed within the last forty seconds. A count of all pods needs none.
    pub fn act(&self, act: &Act) -> impl Future<Output = Outcome> + Send + use<> {
        let work = self.prepare(act);
        async move {
            match work {
                Ok(work) => work.apply().await,
                Err(outcome) => outcome,
            }
        }
    }

    fn prepare(&self, act: &Act) -> Result<SessionAct, Outcome> {
        let sender = self.sender.clone();
        let hand = || match self.lease.clone() {
            Some(lease) => Ok(LeasedCaller::new(&self.caller, lease)),
            None => Err(Outcome::Barred("this program does not hold the Lease".into())),
        };
        Ok(match act {
            Act::Census => SessionAct::Census(self.caller.clone(), self.cluster.world.hosts(), sender),
            Act::Patch(patch) => {
                let labels = self.settings.pool_labels.clone();
                SessionAct::Patch { hand: hand()?, ask: self.patch_request(patch)?, labels, sender }
            }
            Act::Hook(hook) => {
                SessionAct::Hook { hand: self.manager()?, ask: self.hook_request(hook)?, sender }
            }
            Act::Evict(id) => SessionAct::Evict(hand()?, self.evictions, Box::new(id.clone())),
            Act::Delete(id) => SessionAct::Delete(hand()?, Box::new(id.clone())),
            Act::Record(run) => {
                let basis = self.basis.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let hand = hand()?;
                SessionAct::Record(Box::new(RecordAct {
                    store: Store::new(hand.caller().clone()),
                    hand,
                    run: (**run).clone(),
                    // What was never read cannot be written.
                    basis: basis.ok_or(Outcome::Changed)?,
                    slot: Arc::clone(&self.basis),
                    wishes: self
                        .cluster
                        .stored
                        .as_ref()
                        .and_then(|stored| stored.as_ref().ok())
                        .map(|stored| stored.wishes.clone())
                        .unwrap_or_default(),
                    sender,
                }))
            }
        })
    }

    /// What makes the holder's requests in the management cluster.
    fn manager(&self) -> Result<LeasedCaller, Outcome> {
        match (&self.management, self.lease.clone()) {
            (Some(management), Some(lease)) => Ok(LeasedCaller::new(&management.caller, lease)),
            (None, _) => Err(Outcome::Failed("no management cluster was named".into())),
            (_, None) => Err(Outcome::Barred("this program does not hold the Lease".into())),
        }
    }

    fn hook_request(&self, hook: &Hook) -> Result<ApiRequest, Outcome> {
        let request = self.management.as_ref().and_then(|management| management.request(hook));
        request.ok_or_else(|| Outcome::Failed("its Machine is not known".into()))
    }

    /// The request of a patch. A Node that has changed since the decision is not asked for at all.
    fn patch_request(&self, change: &Patch) -> Result<ApiRequest, Outcome> {
        let taints = self.cluster.taints(&change.node, &change.version).ok_or(Outcome::Changed)?;
        patch(change, taints, Timestamp::now()).map_err(Outcome::Failed)
    }
}

/// An act with everything that it needs.
enum SessionAct {
    Patch { hand: LeasedCaller, ask: ApiRequest, labels: Vec<String>, sender: UnboundedSender<Event> },
    Hook { hand: LeasedCaller, ask: ApiRequest, sender: UnboundedSender<Event> },
    Evict(LeasedCaller, Evictions, Box<PodId>),
    Delete(LeasedCaller, Box<PodId>),
    Census(Caller, Hosts, UnboundedSender<Event>),
    Record(Box<RecordAct>),
}

/// The run, to be recorded.
struct RecordAct {
    hand: LeasedCaller,
    store: Store,
    run: Run,
    /// The version that the decision was made on.
    basis: String,
    /// Where the next decision finds the new version.
    slot: Arc<Mutex<Option<String>>>,
    wishes: Vec<Wish>,
    sender: UnboundedSender<Event>,
}

impl SessionAct {
    async fn apply(self) -> Outcome {
        match self {
            Self::Patch { hand, ask, labels, sender } => match change(&hand, &ask).await {
                Ok(body) => {
                    // The watch tells of it later; until then, no decision may take the Node for untouched.
                    if let Ok(node) = objects::node(&body, &labels) {
                        drop(sender.send(Event::Patched(node)));
                    }
                    Outcome::Done
                }
                Err(outcome) => outcome,
            },
            Self::Hook { hand, ask, sender } => match change(&hand, &ask).await {
                Ok(body) => {
                    if let Ok(Some(machine)) = objects::machine(&body) {
                        drop(sender.send(Event::Hooked(machine)));
                    }
                    Outcome::Done
                }
                Err(outcome) => outcome,
            },
            Self::Evict(hand, evictions, id) => evict(evictions, &hand, id).await,
            Self::Delete(hand, id) => delete(&hand, id).await,
            Self::Census(caller, hosts, sender) => match census(&caller, &hosts).await {
                Ok(census) => {
                    drop(sender.send(Event::Census(census.clone())));
                    Outcome::Counted(census)
                }
                Err(why) => Outcome::Failed(why),
            },
            Self::Record(record) => record.apply().await,
        }
    }
}

impl RecordAct {
    async fn apply(self) -> Outcome {
        if let Err(outcome) = self.hand.may() {
            return outcome;
        }
        match self.store.record(&self.run, &self.basis).await {
            Ok(RecordOutcome::Written(version)) => {
                *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.clone());
                let stored = StoredRun { run: self.run, wishes: self.wishes, version };
                drop(self.sender.send(Event::Recorded(stored)));
                Outcome::Done
            }
            Ok(RecordOutcome::Changed) => Outcome::Changed,
            Err((_, problem)) => Outcome::Failed(problem.to_string()),
        }
    }
}
