//! The publisher's session: credential, Node, decision, patches, and again on every change of either side.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convergence::node::policy::desired_phase::DesiredPhase;
use convergence::publish::decide::{Write, decide, is_obsolete, parse_desired};
use convergence::publish::node_object::NodeObject;
use convergence::publish::registered::{self, AgentSelection, agent_pods};
use convergence::publish::report::{EventReason, NodeEvent, NodeReport};
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::jiff::Timestamp;
use kube::Error;
use kube::core::WatchEvent;
use tokio::time::Instant;
use types::api::eviction::{Depth, deletion};

use super::error::{ErrorKind, Journal, Trouble};
use super::event::{EventRecord, Recorder};
use super::link::{Link, WATCH_SECS};
use super::pods::bound::{bound_pod, target};
use super::publisher::SharedState;
use crate::publish::credential::kubeconfig::ClientCredential;
use crate::publish::report::Credential;

/// The first pause after something went wrong; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest between two looks for a credential that is not there yet; a report looks at once.
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// A watch that ends sooner than this ended for a reason.
const SHORTEST_WATCH: Duration = Duration::from_secs(5);
/// Most patches in a row: one of each kind, and as many again where another controller changed the Node meanwhile. The watch shows what is left.
const MAX_PATCHES: usize = 4;
/// Beyond the time that a watch was asked to last.
const OVERTIME: Duration = Duration::from_secs(20);

pub(super) struct Session<F> {
    credential: Credential,
    shared: Arc<SharedState>,
    on_desired: F,
    journal: Journal,
    recorder: Recorder,
    /// This node's Node as it was last; none while it is not registered.
    node: Option<NodeObject>,
    /// The desired phase that was handed on last.
    desired: Option<DesiredPhase>,
    /// Agents that select nodes by a label that this node's Node lacked, until their pods were looked at.
    agents_without_label: Vec<AgentSelection>,
    /// The report that the API server refused; it is not sent again before the next resync.
    refused: Option<u64>,
    /// Whether the credential was good since it was loaded.
    worked: bool,
    pause: Duration,
}

/// Why a connection ended without trouble.
enum SessionEnd {
    /// There is another credential.
    Renew,
    /// The publisher was dropped.
    Closed,
}

impl<F: Fn(Option<DesiredPhase>)> Session<F> {
    pub(super) fn new(credential: Credential, shared: Arc<SharedState>, on_desired: F) -> Self {
        Self {
            credential,
            shared,
            on_desired,
            journal: Journal::default(),
            recorder: Recorder::default(),
            node: None,
            desired: None,
            agents_without_label: Vec::new(),
            refused: None,
            worked: false,
            pause: FIRST_PAUSE,
        }
    }

    /// Until the publisher is dropped.
    pub(super) async fn run(&mut self) {
        while !self.shared.state().closed {
            match self.run_connected().await {
                Ok(SessionEnd::Closed) => return,
                Ok(SessionEnd::Renew) => {}
                // The credential was good and is not any more: there may be another one already.
                Err(trouble)
                    if trouble.kind == ErrorKind::Unauthorized && std::mem::take(&mut self.worked) => {}
                Err(trouble) => {
                    self.journal.went_wrong(&trouble);
                    self.shared.rests(true);
                    self.rest(trouble.kind).await;
                    self.shared.rests(false);
                }
            }
        }
    }

    /// Pauses for longer each time, never for as long as the others do.
    async fn rest(&mut self, kind: ErrorKind) {
        let waits_for_a_file = kind == ErrorKind::NoCredential;
        let longest = if waits_for_a_file { LONGEST_LOOK } else { LONGEST_PAUSE };
        let pause = self.pause.min(longest).mul_f64(jitter());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let changed = pin!(self.shared.changed.notified());
        if waits_for_a_file {
            let _ = tokio::time::timeout(pause, changed).await;
        } else {
            tokio::time::sleep(pause).await;
        }
    }

    /// With one credential, as long as it is good.
    async fn run_connected(&mut self) -> Result<SessionEnd, Trouble> {
        let (link, loaded) = Link::open(&self.credential).await?;
        self.worked = false;
        while loaded.is_current(Timestamp::now()) {
            let (node, version) = link.list().await?;
            self.worked = true;
            self.refused = None;
            self.set_seen(node);
            self.converge(&link).await?;
            let events = pin!(link.watch(&version).await?);
            let started = Instant::now();
            if let Some(ended) = self.follow(&link, &loaded, events).await? {
                return Ok(ended);
            }
            if started.elapsed() < SHORTEST_WATCH && loaded.is_current(Timestamp::now()) {
                return Err(Trouble::new(
                    ErrorKind::Unreachable,
                    "watch this Node: ended as soon as it began",
                ));
            }
        }
        Ok(SessionEnd::Renew)
    }

    /// Converges on every event of this node's Node and on every report, until the watch ends.
    async fn follow(
        &mut self,
        link: &Link,
        loaded: &ClientCredential,
        mut events: impl Stream<Item = Result<WatchEvent<NodeObject>, Error>> + Unpin,
    ) -> Result<Option<SessionEnd>, Trouble> {
        let end = Instant::now() + Duration::from_secs(WATCH_SECS.into()) + OVERTIME;
        loop {
            if self.shared.state().closed {
                return Ok(Some(SessionEnd::Closed));
            }
            let shared = Arc::clone(&self.shared);
            let next = pin!(tokio::time::timeout_at(end, events.next()));
            let changed = pin!(shared.changed.notified());
            match select(next, changed).await {
                Either::Right(((), _)) => {}
                Either::Left((Ok(Some(Ok(event))), _)) => match event {
                    WatchEvent::Added(node) | WatchEvent::Modified(node) => {
                        if self.node.as_ref().is_none_or(|current| !current.is_newer_than(&node)) {
                            self.set_seen(Some(node));
                        }
                    }
                    WatchEvent::Deleted(_) => self.set_seen(None),
                    WatchEvent::Bookmark(_) => {}
                    // A version that is too old, most of the time: the list that comes next knows better.
                    WatchEvent::Error(_) => return Ok(None),
                },
                Either::Left((Ok(Some(Err(error))), _)) => {
                    return Err(Trouble::from_error("watch this Node", &error));
                }
                Either::Left((Ok(None) | Err(_), _)) => return Ok(None),
            }
            // With the credential as it is now: kubelet may have rotated it since.
            if !loaded.is_current(Timestamp::now()) {
                return Ok(None);
            }
            self.converge(link).await?;
        }
    }

    /// Takes in how this node's Node is, and hands the desired phase on where it is another one.
    fn set_seen(&mut self, node: Option<NodeObject>) {
        self.node = node;
        let desired = self.node.as_ref().and_then(|node| parse_desired(node, self.desired.as_ref()));
        if desired != self.desired {
            (self.on_desired)(desired.clone());
            self.desired = desired;
        }
    }

    /// Writes what has to be written. A refusal is said and waits for the next resync or report; anything else ends the
    /// connection.
    async fn converge(&mut self, link: &Link) -> Result<(), Trouble> {
        let (report, generation) = {
            let state = self.shared.state();
            (state.report.clone(), state.generation)
        };
        let mut refused = self.refused == Some(generation);
        if let (Some(report), true, false) = (report, self.node.is_some(), refused) {
            if self.patch(link, &report).await? {
                self.shared.note_published(generation);
            } else {
                refused = true;
                self.refused = Some(generation);
            }
        }
        self.restart_agents(link).await?;
        self.record(link, &mut refused).await?;
        if !refused {
            self.journal.went_well();
            self.pause = FIRST_PAUSE;
        }
        Ok(())
    }

    /// Patches the Node until it bears the report. Each patch is decided on the Node that the one before it returned, and none follows one that
    /// was refused: their order says that the condition is of the boot that the annotation names. Returns whether none was refused.
    async fn patch(&mut self, link: &Link, report: &NodeReport) -> Result<bool, Trouble> {
        for _ in 0..MAX_PATCHES {
            let Some(node) = &self.node else { break };
            let writes = decide(node, report, self.desired.as_ref(), Timestamp::now());
            let Some(write) = writes.first() else { break };
            let restored = registered::missing_labels(node, report);
            let gone = self.desired.clone().filter(|desired| is_obsolete(Some(desired), report));
            match link.write(write).await {
                Ok(node) => self.set_seen(Some(node)),
                Err(trouble) if trouble.is_refusal() => {
                    self.journal.went_wrong(&trouble);
                    return Ok(false);
                }
                Err(trouble) => return Err(trouble),
            }
            if let Write::Metadata(_) = write {
                if let Some(gone) = gone {
                    self.shared.note_event(&obsolete(&gone));
                }
                if !restored.is_empty() {
                    self.shared.note_event(&registered::restored_event(&restored));
                    let selects = |agent: &&AgentSelection| restored.contains_key(&agent.label);
                    self.agents_without_label
                        .extend(report.registered.agents.iter().filter(selects).cloned());
                }
            }
        }
        Ok(true)
    }

    /// Deletes the pods of agents that have started on this node without their label, so that their DaemonSets make others: once, for labels are
    /// put right once in a boot. It is tried again only where no answer came.
    async fn restart_agents(&mut self, link: &Link) -> Result<(), Trouble> {
        if self.agents_without_label.is_empty() {
            return Ok(());
        }
        let pods: Vec<_> = link.pods().await?.into_iter().map(bound_pod).collect();
        for pod in agent_pods(&pods, &self.agents_without_label) {
            let path = Link::pod(&pod.namespace, &pod.name);
            let body = deletion(target(pod), Depth::Carried)
                .map_err(|why| Trouble::new(ErrorKind::Refused, format!("delete {path}: {why}")))?;
            let reply = link.delete(&path, body).await?;
            let name = format!("{}/{}", pod.namespace, pod.name);
            let message = if reply.is_done() {
                format!(
                    "the agent's pod {name} had started before its label was on the Node; it was deleted, and its DaemonSet makes another"
                )
            } else {
                format!(
                    "the agent's pod {name} had started before its label was on the Node, and could not be deleted (HTTP {}): delete it",
                    reply.status
                )
            };
            self.shared.note_event(&NodeEvent {
                reason: EventReason::LabelsRestored,
                warning: true,
                message,
            });
        }
        self.agents_without_label.clear();
        Ok(())
    }

    /// Writes the events that wait, each once; one that is refused is given up.
    async fn record(&mut self, link: &Link, refused: &mut bool) -> Result<(), Trouble> {
        loop {
            let Some(waiting) = self.shared.state().waiting.front().cloned() else {
                return Ok(());
            };
            let (happened, written_at) = &waiting;
            let record = self.recorder.record(&link.node, happened, *written_at);
            match link.record(&record).await {
                Ok(()) => self.recorder.note_recorded(happened, &record),
                // No two have one name, so it is this very one: it was written, and the answer was lost.
                Err(trouble) if trouble.kind == ErrorKind::Exists => {
                    self.recorder.note_recorded(happened, &record)
                }
                Err(trouble) if trouble.is_refusal() => {
                    if let EventRecord::Again { name, .. } = &record {
                        self.recorder.forget(name);
                        continue;
                    }
                    self.journal.went_wrong(&trouble);
                    *refused = true;
                }
                Err(trouble) => return Err(trouble),
            }
            self.shared.remove_event(&waiting);
        }
    }
}

/// A desired phase was taken off the Node.
fn obsolete(desired: &DesiredPhase) -> NodeEvent {
    let message = format!(
        "crossfade/desired asked for phase {:?} when the Node reported another policy than this node's, or none any more; it was removed: set it again",
        desired.value
    );
    NodeEvent { reason: EventReason::FlipRefused, warning: true, message }
}

/// Between a half and one, another one each time: nodes that lost the same API server do not come back in step.
fn jitter() -> f64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    0.5 + f64::from(nanos % 1000) / 2000.0
}
