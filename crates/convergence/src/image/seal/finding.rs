//! A finding: one file that must not be in an image.

use std::path::PathBuf;

use crate::change::Act;

/// One thing, and what would become of it.
#[derive(Debug, Clone)]
pub struct SealFinding {
    /// What, as the node sees it: a path, or a unit.
    pub what: PathBuf,
    pub fate: Remedy,
    /// What it is, and what it would do in an image.
    pub why: String,
}

/// What becomes of a thing.
#[derive(Debug, Clone)]
pub enum Remedy {
    /// This is done.
    Change(Act),
    /// A person has to decide; what to do.
    Refuse(String),
}

impl SealFinding {
    /// A thing that only a person can judge.
    pub fn new_refusal(what: impl Into<PathBuf>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fate: Remedy::Refuse(fix.into()), why: why.into() }
    }
}
