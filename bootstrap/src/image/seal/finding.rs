//! A finding: one file that must not be in an image.

use std::path::PathBuf;

use super::tree::{Item, ItemKind};
use convergence::change::Act;

/// One thing, and what would become of it.
#[derive(Debug, Clone)]
pub struct SealFinding {
    /// What, as the node sees it: a path, or a unit.
    pub what: PathBuf,
    /// What becomes of it.
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
    pub fn refused(what: impl Into<PathBuf>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fate: Remedy::Refuse(fix.into()), why: why.into() }
    }

    /// A thing that is removed; what a directory holds is said.
    pub fn removed(item: &Item, why: &str) -> Self {
        let (act, why) = match item.kind {
            ItemKind::Dir => {
                let holds = item.holds().unwrap_or_default();
                let noun = if holds == 1 { "file" } else { "files" };
                (Act::RemoveTree(item.real.clone()), format!("{why}; {holds} {noun}"))
            }
            ItemKind::File | ItemKind::Other => {
                (Act::Remove { path: item.real.clone(), nudge: false }, why.to_owned())
            }
        };
        Self { what: item.path.clone(), fate: Remedy::Change(act), why }
    }

    /// A file that is emptied.
    pub fn emptied(item: &Item, why: &str) -> Self {
        match item.kind {
            ItemKind::File => Self {
                what: item.path.clone(),
                fate: Remedy::Change(Act::Empty(item.real.clone())),
                why: why.into(),
            },
            ItemKind::Dir | ItemKind::Other => Self::refused(
                &item.path,
                format!("{why}; it is no regular file"),
                "put an empty file in its place",
            ),
        }
    }
}
