//! Owner and mode checks of files and of every directory above them.
//!
//! Everything we read decides what runs as root, so it must belong to root or to our effective uid, and nobody else may
//! be able to write it or to replace it: neither group nor others on the file and on every directory above it. A sticky
//! directory (`/tmp`) is fine when its next component is ours, because then nobody else can rename or remove that one
//! (man 7 `inode`, "sticky bit"); but a file right in one must have no second name, for others can give ours one there. Links
//! are followed by hand, and the directories of both ends are held to the rule. Nothing but a regular file is ever opened, and
//! nothing is made in a directory that was not checked.

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

/// Links followed on one path before it is called a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Why a path is not to be trusted.
#[derive(Debug)]
pub enum Distrust {
    /// It, or a directory above it, cannot be looked at.
    Io(PathBuf, io::Error),
    /// It, or a directory above it, belongs to somebody else: path, uid.
    Owner(PathBuf, u32),
    /// It, or a directory above it, is writable by group or others: path, mode.
    Mode(PathBuf, u32),
    /// It is not what was expected: path, expected.
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
        // Not even opened: a device may do something then.
        return Err(Distrust::Kind(place.real, "a regular file"));
    }
    if place.sticky && place.meta.nlink() > 1 {
        // At rest: where the kernel lets anybody name root's files (man 5 `proc`, protected_hardlinks), they can come and go
        // faster than we count.
        return Err(Distrust::Kind(
            place.real,
            "a file with one name, as it must be where others may add names",
        ));
    }
    open_seen(File::options().read(true), &place.real).map(|(file, _)| file)
}

/// Opens, as `options` say, a file of ours in a directory that the caller has checked, and checks it.
///
/// The directory is ours alone, so nobody else can have put anything there; what is no regular file all the same is neither
/// followed nor waited for, nor opened at all.
///
/// # Errors
/// [`Distrust`].
pub fn open_regular(options: &mut OpenOptions, path: &Path) -> Result<(File, Metadata), Distrust> {
    match path.symlink_metadata() {
        Ok(meta) if !meta.is_file() => Err(Distrust::Kind(path.into(), "a regular file")),
        // Absent, it is made or not, as the options say.
        _ => open_seen(options, path),
    }
}

/// Opens what was a regular file a moment ago, and whatever was put there since only to look at it: no link is followed
/// and no FIFO waited for (man 2 `open`).
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

/// Makes a directory of this mode, unless it is there, and what is missing above it (0755); each is checked, and made only
/// in one that is: an attempt in the wrong place must leave nothing behind, least of all behind somebody's link.
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
        // Others may make something of that name as well; it is looked at below.
        Ok(place) if place.meta.is_dir() && ours(&place.meta) && is_sticky(&place.meta) => {}
        Ok(place) => check(&place.real, &place.meta)?,
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Distrust::Io(path.into(), error)),
        _ => check_dir(path),
    }
}

/// Checks the directory at `path`, or, while there is none, the one that it would be made in: whether nobody else can
/// decide what it holds.
///
/// # Errors
/// [`Distrust`]; `path` must be absolute.
pub fn check_place(path: &Path) -> Result<(), Distrust> {
    match (check_dir(path), path.parent()) {
        (Err(why), Some(above)) if why.is_absent() => check_place(above),
        (other, _) => other,
    }
}

/// Checks a directory of ours and every directory above it.
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

/// [`check_dir`], and closes the directory to everybody else where it is open to them: whoever can read a file of ours could
/// keep a lock on it.
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

/// The real path of `path`, every directory and link on the way to it checked; the last component itself is not.
///
/// # Errors
/// [`Distrust`] names the component.
pub fn resolve(path: &Path) -> Result<PathBuf, Distrust> {
    walk(path).map(|place| place.real)
}

/// Where a path leads.
struct Place {
    real: PathBuf,
    /// What is there.
    meta: Metadata,
    /// It lies right in a directory that others may write to, and is ours.
    sticky: bool,
}

/// [`resolve`], with what the last component is.
///
/// Each directory is looked at once, as what the one before leads to: who could change it in between is trusted.
fn walk(path: &Path) -> Result<Place, Distrust> {
    if !path.is_absolute() {
        return Err(Distrust::Kind(path.into(), "an absolute path"));
    }
    let look = |at: &Path| at.symlink_metadata().map_err(|e| Distrust::Io(at.into(), e));
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

/// Checks a directory on the way to `next`; true when only its sticky bit makes it fit.
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
