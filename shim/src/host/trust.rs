//! Owner and mode checks of files and of every directory above them.
//!
//! Every file that Crossfade reads decides what runs as root. So the file must belong to root or to the effective uid of this process, and no
//! other user may be able to write or replace it: neither group nor others may write the file or a directory above it. A sticky directory
//! (`/tmp`) is allowed if its next component belongs to root or to this uid, because no other user can then rename or remove that component
//! (man 7 `inode`, "sticky bit"). But a file that lies directly in a sticky directory must have no second name, because other users can create
//! one there. Crossfade follows links itself and checks the directories of both ends. It opens nothing but regular files, and creates nothing
//! in a directory that it has not checked.
//!
//! All files of one call are below the same few directories. So a program that serves one call and ends may inspect each directory once
//! ([`inspect_once`]): a user who could change a directory that passed the check decides what runs as root anyway.

mod walk;

use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Uid;

pub use walk::inspect_once;
use walk::{Place, check, is_own, is_sticky, walk};

/// Why a path is not trusted.
#[derive(Debug)]
pub enum Distrust {
    /// The path, or a directory above it, cannot be inspected.
    Io(PathBuf, io::Error),
    /// The path, or a directory above it, belongs to another user: path, uid.
    Owner(PathBuf, u32),
    /// The path, or a directory above it, is writable by group or others: path, mode.
    Mode(PathBuf, u32),
    /// The path leads to a file of another type: path, expected type.
    Kind(PathBuf, &'static str),
}

impl Distrust {
    /// Whether the path is simply absent.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Io(_, error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            }
            Self::Owner(..) | Self::Mode(..) | Self::Kind(..) => false,
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Owner(path, uid) => write!(
                f,
                "{} belongs to uid {uid}; expected root or uid {}: chown it",
                path.display(),
                Uid::effective()
            ),
            Self::Mode(path, mode) => write!(
                f,
                "{} has mode {:04o}, writable by others than its owner: chmod go-w it",
                path.display(),
                mode & 0o7777
            ),
            Self::Kind(path, expected) => write!(f, "{} is not {expected}", path.display()),
        }
    }
}

impl std::error::Error for Distrust {}

impl From<Distrust> for io::Error {
    fn from(why: Distrust) -> Self {
        Self::other(why)
    }
}

/// Opens a regular file for reading after checking it and every directory above it.
///
/// # Errors
/// [`Distrust`]; `path` must be absolute.
pub fn open(path: &Path) -> Result<File, Distrust> {
    let place = walk(path)?;
    if !place.meta.is_file() {
        // Opening a device may already have an effect.
        return Err(Distrust::Kind(place.real, "a regular file"));
    }
    if place.sticky && place.meta.nlink() > 1 {
        // If the kernel lets any user link root's files (man 5 `proc`, protected_hardlinks), links can come and go between two checks. So this
        // check is for files at rest alone.
        return Err(Distrust::Kind(
            place.real,
            "a file with one name, as it must be where others may add names",
        ));
    }
    open_seen(File::options().read(true), &place.real).map(|(file, _)| file)
}

/// Opens one of Crossfade's files, as `options` say, in a directory that the caller has checked, and checks the file.
///
/// No other user can create a file in such a directory. If the path is not a regular file all the same, this function does not follow or open it.
///
/// # Errors
/// [`Distrust`].
pub fn open_regular(options: &mut OpenOptions, path: &Path) -> Result<(File, Metadata), Distrust> {
    match path.symlink_metadata() {
        Ok(meta) if !meta.is_file() => Err(Distrust::Kind(path.into(), "a regular file")),
        // The options decide whether an absent file is created.
        _ => open_seen(options, path),
    }
}

/// [`open_regular`] of a file that is read: if it is absent, nothing is opened.
///
/// # Errors
/// [`Distrust`].
pub fn open_existing(path: &Path) -> Result<(File, Metadata), Distrust> {
    match path.symlink_metadata() {
        Ok(meta) if !meta.is_file() => Err(Distrust::Kind(path.into(), "a regular file")),
        Ok(_) => open_seen(File::options().read(true), path),
        Err(e) => Err(Distrust::Io(path.into(), e)),
    }
}

/// Opens what was a regular file a moment ago. Should another file have replaced it since, the flags follow no link and do not wait for a FIFO
/// (man 2 `open`).
fn open_seen(options: &mut OpenOptions, path: &Path) -> Result<(File, Metadata), Distrust> {
    let io = |e| Distrust::Io(path.into(), e);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = options.custom_flags(flags.bits()).open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(Distrust::Kind(path.into(), "a regular file"));
    }
    check(path, &meta)?;
    Ok((file, meta))
}

/// Creates a directory of this mode, unless it exists, and the missing directories above it (0755). Each directory is checked before anything is
/// created in it, so that an attempt in an untrusted place, or behind another user's link, leaves nothing.
///
/// # Errors
/// [`Distrust`]; `path` must be absolute.
pub fn create_dir(path: &Path, mode: u32) -> Result<(), Distrust> {
    match check_dir(path) {
        Err(why) if why.is_absent() => {}
        other => return other,
    }
    let above = path.parent().ok_or_else(|| Distrust::Kind(path.into(), "an absolute path"))?;
    match walk(above) {
        Err(why) if why.is_absent() => create_dir(above, 0o755)?,
        Err(why) => return Err(why),
        // Another process may create something of that name at the same time. The check below covers it.
        Ok(place) if place.meta.is_dir() && is_own(&place.meta) && is_sticky(&place.meta) => {}
        Ok(place) => check(&place.real, &place.meta)?,
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Distrust::Io(path.into(), error)),
        _ => check_dir(path),
    }
}

/// Checks that no other user can decide what the directory at `path` holds. If it does not exist, the directory in which it would be created is
/// checked.
///
/// # Errors
/// [`Distrust`]; `path` must be absolute.
pub fn check_place(path: &Path) -> Result<(), Distrust> {
    match (check_dir(path), path.parent()) {
        (Err(why), Some(above)) if why.is_absent() => check_place(above),
        (other, _) => other,
    }
}

/// Checks one of Crossfade's directories and every directory above it.
///
/// # Errors
/// [`Distrust`]; `path` must be absolute.
pub fn check_dir(path: &Path) -> Result<(), Distrust> {
    let Place { real, meta, .. } = walk(path)?;
    if !meta.is_dir() {
        return Err(Distrust::Kind(real, "a directory"));
    }
    check(&real, &meta)
}

/// [`check_dir`], which also removes all access of other users to the directory: a user who can read a file could hold a lock on it.
///
/// # Errors
/// [`Distrust`]; `path` must be absolute.
pub fn check_private_dir(path: &Path) -> Result<(), Distrust> {
    let Place { real, meta, .. } = walk(path)?;
    if !meta.is_dir() {
        return Err(Distrust::Kind(real, "a directory"));
    }
    check(&real, &meta)?;
    if meta.mode() & (Mode::S_IRWXG | Mode::S_IRWXO).bits() != 0 {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&real, private).map_err(|e| Distrust::Io(real, e))?;
    }
    Ok(())
}

/// Resolves `path` to its real path, and checks every directory and link on the way. The last component itself is not checked.
///
/// # Errors
/// [`Distrust`] names the component.
pub fn resolve(path: &Path) -> Result<PathBuf, Distrust> {
    walk(path).map(|place| place.real)
}

#[cfg(test)]
mod tests;
