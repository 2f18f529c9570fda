//! A `systemd-run` for nodes without systemd: it starts what it is given in a process group of its own and does not wait for it, as systemd-run does
//! with `--no-block`. The directory gets the numbers of the processes in `pids`, and their output in `output`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use crate::host::node::PATH;

const SCRIPT: &str = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\n\
    setsid \"$@\" </dev/null >>@DIR@/output 2>&1 &\necho $! >>@DIR@/pids\n";

/// Writes it into a new directory, and returns the `PATH` on which it comes first.
///
/// # Errors
/// What the disk says.
pub fn write(dir: &Path) -> Result<String> {
    fs::create_dir_all(dir)?;
    let program = dir.join("systemd-run");
    fs::write(&program, SCRIPT.replace("@DIR@", &dir.to_string_lossy()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(format!("{}:{PATH}", dir.display()))
}
