//! `watch` on the node of a scene: it starts, reports, is sent signals, and ends.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::Scene;
use crate::host::deadline::until;
use crate::host::node::Daemon;

/// Tells a `watch` that reports from one that hangs.
const REPORTS_WITHIN: Duration = Duration::from_secs(60);

impl Scene {
    /// Starts `watch` and waits for its first report.
    ///
    /// # Errors
    /// It ends, or does not report.
    pub fn watch(&self) -> Result<Daemon> {
        self.watching(&self.bootstrap(&["unit", "watch"])?)
    }

    /// Starts a command that is `watch`, or that traces it, and waits for its first report.
    ///
    /// # Errors
    /// As [`Scene::watch`].
    pub fn watching(&self, command: &Command) -> Result<Daemon> {
        let mut watch = self.node().background("watch", command)?;
        let pid = watch.pid().as_raw();
        until("the first status of watch", REPORTS_WITHIN, || {
            if let Some(status) = watch.ended()? {
                bail!("watch ended with {status}: {}", fs::read_to_string(watch.log())?);
            }
            let Some(writer) = self.status()["watch"]["pid"].as_i64() else { return Ok(None) };
            // Its pid as the node sees it, or that of its tracer's child.
            let own = inner_pid(pid);
            let traced = only_child(pid).and_then(inner_pid);
            Ok((Some(writer) == own || Some(writer) == traced).then_some(()))
        })?;
        Ok(watch)
    }

    /// status.json; null while there is none.
    pub fn status(&self) -> Value {
        let bytes = fs::read(self.outside("/run/crossfade/status.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }
}

/// Ends `watch` as systemd does.
///
/// # Errors
/// It does not end well; the message has its log.
pub fn end(watch: Daemon) -> Result<()> {
    let log = watch.log().to_path_buf();
    let status = watch.terminate()?;
    ensure!(status.success(), "watch ended with {status}: {}", fs::read_to_string(log)?);
    Ok(())
}

/// Sends a signal to `watch`, or to the one that its tracer traces.
///
/// # Errors
/// It has ended.
pub fn signal(watch: &Daemon, signal: Signal) -> Result<()> {
    let pid = watch.pid().as_raw();
    let pid = only_child(pid).unwrap_or(pid);
    kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to watch"))
}

fn only_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// A pid as the innermost namespace sees it (man 5 proc, `NSpid`).
fn inner_pid(pid: i32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}
