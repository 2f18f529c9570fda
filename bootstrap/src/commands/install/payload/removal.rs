//! The removal of the payload that pods have brought, and of remembered state.

use std::path::{Path, PathBuf};

use convergence::change::{Act, Change};
use convergence::commands::install::payload::PlaceOnNode;
use convergence::failure::Failure;
use convergence::node::agent::watch_unit;
use convergence::node::paths::{BROUGHT, IDENTITY, SET_ASIDE};
use shim::node::layout::{Layout, SETTINGS_DIRS};
use types::command::exit::Exit;

use super::record::PayloadRecord;
use crate::change::outcome::{Done, Outcome, apply};
use crate::host::root::Root;
use crate::systemd::systemctl;

/// What `uninstall --brought` removes once nothing is attached through Crossfade.
#[derive(Debug)]
pub(crate) struct PayloadRemoval {
    record: PayloadRecord,
    /// The removals, in order.
    pub changes: Vec<Change>,
    /// Notes on files that stay, with the reason.
    pub notes: Vec<String>,
}

impl PayloadRemoval {
    /// Looks at what was brought. Where `graduated`, Crossfade changed settings itself: they go aside, so that a later pod may bring its own.
    ///
    /// # Errors
    /// What is remembered cannot be read.
    pub(crate) fn gather(graduated: bool) -> Result<Self, Failure> {
        let record = PayloadRecord::read(Path::new(BROUGHT))
            .map_err(|why| Failure::all(Exit::BadSettings, [why]))?
            .unwrap_or_default();
        let mut notes = Vec::new();
        let files: Vec<Change> = record
            .files
            .iter()
            // policy.json before node.json, which says that the node has graduated until the end.
            .rev()
            .filter_map(|(path, entry)| match super::place_on_node(path) {
                PlaceOnNode::Nothing => None,
                PlaceOnNode::File { sha256, .. } if entry.installed.contains(&sha256) => {
                    Some(Change::remove(path.clone(), false, "a pod brought it"))
                }
                PlaceOnNode::File { .. } if graduated && path.starts_with(SETTINGS_DIRS[0]) => {
                    let to = Path::new(SET_ASIDE).join("settings").join(path.file_name()?);
                    let why = format!("changed since a pod brought it; to {}", to.display());
                    let aside = Act::SetAside { from: path.clone(), to, nudge: false };
                    Some(Change::new(aside, path.display().to_string(), why))
                }
                PlaceOnNode::File { .. } | PlaceOnNode::Other => {
                    notes.push(format!(
                        "{} was changed on this node since a pod brought it, and stays",
                        path.display()
                    ));
                    None
                }
            })
            .collect();
        let mut changes = if record.units && systemctl::is_here() { watch_unit::stop() } else { Vec::new() };
        changes.extend(files);
        if record.units && systemctl::is_here() {
            changes.extend(watch_unit::forget());
        }
        Ok(Self { record, changes, notes })
    }

    /// Carries out the removals, and empties Crossfade's directories of everything that no operator has to read any more.
    ///
    /// # Errors
    /// The first removal that fails.
    pub(crate) fn apply(self) -> Result<(Vec<Done>, Vec<String>), Failure> {
        let Self { record, changes, mut notes } = self;
        let root = Root::default();
        let mut done = apply(&root, changes)?;
        let layout = Layout::default();
        if record.files.is_empty() {
            return Ok((done, notes));
        }
        // Locks, markers, status: of a run directory, which a boot empties as well.
        done.extend(tree(&layout.run_dir)?);
        let empty = [layout.attachments(), layout.damaged_dir()];
        for dir in empty {
            remove_empty(&dir);
        }
        for file in [Path::new(IDENTITY), Path::new(BROUGHT)] {
            done.extend(apply(&root, vec![Change::remove(file.into(), false, "Crossfade's own notes")])?);
        }
        let mut dirs: Vec<PathBuf> = vec![layout.state_dir.clone()];
        dirs.extend(record.files.keys().filter_map(|path| path.parent().map(Path::to_path_buf)));
        for dir in dirs.into_iter().filter(|dir| is_ours(dir)) {
            // A directory that is not empty has something for people: a ledger, set-aside state, or another owner's file.
            if std::fs::remove_dir(&dir).is_err_and(|e| e.kind() == std::io::ErrorKind::DirectoryNotEmpty) {
                notes.push(format!("{} is not empty, and stays", dir.display()));
            }
        }
        notes.dedup();
        Ok((done, notes))
    }
}

/// Whether a directory exists for Crossfade alone.
fn is_ours(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name == "crossfade")
}

fn tree(dir: &Path) -> Result<Option<Done>, Failure> {
    let change = Change::remove(dir.into(), false, "of this boot alone");
    match std::fs::remove_dir_all(dir) {
        Ok(()) => Ok(Some(Done { change, outcome: Some(Outcome::Done) })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(Exit::Failed, format!("remove {}: {error}", dir.display()))
            .with_place(dir.display())),
    }
}

/// Removes a tree of directories, as far as there is no file in it.
fn remove_empty(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // One with a file in it stays, and with it all above.
    let _ = std::fs::remove_dir(dir);
}
