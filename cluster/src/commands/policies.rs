//! `policies`: what network policies mean, the same in the words of another CNI, and how they are kept and brought back.

pub(crate) mod answer;
pub(crate) mod backup;
mod convert;
pub(crate) mod diff;
mod inputs;
mod outcome;
mod progress;
pub(crate) mod restore;

pub(crate) use convert::{check, convert};
pub(crate) use diff::diff;
pub(super) use diff::in_cluster;
pub(super) use inputs::PolicyInputs;
