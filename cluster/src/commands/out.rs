//! The file that a command writes.

use std::io::{self, Write};
use std::path::Path;

use types::problem::Problem;

/// Writes a file by writing beside it and renaming, so that nobody reads half of it. Only its owner may read it: it names what runs in the cluster.
///
/// # Errors
/// The file cannot be written. Then it is as it was.
pub(super) fn save(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Problem> {
    let name = file.display().to_string();
    let wrong = |e: io::Error| {
        Problem::new(format!("write {name}: {e}"))
            .at(&name)
            .fix("name a file in a directory that you can write to: --out FILE")
    };
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(dir).map_err(wrong)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, temporary.as_file());
    write(&mut out).and_then(|()| out.flush()).map_err(wrong)?;
    drop(out);
    temporary.as_file().sync_all().map_err(wrong)?;
    temporary.persist(file).map(|_| ()).map_err(|e| wrong(e.error))
}
