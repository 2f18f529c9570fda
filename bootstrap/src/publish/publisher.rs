//! The publishing thread, and the loop's handle to it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use convergence::node::policy::desired_phase::DesiredPhase;
use convergence::publish::report::{NodeEvent, NodeReport};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::session::Session;
use crate::publish::report::{Credential, Publish};

/// How long the last word (switched off, say) may take when the publisher is dropped; a longer wait for an API server that is away would delay the exit.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(3);
/// How many happenings wait for the API server; the oldest make room.
const MAX_WAITING: usize = 64;

/// Publishes on this node's Node, in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<SharedState>,
}

impl Publisher {
    /// Starts. `on_desired` gets what `crossfade/desired` asks for whenever it changes, and none when it is taken back, in the publisher's
    /// thread; what it may flip is not decided here.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        credential: Credential,
        on_desired: impl Fn(Option<DesiredPhase>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(SharedState::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut session = Session::new(credential, Arc::clone(&shared), on_desired);
        std::thread::Builder::new().name("publisher".into()).spawn(move || {
            runtime.block_on(session.run());
            // A look-up that still hangs in a thread of the runtime's is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { shared })
    }

    /// Waits until the last report is on the Node and every event was written or refused; false if it takes longer.
    #[must_use]
    pub fn settle(&self, within: Duration) -> bool {
        self.shared.wait(within, State::is_settled)
    }
}

impl Publish for Publisher {
    fn publish(&self, report: &NodeReport, happened: &[NodeEvent]) {
        let mut state = self.shared.state();
        let news = state.report.as_ref() != Some(report);
        if news {
            state.report = Some(report.clone());
            state.generation += 1;
        }
        for event in happened {
            state.wait_for(event);
        }
        if news || !happened.is_empty() {
            drop(state);
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.wait(LAST_WORD_WITHIN, |state| state.is_settled() || state.resting);
        self.shared.state().closed = true;
        self.shared.changed.notify_one();
    }
}

/// Between the loop and the thread.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    state: Mutex<State>,
    pub(super) changed: Notify,
    settled: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The latest; an earlier one is obsolete.
    pub(super) report: Option<NodeReport>,
    /// How many reports there were.
    pub(super) generation: u64,
    /// The last that is on the Node.
    published: u64,
    pub(super) waiting: VecDeque<(NodeEvent, Timestamp)>,
    /// The moment of the last that was taken.
    last: Option<Timestamp>,
    /// Whether it pauses because something went wrong.
    resting: bool,
    pub(super) closed: bool,
}

impl State {
    fn is_settled(&self) -> bool {
        self.published == self.generation && self.waiting.is_empty()
    }

    /// Has an event written; the oldest that waits makes room.
    fn wait_for(&mut self, happened: &NodeEvent) {
        let moment = self.moment(Timestamp::now());
        self.waiting.push_back((happened.clone(), moment));
        while self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
        }
    }

    /// A moment that no other happening has, for events are named by theirs: `now`, or just after the last.
    fn moment(&mut self, now: Timestamp) -> Timestamp {
        let next = self.last.and_then(|last| last.checked_add(SignedDuration::from_nanos(1)).ok());
        let moment = next.map_or(now, |next| next.max(now));
        self.last = Some(moment);
        moment
    }
}

impl SharedState {
    /// Nothing panics while it is held; if something did, what is in it is still whole.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so; false if it takes longer.
    fn wait(&self, within: Duration, so: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + within;
        let mut state = self.state();
        while !so(&state) {
            let remaining = end.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return false;
            }
            state = self.settled.wait_timeout(state, remaining).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Something happened in the publisher's own thread.
    pub(super) fn note_event(&self, happened: &NodeEvent) {
        tracing::warn!(event = happened.reason.as_str(), "{}", happened.message);
        self.state().wait_for(happened);
    }

    /// A pause begins or ends.
    pub(super) fn rests(&self, resting: bool) {
        self.state().resting = resting;
        self.settled.notify_all();
    }

    /// The report of this number is on the Node.
    pub(super) fn note_published(&self, generation: u64) {
        self.state().published = generation;
        self.settled.notify_all();
    }

    /// The first that waits was written, or never will be; unless it had to make room meanwhile.
    pub(super) fn remove_event(&self, happened: &(NodeEvent, Timestamp)) {
        let mut state = self.state();
        if state.waiting.front() == Some(happened) {
            state.waiting.pop_front();
        }
        drop(state);
        self.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_happenings_have_one_moment() {
        let now: Timestamp = "2026-11-20T15:00:00Z".parse().expect("a time");
        let mut state = State::default();
        let moments: Vec<Timestamp> = (0..3).map(|_| state.moment(now)).collect();
        assert!(moments.windows(2).all(|two| two[0] < two[1]), "{moments:?}");
        let later = now + SignedDuration::from_secs(1);
        assert_eq!(state.moment(later), later);
        assert!(state.moment(now) > later, "a clock that was set back");
    }
}
