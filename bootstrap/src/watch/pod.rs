//! `watch` in a pod: never two at a time, and crossfade-watch.service comes first.
//!
//! | the unit | another watch | the pod |
//! |---|---|---|
//! | active, or between two tries | | looks on; one that does the work ends, and looks on when it is started again |
//! | inactive, or absent | holds the lock | looks on |
//! | inactive, or absent | none | does the work |
//!
//! The unit may do more (it has units of its own for proofs and sweeps), so it does not wait for a pod to end; while one has yet
//! to notice, the unit's own tries are refused by the lock.

use std::time::Duration;

use convergence::failure::Failure;
use convergence::node::paths::WATCH_UNIT;
use types::command::exit::Exit;

use super::lock::{WatchLock, hold};
use crate::cli::print;
use crate::host::root::Root;

/// Pause between two tries to take over from another `watch`.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Why `watch` in a pod ends.
pub(crate) const GIVES_WAY: &str = "crossfade-watch.service of this node has been started, and comes first";

/// Whether systemd runs `watch` on this node.
#[must_use]
pub(crate) fn unit_runs(root: &Root) -> bool {
    root.entry(WATCH_UNIT).symlink_metadata().is_ok()
}

/// Waits until no other `watch` runs on this node, and takes its lock.
///
/// # Errors
/// The lock fails for another reason than that another process holds it.
pub(crate) fn turn(root: &Root) -> Result<WatchLock, Failure> {
    let mut last_reason = String::new();
    loop {
        let why = if unit_runs(root) {
            "crossfade-watch.service of this node does the work; this pod looks on".to_owned()
        } else {
            match hold(root) {
                Ok(lock) => return Ok(lock),
                Err(failure) if failure.exit == Exit::TryLater => {
                    format!("{}; this pod looks on", failure.lines().join("; "))
                }
                Err(failure) => return Err(failure),
            }
        };
        if last_reason != why {
            print::print_waiting(std::slice::from_ref(&why));
            last_reason = why;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
