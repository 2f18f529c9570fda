//! The file that a command writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use types::command::problem::Problem;

/// Writes a file by writing beside it and renaming, so that no reader sees half of it. Only its owner may read it: it names what runs in the cluster. What
/// is no regular file, such as `/dev/null` or a pipe, is written to as it is.
///
/// # Errors
/// The file cannot be written. Then a regular file is as it was.
pub(super) fn save(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Problem> {
    save_with(file, write).map_err(|e| {
        let name = file.display().to_string();
        Problem::new(format!("write {name}: {e}"))
            .with_place(&name)
            .fix("name a file in a directory that you can write to: --out FILE")
    })
}

fn save_with(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if is_stream(file) {
        return write_all(&OpenOptions::new().write(true).open(file)?, write);
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(dir)?;
    write_all(temporary.as_file(), write)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map(|_| ()).map_err(|e| e.error)
}

fn write_all(file: &File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, file);
    write(&mut out)?;
    out.flush()
}

/// Whether a path leads to what is no regular file, or is a link of the system to a file that a process has open, such as `/dev/stdout`: a
/// rename would replace the link.
fn is_stream(file: &Path) -> bool {
    let Ok(metadata) = fs::metadata(file) else { return false };
    let is_link = fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_symlink());
    !metadata.is_file() || is_link && ["/dev", "/proc"].iter().any(|system| file.starts_with(system))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    use std::os::unix::net::UnixDatagram;

    fn text(out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"text")
    }

    #[test]
    fn what_is_no_regular_file_stays_what_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let device = Path::new("/dev/null");
        save(device, text).expect("written");
        assert!(fs::metadata(device).expect("there").file_type().is_char_device());
        let link = dir.path().join("link");
        symlink(device, &link).expect("a link");
        save(&link, text).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        let socket = dir.path().join("socket");
        let _bound = UnixDatagram::bind(&socket).expect("a socket");
        assert!(save(&socket, text).expect_err("a socket").what.contains("socket"));
        assert!(fs::metadata(&socket).expect("there").file_type().is_socket());
        save(dir.path(), text).expect_err("a directory");
        // What a process has open may be named by a link that must not be replaced.
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
        save(Path::new(&format!("/proc/self/fd/{fd}")), text).expect("written");
        drop(writer);
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("read");
        assert_eq!(read, "text");
    }

    #[test]
    fn a_regular_file_is_replaced_as_a_whole_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "before").expect("written");
        symlink(&file, &link).expect("a link");
        save(&link, text).expect("written");
        assert_eq!(fs::read_to_string(&file).expect("there"), "before", "a link of others leads nowhere");
        save(&file, |out| text(out).and(Err(io::Error::other("full")))).expect_err("full");
        assert_eq!(fs::read_to_string(&file).expect("there"), "before");
        save(&file, text).expect("written");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 2, "nothing is left beside it");
    }
}
