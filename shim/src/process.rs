//! Other processes: is it still the one we knew, and how to end a whole group of them.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::file::read_bounded;
use crate::signal::Signals;

/// A `/proc/PID/stat` is 52 numbers and a name of 64 bytes at most.
const MAX_STAT_BYTES: usize = 2048;

/// A process that cannot be confused with a later one of the same pid.
///
/// *Shape*: `{"pid":812,"start":73021}`; `start` in clock ticks since boot, field 22 of `/proc/PID/stat` (man 5 `proc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid; of a delegate also its process group.
    pub pid: i32,
    /// When it was started.
    pub start: u64,
}

impl Process {
    /// This process.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::current_in_session().map(|(process, _)| process)
    }

    /// This process and the session it is in (man 2 `setsid`).
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current_in_session() -> io::Result<(Self, i32)> {
        Self::read(std::process::id().cast_signed()).ok_or_else(|| io::Error::other("/proc is not mounted"))
    }

    /// The process with this pid, zombies included.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Self::read(pid).map(|(process, _)| process)
    }

    /// The process with this pid, and its session.
    fn read(pid: i32) -> Option<(Self, i32)> {
        let mut file = File::open(format!("/proc/{pid}/stat")).ok()?;
        let stat = read_bounded(&mut file, MAX_STAT_BYTES).ok()?;
        // The name in parentheses may hold anything; fields are counted behind its end.
        let text = String::from_utf8_lossy(&stat);
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let session = fields.nth(3)?.parse().ok()?;
        let start = fields.nth(15)?.parse().ok()?;
        Some((Self { pid, start }, session))
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal to it, if it is still there.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            // It may end in between; then there is nobody to tell.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Kills the process group that it leads or led.
    ///
    /// When the leader is gone its pid stays reserved as long as the group has a member, so a group of that number is
    /// still its own; when the pid was given to another process the group is gone.
    pub fn kill_group(self) {
        // 0 would be our own group, and perhaps the runtime's; nobody leads 1 but init.
        if self.pid <= 1 {
            return;
        }
        match Self::of(self.pid) {
            Some(other) if other != self => {}
            _ => {
                let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
            }
        }
    }

    /// Whether nothing is left of the process group that it leads or led, zombies included.
    #[must_use]
    pub fn group_is_gone(self) -> bool {
        Self::of(self.pid).is_some_and(|other| other != self)
            || killpg(Pid::from_raw(self.pid), None).is_err()
    }
}

/// Ends a process group of our own children: SIGTERM, `grace`, SIGKILL, then waits until every member that is ours to
/// wait for is gone, so that nothing goes on working behind an undo.
///
/// Grandchildren whose parent died are ours only because the shim is a child subreaper (man 2 `prctl`).
pub fn end_group(group: i32, grace: Duration, signals: &Signals) {
    let pgid = Pid::from_raw(group);
    let _ = killpg(pgid, Signal::SIGTERM);
    let until = Instant::now() + grace;
    while !reap_group(pgid) {
        if Instant::now() >= until {
            let _ = killpg(pgid, Signal::SIGKILL);
            // Nothing but an uninterruptible sleep in the kernel survives this for long.
            let last = Instant::now() + Duration::from_secs(1);
            while !reap_group(pgid) && Instant::now() < last {
                signals.pause(Duration::from_millis(5));
            }
            return;
        }
        signals.pause((until - Instant::now()).min(Duration::from_millis(20)));
    }
}

/// Reaps what has ended of a group; true when none of it is left.
fn reap_group(pgid: Pid) -> bool {
    loop {
        match waitpid(Pid::from_raw(-pgid.as_raw()), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            // No child of ours is in the group any more; somebody else's may still be.
            Err(_) => return killpg(pgid, None).is_err(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        let me = Process::current().expect("/proc");
        assert!(me.is_alive());
        assert!(!Process { start: me.start + 1, ..me }.is_alive());
        assert_eq!(Process::of(i32::MAX), None);
        let session = nix::unistd::getsid(None).expect("session").as_raw();
        assert_eq!(Process::current_in_session().expect("/proc"), (me, session));
    }
}
