//! The check that a change stays in its tree.

use super::{Act, Write};
use crate::host::paths::Root;

impl Act {
    /// The same with every path of a file or a directory below `root` resolved once more, whatever it was put together from: so
    /// nothing is written, moved or removed outside, where a link in the tree leads there. On a node it is what it was.
    #[must_use]
    pub fn inside(self, root: &Root) -> Self {
        match self {
            Self::Ensure(write) => Self::Ensure(Write { path: root.inside_entry(&write.path), ..write }),
            Self::Write(write) => Self::Write(Write { path: root.inside_entry(&write.path), ..write }),
            Self::EnsureGone { path, nudge } => Self::EnsureGone { path: root.inside_entry(&path), nudge },
            Self::Remove { path, nudge } => Self::Remove { path: root.inside_entry(&path), nudge },
            Self::RemoveTree(path) => Self::RemoveTree(root.inside_entry(&path)),
            Self::Empty(path) => Self::Empty(root.inside_entry(&path)),
            Self::MakeDir(path) => Self::MakeDir(root.inside(&path)),
            Self::SetAside { from, to, nudge } => {
                Self::SetAside { from: root.inside_entry(&from), to: root.inside_entry(&to), nudge }
            }
            Self::Unlock(path) => Self::Unlock(root.inside_entry(&path)),
            other @ (Self::Keep
            | Self::List { .. }
            | Self::Ledger { .. }
            | Self::Confirm
            | Self::Close(..)
            | Self::CloseEntry(_)
            | Self::HostRoutes
            | Self::Unannotate(_)
            | Self::Wait
            | Self::Mark { .. }
            | Self::Kernel(_)
            | Self::Start { .. }
            | Self::Retract
            | Self::Systemctl(_)) => other,
        }
    }
}
