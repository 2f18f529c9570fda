//! The reduction of a planned change to what this node lacks: a file that is as it should be is kept. Nowhere else are bytes compared for that.

use std::path::Path;

use super::read_with_mode;
use convergence::change::{Act, Change, Write};

/// The same change with its `Ensure` acts settled by what is there now: an act of its own kind where something has to be done, else
/// [`Act::Keep`]. The reason says what is wrong with what is there. Every other act stays as it is.
#[must_use]
pub(crate) fn settle(change: Change) -> Change {
    let Change { act, target, reason } = change;
    match act {
        Act::Ensure(write) => {
            let current = read_with_mode(&write.path);
            let (act, reason) =
                settle_write(write, current.as_ref().map(|(bytes, mode)| (bytes.as_slice(), *mode)), reason);
            Change { act, target, reason }
        }
        Act::EnsureGone { path, .. } if is_gone(&path) => {
            Change::new(Act::Keep, target, format!("not there; {reason}"))
        }
        Act::EnsureGone { path, nudge } => Change { act: Act::Remove { path, nudge }, target, reason },
        act => Change { act, target, reason },
    }
}

fn is_gone(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}

/// What is done about a file of which this was found, and why.
fn settle_write(write: Write, current: Option<(&[u8], u32)>, why: String) -> (Act, String) {
    match current {
        Some((bytes, mode)) if bytes == write.bytes && mode == write.mode => {
            (Act::Keep, "as it should be".into())
        }
        Some((bytes, _)) if bytes == write.bytes => (Act::Write(write), "mode differs".into()),
        Some(_) => (Act::Write(write), format!("differs; {why}")),
        None => (Act::Write(write), format!("missing; {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_only_when_bytes_and_mode_are_right() {
        let write = || Write { path: "/d/f".into(), bytes: b"x".to_vec(), mode: 0o644, nudge: false };
        for (current, word, reason) in [
            (Some((b"x".as_slice(), 0o644)), "keep", "as it should be"),
            (Some((b"x".as_slice(), 0o600)), "write", "mode differs"),
            (Some((b"y".as_slice(), 0o644)), "write", "differs; why"),
            (None, "write", "missing; why"),
        ] {
            let (act, text) = settle_write(write(), current, "why".into());
            assert_eq!((act.word(), text.as_str()), (word, reason), "{current:?}");
        }
    }

    #[test]
    fn what_is_there_decides_and_a_link_is_not_what_it_leads_to() {
        let dir = tempfile::tempdir().expect("scratch");
        let path_of = |name: &str| dir.path().join(name);
        std::fs::write(path_of("there"), "x").expect("file");
        std::os::unix::fs::symlink(path_of("there"), path_of("link")).expect("link");
        std::os::unix::fs::symlink(path_of("nowhere"), path_of("dangling")).expect("link");
        let mode = std::os::unix::fs::MetadataExt::mode(&path_of("there").metadata().expect("file")) & 0o7777;
        let ensure = |name: &str| {
            Change::ensure(Write { path: path_of(name), bytes: b"x".to_vec(), mode, nudge: false }, "why")
        };
        let removal = |name: &str| Change::ensure_gone(path_of(name), false, "why");
        for (change, word) in [
            (ensure("there"), "keep"),
            (ensure("link"), "write"),
            (ensure("absent"), "write"),
            (removal("there"), "remove"),
            (removal("dangling"), "remove"),
            (removal("absent"), "keep"),
        ] {
            let settled = settle(change);
            assert_eq!(settled.act.word(), word, "{settled}");
            assert!(!matches!(settled.act, Act::Ensure(_) | Act::EnsureGone { .. }), "{settled:?}");
            assert!(
                settled.to_string().starts_with(&format!("{word:<8} {}  (", settled.target)),
                "{settled}"
            );
        }
    }
}
