//! Durable writes and bounded reads.
//!
//! Every write is a temporary file in the same directory, fsync, rename, fsync of the directory, so that a reader sees the
//! old bytes or the new ones, also after a power loss. Temporary names never end in `.conf`, `.conflist` or `.json`, so
//! that a runtime does not take one for a conf.
//!
//! The temporary file has no name until it is complete (man 2 `open`, O_TMPFILE), so a killed writer leaves nothing. A new file
//! gets its name by link. A file that may replace another one gets a temporary name first, because a link never replaces a file, and because
//! runtimes that watch a conf directory react to a rename and not to a link. If the file system has no files without names, the temporary file
//! has its name from the beginning, and the sweep removes the files that a killed writer left.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::unistd::linkat;

use crate::host::trust;

/// The mode of state files.
pub const PRIVATE: u32 = 0o600;

/// The prefix of every temporary file's name, by which the sweep finds the files that a crash left.
pub const TEMP_PREFIX: &str = ".tmp-";

/// The buffer for a first read, in bytes. Most files are smaller and need one read and one for their end, instead of six with a growing buffer.
const USUAL_BYTES: usize = 4096;

/// Reads at most `max` bytes.
///
/// # Errors
/// `FileTooLarge` if there are more bytes; the text names the limit.
pub fn read_bounded(file: &mut impl Read, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(max.min(USUAL_BYTES));
    let read = file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if read > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {max} bytes, which is the limit"),
        ));
    }
    Ok(bytes)
}

/// Reads a whole regular file of at most `max` bytes, of any owner. A link to the file is followed.
///
/// Nothing but a regular file is opened, because opening a device may have an effect, and opening a FIFO waits for its other end (man 7 `fifo`).
///
/// # Errors
/// Any I/O error, that the path is no regular file, and the errors of [`read_bounded`].
pub fn read_regular(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    regular(&path.metadata()?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    regular(&file.metadata()?)?;
    read_bounded(&mut file, max)
}

/// Checks that the metadata is of a regular file.
///
/// # Errors
/// The metadata is of something else.
pub fn regular(meta: &Metadata) -> io::Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    Err(io::Error::other("it is no regular file, which is expected here: remove it"))
}

/// Whether `path` leads to this open file. Returns false if either cannot be inspected.
#[must_use]
pub fn is_at(file: &File, path: &Path) -> bool {
    let id = |meta: Metadata| (meta.dev(), meta.ino());
    match (path.metadata(), file.metadata()) {
        (Ok(there), Ok(open)) => id(there) == id(open),
        _ => false,
    }
}

/// Writes `bytes` to `path` durably and returns the open file, positioned at its end.
///
/// # Errors
/// Any I/O error. Then no temporary file is left, and `path` is unchanged.
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    settle(write_unnamed(parent(path)?, bytes, mode)?, path, bytes, mode, Placement::Rename)
}

/// A new state file that holds its bytes, and is neither durable nor under its name yet. Dropped, it was never there.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// None if the file system has no files without names. Such a file is written when it settles.
    unnamed: Option<File>,
}

impl NewFile {
    /// Writes the bytes, which begin their way to the disk. The caller may do something else meanwhile.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn write(path: PathBuf, bytes: Vec<u8>) -> io::Result<Self> {
        let unnamed = write_unnamed(parent(&path)?, &bytes, PRIVATE)?;
        if let Some(file) = &unnamed {
            start_write_back(file);
        }
        Ok(Self { path, bytes, unnamed })
    }

    /// [`write_durable`] of these bytes, with one rename less. Should a file exist at the path all the same, it is replaced.
    ///
    /// # Errors
    /// As [`write_durable`].
    pub fn settle(self) -> io::Result<File> {
        settle(self.unnamed, &self.path, &self.bytes, PRIVATE, Placement::Link)
    }
}

/// Has the kernel begin to write the file's first page to the disk, without waiting for it.
///
/// The kernel writes what the range holds before it lets go of whole pages in it (Linux, `mm/fadvise.c`). It does not let go of a part of a page (man 2
/// `posix_fadvise`), and one byte is never a whole page. If it refuses, fdatasync takes a little longer.
fn start_write_back(file: &File) {
    let _ = posix_fadvise(file, 0, 1, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

/// How a complete file without a name gets its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// By a link if the name is free, else by a rename.
    Link,
    /// By a link to a temporary name and a rename.
    Rename,
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Makes `unnamed`, which holds `bytes`, durable at `path`. Without an unnamed file, one is written with a temporary name.
fn settle(
    unnamed: Option<File>,
    path: &Path,
    bytes: &[u8],
    mode: u32,
    placement: Placement,
) -> io::Result<File> {
    let dir = parent(path)?;
    let file = match unnamed {
        Some(file) => {
            sync(&file, mode)?;
            match place(&file, dir, path, placement) {
                Ok(()) => file,
                // Without the privilege to link it, or on a file system that cannot, the file is written again with a temporary name.
                Err(_) => write_named(dir, path, bytes, mode)?,
            }
        }
        None => write_named(dir, path, bytes, mode)?,
    };
    sync_dir(dir)?;
    Ok(file)
}

/// Writes a file that has a temporary name from the beginning.
fn write_named(dir: &Path, path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let (mut file, temp) = create_temporary(dir, |temp| {
        File::options()
            .append(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(temp)
    })?;
    let written = fill(&mut file, bytes, mode)
        .and_then(|()| sync(&file, mode))
        .and_then(|()| std::fs::rename(&temp, path));
    if let Err(error) = written {
        // The error of the write is the one to report.
        let _ = std::fs::remove_file(&temp);
        return Err(error);
    }
    Ok(file)
}

/// Writes a file without a name; none as in [`create_unnamed`].
fn write_unnamed(dir: &Path, bytes: &[u8], mode: u32) -> io::Result<Option<File>> {
    let mut file = create_unnamed(dir, mode)?;
    if let Some(file) = &mut file {
        fill(file, bytes, mode)?;
    }
    Ok(file)
}

fn fill(file: &mut File, bytes: &[u8], mode: u32) -> io::Result<()> {
    file.write_all(bytes)?;
    if mode == PRIVATE {
        return Ok(());
    }
    // The umask must not change the mode.
    file.set_permissions(Permissions::from_mode(mode))
}

/// Makes the bytes durable, and a mode that [`fill`] has set: fdatasync does not do that.
fn sync(file: &File, mode: u32) -> io::Result<()> {
    if mode == PRIVATE { file.sync_data() } else { file.sync_all() }
}

/// Creates a file in `dir` without a name, which the kernel removes on close; none if the file system or the kernel has no such files.
fn create_unnamed(dir: &Path, mode: u32) -> io::Result<Option<File>> {
    let opened = File::options().append(true).mode(mode).custom_flags(OFlag::O_TMPFILE.bits()).open(dir);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            // A kernel without O_TMPFILE takes the flag for O_DIRECTORY, which it contains, and answers EISDIR.
            Some(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EISDIR | Errno::ENOSYS) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Gives a complete file its name.
fn place(file: &File, dir: &Path, path: &Path, placement: Placement) -> io::Result<()> {
    let link =
        |name: &Path| -> io::Result<()> { Ok(linkat(file, c"", AT_FDCWD, name, AtFlags::AT_EMPTY_PATH)?) };
    if placement == Placement::Link {
        match link(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    let ((), temp) = create_temporary(dir, link)?;
    std::fs::rename(&temp, path).inspect_err(|_| {
        let _ = std::fs::remove_file(&temp);
    })
}

/// [`write_durable`], unless the file already holds exactly these bytes. Returns whether the file was written.
///
/// # Errors
/// Any I/O error.
pub fn write_if_changed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    if File::open(path).and_then(|mut f| read_bounded(&mut f, bytes.len())).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write_durable(path, bytes, mode).map(|_| true)
}

/// Creates one of Crossfade's directories (0700) and the missing directories above it (0755), in checked directories only.
///
/// # Errors
/// Any I/O error except that it exists, and that the directory or one above it is not trusted.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    Ok(trust::create_dir(path, 0o700)?)
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// Any I/O error.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Temporary files in `dir` whose writer does not run any more, by the pid in their names.
///
/// # Errors
/// `dir` cannot be listed.
pub fn abandoned_temps(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(TEMP_PREFIX)) else {
            continue;
        };
        // Another program's file may have the same prefix, but Crossfade's names continue with a pid.
        let pid = rest.split('-').next().unwrap_or_default();
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// Calls `make` with a free temporary name in `dir`.
fn create_temporary<T>(dir: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    for _ in 0..100 {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{TEMP_PREFIX}{pid}-{count}"));
        match make(&path) {
            // A process of an earlier boot may have had the pid of this one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (file, path)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free temporary name; remove the .tmp-* files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_not_rewritten_and_nothing_is_left_over() {
        let dir = std::env::temp_dir().join(format!("crossfade-file-{}", std::process::id()));
        create_private_dir(&dir).expect("dir");
        let path = dir.join("f");
        assert!(write_if_changed(&path, b"one", PRIVATE).expect("write"));
        assert!(!write_if_changed(&path, b"one", PRIVATE).expect("same"));
        assert!(write_if_changed(&path, b"on", PRIVATE).expect("shorter"));
        assert_eq!(std::fs::read(&path).expect("read"), b"on");
        assert_eq!(std::fs::read_dir(&dir).expect("list").count(), 1);
        std::fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn however_a_file_comes_to_its_name_it_replaces_what_was_there_and_leaves_nothing_else() {
        let dir = std::env::temp_dir().join(format!("crossfade-placement-{}", std::process::id()));
        create_private_dir(&dir).expect("dir");
        let path = dir.join("f");
        let holds = |expected: &[u8], mode: u32| {
            assert_eq!(std::fs::read(&path).expect("read"), expected);
            assert_eq!(path.metadata().expect("file").permissions().mode() & 0o777, mode);
            assert_eq!(std::fs::read_dir(&dir).expect("list").count(), 1);
        };
        let new = |bytes: &[u8]| NewFile::write(path.clone(), bytes.to_vec()).expect("written");
        for round in [b"new", b"old"] {
            let mut file = new(round).settle().expect("settled");
            holds(round, 0o600);
            file.write_all(b"+").expect("appended to the file itself");
            assert_eq!(std::fs::read(&path).expect("read"), [round.as_slice(), b"+"].concat());
            drop(write_durable(&path, b"replaced", 0o644).expect("replace"));
            holds(b"replaced", 0o644);
            // As on a file system that has no files without names.
            drop(write_named(&dir, &path, b"named", PRIVATE).expect("named"));
            holds(b"named", 0o600);
        }
        std::fs::remove_file(&path).expect("remove");
        std::fs::create_dir(&path).expect("a directory in its place");
        assert!(write_durable(&path, b"x", PRIVATE).is_err() && new(b"x").settle().is_err());
        assert_eq!(std::fs::read_dir(&dir).expect("list").count(), 1, "nothing is left over");
        std::fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn a_new_file_is_not_there_before_it_settles() {
        let dir = std::env::temp_dir().join(format!("crossfade-new-{}", std::process::id()));
        create_private_dir(&dir).expect("dir");
        let names = || std::fs::read_dir(&dir).expect("list").count();
        let write = || NewFile::write(dir.join("f"), vec![b'x'; 10_000]).expect("written");
        drop(write());
        assert_eq!(names(), 0, "what does not settle leaves nothing");
        let mut new = write();
        assert_eq!(names(), 0);
        // As on a file system that has no files without names.
        new.unnamed = None;
        drop(new.settle().expect("settled"));
        assert_eq!(std::fs::read(dir.join("f")).expect("read"), [b'x'; 10_000]);
        assert_eq!(names(), 1);
        std::fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn reads_are_bounded() {
        assert_eq!(read_bounded(&mut &b"abc"[..], 3).expect("fits"), b"abc");
        assert_eq!(read_bounded(&mut &b"abcd"[..], 3).expect_err("over").kind(), io::ErrorKind::FileTooLarge);
    }
}
