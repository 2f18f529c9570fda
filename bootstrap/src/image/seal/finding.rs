//! A finding: one file that must not be in an image.

use convergence::change::Act;
use convergence::image::seal::finding::{Remedy, SealFinding};

use super::tree::{Item, ItemKind};

/// A thing that is removed; what a directory holds is said.
pub(crate) fn removed(item: &Item, why: &str) -> SealFinding {
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
    SealFinding { what: item.path.clone(), fate: Remedy::Change(act), why }
}

/// A file that is emptied.
pub(crate) fn emptied(item: &Item, why: &str) -> SealFinding {
    match item.kind {
        ItemKind::File => SealFinding {
            what: item.path.clone(),
            fate: Remedy::Change(Act::Empty(item.real.clone())),
            why: why.into(),
        },
        ItemKind::Dir | ItemKind::Other => SealFinding::new_refusal(
            &item.path,
            format!("{why}; it is no regular file"),
            "put an empty file in its place",
        ),
    }
}
