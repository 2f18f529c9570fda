//! The cases: what `kubectl-crossfade` reads and writes, and the manifests.

pub(crate) mod acting;
pub(crate) mod deploy;
pub(crate) mod operator;
pub(crate) mod policies;
