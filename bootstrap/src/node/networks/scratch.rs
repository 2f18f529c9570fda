//! The directories of a network's proof: records, locks, policy and result, apart from those of pods.

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::node::layout::Layout;
use shim::node::store::Store;
use types::policy::Side;

use convergence::node::paths::PROOF;

/// The directory with all files of one network's proof.
#[must_use]
pub(crate) fn directory(layout: &Layout, side: Side) -> PathBuf {
    layout.run_dir.join(PROOF).join(side.as_str())
}

/// The records, locks and policy of one network's proof.
#[must_use]
pub(crate) fn layout(layout: &Layout, side: Side) -> Layout {
    let dir = directory(layout, side);
    Layout { state_dir: dir.join("state"), run_dir: dir.join("run"), policy: Some(dir.join("policy.json")) }
}

/// The containers that proofs have attached now. What a killed proof left is among them: the next proof ends it.
#[must_use]
pub(crate) fn containers(of_node: &Layout) -> BTreeSet<String> {
    let records = |side: Side| Store::new(&layout(of_node, side)).load_all().map(|(records, _)| records);
    let records = Side::BOTH.into_iter().flat_map(|side| records(side).unwrap_or_default());
    records.map(|record| record.intent.container_id).collect()
}
