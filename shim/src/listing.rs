//! Lists a directory without the C library, which the standard library and nix ask: musl would set up a heap of its own for it, which is five system
//! calls.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use rustix::fs::RawDir;

/// The buffer for entries, in bytes. It holds some forty records, and an entry with the longest name at least (man 2 `getdents`).
const BUFFER_BYTES: usize = 4096;

/// The paths of everything in a directory, in no particular order.
///
/// # Errors
/// `NotFound` if there is no directory, and any other error of `open` or `getdents`.
pub fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    // Whatever else is there is not opened, because opening a FIFO waits for its other end (man 7 `fifo`).
    let opened = File::options().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(dir)?;
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(opened, &mut buffer);
    let mut paths = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            paths.push(dir.join(OsStr::from_bytes(name)));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn every_entry_is_listed_once_and_nothing_but_a_directory_is_opened() {
        let dir = std::env::temp_dir().join(format!("crossfade-listing-{}", std::process::id()));
        assert_eq!(paths(&dir).expect_err("absent").kind(), io::ErrorKind::NotFound);
        std::fs::create_dir(&dir).expect("dir");
        assert_eq!(paths(&dir).expect("empty"), Vec::<PathBuf>::new());
        // More than the buffer holds, and the longest names that there are.
        let names = (0..100).map(|number| format!("{number:0>255}")).chain([".hidden".to_owned()]);
        let made: BTreeSet<PathBuf> = names.map(|name| dir.join(name)).collect();
        made.iter().for_each(|path| std::fs::write(path, "").expect("file"));
        let listed = paths(&dir).expect("listed");
        assert_eq!(listed.len(), made.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), made);
        let fifo = dir.join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).expect("fifo");
        assert_eq!(paths(&fifo).expect_err("no directory").kind(), io::ErrorKind::NotADirectory);
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
