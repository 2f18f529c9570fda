//! The node's systemd, asked through its own systemctl.

use std::path::Path;
use std::process::{Command, Stdio};

/// Is there where systemd is PID 1. *Source*: man 3 `sd_booted`.
const BOOTED: &str = "/run/systemd/system";

/// Whether systemd runs this node.
#[must_use]
pub fn is_here() -> bool {
    Path::new(BOOTED).is_dir()
}

/// Runs systemctl with these arguments and waits for it.
///
/// # Errors
/// What it says.
pub fn run(arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new("systemctl").args(arguments).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", output.status, said.lines().next().unwrap_or("it says nothing")))
}
