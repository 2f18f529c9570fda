//! Durable writes and bounded reads.
//!
//! Every write is a temporary file in the same directory, fsync, rename, fsync of the directory, so that a reader sees the
//! old bytes or the new ones, also after a power loss. Temporary names never end in `.conf`, `.conflist` or `.json`, so
//! that a runtime does not take one for a conf.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::OFlag;

use crate::trust;

/// Mode of files of state.
pub const PRIVATE: u32 = 0o600;

/// What begins the name of every temporary file; the sweep removes those that a crash left.
pub const TEMP_PREFIX: &str = ".tmp-";

/// Most files we read are smaller: they take one read and one for their end, where feeling the way takes six.
const USUAL_BYTES: usize = 4096;

/// Reads at most `max` bytes.
///
/// # Errors
/// `FileTooLarge` when there are more, with the limit in the text.
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

/// Writes `bytes` to `path` durably and returns the open file, positioned at its end.
///
/// # Errors
/// Any I/O error; then nothing is left over and `path` is what it was.
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let dir = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (temp, mut file) = create_temp(dir, mode)?;
    let written = (|| {
        file.write_all(bytes)?;
        if mode == PRIVATE {
            file.sync_data()?;
        } else {
            // Exactly this mode, whatever the umask; and fdatasync does not promise a mode.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()?;
        }
        std::fs::rename(&temp, path)
    })();
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temp);
        return Err(error);
    }
    sync_dir(dir)?;
    Ok(file)
}

/// [`write_durable`], unless the file holds these very bytes already. Returns whether it was written.
///
/// # Errors
/// Any I/O error.
pub fn write_if_changed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    if File::open(path).and_then(|mut f| read_bounded(&mut f, bytes.len())).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write_durable(path, bytes, mode).map(|_| true)
}

/// Makes a directory of ours (0700) and what is missing above it (0755), in checked directories only.
///
/// # Errors
/// Any I/O error but that it exists, and whom it or a directory above it belongs to when it is not ours.
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

/// Files of `dir` that writers left behind: their name says which process made them.
///
/// # Errors
/// When `dir` cannot be listed.
pub fn abandoned_temps(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(TEMP_PREFIX)) else {
            continue;
        };
        // Others may begin a name like that; ours go on with a pid.
        let pid = rest.split('-').next().unwrap_or_default();
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn create_temp(dir: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    for _ in 0..100 {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{TEMP_PREFIX}{pid}-{count}"));
        let opened = File::options()
            .append(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path);
        match opened {
            // A process of an earlier boot may have had our pid.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (path, file)),
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
    fn reads_are_bounded() {
        assert_eq!(read_bounded(&mut &b"abc"[..], 3).expect("fits"), b"abc");
        assert_eq!(read_bounded(&mut &b"abcd"[..], 3).expect_err("over").kind(), io::ErrorKind::FileTooLarge);
    }
}
