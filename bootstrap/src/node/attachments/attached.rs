//! The number of attachments on this node by the phase that they were made in, for the annotation `crossfade/observed`.
//!
//! The API server cannot tell a pod on the old network alone from one on both with the old one as primary: both publish the same address. The
//! node can, from its records and its inventory, as `attachments` lists them.

use std::path::PathBuf;

use shim::layout::Layout;
use types::key::shards;
use types::observed::Attached;
use types::policy::{Attach, Phase, Policy, Side};

use crate::node::attachments::{self, Attachments, Line, Part};

/// Counts what is attached; none if the records or the inventory cannot be read, or if there is no state directory: a state directory that is
/// not mounted must not look like a node without pods.
#[must_use]
pub fn read(layout: &Layout, policy: Option<&Policy>) -> Option<Attached> {
    if !layout.state_dir.is_dir() {
        return None;
    }
    attachments::list(layout, policy).ok().map(|found| count(&found, policy))
}

/// Counts attachments that were read. A damaged record is an attachment of which nothing is known.
#[must_use]
pub fn count(found: &Attachments, policy: Option<&Policy>) -> Attached {
    let mut attached = Attached::default();
    let now = policy.map(Policy::phase);
    let mut others = Vec::new();
    for line in &found.attachments {
        let phase = phase(line, policy);
        attached.add(phase);
        if phase != now {
            others.extend(line.uid.as_deref());
        }
    }
    attached.name(others);
    found.damaged.iter().for_each(|_| attached.add(None));
    attached
}

/// The directories in which a change may change the counts.
#[must_use]
pub fn directories(layout: &Layout) -> Vec<PathBuf> {
    let attachments = layout.attachments();
    let shards: Vec<PathBuf> = shards().map(|shard| attachments.join(shard)).collect();
    [layout.state_dir.clone(), attachments].into_iter().chain(shards).collect()
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
        [_] => Some(Phase::of(Attach::One(primary), primary)),
        [one, other] => (side(one)? != side(other)?).then(|| Phase::of(Attach::Both, primary)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
