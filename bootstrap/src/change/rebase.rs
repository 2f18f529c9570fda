//! The check that a change stays in its tree.

use crate::host::root::Root;
use convergence::change::{Act, Write};

/// The same act with every path of a file or a directory below `root` resolved once more, whatever it was put together from: so
/// nothing is written, moved or removed outside, where a link in the tree leads there. On a node it is what it was.
pub(super) fn rebase(act: Act, root: &Root) -> Act {
    match act {
        Act::Ensure(write) => Act::Ensure(Write { path: root.inside_entry(&write.path), ..write }),
        Act::Write(write) => Act::Write(Write { path: root.inside_entry(&write.path), ..write }),
        Act::EnsureGone { path, nudge } => Act::EnsureGone { path: root.inside_entry(&path), nudge },
        Act::Remove { path, nudge } => Act::Remove { path: root.inside_entry(&path), nudge },
        Act::RemoveTree(path) => Act::RemoveTree(root.inside_entry(&path)),
        Act::Empty(path) => Act::Empty(root.inside_entry(&path)),
        Act::MakeDir(path) => Act::MakeDir(root.resolve_inside(&path)),
        Act::SetAside { from, to, nudge } => {
            Act::SetAside { from: root.inside_entry(&from), to: root.inside_entry(&to), nudge }
        }
        Act::Unlock(path) => Act::Unlock(root.inside_entry(&path)),
        other @ (Act::Keep
        | Act::List { .. }
        | Act::Ledger { .. }
        | Act::Confirm
        | Act::Close(..)
        | Act::CloseEntry(_)
        | Act::HostRoutes
        | Act::Unannotate(_)
        | Act::Wait
        | Act::Mark { .. }
        | Act::Kernel(_)
        | Act::Start { .. }
        | Act::Retract
        | Act::Systemctl(_)) => other,
    }
}
