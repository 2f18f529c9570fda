//! Files that the operator names.

pub(crate) mod flows;
pub(crate) mod history;
pub(crate) mod settings;
pub(crate) mod snapshot;

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Opens a regular file, or what a link to one leads to. A device may never end, and the program that opens a pipe waits for a writer.
///
/// # Errors
/// It is no regular file, or cannot be opened.
pub(crate) fn open(file: &Path) -> Result<File> {
    if std::fs::metadata(file)?.is_file() {
        File::open(file)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// Reads a file of at most this many bytes. A shell hands over what another program writes as a pipe, so one is read as well.
///
/// # Errors
/// It cannot be read, or has more.
pub(crate) fn read(file: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_ends_is_not_read() {
        let why = read(Path::new("/dev/zero"), 2 << 20).expect_err("no end").to_string();
        assert_eq!(why, "it has more than 2 MiB");
        assert_eq!(read(Path::new("/dev/null"), 0).expect("empty"), b"");
        open(Path::new("/dev/zero")).expect_err("a device");
    }
}
