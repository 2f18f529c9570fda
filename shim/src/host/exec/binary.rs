//! Finds a plugin binary as the reference library does, and checks it by the rules for files that root runs.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, access, faccessat};

use crate::host::file;
use crate::host::trust;

/// A plugin binary that was found and checked.
#[derive(Debug)]
pub struct Binary {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) script: bool,
}

/// Why there is no usable binary for a type.
#[derive(Debug)]
pub struct BinaryError {
    plugin_type: String,
    why: String,
}

impl fmt::Display for BinaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {:?}: {}", self.plugin_type, self.why)
    }
}

impl Binary {
    /// Finds the binary of `plugin_type` in `search`: colon-separated lists of directories, by precedence.
    ///
    /// # Errors
    /// [`NoBinary`] names the directories that were searched, or why the file there cannot be used.
    pub fn find(plugin_type: &str, search: &[&str]) -> Result<Self, BinaryError> {
        let fail = |why: String| BinaryError { plugin_type: plugin_type.to_owned(), why };
        let mut dirs: Vec<&str> =
            search.iter().flat_map(|list| list.split(':')).filter(|dir| !dir.is_empty()).collect();
        dirs.dedup();
        let mut in_the_way = None;
        for dir in &dirs {
            let path = Path::new(dir).join(plugin_type);
            match path.metadata() {
                Ok(meta) if meta.is_file() => return Self::open(&path).map_err(fail),
                Ok(meta) if meta.is_dir() => {
                    in_the_way.get_or_insert(format!("{} is a directory, no program", path.display()));
                }
                Ok(_) => {
                    in_the_way.get_or_insert(format!("{} is no regular file", path.display()));
                }
                Err(_) => {}
            }
        }
        let searched = format!(
            "no such binary in {}",
            if dirs.is_empty() { "CNI_PATH, which is empty".into() } else { dirs.join(", ") }
        );
        Err(fail(in_the_way.unwrap_or(searched)))
    }

    fn open(path: &Path) -> Result<Self, String> {
        let file = trust::open(path).map_err(|e| e.to_string())?;
        // The check is of the open file, even if its path leads to another one by now.
        let executable = faccessat(&file, c"", AccessFlags::X_OK, AtFlags::AT_EMPTY_PATH);
        let executable = match executable {
            // Before Linux 5.8, the kernel does not know the flag.
            Err(Errno::EINVAL | Errno::ENOSYS) => access(&opened_path(file.as_fd()), AccessFlags::X_OK),
            other => other,
        };
        executable.map_err(|_| format!("{} is not executable: chmod +x it", path.display()))?;
        let mut head = [0; 2];
        let script = file.read_exact_at(&mut head, 0).is_ok() && &head == b"#!";
        Ok(Self { path: path.into(), file, script })
    }

    /// Whether this is the file that this process itself runs.
    #[must_use]
    pub fn is_ourselves(&self) -> bool {
        file::is_at(&self.file, Path::new("/proc/self/exe"))
    }
}

/// A path that leads to an open file, by its descriptor.
pub(super) fn opened_path(file: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Why a binary could not be started, for a person. The kernel's error alone names no file.
#[must_use]
pub fn explain_start(binary: &Binary, error: &io::Error) -> String {
    let path = binary.path.display();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOEXEC) => format!("{path} is no program this kernel can run"),
        Some(Errno::ETXTBSY) => format!("{path} is still being written"),
        Some(Errno::ENOENT) => format!("{path}: its interpreter is missing"),
        _ => format!("start {path}: {error}"),
    }
}
