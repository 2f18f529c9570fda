//! The directory and the files of the locks.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::host::file;
use crate::host::trust::{self, Distrust};
use crate::node::layout::Layout;

/// Creates and checks the lock directory. Who could write there could make the shim kill any process, and who could enter it could hold the
/// shim's locks forever.
pub(super) fn prepare(layout: &Layout, name: &str) -> io::Result<PathBuf> {
    let dir = layout.locks();
    match trust::check_private_dir(&dir) {
        Err(why) if why.is_absent() => {
            file::create_private_dir(&layout.run_dir)?;
            file::create_private_dir(&dir)?;
        }
        other => other?,
    }
    Ok(dir.join(name))
}

/// Opens a lock's file, which is created if no call holds or waits for the lock. The shim writes the holder into it, so the file must be a lock alone,
/// without a second name elsewhere.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(file::PRIVATE);
    let flags = OFlag::O_NOFOLLOW.bits();
    match options.clone().create_new(true).custom_flags(flags).open(path) {
        // No other uid had the file before, because the directory is private.
        Ok(file) => return Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Distrust::Io(path.into(), error).into()),
    }
    match trust::open_regular(options.create(true).truncate(false), path)? {
        (_, meta) if meta.nlink() > 1 => {
            Err(io::Error::other(format!("{} has a second name; expected a lock: remove it", path.display())))
        }
        (file, meta) if meta.mode() & 0o077 != 0 => {
            file.set_permissions(PermissionsExt::from_mode(file::PRIVATE))?;
            Ok(file)
        }
        (file, _) => Ok(file),
    }
}
