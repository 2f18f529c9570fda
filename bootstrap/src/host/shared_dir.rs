//! Files in directories of other owners: a collector of metrics, agents, and every program that shares the conf directory.
//!
//! The owner of a directory decides what lies under any name in it, and may replace a file between a check and its use. So Crossfade opens
//! only regular files and waits for none ([`file::read_regular`]). To write, [`replace`] walks to the directory once, by descriptors, and
//! follows links only where only root could have made them.
//!
//! *Source*: man 2 `open` (`O_PATH`, `O_NOFOLLOW`, `O_NONBLOCK`), man 5 `proc` (`/proc/self/fd`).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::Uid;
use shim::host::file;

/// Links followed on one path before it is called a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Replaces a file by rename, unless it holds these very bytes. Returns whether it was written.
///
/// # Errors
/// Any I/O error; a link that its directory's owner made on the way; that something else than a regular file has this name.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = directory(path.parent().unwrap_or(Path::new("/")))?;
    let place = path_below(&dir, name.as_ref());
    match place.symlink_metadata() {
        Ok(meta) => file::regular(&meta)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // A link that comes to be there by now is replaced as well, and what it leads to is only compared.
    if file::read_regular(&place, bytes.len()).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    file::write_durable(&place, bytes, mode).map(|_| true)
}

/// Opens the directory at `path` as a descriptor that names only the place (`O_PATH`).
fn directory(path: &Path) -> io::Result<File> {
    let mut todo = components(path);
    let mut dir = pin(Path::new("/"))?;
    // Whether only root, or the user of this process, can have decided what lies here.
    let mut certain = true;
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        certain &= is_ours_alone(&dir.metadata()?);
        let next = path_below(&dir, name.as_ref());
        let meta = next.symlink_metadata()?;
        if !meta.is_symlink() {
            dir = pin(&next)?;
            continue;
        }
        links += 1;
        if !certain || links > MAX_LINKS {
            let owner = dir.metadata()?.uid();
            let why =
                format!("{} is a link in a directory of uid {owner}; expected a directory", name.display());
            return Err(io::Error::other(why));
        }
        let target = next.read_link()?;
        if target.is_absolute() {
            dir = pin(Path::new("/"))?;
        }
        components(&target).into_iter().rev().for_each(|name| todo.push_front(name));
    }
    Ok(dir)
}

/// A descriptor that only stands for the directory at `path`.
fn pin(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    File::options().read(true).custom_flags(flags.bits()).open(path)
}

/// The name in this very directory, even if the path to the directory is changed meanwhile.
fn path_below(dir: &File, name: &Path) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

fn components(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

fn is_ours_alone(meta: &Metadata) -> bool {
    let is_own = meta.uid() == 0 || meta.uid() == Uid::effective().as_raw();
    is_own && meta.mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("scratch")
    }

    fn fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let dir = scratch();
        let path = |name: &str| dir.path().join(name);
        fifo(&path("fifo"));
        symlink("fifo", path("link")).expect("link");
        for name in ["fifo", "link", "."] {
            let why = file::read_regular(&path(name), 9).expect_err(name).to_string();
            assert!(why.contains("regular file"), "{name}: {why}");
        }
        for name in ["fifo", "link"] {
            let why = replace(&path(name), b"x", 0o644).expect_err(name).to_string();
            assert!(why.contains("regular file"), "{name}: {why}");
        }
        fs::write(path("file"), "four").expect("file");
        symlink("file", path("to-file")).expect("link");
        assert_eq!(file::read_regular(&path("to-file"), 4).expect("read"), b"four");
        assert_eq!(
            file::read_regular(&path("file"), 3).expect_err("bounded").kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn equal_bytes_are_not_written_again_and_nothing_is_left_over() {
        let dir = scratch();
        let path = dir.path().join("f");
        assert!(replace(&path, b"one", 0o644).expect("written"));
        assert!(!replace(&path, b"one", 0o644).expect("kept"));
        assert!(replace(&path, b"two", 0o644).expect("written"));
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_link_is_followed_only_where_no_other_user_could_have_made_it() {
        let dir = scratch();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("real/deep")).expect("directory");
        fs::create_dir(path("open")).expect("directory");
        symlink("../real", path("open/way")).expect("link");
        // The scratch directory lies below one that all may write to, so that no link of it is certain.
        let why = replace(&path("open/way/f"), b"x", 0o644).expect_err("a link").to_string();
        assert!(why.contains("link") && !path("real/f").exists(), "{why}");
        assert!(replace(&path("real/deep/../f"), b"x", 0o644).expect("no link"));
        assert!(path("real/f").is_file());
    }
}
