//! The wait between passes, with recounts of the attachments. A count is no pass: nothing is observed, probed or decided anew for it, and the last
//! report is published again with the new counts.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use convergence::watch::observation::Observation;

use super::{LOOKS, Watch};
use crate::host::events::WakeReason;
use crate::node::attachments::attached;

/// What the counts depend on beside the records: with another policy, or when a network's conf comes or goes, each of them may be another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Basis {
    state_dir: PathBuf,
    policy: Option<String>,
    networks: Vec<Option<String>>,
    /// The pass that moved pods last: its result is judged by the counts after it.
    moving_pass: Option<u64>,
}

impl Basis {
    fn from_facts(facts: &Observation) -> Self {
        let name = |network: &crate::watch::observe::NetworkObservation| {
            network.conf.as_ref().ok().map(|(name, _)| name.clone())
        };
        Self {
            state_dir: facts.node.dirs.layout.state_dir.clone(),
            policy: facts.node.policy.as_ref().ok().map(|file| file.sha256.clone()),
            networks: facts.networks.iter().map(name).collect(),
            moving_pass: facts.last_move.as_ref().map(|moved| moved.turn),
        }
    }
}

impl Watch<'_> {
    /// Waits for the next pass, at most for `wait`. Returns whether files may have changed; none is the end.
    pub(super) fn next_pass(&mut self, wakes: &Receiver<WakeReason>, wait: Duration) -> Option<bool> {
        let end = Instant::now() + wait;
        loop {
            let remaining = end.saturating_duration_since(Instant::now());
            let now = self.started.elapsed();
            // Without an observation or a publisher, a count that is due stays due.
            let counts = self.publisher.is_some() && self.facts.is_some();
            let counts_in = self.count_pace.due_at().filter(|_| counts).map(|due| due.saturating_sub(now));
            match wakes.recv_timeout(counts_in.map_or(remaining, |due| due.min(remaining))) {
                Err(RecvTimeoutError::Disconnected) | Ok(WakeReason::Stop) => return None,
                Ok(WakeReason::Records) => self.count_pace.note_changed(self.started.elapsed()),
                Ok(first) => return self.debounce(first, wakes),
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => self.count_alone(),
                Err(RecvTimeoutError::Timeout) => return Some(false),
            }
        }
    }

    /// Counts the attachments where that is due, or where the count has another basis: with a flip, the counts of its moment are published.
    pub(super) fn count(&mut self, facts: &Observation) {
        // Only the publisher uses the counts.
        if self.publisher.is_none() {
            return;
        }
        let is_due = self.count_pace.due_at().is_some_and(|due| due <= self.started.elapsed());
        let basis = Basis::from_facts(facts);
        if !is_due && self.basis.as_ref() == Some(&basis) {
            return;
        }
        self.basis = Some(basis);
        let layout = &facts.node.dirs.layout;
        let directories = attached::directories(layout);
        // Before the look: what changes during it is told, and counted the next time.
        self.events.reset_uncounted();
        for _ in 0..LOOKS {
            if !self.events.arm_records(directories.iter()) {
                break;
            }
        }
        self.memory.attached = attached::read(layout, facts.node.policy());
        self.count_pace.note_counted(self.started.elapsed(), self.events.watches_records());
    }

    /// Counts between two passes, and publishes counts that have changed.
    fn count_alone(&mut self) {
        let Some(facts) = self.facts.take() else { return };
        self.count(&facts);
        self.facts = Some(facts);
        let Some(report) = &mut self.reported else { return };
        if report.observed.attached == self.memory.attached {
            return;
        }
        report.observed.attached.clone_from(&self.memory.attached);
        if let Some(publisher) = &self.publisher {
            publisher.publish(report, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use types::api::observed::{AttachmentCounts, NodeObservation};
    use types::policy::Phase;

    use super::*;
    use crate::cli::{Global, Output};
    use crate::host::root::Root;
    use crate::node::settings::mode;
    use crate::publish::report::Publish;
    use crate::watch::Scope;
    use convergence::publish::report::{NodeEvent, NodeReport};

    /// Tells the answer from a hang.
    const LIMIT: Duration = Duration::from_secs(60);

    /// Keeps what was published.
    #[derive(Clone, Default)]
    struct PublishedReports(Arc<Mutex<Vec<NodeObservation>>>);

    impl PublishedReports {
        fn last(&self) -> NodeObservation {
            self.0.lock().expect("kept").last().cloned().expect("published")
        }
    }

    impl Publish for PublishedReports {
        fn publish(&self, report: &NodeReport, _: &[NodeEvent]) {
            self.0.lock().expect("kept").push(report.observed.clone());
        }
    }

    fn counts(by_phase: &[(Phase, u32)]) -> Option<AttachmentCounts> {
        let by_phase = by_phase.iter().copied().collect();
        Some(AttachmentCounts { by_phase, ..AttachmentCounts::default() })
    }

    #[test]
    fn a_change_of_the_records_is_published_without_a_pass_and_a_flip_with_the_counts_of_its_moment() {
        let dir = tempfile::Builder::new().tempdir_in("/var/tmp").expect("scratch");
        let path_of = |path: &str| dir.path().join(path);
        for path in ["etc/crossfade", "var/lib/crossfade"] {
            create_dir_all(path_of(path)).expect("directory");
        }
        let policy = |attach: &str| {
            let text = json!({"version": 1, "attach": attach, "networks": {"old": {"conf": ["/o"]}, "new": {"conf": ["/n"]}}});
            write(path_of("etc/crossfade/policy.json"), text.to_string()).expect("policy");
        };
        let inventory = |networks: &[&str]| {
            let entry = |(index, network)| json!({"containerID": format!("c{index}"), "ifname": "eth0", "network": network});
            let entries: Vec<_> = networks.iter().enumerate().map(entry).collect();
            let text = json!({"version": 1, "attachments": entries}).to_string();
            write(path_of("var/lib/crossfade/inventory.json"), text).expect("inventory");
        };
        policy("old");
        inventory(&["old"]);
        let global = Global { root: dir.path().into(), ..Global::new(Output::Human) };
        let scope = Scope { root: Root::new(dir.path()), global, in_pod: false };
        let (wake, wakes) = channel();
        let published = PublishedReports::default();
        let mut watch = Watch::new(&scope, mode::settings(&scope.root), wake).expect("a loop");
        watch.publisher = Some(Box::new(published.clone()));
        watch.reconcile(true);
        assert_eq!(published.last().attached, counts(&[(Phase::Old, 1)]));

        inventory(&["old", "new", "new"]);
        let end = Instant::now() + LIMIT;
        let expected = counts(&[(Phase::Old, 1), (Phase::New, 2)]);
        while published.last().attached != expected {
            assert!(Instant::now() < end, "{:?}", published.last());
            // Files of passes have not changed but for the loop's own report; no pass reads the records.
            if watch.next_pass(&wakes, Duration::from_secs(1)).expect("it goes on") {
                watch.events.reset_pending();
            }
        }
        assert_eq!(watch.count_pace.due_at(), None, "nothing else to count");

        inventory(&["new"]);
        policy("new");
        watch.reconcile(true);
        let flipped = published.last();
        assert_eq!((flipped.phase, flipped.attached), (Some(Phase::New), counts(&[(Phase::New, 1)])));
    }
}
