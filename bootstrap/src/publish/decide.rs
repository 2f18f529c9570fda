//! What has to be written on the Node so that it says what this node knows: pure.
//!
//! | the report | label `crossfade/phase` | annotation `crossfade/observed` | condition `CrossfadeReady` |
//! |---|---|---|---|
//! | switched off | removed | removed | False, `SwitchedOff` |
//! | the phase is known | the phase | written | the report's |
//! | the policy cannot be used | stays, for DaemonSets select by it | written, without a phase | False, `BadSettings` |
//! | the last word of a node that takes no part | removed | removed | the word's |
//!
//! Whatever says it already is not written again. `NetworkUnavailable` is cleared where it is true and the report says that it is ours to
//! clear.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::node_object::{Condition, NodeObject};
use crate::cli::print::escaped_line;
use crate::publish::report::{LastWord, NodeReport, Reason};

/// The condition that Crossfade owns.
pub(super) const READY: &str = "CrossfadeReady";
/// The label that names the phase.
pub(super) const PHASE: &str = "crossfade/phase";
/// The annotation with what the phase was read from.
pub(super) const OBSERVED: &str = "crossfade/observed";
/// The annotation that others write: the phase that this node is to be flipped to.
pub(super) const DESIRED: &str = "crossfade/desired";
/// The condition of the one who sets up routes; schedulers heed the taint that a controller makes of it.
const NETWORK_UNAVAILABLE: &str = "NetworkUnavailable";
/// The reason with which Crossfade clears it.
const NETWORK_READY: &str = "CrossfadeNetworkReady";
/// Longest message of a condition, in bytes. The API allows more.
const MAX_MESSAGE_BYTES: usize = 256;

/// One patch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Write {
    /// A merge patch of the Node that names one label and one annotation.
    Metadata(Value),
    /// A strategic merge patch of its status that names the conditions in it; they merge by their type.
    Status(Value),
}

/// The patches, in order: who waits for the condition finds label and annotation right when it turns true.
///
/// While the phase is unknown (a policy that is torn) the label stays as it is: DaemonSets select by it, and pods keep their
/// network as well; the annotation tells.
pub(super) fn decide(seen: &NodeObject, report: &NodeReport, now: Timestamp) -> Vec<Write> {
    let mut writes = Vec::new();
    if report.reason == Reason::SwitchedOff {
        // Nobody follows the policy any more, so nothing is said of a phase.
        writes.extend(taken_back(seen));
    } else {
        writes.extend(metadata(seen, report));
    }
    let mut conditions = Vec::new();
    let ready = Condition {
        kind: READY.into(),
        status: if report.ready { "True" } else { "False" }.into(),
        reason: report.reason.as_str().into(),
        message: message(&report.message, &report.boot_id),
        last_transition_time: None,
    };
    conditions.extend(changed(seen, ready, now));
    let unavailable = seen.condition(NETWORK_UNAVAILABLE).is_some_and(|condition| condition.status == "True");
    if unavailable && report.clears_network_unavailable {
        let cleared = Condition {
            kind: NETWORK_UNAVAILABLE.into(),
            status: "False".into(),
            reason: NETWORK_READY.into(),
            message: "the networks that pods get here are ready, and none of them ever clears this".into(),
            last_transition_time: None,
        };
        conditions.extend(changed(seen, cleared, now));
    }
    if !conditions.is_empty() {
        writes.push(Write::Status(json!({ "status": { "conditions": conditions } })));
    }
    writes
}

/// The patch of label and annotation; none where both are right.
fn metadata(seen: &NodeObject, report: &NodeReport) -> Option<Write> {
    let phase = report.phase.map(types::policy::Phase::as_str);
    let observed = observed(report);
    let label_stands =
        phase.is_none_or(|phase| seen.metadata.labels.get(PHASE).is_some_and(|stands| stands == phase));
    if label_stands && seen.metadata.annotations.get(OBSERVED) == Some(&observed) {
        return None;
    }
    let mut metadata = json!({ "annotations": { OBSERVED: observed } });
    if let Some(phase) = phase {
        metadata["labels"] = json!({ PHASE: phase });
    }
    Some(Write::Metadata(json!({ "metadata": metadata })))
}

/// The patch that takes label and annotation away; none where neither is there.
fn taken_back(seen: &NodeObject) -> Option<Write> {
    let there = seen.metadata.labels.contains_key(PHASE) || seen.metadata.annotations.contains_key(OBSERVED);
    let body = json!({ "metadata": { "labels": { PHASE: null }, "annotations": { OBSERVED: null } } });
    there.then_some(Write::Metadata(body))
}

/// The patches that leave a Node: label and annotation go, and the condition says a last word. A Node that bears nothing of Crossfade's gets
/// nothing, and one that says so already stays as it is: the moment of its last word is the first one's.
pub(super) fn retract(seen: &NodeObject, word: &LastWord, now: Timestamp) -> Vec<Write> {
    let metadata = taken_back(seen);
    let stands = seen.condition(READY);
    let is_said =
        stands.is_some_and(|stands| stands.status == word.status && stands.reason == word.reason.as_str());
    let mut writes = Vec::new();
    if !is_said && (stands.is_some() || metadata.is_some()) {
        let last = Condition {
            kind: READY.into(),
            status: word.status.into(),
            reason: word.reason.as_str().into(),
            message: message(
                &format!("{} (since {})", word.message, time(now)),
                shim::boot::boot_id().unwrap_or_default(),
            ),
            last_transition_time: None,
        };
        let condition = changed(seen, last, now);
        writes.extend(condition.map(|last| Write::Status(json!({ "status": { "conditions": [last] } }))));
    }
    writes.extend(metadata);
    writes
}

/// What the annotation says. *Shape*: `{"phase":"old","policySha256":"5f..","bootId":"1c.."}`; null for what is not known.
fn observed(report: &NodeReport) -> String {
    json!({
        "phase": report.phase.map(types::policy::Phase::as_str),
        "policySha256": report.policy_sha256,
        "bootId": report.boot_id,
    })
    .to_string()
}

/// A message, and the boot that it is of: the condition outlives a reboot, and who waits for it has to see that.
fn message(said: &str, boot_id: &str) -> String {
    let boot = format!(" (boot {boot_id})");
    let said = escaped_line(said);
    let end = said.floor_char_boundary(MAX_MESSAGE_BYTES.saturating_sub(boot.len()));
    format!("{}{boot}", &said[..end])
}

/// The condition as it has to be written; none where it stands like that. Both times move only when something does, the
/// transition's only with the status: that is what waits and minimum durations are counted from.
fn changed(seen: &NodeObject, wanted: Condition, now: Timestamp) -> Option<Value> {
    let stands = seen.condition(&wanted.kind);
    if let Some(stands) = stands
        && (&stands.status, &stands.reason, &stands.message)
            == (&wanted.status, &wanted.reason, &wanted.message)
    {
        return None;
    }
    let now = time(now);
    let since = stands
        .filter(|stands| stands.status == wanted.status)
        .and_then(|stands| stands.last_transition_time.clone());
    Some(json!({
        "type": wanted.kind,
        "status": wanted.status,
        "reason": wanted.reason,
        "message": wanted.message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since.unwrap_or_else(|| now.clone()),
    }))
}

/// A time as `meta/v1` writes it: RFC 3339 in UTC, whole seconds.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use types::policy::Phase;

    use super::*;
    use crate::publish::report::Reason;

    const BOOT: &str = "1c8d1f5e-5a43-4f1e-9a55-0c3c3f0d9b11";

    fn now() -> Timestamp {
        "2026-11-20T15:00:00.9Z".parse().expect("a time")
    }

    fn report() -> NodeReport {
        NodeReport {
            ready: true,
            reason: Reason::NetworkReady,
            message: "old is ready".into(),
            phase: Some(Phase::Old),
            policy_sha256: Some("ab".into()),
            boot_id: BOOT.into(),
            clears_network_unavailable: false,
        }
    }

    fn node(text: &str) -> NodeObject {
        serde_json::from_str(text).expect("a Node")
    }

    /// A Node on which `report()` was published before.
    fn published() -> NodeObject {
        let observed = observed(&report()).replace('"', "\\\"");
        node(&format!(
            r#"{{"metadata":{{"labels":{{"crossfade/phase":"old","other":"x"}},"annotations":{{"crossfade/observed":"{observed}"}}}},
            "status":{{"conditions":[{{"type":"CrossfadeReady","status":"True","reason":"NetworkReady",
            "message":"old is ready (boot {BOOT})","lastTransitionTime":"2026-01-01T00:00:00Z"}},
            {{"type":"NetworkUnavailable","status":"True","reason":"NoRouteCreated"}}]}}}}"#
        ))
    }

    fn conditions(writes: &[Write]) -> Vec<Value> {
        let status = writes.iter().find_map(|write| match write {
            Write::Status(body) => Some(body["status"]["conditions"].as_array().expect("a list").clone()),
            Write::Metadata(_) => None,
        });
        status.unwrap_or_default()
    }

    #[test]
    fn who_leaves_takes_label_and_annotation_away_and_says_a_last_word_once() {
        let word = LastWord { status: "Unknown", reason: Reason::Removed, message: "gone".into() };
        let gone = json!({ "metadata": { "labels": { PHASE: null }, "annotations": { OBSERVED: null } } });
        let writes = retract(&published(), &word, now());
        let said = &conditions(&writes)[0];
        assert_eq!((&said["status"], &said["reason"]), (&json!("Unknown"), &json!("Removed")));
        assert_eq!(said["lastTransitionTime"], "2026-11-20T15:00:00Z");
        assert!(
            said["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("gone (since 2026-11-20T15:00:00Z)"))
        );
        assert_eq!(writes.last(), Some(&Write::Metadata(gone.clone())));
        // Switched off, watch takes them away itself.
        let off = NodeReport { ready: false, reason: Reason::SwitchedOff, ..report() };
        assert_eq!(decide(&published(), &off, now())[0], Write::Metadata(gone.clone()));
        assert_eq!(conditions(&decide(&published(), &off, now()))[0]["reason"], "SwitchedOff");
        for (text, expected) in [
            (r#"{"metadata":{}}"#, 0),
            (r#"{"metadata":{"labels":{"other":"x"}}}"#, 0),
            (r#"{"metadata":{"annotations":{"crossfade/desired":"old"}}}"#, 0),
            (
                r#"{"metadata":{},"status":{"conditions":[{"type":"CrossfadeReady","status":"Unknown","reason":"Removed"}]}}"#,
                0,
            ),
            (
                r#"{"metadata":{},"status":{"conditions":[{"type":"CrossfadeReady","status":"True","reason":"NetworkReady"}]}}"#,
                1,
            ),
            (r#"{"metadata":{"labels":{"crossfade/phase":"old"}}}"#, 2),
        ] {
            assert_eq!(retract(&node(text), &word, now()).len(), expected, "{text}");
        }
    }

    #[test]
    fn a_new_node_gets_all_of_it_and_nothing_else() {
        let writes = decide(&NodeObject::default(), &report(), now());
        let observed = format!(r#"{{"bootId":"{BOOT}","phase":"old","policySha256":"ab"}}"#);
        assert_eq!(
            writes,
            [
                Write::Metadata(json!({ "metadata": {
                    "labels": { "crossfade/phase": "old" }, "annotations": { "crossfade/observed": observed },
                }})),
                Write::Status(json!({ "status": { "conditions": [{
                    "type": "CrossfadeReady", "status": "True", "reason": "NetworkReady",
                    "message": format!("old is ready (boot {BOOT})"),
                    "lastHeartbeatTime": "2026-11-20T15:00:00Z", "lastTransitionTime": "2026-11-20T15:00:00Z",
                }]}})),
            ]
        );
    }

    #[test]
    fn what_stands_is_not_written_again() {
        assert_eq!(decide(&published(), &report(), now()), []);
    }

    #[test]
    fn the_transition_s_time_moves_with_the_status_alone() {
        let waiting = NodeReport { reason: Reason::RuntimeRestartNeeded, ..report() };
        let written = conditions(&decide(&published(), &waiting, now()));
        assert_eq!(written[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(written[0]["lastHeartbeatTime"], "2026-11-20T15:00:00Z");
        let lost = NodeReport { ready: false, reason: Reason::ConfContended, ..report() };
        let written = conditions(&decide(&published(), &lost, now()));
        assert_eq!((written.len(), &written[0]["status"]), (1, &json!("False")));
        assert_eq!(written[0]["lastTransitionTime"], "2026-11-20T15:00:00Z");
    }

    #[test]
    fn an_unknown_phase_leaves_the_label_and_says_so() {
        let torn = NodeReport { phase: None, policy_sha256: None, ..report() };
        let writes = decide(&published(), &torn, now());
        let observed = format!(r#"{{"bootId":"{BOOT}","phase":null,"policySha256":null}}"#);
        assert_eq!(
            writes,
            [Write::Metadata(json!({ "metadata": { "annotations": { "crossfade/observed": observed } } }))]
        );
    }

    #[test]
    fn somebody_else_s_label_is_put_right() {
        let mut seen = published();
        seen.metadata.labels.insert(PHASE.into(), "new".into());
        assert_eq!(decide(&seen, &report(), now()).len(), 1);
        seen.metadata.labels.remove(PHASE);
        assert_eq!(decide(&seen, &report(), now()).len(), 1);
    }

    #[test]
    fn network_unavailable_is_cleared_only_where_allowed_and_only_when_true() {
        let allowed = NodeReport { clears_network_unavailable: true, ..report() };
        let written = conditions(&decide(&published(), &allowed, now()));
        assert_eq!(written.len(), 1);
        assert_eq!(
            (&written[0]["type"], &written[0]["status"]),
            (&json!("NetworkUnavailable"), &json!("False"))
        );
        assert_eq!(written[0]["reason"], "CrossfadeNetworkReady");
        for status in ["False", "Unknown"] {
            let mut seen = published();
            seen.status.conditions[1].status = status.into();
            assert_eq!(decide(&seen, &allowed, now()), [], "{status}");
        }
        let mut seen = published();
        seen.status.conditions.truncate(1);
        assert_eq!(decide(&seen, &allowed, now()), []);
    }

    #[test]
    fn a_long_message_is_cut_and_keeps_the_boot() {
        let long = NodeReport { message: "ä".repeat(300), ..report() };
        let message = message(&long.message, &long.boot_id);
        assert!(message.len() <= MAX_MESSAGE_BYTES && message.len() > MAX_MESSAGE_BYTES - 2);
        assert!(message.ends_with(&format!("ä (boot {BOOT})")));
    }

    #[test]
    fn no_message_says_anything_to_the_terminal_of_its_reader() {
        let said = message("conf \u{1b}[2J\u{9b}\u{202e}10-x.conflist", BOOT);
        assert_eq!(said, format!(r"conf \u{{1b}}[2J\u{{9b}}\u{{202e}}10-x.conflist (boot {BOOT})"));
    }
}
