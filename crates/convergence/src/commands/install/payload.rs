//! The owner of the file at a place where `install` wants to write.
//!
//! | on the node | brought before | it is |
//! |---|---|---|
//! | nothing | | written |
//! | the same bytes | | kept |
//! | as it was brought | yes | replaced |
//! | changed since, and a pod brings what it brought then | a setting | kept: a flip, or a person's edit |
//! | anything else | | refused without `--overwrite` |

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::command::problem::Problem;

use crate::change::{Act, Change, Write};
use crate::node::digest;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    /// A setting, which people and flips may change on the node.
    Setting,
    /// A program or unit, which the operator does not change on the node.
    Program,
}

/// A file that the pod brings to the node.
#[derive(Debug, Clone)]
pub struct Item {
    /// The file's path on the node.
    pub path: PathBuf,
    /// The bytes that the node gets.
    pub bytes: Vec<u8>,
    /// The mode that the file gets.
    pub mode: u32,
    /// SHA-256 of the bytes in the pod, in hex.
    pub source: String,
    /// Whether the file is a setting or a program.
    pub kind: PayloadKind,
}

/// One file that a pod brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadEntry {
    /// SHA-256 of the bytes in the pod, in hex.
    pub source: String,
    /// SHA-256 of the bytes that the node got, in hex; two while the file is being replaced.
    #[serde(rename = "written")]
    pub installed: Vec<String>,
}

/// What exists at a path of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceOnNode {
    /// The path does not exist.
    Nothing,
    /// The path is a regular file.
    File {
        /// SHA-256 of the file's bytes, in hex.
        sha256: String,
        /// The mode of the file.
        mode: u32,
    },
    /// The path is a link, a directory, or not readable.
    Other,
}

/// The decision about one file.
#[derive(Debug)]
pub struct PayloadDecision {
    /// The change to the file.
    pub change: Change,
    /// What is remembered while it is made, and afterwards; none where the file is not of a pod.
    pub entries: Option<[PayloadEntry; 2]>,
    /// A note for the person who reads the report.
    pub note: Option<String>,
}

/// Decides about one file.
///
/// # Errors
/// Another owner wrote the file on the node.
pub fn decide(
    item: &Item,
    place: &PlaceOnNode,
    last: Option<&PayloadEntry>,
    overwrite: bool,
) -> Result<PayloadDecision, Problem> {
    let target = item.path.display().to_string();
    let new_sha256 = digest::sha256(&item.bytes);
    let mine = |written: Vec<String>| PayloadEntry { source: item.source.clone(), installed: written };
    let write = |why: &str, old: Option<&String>| {
        let write =
            Write { path: item.path.clone(), bytes: item.bytes.clone(), mode: item.mode, nudge: false };
        let during = old.into_iter().cloned().chain([new_sha256.clone()]).collect();
        PayloadDecision {
            change: Change::new(Act::Write(write), target.clone(), why),
            entries: Some([mine(during), mine(vec![new_sha256.clone()])]),
            note: None,
        }
    };
    let keep = |why: &str, entries, note| PayloadDecision {
        change: Change::new(Act::Keep, target.clone(), why),
        entries,
        note,
    };
    let ours = |sha256: &String| last.is_some_and(|last| last.installed.contains(sha256));
    Ok(match place {
        PlaceOnNode::Nothing => write("missing; brought by a pod", None),
        PlaceOnNode::File { sha256, mode } if *sha256 == new_sha256 => {
            let entries = last.map(|_| [mine(vec![new_sha256.clone()]), mine(vec![new_sha256.clone()])]);
            if *mode != item.mode && last.is_some() {
                write("mode differs", None)
            } else {
                keep("as it should be", entries, None)
            }
        }
        PlaceOnNode::File { sha256, .. } if ours(sha256) => {
            write("differs; a pod brought it, and brings another now", Some(sha256))
        }
        PlaceOnNode::File { .. }
            if item.kind == PayloadKind::Setting && last.is_some_and(|last| last.source == item.source) =>
        {
            let note = format!("{target} was changed on this node since a pod brought it, and stays");
            keep("changed here since", last.map(|last| [last.clone(), last.clone()]), Some(note))
        }
        PlaceOnNode::File { .. } | PlaceOnNode::Other if overwrite => {
            write("differs; told to overwrite", None)
        }
        PlaceOnNode::File { .. } | PlaceOnNode::Other => {
            return Err(refusal(item.kind, &target));
        }
    })
}

/// The problem of a file that another owner wrote.
fn refusal(kind: PayloadKind, target: &str) -> Problem {
    let (what, fix) = match kind {
        PayloadKind::Setting => (
            format!("{target} is there, differs from what is brought, and is not what a pod brought before"),
            "remove it, or say --overwrite",
        ),
        PayloadKind::Program => (
            format!("{target} is there and no pod brought it: this node has the package"),
            "upgrade the package, or remove it first",
        ),
    };
    Problem::new(what).with_place(target).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: PayloadKind, bytes: &[u8]) -> Item {
        Item {
            path: "/etc/crossfade/policy.json".into(),
            bytes: bytes.to_vec(),
            mode: 0o644,
            source: digest::sha256(bytes),
            kind,
        }
    }

    fn file(bytes: &[u8]) -> PlaceOnNode {
        PlaceOnNode::File { sha256: digest::sha256(bytes), mode: 0o644 }
    }

    fn entry(bytes: &[u8]) -> PayloadEntry {
        PayloadEntry { source: digest::sha256(bytes), installed: vec![digest::sha256(bytes)] }
    }

    #[test]
    fn the_whole_table() {
        let (old, new, edited) = (b"old".as_slice(), b"new".as_slice(), b"edited".as_slice());
        let nothing = PlaceOnNode::Nothing;
        for (kind, current, last, expected) in [
            (PayloadKind::Setting, &nothing, None, "write"),
            (PayloadKind::Setting, &nothing, Some(entry(old)), "write"),
            (PayloadKind::Setting, &file(new), None, "keep"),
            (PayloadKind::Setting, &file(new), Some(entry(old)), "keep"),
            (PayloadKind::Setting, &file(old), Some(entry(old)), "write"),
            (PayloadKind::Setting, &file(edited), Some(entry(new)), "keep"),
            (PayloadKind::Setting, &file(edited), Some(entry(old)), "refused"),
            (PayloadKind::Setting, &file(edited), None, "refused"),
            (PayloadKind::Setting, &PlaceOnNode::Other, Some(entry(new)), "refused"),
            (PayloadKind::Program, &nothing, None, "write"),
            (PayloadKind::Program, &file(old), Some(entry(old)), "write"),
            (PayloadKind::Program, &file(edited), Some(entry(new)), "refused"),
            (PayloadKind::Program, &file(edited), None, "refused"),
        ] {
            let payload = item(kind, new);
            let word = |overwrite| {
                decide(&payload, current, last.as_ref(), overwrite)
                    .map_or_else(|_| "refused".to_owned(), |decided| decided.change.act.word().to_owned())
            };
            assert_eq!(word(false), expected, "{kind:?} {current:?} {last:?}");
            let outcome = if expected == "refused" { "write" } else { expected };
            assert_eq!(word(true), outcome, "{kind:?} {current:?} {last:?}, told to overwrite");
        }
    }

    #[test]
    fn a_kill_between_memory_and_file_leaves_it_ours() {
        let payload = item(PayloadKind::Setting, b"new");
        let decided = decide(&payload, &file(b"old"), Some(&entry(b"old")), false).expect("ours");
        let [during, after] = decided.entries.expect("remembered");
        for (bytes, word) in [(b"old".as_slice(), "write"), (b"new", "keep")] {
            let again = decide(&payload, &file(bytes), Some(&during), false).expect("still ours");
            assert_eq!(again.change.act.word(), word);
        }
        assert_eq!(after.installed, [digest::sha256(b"new")]);
        // Another owner's file with the same bytes is not remembered, so `uninstall` never removes it.
        assert!(decide(&payload, &file(b"new"), None, false).expect("kept").entries.is_none());
    }
}
