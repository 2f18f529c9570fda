//! The way to a path: every directory and link on it, each inspected and checked.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::Uid;

use super::Distrust;

/// The number of links on one path that count as a loop. The kernel has the same limit.
const MAX_LINKS: usize = 40;

thread_local! {
    /// The directories that this thread has inspected, by their real paths; none while it inspects each directory every time. They are few, so a list
    /// will do.
    static INSPECTED: RefCell<Option<Vec<(PathBuf, Metadata)>>> = const { RefCell::new(None) };
}

/// From now on, this thread inspects each directory on the way to a file once. Only for a program that ends with its call.
pub fn inspect_once() {
    INSPECTED.with_borrow_mut(|inspected| {
        inspected.get_or_insert_default();
    });
}

/// The metadata of what is at a real path, itself and not what a link leads to.
fn look(path: &Path) -> Result<Metadata, Distrust> {
    // A real path has one spelling, so its bytes will do. To compare paths name by name was an eighth of an ADD's instructions.
    let is_this = |other: &Path| other.as_os_str() == path.as_os_str();
    let cached = INSPECTED.with_borrow(|inspected| {
        inspected.iter().flatten().find(|(path, _)| is_this(path)).map(|(_, meta)| meta.clone())
    });
    if let Some(meta) = cached {
        return Ok(meta);
    }
    let meta = path.symlink_metadata().map_err(|e| Distrust::Io(path.into(), e))?;
    if meta.is_dir() {
        INSPECTED.with_borrow_mut(|inspected| {
            if let Some(inspected) = inspected {
                inspected.push((path.into(), meta.clone()));
            }
        });
    }
    Ok(meta)
}

/// The end of a path.
pub(super) struct Place {
    pub(super) real: PathBuf,
    /// The metadata of the last component.
    pub(super) meta: Metadata,
    /// The last component lies directly in a sticky directory that other users may write to, and belongs to root or to this uid.
    pub(super) sticky: bool,
}

/// Resolves `path` to its real path, and checks every directory and link on the way. The last component itself is not checked.
///
/// Each directory is inspected once. Only a trusted user could change it between that check and its use.
///
/// # Errors
/// [`Distrust`] names the component; `path` must be absolute.
pub(super) fn walk(path: &Path) -> Result<Place, Distrust> {
    if !path.is_absolute() {
        return Err(Distrust::Kind(path.into(), "an absolute path"));
    }
    let mut todo = Cow::Borrowed(path);
    let mut real = PathBuf::with_capacity(path.as_os_str().len());
    real.push("/");
    let mut here = look(&real)?;
    let mut links = 0;
    let mut sticky = false;
    loop {
        let mut components = todo.components();
        let target = loop {
            match components.next() {
                None => return Ok(Place { real, meta: here, sticky }),
                Some(Component::RootDir | Component::CurDir | Component::Prefix(_)) => {}
                Some(Component::ParentDir) => {
                    real.pop();
                    (here, sticky) = (look(&real)?, false);
                }
                Some(Component::Normal(name)) => {
                    real.push(name);
                    let meta = look(&real)?;
                    sticky = check_above(&here, &real, &meta)?;
                    if meta.is_symlink() {
                        links += 1;
                        if links > MAX_LINKS || !is_own(&meta) {
                            return Err(Distrust::Kind(real, "a link of ours to follow"));
                        }
                        break real.read_link().map_err(|e| Distrust::Io(real.clone(), e))?;
                    }
                    here = meta;
                }
            }
        };
        if target.is_absolute() {
            real.push("/");
            here = look(&real)?;
        } else {
            // The target counts from the directory that holds the link.
            real.pop();
        }
        todo = Cow::Owned(target.join(components.as_path()));
    }
}

/// Checks the directory on the way to `next`. Returns true if only its sticky bit makes the directory acceptable.
fn check_above(dir: &Metadata, next: &Path, next_meta: &Metadata) -> Result<bool, Distrust> {
    match check(next.parent().unwrap_or(next), dir) {
        Err(_) if dir.is_dir() && is_own(dir) && is_sticky(dir) && is_own(next_meta) => Ok(true),
        other => other.map(|()| false),
    }
}

/// Whether it belongs to root or to this uid.
pub(super) fn is_own(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == Uid::effective().as_raw()
}

fn writable_by_others(meta: &Metadata) -> bool {
    meta.mode() & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0
}

/// Checks that no other user can write it or decides who can.
pub(super) fn check(path: &Path, meta: &Metadata) -> Result<(), Distrust> {
    if !is_own(meta) {
        Err(Distrust::Owner(path.into(), meta.uid()))
    } else if writable_by_others(meta) {
        Err(Distrust::Mode(path.into(), meta.mode()))
    } else {
        Ok(())
    }
}

pub(super) fn is_sticky(meta: &Metadata) -> bool {
    meta.mode() & Mode::S_ISVTX.bits() != 0
}
