//! `policies`: network policies, kept and brought back.

pub mod backup;
mod progress;
pub mod restore;
