//! A lab's directories.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Where scratch directories are made: on the lab's own tmpfs, seen at the same path by every node.
pub const ROOT: &str = "/run/lab";

/// A directory of root's, mode 0755, below directories of the same kind; removed on drop.
///
/// The shim trusts no policy, state or plugin below a directory that others may write to; everything here passes.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    /// Makes `/run/lab/LABEL-XXXXXX`.
    ///
    /// # Errors
    /// Outside of [`crate::host::isolate::enter`], where there is no such place.
    pub fn new(label: &str) -> Result<Scratch> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{label}-"))
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(ROOT)
            .with_context(|| {
                format!("scratch directory {label} in {ROOT}: call lab::isolate::enter() first")
            })?;
        // Whatever the umask left of it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .context("scratch directory mode")?;
        Ok(Scratch { directory })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path below the directory; nothing is created.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// A directory below it, mode 0755, with its parents.
    ///
    /// # Errors
    /// What the file system says.
    pub fn dir(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        for made in path.ancestors().take_while(|made| *made != self.path()) {
            fs::set_permissions(made, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("mode of {}", made.display()))?;
        }
        Ok(path)
    }

    /// Copies an executable into it, mode 0755, so that its owner and place are trusted whatever the source's are.
    ///
    /// # Errors
    /// An unreadable source.
    pub fn install(&self, program: &Path, name: impl AsRef<Path>) -> Result<PathBuf> {
        let target = self.join(name);
        install(program, &target)?;
        Ok(target)
    }
}

/// Copies an executable, mode 0755, with the directories above it.
///
/// Another process does it: a file that we had open for writing while another thread forks is busy in that child for a
/// moment, and cannot be executed.
///
/// # Errors
/// An unreadable source, or a target that cannot be written.
pub fn install(program: &Path, target: &Path) -> Result<()> {
    let mut install = Command::new("install");
    crate::host::command::run(install.args(["-D", "-m", "0755"]).arg(program).arg(target)).map(drop)
}

/// Every file below a directory; none if there is no directory.
///
/// # Errors
/// What the file system says.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading {}", directory.display()))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() { all.extend(files(&path)?) } else { all.push(path) }
    }
    Ok(all)
}
