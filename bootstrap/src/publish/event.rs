//! Events on this node's Node: the same thing again counts up what is there, as kubelet's own recorder does.

use std::collections::VecDeque;

use convergence::publish::decide::time;
use convergence::publish::report::NodeEvent;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// How many are remembered to be counted up.
const REMEMBERED: usize = 32;
/// Longest message, in bytes. *Source*: `k8s.io/api/events`, validation of `note`; a longer one is refused.
const MAX_MESSAGE_BYTES: usize = 1024;
const COMPONENT: &str = "crossfade-bootstrap";

#[derive(Debug, Clone, PartialEq)]
pub(super) enum EventRecord {
    /// It happened for the first time.
    First(Value),
    /// It happened before: the event of this name is counted up.
    Again { name: String, body: Value },
}

/// What was recorded so far.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    sent: VecDeque<SentEvent>,
}

#[derive(Debug)]
struct SentEvent {
    happened: NodeEvent,
    name: String,
    count: u32,
}

impl Recorder {
    /// The request that records what happened on `node`, `at` that time.
    pub(super) fn record(&self, node: &str, happened: &NodeEvent, now: Timestamp) -> EventRecord {
        let last = time(now);
        if let Some(sent) = self.sent.iter().find(|sent| sent.happened == *happened) {
            let body = json!({ "count": sent.count + 1, "lastTimestamp": last });
            return EventRecord::Again { name: sent.name.clone(), body };
        }
        let message = types::text::escape::line(&happened.message);
        let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
        // As kubelet names its own: unique per Node and nanosecond.
        let name = format!("{node}.{:x}", now.as_nanosecond());
        EventRecord::First(json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": "default" },
            // kubelet takes a Node's name for its uid, and what describes a Node asks for that.
            "involvedObject": { "apiVersion": "v1", "kind": "Node", "name": node, "uid": node },
            "reason": happened.reason,
            "message": &message[..end],
            "type": if happened.warning { "Warning" } else { "Normal" },
            "source": { "component": COMPONENT, "host": node },
            "reportingComponent": COMPONENT,
            "reportingInstance": node,
            "firstTimestamp": last,
            "lastTimestamp": last,
            "count": 1,
        }))
    }

    pub(super) fn note_recorded(&mut self, happened: &NodeEvent, record: &EventRecord) {
        match record {
            EventRecord::First(body) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.sent.push_back(SentEvent { happened: happened.clone(), name, count: 1 });
                if self.sent.len() > REMEMBERED {
                    self.sent.pop_front();
                }
            }
            EventRecord::Again { name, .. } => {
                if let Some(sent) = self.sent.iter_mut().find(|sent| sent.name == *name) {
                    sent.count += 1;
                }
            }
        }
    }

    /// There is no such event any more: the API server forgets them after an hour.
    pub(super) fn forget(&mut self, name: &str) {
        self.sent.retain(|sent| sent.name != name);
    }
}

#[cfg(test)]
mod tests {
    use types::status::Reason;

    use super::*;
    use convergence::publish::report::EventReason;

    #[test]
    fn the_same_again_is_counted_up_until_it_is_forgotten() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let happened =
            NodeEvent { reason: EventReason::ConfRepaired, warning: true, message: "ä".repeat(600) };
        let mut recorder = Recorder::default();
        let first = recorder.record("n1", &happened, time("2026-11-20T15:00:00.5Z"));
        let EventRecord::First(body) = &first else { panic!("{first:?}") };
        assert_eq!(
            body["involvedObject"],
            json!({ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1" })
        );
        assert_eq!((&body["type"], &body["reason"]), (&json!("Warning"), &json!("ConfRepaired")));
        assert_eq!(body["message"].as_str().map(str::len), Some(1024));
        assert_eq!(body["firstTimestamp"], "2026-11-20T15:00:00Z");
        recorder.note_recorded(&happened, &first);
        let name = body["metadata"]["name"].as_str().expect("named").to_owned();
        for count in [2, 3] {
            let again = recorder.record("n1", &happened, time("2026-11-20T15:01:00Z"));
            let expected = json!({ "count": count, "lastTimestamp": "2026-11-20T15:01:00Z" });
            assert_eq!(again, EventRecord::Again { name: name.clone(), body: expected });
            recorder.note_recorded(&happened, &again);
        }
        let other = NodeEvent { warning: false, reason: EventReason::Flipped, message: "x".into() };
        assert!(matches!(recorder.record("n1", &other, time("2026-11-20T15:01:00Z")), EventRecord::First(_)));
        recorder.forget(&name);
        assert!(matches!(
            recorder.record("n1", &happened, time("2026-11-20T15:02:00Z")),
            EventRecord::First(_)
        ));
    }

    #[test]
    fn no_event_says_anything_to_the_terminal_of_its_reader() {
        let happened = NodeEvent {
            reason: EventReason::Readiness(Reason::ForeignConf),
            warning: true,
            message: "\u{1b}[2J\u{9b}x".into(),
        };
        let now = "2026-11-20T15:00:00Z".parse::<Timestamp>().expect("a time");
        let EventRecord::First(body) = Recorder::default().record("n1", &happened, now) else {
            panic!("first")
        };
        assert_eq!(body["message"], r"\u{1b}[2J\u{9b}x");
    }
}
