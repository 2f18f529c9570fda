//! Other processes: whether a pid is still the same process, and how to kill a process group.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::host::file::read_bounded;
use crate::host::signal::Signals;

/// The largest `/proc/PID/stat`, in bytes: 52 numbers and a name of at most 64 bytes.
const MAX_STAT_BYTES: usize = 2048;

/// The identity of a process, which tells it from a later one with the same pid.
///
/// *Shape*: `{"pid":812,"start":73021}`; `start` in clock ticks since boot, as in field 22 of `/proc/PID/stat` (man 5 `proc`). It is the tick in which
/// the process started, or a later one in which it was seen: two processes never have a pid at the same time, so the one that has it now is the
/// recorded one if it started by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The pid. A delegate's pid is also its process group.
    pub pid: i32,
    /// The time at which the process started, or at which it was seen ([`Process::seen_now`]).
    pub start: u64,
}

impl Process {
    /// This process.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::read(std::process::id().cast_signed()).ok_or_else(|| io::Error::other("/proc is not mounted"))
    }

    /// The process that certainly has this pid at the moment: this process, or a child that was not waited for. It takes the clock and not a read of
    /// `/proc`.
    ///
    /// # Errors
    /// The clock cannot be read.
    pub fn seen_now(pid: i32) -> io::Result<Self> {
        let since_boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u128::try_from(ticks).ok());
        let per_second =
            per_second.ok_or_else(|| io::Error::other("the length of a clock tick is not known"))?;
        // Rounded down as the kernel rounds a start, so the process started in this tick or in an earlier one.
        let ticks = since_boot.as_nanos() * per_second / 1_000_000_000;
        Ok(Self { pid, start: u64::try_from(ticks).unwrap_or(u64::MAX) })
    }

    /// The process with this pid, zombies included.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        let mut file = File::open(format!("/proc/{pid}/stat")).ok()?;
        let stat = read_bounded(&mut file, MAX_STAT_BYTES).ok()?;
        // The name in parentheses may hold any character, so the fields are counted behind the last parenthesis.
        let text = String::from_utf8_lossy(&stat);
        let start = text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start })
    }

    /// Whether this is the process that has its pid now.
    fn is_same(self, now: Self) -> bool {
        self.pid == now.pid && now.start <= self.start
    }

    /// Whether the process still exists.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::read(self.pid).is_some_and(|now| self.is_same(now))
    }

    /// Sends a signal to the process if it still exists.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            // The process may end between the check and the signal, which is fine.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Kills the process group that the process leads or led.
    ///
    /// The kernel reserves the pid of a dead leader as long as the group has a member, so a group of that number is still the same. If another
    /// process has the pid, the group is gone.
    pub fn kill_group(self) {
        // 0 means the shim's own group, which may be the runtime's, and init leads group 1.
        if self.pid <= 1 {
            return;
        }
        match Self::read(self.pid) {
            Some(other) if !self.is_same(other) => {}
            _ => {
                let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
            }
        }
    }

    /// Whether the process group that the process leads or led has no member any more, zombies included.
    #[must_use]
    pub fn group_is_gone(self) -> bool {
        Self::read(self.pid).is_some_and(|other| !self.is_same(other))
            || killpg(Pid::from_raw(self.pid), None).is_err()
    }
}

/// Ends a process group of the shim's children: SIGTERM, `grace`, SIGKILL. Then waits until every member that is a child of the shim is gone, so
/// that no process works against a rollback.
///
/// A grandchild whose parent died becomes a child of the shim, because the shim is a child subreaper (man 2 `prctl`).
pub fn end_group(group: i32, grace: Duration, signals: &Signals) {
    let pgid = Pid::from_raw(group);
    let _ = killpg(pgid, Signal::SIGTERM);
    let until = Instant::now() + grace;
    while !reap_group(pgid) {
        if Instant::now() >= until {
            let _ = killpg(pgid, Signal::SIGKILL);
            // Only a process in an uninterruptible sleep survives this for long.
            let last = Instant::now() + Duration::from_secs(1);
            while !reap_group(pgid) && Instant::now() < last {
                signals.pause(Duration::from_millis(5));
            }
            return;
        }
        signals.pause((until - Instant::now()).min(Duration::from_millis(20)));
    }
}

/// Reaps the ended members of a group. Returns true if the group has no member any more.
fn reap_group(pgid: Pid) -> bool {
    loop {
        match waitpid(Pid::from_raw(-pgid.as_raw()), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            // The group has no child of the shim any more, but it may have other processes.
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
        assert!(
            !Process { start: me.start - 1, ..me }.is_alive(),
            "it had the pid before this process started"
        );
        assert_eq!(Process::read(i32::MAX), None);
        let seen = Process::seen_now(me.pid).expect("a clock");
        assert!(seen.start >= me.start && seen.is_alive(), "{seen:?} {me:?}");
    }
}
