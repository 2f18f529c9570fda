//! What has to be written on the Node so that it says what this node knows: pure.
//!
//! | the report | label `crossfade/phase` | annotation `crossfade/observed` | condition `CrossfadeReady` |
//! |---|---|---|---|
//! | switched off | removed | removed | False, `SwitchedOff` |
//! | the phase is known | the phase | written | the report's |
//! | the policy cannot be used | stays, for DaemonSets select by it | written, without a phase | False, `BadSettings` |
//! | the last word of a node that takes no part | removed | removed | the word's |
//!
//! The annotation also repeats the claim of `crossfade/step`, which others write on the same Node.
//!
//! Whatever says it already is not written again. `NetworkUnavailable` is cleared where it is true and the report says that it is ours to
//! clear.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use types::observed::Observed;

use super::node_object::{Condition, NodeObject};
use crate::cli::print::escaped_line;
use crate::publish::report::{LastWord, NodeReport, Reason};

/// The condition that Crossfade owns.
pub(super) const READY: &str = "CrossfadeReady";
/// The label that names the phase.
pub(super) const PHASE: &str = "crossfade/phase";
/// The annotation with the node's report.
pub(super) const OBSERVED: &str = types::observed::KEY;
/// The annotation that others write: the step of a roll, whose claim the node repeats.
const STEP: &str = types::step::KEY;
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
        message: message(&report.message, &report.observed.boot_id),
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
    let phase = report.observed.phase.map(types::policy::Phase::as_str);
    let observed = observed(seen, report);
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

/// What the annotation says: the report, and the claim that is on the Node now. So a claim is repeated as soon as it is seen, with whatever the
/// last report says.
fn observed(seen: &NodeObject, report: &NodeReport) -> String {
    let echo = seen.metadata.annotations.get(STEP).and_then(|step| types::step::echo(step));
    Observed { echo, ..report.observed.clone() }.to_text()
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
mod tests;
