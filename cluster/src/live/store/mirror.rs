//! The journal once more, in a file of the operator's machine: it is there when the cluster is not.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use types::command::problem::Problem;

/// A file that lines are added to; none where no directory is known for it.
#[derive(Debug)]
pub(super) struct Mirror {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Mirror {
    /// The file of a run. *Source*: XDG Base Directory Specification 0.8: `$XDG_STATE_HOME`, by default `$HOME/.local/state`; a relative one is ignored.
    pub(super) fn from_environment(run: &str) -> Self {
        let var = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = var("XDG_STATE_HOME");
        let state = state.or_else(|| Some(var("HOME").or_else(|| var("USERPROFILE"))?.join(".local/state")));
        Self { path: state.map(|state| state.join("crossfade").join(format!("{run}.jsonl"))), file: None }
    }

    /// The file; none if there is none, or if it cannot be written.
    pub(super) fn place(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    #[cfg(test)]
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path: Some(path), file: None }
    }

    #[cfg(test)]
    pub(super) const fn nowhere() -> Self {
        Self { path: None, file: None }
    }

    /// Adds a line. After an error, nothing is added any more: the cluster has the journal, and one complaint is enough.
    pub(super) fn add(&mut self, line: &str) -> Result<(), Problem> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        let added = self.open(&path).and_then(|file| file.write_all(format!("{line}\n").as_bytes()));
        added.map_err(|e| {
            self.path = None;
            let what = format!("mirror the journal in {}: {e}", path.display());
            Problem::new(what).with_place(path.display().to_string()).fix("the run goes on, and the journal is in the cluster nevertheless; set XDG_STATE_HOME to a directory that you can write to")
        })
    }

    fn open(&mut self, path: &Path) -> std::io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                path.parent().map_or(Ok(()), private_directory)?;
                private_file(path)?
            }
        };
        Ok(self.file.insert(file))
    }
}

/// A directory that its owner alone may list: the names of runs are in it. One that a release before left open is closed.
#[cfg(unix)]
fn private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// Elsewhere a directory of a person is that person's alone.
#[cfg(not(unix))]
fn private_directory(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// A file to add to that its owner alone may read: the journal names what runs in the cluster.
#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_at_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state/crossfade/r-1.jsonl");
        Mirror::new(path.clone()).add("{\"a\":1}").expect("added");
        let mut again = Mirror::new(path.clone());
        again.add("{\"a\":2}").expect("added");
        again.add("{\"a\":3}").expect("added");
        assert_eq!(std::fs::read_to_string(path).expect("lines"), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    }

    #[cfg(unix)]
    #[test]
    fn others_read_neither_the_file_nor_the_directory() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let ours = dir.path().join("state/crossfade");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        let path = ours.join("r-1.jsonl");
        for _ in 0..2 {
            Mirror::new(path.clone()).add("{}").expect("added");
            assert_eq!((mode(&ours), mode(&path)), (0o700, 0o600));
            // As an earlier release left them.
            set(&ours, 0o755);
            set(&path, 0o644);
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_once() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("crossfade"), "a file").expect("written");
        let mut mirror = Mirror::new(dir.path().join("crossfade/r-1.jsonl"));
        let problem = mirror.add("{}").expect_err("no directory");
        assert!(
            problem.what.contains("crossfade/r-1.jsonl") && problem.fix.contains("XDG_STATE_HOME"),
            "{problem:?}"
        );
        mirror.add("{}").expect("nothing to complain about any more");
    }
}
