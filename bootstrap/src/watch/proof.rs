//! The result of a proof, and the next step, with reads of one file.
//!
//! *Shape* of `RUN/proof/NETWORK.json`:
//! `{"version":1,"network":"new","name":"cilium","turn":2,"bootID":"..","by":"packet","failed":"ADD: ..","packets":{..}}`, without `failed` where
//! the proof passed, and without `packets` where it was one by attachment. `turn` counts the lives of the network's agent, and the tries, in this
//! boot.

use std::path::{Path, PathBuf};

use convergence::node::paths::PROOF;
use convergence::watch::proof::ProofResult;
use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::Layout;
use types::policy::Side;

use crate::node::networks::scratch::directory;

const MAX_BYTES: usize = 64 << 10;

/// What the plugins answered and wrote to stderr in the last proof of one network, for root alone.
#[must_use]
pub(crate) fn answers(layout: &Layout, side: Side) -> PathBuf {
    directory(layout, side).join("answers.log")
}

/// The path of the result of a proof of `side`.
#[must_use]
pub(crate) fn result(layout: &Layout, side: Side) -> PathBuf {
    layout.run_dir.join(PROOF).join(format!("{side}.json"))
}

/// Reads a result of this boot about the network `name`.
#[must_use]
pub(crate) fn read(path: &Path, name: &str, boot_id: &str) -> Option<ProofResult> {
    let bytes = read_bounded(&mut trust::open(path).ok()?, MAX_BYTES).ok()?;
    let result: ProofResult = serde_json::from_slice(&bytes).ok()?;
    (result.version == 1 && result.name == name && result.boot_id == boot_id).then_some(result)
}
