//! Files and directories, changed durably: a write is a rename, a removal is synced, and nothing is done through a link.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use shim::host::file::{self, TEMP_PREFIX};

use crate::host::mounts::Mounts;
use convergence::change::Write;

/// Largest file that is compared, or moved to another filesystem, in bytes: a plugin.
const MAX_BYTES: usize = 64 << 20;

/// Mode of directories in which others read Crossfade's conf or the markers of probes.
pub(crate) const OPEN_DIR: u32 = 0o755;

/// A file's bytes and mode; none where it is absent, cannot be read, or is a link.
#[must_use]
pub(crate) fn read_with_mode(path: &Path) -> Option<(Vec<u8>, u32)> {
    let meta = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
    let bytes = file::read_regular(path, MAX_BYTES).ok()?;
    Some((bytes, meta.mode() & 0o7777))
}

/// Moves what is at `from`; a file also to another filesystem. What is gone is fine. What is there by that name already is kept.
pub(super) fn set_aside(from: &Path, to: &Path, nudge: bool) -> io::Result<()> {
    let (Some(from_dir), Some(dir)) = (from.parent(), to.parent()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    file::create_private_dir(dir)?;
    let mut free = to.to_path_buf();
    let mut count = 1;
    while free.symlink_metadata().is_ok() {
        count += 1;
        free = to.with_added_extension(count.to_string());
    }
    let to = free.as_path();
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && from.symlink_metadata()?.is_file() => {
            let bytes = file::read_bounded(&mut File::open(from)?, MAX_BYTES)?;
            file::write_durable(to, &bytes, file::PRIVATE)?;
            std::fs::remove_file(from)?;
        }
        other => other?,
    }
    file::sync_dir(dir)?;
    file::sync_dir(from_dir)?;
    nudge_if(nudge, from)
}

/// Writes a file by rename, durably; in a conf directory the runtime is nudged.
///
/// # Errors
/// Any I/O error; then the file is what it was.
pub(crate) fn write(write: &Write) -> io::Result<()> {
    file::write_durable(&write.path, &write.bytes, write.mode)?;
    nudge_if(write.nudge, &write.path)
}

/// Removes a file durably; one that is gone is fine. In a conf directory the runtime is nudged.
///
/// # Errors
/// Any I/O error.
pub(crate) fn remove(path: &Path, nudge: bool) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    if let Some(dir) = path.parent() {
        file::sync_dir(dir)?;
    }
    nudge_if(nudge, path)
}

/// Removes a directory with all that is in it, durably; one that is gone is fine. The library goes from directory to directory without
/// following a link, so that nothing outside is reached.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    if let Some(point) = Mounts::read()?.mount_of(path) {
        return Err(io::Error::other(format!("{} is mounted by now; umount it first", point.display())));
    }
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    path.parent().map_or(Ok(()), file::sync_dir)
}

/// Empties a regular file in place, durably.
pub(super) fn truncate(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let file = options.write(true).truncate(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    file.sync_all()
}

/// containerd 1.6 reloads on write, rename-away and remove, and may have missed the first of them: removing a file is the
/// event that it always heeds. The name begins with a dot and has no extension, so that no runtime opens it.
fn nudge_if(should_nudge: bool, path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent().filter(|_| should_nudge) else {
        return Ok(());
    };
    let nudge = dir.join(format!("{TEMP_PREFIX}{}-nudge", std::process::id()));
    File::options().write(true).create_new(true).open(&nudge)?;
    std::fs::remove_file(&nudge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_replaces_nothing_and_what_is_gone_is_fine() {
        let dir = tempfile::tempdir().expect("scratch");
        let (from, to) = (dir.path().join("conf"), dir.path().join("aside/boot/conf"));
        for text in ["one", "two", "three"] {
            std::fs::write(&from, text).expect("file");
            set_aside(&from, &to, false).expect("moved");
        }
        set_aside(&from, &to, false).expect("gone");
        for (name, text) in [("conf", "one"), ("conf.2", "two"), ("conf.3", "three")] {
            assert_eq!(std::fs::read_to_string(to.with_file_name(name)).expect(name), text);
        }
        assert_eq!(to.parent().expect("boot").metadata().expect("made").mode() & 0o777, 0o700);
        let from = dir.path().join("attachments");
        std::fs::create_dir_all(from.join("00")).expect("directory");
        set_aside(&from, &to.with_file_name("attachments"), false).expect("a directory");
        assert!(to.with_file_name("attachments").join("00").is_dir() && !from.exists());
    }

    #[test]
    fn a_tree_is_removed_without_what_its_links_lead_to() {
        let dir = tempfile::tempdir().expect("scratch");
        let path_of = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(path_of("tree/below")).expect("directory");
        std::fs::write(path_of("precious"), "precious").expect("file");
        for link in ["tree/link", "tree/below/link"] {
            std::os::unix::fs::symlink(path_of("precious"), path_of(link)).expect("link");
        }
        std::os::unix::fs::symlink(path_of("tree"), path_of("way")).expect("link");
        truncate(&path_of("tree/link")).expect_err("a link is not emptied");
        remove_tree(&path_of("way")).expect("the link");
        assert!(path_of("tree/below").is_dir() && path_of("way").symlink_metadata().is_err());
        for _ in 0..2 {
            remove_tree(&path_of("tree")).expect("removed, or gone");
        }
        assert!(!path_of("tree").exists());
        assert_eq!(std::fs::read_to_string(path_of("precious")).expect("there"), "precious");
    }

    #[test]
    fn an_emptied_file_is_the_same_file() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join("machine-id");
        std::fs::write(&path, "0123").expect("file");
        let before = path.metadata().expect("there");
        truncate(&path).expect("emptied");
        let after = path.metadata().expect("there");
        assert_eq!((after.len(), after.ino(), after.mode()), (0, before.ino(), before.mode()));
    }
}
