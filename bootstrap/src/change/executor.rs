//! The executor, the one place where changes are carried out.

use std::io;

use shim::{
    host::{file, lock, trust},
    node::{ledger, ready},
};

use super::files::{OPEN_DIR, remove, remove_tree, set_aside, truncate, write};
use super::outcome::{Done, Outcome};
use super::{inventory, settle};
use crate::host::root::Root;
use crate::systemd::systemctl;
use convergence::change::{Act, Change, Write};
use convergence::failure::Failure;
use types::command::exit::Exit;

/// What only some commands can do: acts that need the runtime, a delegate, or the API server, and files that are written in a way of
/// their own.
pub(crate) trait ChangeHandler {
    /// Carries out a change that is this command's own, and words its failure; `None` where it is not, which leaves it to the [`Executor`]. The change is
    /// settled (see [`settle()`]).
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>>;
}

/// A command without means of its own: files, directories, the inventory, the ledger, locks, markers and systemctl are for every command.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DefaultHandler;

impl ChangeHandler for DefaultHandler {
    fn apply(&mut self, _: &Change) -> Option<Result<Outcome, Failure>> {
        None
    }
}

/// Carries changes out below a root, with the means of one command.
#[derive(Debug)]
pub(crate) struct Executor<'a, M> {
    root: &'a Root,
    means: M,
}

impl<'a> Executor<'a, DefaultHandler> {
    /// One without means of its own.
    #[must_use]
    pub(crate) const fn new_plain(root: &'a Root) -> Self {
        Self::new(root, DefaultHandler)
    }
}

impl<'a, M: ChangeHandler> Executor<'a, M> {
    #[must_use]
    pub(crate) const fn new(root: &'a Root, means: M) -> Self {
        Self { root, means }
    }

    /// Gives the means back, with what they have learnt.
    #[must_use]
    pub(crate) fn into_means(self) -> M {
        self.means
    }

    /// Carries out changes in their order, none of them outside of the root, and stops at the first that fails.
    ///
    /// # Errors
    /// That one, with its target; those before it are done.
    pub(crate) fn apply_all(&mut self, changes: Vec<Change>) -> Result<Vec<Done>, Failure> {
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            done.push(self.apply(change)?);
        }
        Ok(done)
    }

    /// The same, but one that fails stops none of the others: its failure is its outcome.
    pub(crate) fn apply_each(&mut self, changes: Vec<Change>) -> Vec<Done> {
        let each = |change: Change| {
            let change = settle(change);
            let outcome =
                self.settle_change(&change).unwrap_or_else(|failed| Some(Outcome::Failed(failed.words())));
            Done { change, outcome }
        };
        changes.into_iter().map(each).collect()
    }

    /// Carries out one change.
    ///
    /// # Errors
    /// As [`Self::apply_all`].
    pub(crate) fn apply(&mut self, change: Change) -> Result<Done, Failure> {
        let change = settle(change);
        match self.settle_change(&change) {
            Ok(outcome) => Ok(Done { change, outcome }),
            Err(ChangeError::Means(failure)) => Err(failure),
            Err(ChangeError::Act(why)) => {
                let what = format!("{} {}: {why}", change.act.word(), change.target);
                Err(Failure { names_change: true, ..Failure::new(Exit::Failed, what) })
            }
        }
    }

    /// None for what is kept, and for what is left for a later pass.
    fn settle_change(&mut self, change: &Change) -> Result<Option<Outcome>, ChangeError> {
        if let Some(done) = self.means.apply(change) {
            return done.map(Some).map_err(ChangeError::Means);
        }
        match rebase(change.act.clone(), self.root) {
            Act::Keep | Act::Wait => return Ok(None),
            Act::Ensure(write) | Act::Write(write) => put(&write)?,
            Act::EnsureGone { path, nudge } | Act::Remove { path, nudge } => remove(&path, nudge)?,
            Act::RemoveTree(path) => remove_tree(&path)?,
            Act::Empty(path) => truncate(&path)?,
            Act::MakeDir(path) => trust::create_dir(&path, OPEN_DIR).map_err(io::Error::from)?,
            Act::SetAside { from, to, nudge } => set_aside(&from, &to, nudge)?,
            Act::List { layout, entries } => inventory::list(&layout, &entries)?,
            Act::Ledger { layout, lines } => lines.iter().for_each(|line| ledger::enter(&layout, line)),
            Act::Mark { layout, name, conf } => ready::mark(&layout, &name, &conf)?,
            Act::Unlock(path) => {
                if !lock::remove_abandoned(&path)? {
                    return Ok(Some(Outcome::Busy));
                }
            }
            Act::Systemctl(arguments) => systemctl::run(&arguments).map_err(ChangeError::Act)?,
            Act::Confirm
            | Act::Close(..)
            | Act::CloseEntry(_)
            | Act::HostRoutes
            | Act::Unannotate(_)
            | Act::Kernel(_)
            | Act::Start { .. }
            | Act::Retract => {
                let why = "this command has no means for it; please report that as a mistake of crossfade-bootstrap";
                return Err(ChangeError::Act(why.into()));
            }
        }
        Ok(Some(Outcome::Done))
    }
}

/// Why a change was not carried out.
enum ChangeError {
    /// A command's own means failed, and said so in words of their own.
    Means(Failure),
    Act(String),
}

impl ChangeError {
    fn words(self) -> String {
        match self {
            Self::Means(failure) => failure.lines().join("; "),
            Self::Act(why) => why,
        }
    }
}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> Self {
        Self::Act(error.to_string())
    }
}

/// Writes a file. An absent directory is made, for root alone if the file is root's alone.
fn put(new_file: &Write) -> io::Result<()> {
    if let Some(dir) = new_file.path.parent() {
        trust::create_dir(dir, if new_file.mode == file::PRIVATE { 0o700 } else { OPEN_DIR })?;
    }
    write(new_file)
}

/// The same act with every path of a file or a directory below `root` resolved once more, whatever it was put together from: so
/// nothing is written, moved or removed outside, where a link in the tree leads there. On a node it is what it was.
fn rebase(act: Act, root: &Root) -> Act {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write_to(path: std::path::PathBuf) -> Change {
        Change::ensure(Write { path, bytes: b"x".to_vec(), mode: 0o644, nudge: false }, "why")
    }

    #[test]
    fn an_act_that_a_command_cannot_apply_is_an_error() {
        let root = Root::default();
        let object = Box::new(convergence::change::kernel::KernelObject::IpSet { name: "cali40s:x".into() });
        for act in [Act::Confirm, Act::HostRoutes, Act::Kernel(object), Act::Retract] {
            let word = act.word();
            let failure =
                Executor::new_plain(&root).apply_all(vec![Change::new(act, "it", "why")]).expect_err(word);
            assert!(
                failure.names_change
                    && failure.lines()[0].starts_with(&format!("{word} it: this command has no means")),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn the_first_failure_stops_the_rest_unless_each_is_tried() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let changes = |name: &str| {
            let fails = Change::new(Act::Confirm, "it", "why");
            vec![
                write_to(dir.path().join(format!("{name}-1"))),
                fails,
                write_to(dir.path().join(format!("{name}-2"))),
            ]
        };
        Executor::new_plain(&root).apply_all(changes("stops")).expect_err("the second");
        assert!(dir.path().join("stops-1").is_file() && !dir.path().join("stops-2").exists());
        let done = Executor::new_plain(&root).apply_each(changes("each"));
        assert!(dir.path().join("each-2").is_file());
        let outcomes: Vec<_> = done.iter().map(|done| done.outcome.clone()).collect();
        assert!(
            matches!(
                outcomes.as_slice(),
                [Some(Outcome::Done), Some(Outcome::Failed(_)), Some(Outcome::Done)]
            ),
            "{outcomes:?}"
        );
    }

    #[test]
    fn the_means_of_a_command_come_first_and_what_is_kept_has_no_outcome() {
        struct RefusingHandler;
        impl ChangeHandler for RefusingHandler {
            fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
                matches!(change.act, Act::Write(_)).then(|| Err(Failure::try_later("not now")))
            }
        }
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let path = dir.path().join("file");
        let failure = Executor::new(&root, RefusingHandler)
            .apply_all(vec![write_to(path.clone())])
            .expect_err("refused");
        assert_eq!((failure.exit, failure.lines()), (Exit::TryLater, vec!["not now".to_owned()]));
        assert!(!failure.names_change);
        assert!(!path.exists());
        Executor::new_plain(&root).apply_all(vec![write_to(path.clone())]).expect("written");
        let retried = Executor::new(&root, RefusingHandler).apply_all(vec![write_to(path)]).expect("kept");
        assert!(matches!(retried[0].change.act, Act::Keep) && retried[0].outcome.is_none());
    }
}
