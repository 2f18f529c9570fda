//! The number of attachments on this node by the phase that they were made in, for the annotation `crossfade/observed`.
//!
//! The API server cannot tell a pod on the old network alone from one on both with the old one as primary: both publish the same address. The
//! node can, from its records and its inventory, as `attachments` lists them.

use types::api::observed::AttachmentCounts;
use types::pod::Pod;
use types::policy::{Attach, PROBE_NAMESPACE, Phase, Policy, Reason, Side};

use crate::node::attachments::{Attachments, Line, Part};

/// Counts attachments that were read. A damaged record is an attachment of which nothing is known.
#[must_use]
pub fn count(attachments: &Attachments, policy: Option<&Policy>) -> AttachmentCounts {
    let mut attached = AttachmentCounts::default();
    let now = policy.map(Policy::phase);
    let mut others = Vec::new();
    for line in &attachments.attachments {
        let phase = if is_witness(line, policy) { now } else { phase(line, policy) };
        attached.add(phase);
        if phase != now {
            others.extend(line.uid.as_deref());
        }
    }
    attached.name(others);
    attachments.damaged.iter().for_each(|_| attached.add(None));
    attached
}

/// Whether a rule of the policy gave an agent that probes its network. It stands for that network whatever the node's phase is: no pass moves it, so it counts
/// as of the phase.
fn is_witness(line: &Line, policy: Option<&Policy>) -> bool {
    let pod = Pod { namespace: line.namespace.clone(), name: line.pod.clone() };
    let is_ruled = |policy: &Policy| matches!(policy.choose(&pod, |_| None).reason, Reason::Rule(_));
    line.namespace.as_deref() == Some(PROBE_NAMESPACE) && policy.is_some_and(is_ruled)
}

/// The phase that an attachment was attached in; none if its record does not say, or if the policy has no such networks.
///
/// What was attached counts, and not what is left of it: a DEL takes one network after the other, and in between the attachment would seem to be
/// of a phase in which no pod of this node ever was.
#[must_use]
pub fn phase(line: &Line, policy: Option<&Policy>) -> Option<Phase> {
    let mut parts: Vec<&Part> = Vec::new();
    for part in &line.networks {
        if part.in_pod? {
            parts.push(part);
        }
    }
    let policy = policy?;
    let side = |part: &Part| part.side.and_then(Side::parse).filter(|side| policy.network(*side).is_some());
    let primary = side(parts.iter().find(|part| part.primary)?)?;
    match parts.as_slice() {
        [_] => Some(Phase::new(Attach::One(primary), primary)),
        [first, second] => (side(first)? != side(second)?).then(|| Phase::new(Attach::Both, primary)),
        _ => None,
    }
}
