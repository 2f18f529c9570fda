//! The client of the node's systemctl.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::command::{RunLimits, run as run_command};
use crate::host::program;

/// Is there where systemd is PID 1. *Source*: man 3 `sd_booted`.
const BOOTED: &str = "/run/systemd/system";
/// How long systemctl may answer a question, and the largest answer.
const QUERY_LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(30), max_bytes: MAX_BYTES };
/// How long systemctl may wait for the jobs of Crossfade's two units. systemd ends each job after 90 s. *Source*: man 5
/// `systemd-system.conf`, `DefaultTimeoutStartSec=`.
const JOB_LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(300), max_bytes: MAX_BYTES };
const MAX_BYTES: usize = 1 << 20;

/// Whether systemd runs this node.
#[must_use]
pub(crate) fn is_here() -> bool {
    Path::new(BOOTED).is_dir()
}

/// The node's systemctl.
///
/// # Errors
/// There is none, or other users could write to it.
pub(crate) fn command() -> io::Result<Command> {
    program::command("systemctl")
}

/// Runs systemctl with these arguments and waits for it.
///
/// # Errors
/// What it says.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let mut systemctl = command().map_err(|why| format!("systemctl: {why}"))?;
    call(systemctl.args(arguments), JOB_LIMITS)
}

/// Runs a query of systemctl and returns its output.
///
/// # Errors
/// It cannot be run, or does not answer.
pub(crate) fn query(arguments: &[&str]) -> Result<String, String> {
    let failure = |why: &dyn std::fmt::Display| format!("systemctl: {why}");
    let mut systemctl = command().map_err(|why| failure(&why))?;
    let output = run_command(systemctl.args(arguments), QUERY_LIMITS);
    Ok(output.map_err(|why| failure(&why))?.stdout_text())
}

/// Asks what systemd has loaded of a unit: `loaded`, `masked`, `not-found`, ... *Source*: man 1 `systemctl`, `LoadState`.
///
/// # Errors
/// As [`query`].
pub(crate) fn load_state(unit: &str) -> Result<String, String> {
    let answer = query(&["show", "--property=LoadState", unit])?;
    Ok(answer.trim().strip_prefix("LoadState=").unwrap_or_default().to_owned())
}

/// Runs a systemctl and waits until what it asked systemd for is done.
fn call(systemctl: &mut Command, limits: RunLimits) -> Result<(), String> {
    run_command(systemctl, limits).map_err(|error| error.to_string())?.check_success()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_systemctl_that_hangs_is_ended_at_its_deadline() {
        let limits = |secs| RunLimits { timeout: Duration::from_secs(secs), ..JOB_LIMITS };
        let systemctl = |script, secs| call(Command::new("/bin/sh").args(["-c", script]), limits(secs));
        assert_eq!(systemctl("sleep 1000", 1), Err("no answer within 1 s".to_owned()));
        assert_eq!(
            systemctl("echo Job failed. >&2; exit 1", 60),
            Err("exit status: 1: Job failed.".to_owned())
        );
        assert_eq!(systemctl("exit 0", 60), Ok(()));
    }
}
