//! The patches that bring the Node to this node's report.
//!
//! | the report | label `crossfade/phase` | annotation `crossfade/observed` | condition `CrossfadeReady` |
//! |---|---|---|---|
//! | switched off | removed | removed | False, `SwitchedOff` |
//! | the phase is known | the phase | written | the report's |
//! | the policy cannot be used | stays, for DaemonSets select by it | written, without a phase | False, `BadSettings` |
//! | the last word of a node that takes no part | removed | removed | the word's |
//! | an installation begins | removed | removed | stays |
//!
//! The annotation also repeats the claim of `crossfade/step`, which others write on the same Node. A node that leaves, and one that begins, also removes
//! what others have written for this node ([`node_keys`]): a phase that was asked for counts only for the policy that it was asked for. A node that is
//! switched off will follow it again. A step that is not done stays, for it says whose cordon the node bears. The conditions by which a run says that it
//! moves the node go with the step, and so do they where an operator has removed the step of a run that is never resumed.
//!
//! A phase that was asked for with another policy goes by the very patch that reports this node's policy. From then on nothing would distinguish it.
//!
//! The first report of a boot also puts labels right that node.json registers ([`registered`]).
//!
//! Whatever says it already is not written again. `NetworkUnavailable` is cleared where it is true and the report says that it is ours to
//! clear.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use types::api::node_keys::{self, DESIRED, IMAGE, LIFECYCLE, OWN_REASON, PHASE, READY, UNDISTURBED};
use types::api::observed::NodeObservation;
use types::api::step::Step;
use types::status::Reason;
use types::text::escape::line as escaped_line;

use crate::node::policy::desired_phase::{DesiredPhase, DesiredScope};
use crate::publish::node_object::{Condition, NodeObject};
use crate::publish::registered;
use crate::publish::report::{FinalCondition, FinalReason, NodeReport};

/// The annotation with the node's report.
pub const OBSERVED: &str = types::api::observed::KEY;
/// The annotation that others write: the step of a roll, whose claim the node repeats.
const STEP: &str = types::api::step::KEY;
/// The condition of the one who sets up routes; schedulers heed the taint that a controller makes of it.
const NETWORK_UNAVAILABLE: &str = "NetworkUnavailable";
/// The reason with which Crossfade clears it.
const NETWORK_READY: &str = "CrossfadeNetworkReady";
/// Longest value of [`DESIRED`] that is handed on, in bytes: phases are short, and a longer one only has to be named.
const MAX_DESIRED_BYTES: usize = 256;
/// Longest message of a condition, in bytes. The API allows more.
const MAX_MESSAGE_BYTES: usize = 256;

#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A merge patch of the Node that names its labels and one annotation.
    Metadata(Value),
    /// A strategic merge patch of its status that names the conditions in it; they merge by their type.
    Status(Value),
}

impl Write {
    /// What it takes away: labels, annotations and conditions by their names.
    pub fn removed(&self) -> Vec<String> {
        let (Self::Metadata(patch) | Self::Status(patch)) = self;
        let keys = ["/metadata/labels", "/metadata/annotations"].into_iter();
        let keys = keys.filter_map(|place| patch.pointer(place)?.as_object()).flatten();
        let keys = keys.filter(|(_, value)| value.is_null()).map(|(key, _)| key.clone());
        let conditions = patch.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let conditions = conditions.filter(|condition| condition["$patch"] == "delete");
        keys.chain(conditions.filter_map(|condition| Some(condition["type"].as_str()?.to_owned()))).collect()
    }
}

/// The patches, in order: who waits for the condition finds label and annotation right when it turns true, and who reads of this boot in the
/// annotation finds no condition of an earlier one that is still true. Only the first may be sent: what comes next is decided on the Node that it returns.
///
/// While the phase is unknown (a policy that is torn) the label stays as it is: DaemonSets select by it, and pods keep their
/// network as well; the annotation tells.
pub fn decide(
    node: &NodeObject,
    report: &NodeReport,
    desired: Option<&DesiredPhase>,
    now: Timestamp,
) -> Vec<Write> {
    let is_off = report.reason == Reason::SwitchedOff;
    // A node that is switched off does not follow the policy any more, so no phase is reported.
    let metadata = if is_off { taken_back(node, Extent::Report) } else { metadata(node, report, desired) };
    let mut conditions = Vec::new();
    let ready = Condition {
        kind: READY.into(),
        status: if report.ready { "True" } else { "False" }.into(),
        reason: report.reason.as_str().into(),
        message: message(&report.message, &report.observed.boot_id),
        last_transition_time: None,
    };
    conditions.extend(condition_patch(node, ready, now));
    let unavailable = node.condition(NETWORK_UNAVAILABLE).is_some_and(|condition| condition.status == "True");
    if unavailable && report.clears_network_unavailable {
        let cleared = Condition {
            kind: NETWORK_UNAVAILABLE.into(),
            status: "False".into(),
            reason: NETWORK_READY.into(),
            message: "the networks that pods get here are ready, and none of them ever clears this".into(),
            last_transition_time: None,
        };
        conditions.extend(condition_patch(node, cleared, now));
    }
    if !node.metadata.annotations.contains_key(STEP) {
        conditions.extend(lifecycle_removed(node));
    }
    let status = status(conditions);
    let writes = if !report.ready && !is_off { [status, metadata] } else { [metadata, status] };
    writes.into_iter().flatten().collect()
}

/// The patch of conditions; none without any.
fn status(conditions: Vec<Value>) -> Option<Write> {
    (!conditions.is_empty()).then(|| Write::Status(json!({ "status": { "conditions": conditions } })))
}

/// The phase that the Node asks for; `before` is what it asked for until now.
pub fn parse_desired(node: &NodeObject, before: Option<&DesiredPhase>) -> Option<DesiredPhase> {
    let value = node.metadata.annotations.get(DESIRED)?;
    let value = value[..value.floor_char_boundary(MAX_DESIRED_BYTES)].to_owned();
    let observed = node.metadata.annotations.get(OBSERVED);
    let leave_reasons = [FinalReason::Removed, FinalReason::FinalImage].map(FinalReason::as_str);
    let has_left =
        || node.condition(READY).is_some_and(|condition| leave_reasons.contains(&condition.reason.as_str()));
    let policy =
        match observed.map(|text| NodeObservation::parse(text).ok().and_then(|observed| observed.base)) {
            Some(Some(base)) => DesiredScope::Base(base),
            None if has_left() => DesiredScope::Earlier,
            // The policy cannot be used at the moment, or the Node has no report yet.
            Some(None) | None => before
                .filter(|before| before.value == value)
                .map_or(DesiredScope::Any, |before| before.policy.clone()),
        };
    Some(DesiredPhase { value, policy })
}

/// Whether the desired phase was set for another policy than the one that is reported, and so has to go.
pub fn is_obsolete(desired: Option<&DesiredPhase>, report: &NodeReport) -> bool {
    let is_reported = report.reason != Reason::SwitchedOff;
    is_reported && desired.is_some_and(|desired| !desired.is_for(report.observed.base.as_deref()))
}

/// The patch of label and annotation; none where both are right.
fn metadata(node: &NodeObject, report: &NodeReport, desired: Option<&DesiredPhase>) -> Option<Write> {
    let phase = report.observed.phase.map(types::policy::Phase::as_str);
    let observed = observed_annotation(node, report);
    let label_stands =
        phase.is_none_or(|phase| node.metadata.labels.get(PHASE).is_some_and(|current| current == phase));
    let is_obsolete = is_obsolete(desired, report);
    if label_stands && node.metadata.annotations.get(OBSERVED) == Some(&observed) && !is_obsolete {
        return None;
    }
    let mut metadata = json!({ "annotations": { OBSERVED: observed } });
    let mut labels = registered::missing_labels(node, report);
    labels.extend(phase.map(|phase| (PHASE.to_owned(), phase.to_owned())));
    if !labels.is_empty() {
        metadata["labels"] = json!(labels);
    }
    if is_obsolete {
        metadata["annotations"][DESIRED] = Value::Null;
        // A value that is set meanwhile must not go with it: the API server then refuses this patch (409).
        metadata["resourceVersion"] = node.metadata.resource_version.clone().into();
    }
    Some(Write::Metadata(json!({ "metadata": metadata })))
}

/// How much of a Node is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What this node reports.
    Report,
    /// That, and what others have written for it.
    All,
}

/// The patch that takes labels and annotations away; none where none of them is there.
fn taken_back(node: &NodeObject, extent: Extent) -> Option<Write> {
    let annotations = &node.metadata.annotations;
    let step = step(node).filter(|_| extent == Extent::All);
    let goes = |key: &&str| match *key {
        OBSERVED => annotations.contains_key(OBSERVED),
        STEP => extent == Extent::All && annotations.contains_key(STEP) && !is_in_transit(node),
        other => extent == Extent::All && annotations.contains_key(other),
    };
    // Only the step says that it is the run's.
    let undisturbed = step.is_some_and(|step| step.undisturbed && !step.state.is_in_transit());
    let image = extent == Extent::All && bears_reported_image(node);
    let labels = node_keys::LABELS.into_iter().filter(|key| node.metadata.labels.contains_key(*key));
    let labels = labels.chain(image.then_some(IMAGE));
    let none = |key: &str| (key.to_owned(), Value::Null);
    let labels: Map<String, Value> = labels.map(none).collect();
    let annotations =
        node_keys::ANNOTATIONS.into_iter().filter(goes).chain(undisturbed.then_some(UNDISTURBED));
    let annotations: Map<String, Value> = annotations.map(none).collect();
    let is_present = !labels.is_empty() || !annotations.is_empty();
    is_present
        .then(|| Write::Metadata(json!({ "metadata": { "labels": labels, "annotations": annotations } })))
}

/// The step that the Node bears, if it can be read.
fn step(node: &NodeObject) -> Option<Step> {
    Step::parse(node.metadata.annotations.get(STEP)?).ok()
}

fn is_in_transit(node: &NodeObject) -> bool {
    step(node).is_some_and(|step| step.state.is_in_transit())
}

/// Removes the conditions that a run has published of this node. Those of other programs stay.
fn lifecycle_removed(node: &NodeObject) -> Vec<Value> {
    let is_ours =
        |kind: &&str| node.condition(kind).is_some_and(|condition| condition.reason.starts_with(OWN_REASON));
    LIFECYCLE.into_iter().filter(is_ours).map(|kind| json!({ "type": kind, "$patch": "delete" })).collect()
}

/// The same where Crossfade leaves or begins. The conditions stay with a step that is not done.
fn lifecycle_left(node: &NodeObject) -> Vec<Value> {
    if is_in_transit(node) { Vec::new() } else { lifecycle_removed(node) }
}

/// Whether the label with the image's identity is the one that this node reported: kubelet registered it for the installation that ends. Another one
/// is of the image that is there now.
fn bears_reported_image(node: &NodeObject) -> bool {
    let observed = node.metadata.annotations.get(OBSERVED).and_then(|text| NodeObservation::parse(text).ok());
    let reported = observed.and_then(|observed| observed.image);
    reported.is_some() && reported.as_ref() == node.metadata.labels.get(IMAGE)
}

/// The patches before an installation: what an earlier one has left. The condition stays until `watch` writes it.
pub fn begin(node: &NodeObject) -> Vec<Write> {
    status(lifecycle_left(node)).into_iter().chain(taken_back(node, Extent::All)).collect()
}

/// The patches that leave a Node: label and annotation go, and the condition says a last word. A Node that bears nothing of Crossfade's gets
/// nothing, and one that says so already stays as it is: the moment of its last word is the first one's.
pub fn retract(node: &NodeObject, word: &FinalCondition, boot_id: &str, now: Timestamp) -> Vec<Write> {
    let extent = if word.reason == FinalReason::SwitchedOff { Extent::Report } else { Extent::All };
    let metadata = taken_back(node, extent);
    let current = node.condition(READY);
    let is_published = current
        .is_some_and(|current| current.status == word.status && current.reason == word.reason.as_str());
    let mut conditions = if extent == Extent::All { lifecycle_left(node) } else { Vec::new() };
    if !is_published && (current.is_some() || metadata.is_some()) {
        let last = Condition {
            kind: READY.into(),
            status: word.status.into(),
            reason: word.reason.as_str().into(),
            message: message(&format!("{} (since {})", word.message, time(now)), boot_id),
            last_transition_time: None,
        };
        conditions.splice(0..0, condition_patch(node, last, now));
    }
    status(conditions).into_iter().chain(metadata).collect()
}

/// What the annotation says: the report, and the claim that is on the Node now. So a claim is repeated as soon as it is seen, with whatever the
/// last report says.
fn observed_annotation(node: &NodeObject, report: &NodeReport) -> String {
    let echo = node.metadata.annotations.get(STEP).and_then(|step| types::api::step::echo(step));
    NodeObservation { echo, ..report.observed.clone() }.to_text()
}

/// A message, and the boot that it is of: the condition outlives a reboot, and who waits for it has to see that.
fn message(message: &str, boot_id: &str) -> String {
    let boot = format!(" (boot {boot_id})");
    let message = escaped_line(message);
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES.saturating_sub(boot.len()));
    format!("{}{boot}", &message[..end])
}

/// The condition as it has to be written; none where it stands like that. Both times move only when something does, the
/// transition's only with the status: that is what waits and minimum durations are counted from.
fn condition_patch(node: &NodeObject, condition: Condition, now: Timestamp) -> Option<Value> {
    let current = node.condition(&condition.kind);
    if let Some(current) = current
        && (&current.status, &current.reason, &current.message)
            == (&condition.status, &condition.reason, &condition.message)
    {
        return None;
    }
    let now = time(now);
    let since = current
        .filter(|current| current.status == condition.status)
        .and_then(|current| current.last_transition_time.clone());
    Some(json!({
        "type": condition.kind,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since.unwrap_or_else(|| now.clone()),
    }))
}

/// A time as `meta/v1` writes it: RFC 3339 in UTC, whole seconds.
pub fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
