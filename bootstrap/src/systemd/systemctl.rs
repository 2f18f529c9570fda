//! The node's systemd, asked through its own systemctl.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::change::outcome::{Done, Outcome};
use crate::change::{Act, Change};
use crate::cli::exit::{Exit, Failure};
use crate::node::command::{RunLimits, run};

/// Units that run what we bring.
const UNITS: [&str; 2] = ["crossfade-boot.service", "crossfade-watch.service"];
/// Is there where systemd is PID 1. *Source*: man 3 `sd_booted`.
const BOOTED: &str = "/run/systemd/system";
/// Where programs and units go.
const PACKAGED: &str = "/usr";
/// How long systemctl may answer a question, and the largest answer.
const QUERY_LIMITS: RunLimits = RunLimits { within: Duration::from_secs(30), max_bytes: MAX_BYTES };
/// How long systemctl may wait for the jobs of our two units. systemd ends each job after 90 s. *Source*: man 5 `systemd-system.conf`,
/// `DefaultTimeoutStartSec=`.
const JOB_LIMITS: RunLimits = RunLimits { within: Duration::from_secs(300), max_bytes: MAX_BYTES };
const MAX_BYTES: usize = 1 << 20;

/// Whether systemd runs this node.
#[must_use]
pub fn is_here() -> bool {
    Path::new(BOOTED).is_dir()
}

/// Whether units can be brought to this node.
///
/// # Errors
/// Why they cannot.
pub fn check() -> Result<(), String> {
    if !is_here() {
        return Err("systemd does not run this node".into());
    }
    let read_only = statvfs(PACKAGED).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
    if read_only { Err(format!("{PACKAGED} of this node is read-only")) } else { Ok(()) }
}

/// What has `watch` run as a unit from now on; started anew where its files are others than before.
#[must_use]
pub fn start(news: bool) -> Vec<Change> {
    let [boot, watch] = UNITS;
    let verb = if news { "restart" } else { "start" };
    let mut changes = Vec::new();
    if news {
        changes.push(systemctl(vec!["daemon-reload"], "its units are others than before"));
    }
    changes.push(systemctl(vec!["enable", "--quiet", boot, watch], "at every boot from now on"));
    changes.push(systemctl(vec![verb, watch], "now"));
    changes
}

/// Whether systemd can run `watch` as a unit.
///
/// # Errors
/// Why it cannot.
pub fn watch_unit() -> Result<(), String> {
    let [_, watch] = UNITS;
    if !is_here() {
        return Err("systemd does not run this node".into());
    }
    let mut show = Command::new("systemctl");
    let output = run(show.args(["show", "--property=LoadState", watch]), QUERY_LIMITS);
    let state = output.map_err(|e| format!("systemctl: {e}"))?.stdout_text();
    match state.trim().strip_prefix("LoadState=") {
        Some("loaded") => Ok(()),
        Some("masked") => Err(format!("{watch} is masked: systemctl unmask {watch}")),
        _ => Err(format!("systemd does not know {watch}")),
    }
}

/// What has `watch` run as the unit that is there.
#[must_use]
pub fn start_watch() -> Change {
    let [_, watch] = UNITS;
    systemctl(vec!["start", watch], "pods wait for files that it keeps")
}

/// What ends the units; before their files are removed.
#[must_use]
pub fn stop() -> Vec<Change> {
    let [boot, watch] = UNITS;
    vec![systemctl(vec!["disable", "--quiet", "--now", watch, boot], "they are taken away")]
}

/// What tells systemd that the units are gone.
#[must_use]
pub fn forget() -> Vec<Change> {
    vec![systemctl(vec!["daemon-reload"], "the units are gone")]
}

fn systemctl(arguments: Vec<&'static str>, why: &str) -> Change {
    let target = format!("systemctl {}", arguments.join(" "));
    Change::new(Act::Systemctl(arguments), target, why)
}

/// Carries out changes of [`start`], [`stop`] and [`forget`]; others are none of ours.
///
/// # Errors
/// What systemctl says.
pub fn carry_out(changes: Vec<Change>) -> Result<Vec<Done>, Failure> {
    let mut done = Vec::new();
    for change in changes {
        if let Act::Systemctl(arguments) = &change.act {
            call(Command::new("systemctl").args(arguments), JOB_LIMITS)
                .map_err(|why| Failure::new(Exit::Failed, format!("{}: {why}", change.target)))?;
            done.push(Done { change, outcome: Some(Outcome::Done) });
        }
    }
    Ok(done)
}

/// Runs a systemctl and waits until what it asked systemd for is done.
fn call(systemctl: &mut Command, limits: RunLimits) -> Result<(), String> {
    run(systemctl, limits).map_err(|error| error.to_string())?.check_success()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_systemctl_that_hangs_is_ended_at_its_deadline() {
        let limits = |secs| RunLimits { within: Duration::from_secs(secs), ..JOB_LIMITS };
        let systemctl = |script, secs| call(Command::new("/bin/sh").args(["-c", script]), limits(secs));
        assert_eq!(systemctl("sleep 1000", 1), Err("no answer within 1 s".to_owned()));
        assert_eq!(
            systemctl("echo Job failed. >&2; exit 1", 60),
            Err("exit status: 1: Job failed.".to_owned())
        );
        assert_eq!(systemctl("exit 0", 60), Ok(()));
    }
}
