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
//! ([`inspect_once`]): whoever could change a directory that passed the check decides what runs as root anyway.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Uid;

/// The number of links on one path that count as a loop. The kernel has the same limit.
const MAX_LINKS: usize = 40;

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

thread_local! {
    /// The directories that this thread has inspected, by their real paths; none while it inspects them each time. They are few, so a list will do.
    static INSPECTED: RefCell<Option<Vec<(PathBuf, Metadata)>>> = const { RefCell::new(None) };
}

/// From now on, this thread inspects each directory on the way to a file once. Only for a program that ends with its call.
pub fn inspect_once() {
    INSPECTED.with_borrow_mut(|inspected| _ = inspected.get_or_insert_default());
}

/// The metadata of what is at a real path, itself and not what a link leads to.
fn look(at: &Path) -> Result<Metadata, Distrust> {
    let known = INSPECTED.with_borrow(|inspected| {
        inspected.as_ref()?.iter().find(|(path, _)| path == at).map(|(_, meta)| meta.clone())
    });
    if let Some(meta) = known {
        return Ok(meta);
    }
    let meta = at.symlink_metadata().map_err(|e| Distrust::Io(at.into(), e))?;
    if meta.is_dir() {
        INSPECTED.with_borrow_mut(|inspected| {
            if let Some(inspected) = inspected {
                inspected.push((at.into(), meta.clone()));
            }
        });
    }
    Ok(meta)
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
        Ok(place) if place.meta.is_dir() && ours(&place.meta) && is_sticky(&place.meta) => {}
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

/// The end of a path.
struct Place {
    real: PathBuf,
    /// The metadata of the last component.
    meta: Metadata,
    /// The last component lies directly in a sticky directory that other users may write to, and belongs to root or to this uid.
    sticky: bool,
}

/// [`resolve`], which also returns the last component's metadata.
///
/// Each directory is inspected once. Only a trusted user could change it between that check and its use.
fn walk(path: &Path) -> Result<Place, Distrust> {
    if !path.is_absolute() {
        return Err(Distrust::Kind(path.into(), "an absolute path"));
    }
    let mut todo: VecDeque<OsString> = names(path);
    let mut real = PathBuf::from("/");
    let mut here = look(&real)?;
    let mut links = 0;
    let mut sticky = false;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            real.pop();
            (here, sticky) = (look(&real)?, false);
            continue;
        }
        let next = real.join(&name);
        let meta = look(&next)?;
        sticky = check_above(&real, &here, &meta)?;
        if meta.is_symlink() {
            links += 1;
            if links > MAX_LINKS || !ours(&meta) {
                return Err(Distrust::Kind(next, "a link of ours to follow"));
            }
            let target = next.read_link().map_err(|e| Distrust::Io(next.clone(), e))?;
            if target.is_absolute() {
                real = PathBuf::from("/");
                here = look(&real)?;
            }
            for name in names(&target).into_iter().rev() {
                todo.push_front(name);
            }
        } else {
            (real, here) = (next, meta);
        }
    }
    Ok(Place { real, meta: here, sticky })
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn ours(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == Uid::effective().as_raw()
}

fn writable_by_others(meta: &Metadata) -> bool {
    meta.mode() & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0
}

fn check(path: &Path, meta: &Metadata) -> Result<(), Distrust> {
    if !ours(meta) {
        Err(Distrust::Owner(path.into(), meta.uid()))
    } else if writable_by_others(meta) {
        Err(Distrust::Mode(path.into(), meta.mode()))
    } else {
        Ok(())
    }
}

fn is_sticky(meta: &Metadata) -> bool {
    meta.mode() & Mode::S_ISVTX.bits() != 0
}

/// Checks a directory on the way to `next`. Returns true if only its sticky bit makes the directory acceptable.
fn check_above(path: &Path, dir: &Metadata, next: &Metadata) -> Result<bool, Distrust> {
    match check(path, dir) {
        Err(_) if dir.is_dir() && ours(dir) && is_sticky(dir) && ours(next) => Ok(true),
        other => other.map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("crossfade-trust-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("scratch");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("mode");
        dir
    }

    fn put(path: &Path, mode: u32) {
        fs::write(path, "x").expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
    }

    #[test]
    fn a_file_of_ours_below_a_sticky_directory_is_trusted() {
        let dir = scratch("good");
        put(&dir.join("f"), 0o644);
        open(&dir.join("f")).expect("trusted");
        fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn group_and_world_writable_files_and_directories_are_not() {
        let dir = scratch("bad");
        for mode in [0o664, 0o646, 0o666] {
            put(&dir.join("f"), mode);
            assert!(matches!(open(&dir.join("f")), Err(Distrust::Mode(_, m)) if m & 0o777 == mode));
        }
        put(&dir.join("f"), 0o600);
        for mode in [0o775, 0o757] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).expect("mode");
            assert!(matches!(open(&dir.join("f")), Err(Distrust::Mode(p, _)) if p == dir), "{mode:o}");
        }
        fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn a_link_is_followed_only_through_trusted_directories() {
        let dir = scratch("link");
        let open_dir = dir.join("open");
        fs::create_dir(&open_dir).expect("dir");
        fs::set_permissions(&open_dir, fs::Permissions::from_mode(0o755)).expect("mode");
        put(&open_dir.join("target"), 0o600);
        symlink(open_dir.join("target"), dir.join("link")).expect("link");
        open(&dir.join("link")).expect("both directories are ours");
        fs::set_permissions(&open_dir, fs::Permissions::from_mode(0o777)).expect("mode");
        assert!(matches!(open(&dir.join("link")), Err(Distrust::Mode(p, _)) if p == open_dir));
        symlink("loop", dir.join("loop")).expect("link");
        assert!(matches!(open(&dir.join("loop")), Err(Distrust::Kind(..))));
        fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_absence_is_told_apart() {
        let dir = scratch("kind");
        assert!(matches!(open(&dir), Err(Distrust::Kind(..))));
        assert!(open(&dir.join("gone")).is_err_and(|e| e.is_absent()));
        assert!(matches!(open(Path::new("f")), Err(Distrust::Kind(..))));
        fs::remove_dir_all(dir).expect("clean");
    }
}
