//! The number of attachments on this node by the phase that they were made in, for the annotation `crossfade/observed`.
//!
//! The API server cannot tell a pod on the old network alone from one on both with the old one as primary: both publish the same address. The
//! node can, from its records and its inventory, as `attachments` lists them.

use convergence::node::attachments::attached::count;

use std::path::PathBuf;

use shim::node::layout::Layout;
use types::api::observed::AttachmentCounts;
use types::attachment::key::shards;
use types::policy::Policy;

use crate::node::attachments;

/// Counts what is attached; none if the records or the inventory cannot be read, or if there is no state directory: a state directory that is
/// not mounted must not look like a node without pods.
#[must_use]
pub(crate) fn read(layout: &Layout, policy: Option<&Policy>) -> Option<AttachmentCounts> {
    if !layout.state_dir.is_dir() {
        return None;
    }
    attachments::list(layout, policy).ok().map(|attachments| count(&attachments, policy))
}

/// The directories in which a change may change the counts.
#[must_use]
pub(crate) fn directories(layout: &Layout) -> Vec<PathBuf> {
    let attachments = layout.attachments();
    let shards: Vec<PathBuf> = shards().map(|shard| attachments.join(shard)).collect();
    [layout.state_dir.clone(), attachments].into_iter().chain(shards).collect()
}

#[cfg(test)]
mod tests;
