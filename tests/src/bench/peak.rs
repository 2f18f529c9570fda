//! The time of a program, and its peak memory.

use std::fs;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How often the peak of memory is read. The last reading is of a moment in which the program still runs.
const EVERY: Duration = Duration::from_millis(10);

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunCost {
    pub(super) status: ExitStatus,
    pub(super) seconds: f64,
    pub(super) mebibytes: f64,
}

/// Runs a program to its end. On a node it is the child of the program that enters the node, and the larger one counts.
///
/// # Errors
/// It cannot be started, or ended before its memory was read.
pub(super) fn timed(command: &mut Command) -> Result<RunCost> {
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let pid = child.id().to_string();
    let mut kibibytes = 0.0_f64;
    let status = loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for pid in children.split_whitespace().chain([pid.as_str()]) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            kibibytes = high_water_kib(&status).unwrap_or(0.0).max(kibibytes);
        }
        if let Some(status) = child.try_wait().with_context(|| format!("waiting for {command:?}"))? {
            break status;
        }
        std::thread::sleep(EVERY);
    };
    let seconds = began.elapsed().as_secs_f64();
    ensure!(kibibytes > 0.0, "{command:?} ended before its memory was read");
    Ok(RunCost { status, seconds, mebibytes: kibibytes / 1024.0 })
}

/// *Source*: man 5 `proc`, /proc/PID/status.
fn high_water_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
