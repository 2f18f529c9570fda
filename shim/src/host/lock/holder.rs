//! The holder of a lock, and the processes that a dead holder has left running.
//!
//! A process belongs to a delegate as long as it is in the delegate's process group, or in the session that the shim and all its delegates
//! share. A process with a session of its own (man 2 `setsid`) is a daemon: the network wants it to stay, whatever it has inherited from the
//! shim. So a dead holder's work is over when the groups that it noted are gone and no process of its session holds the lock. The check of
//! the session finds a delegate that was started and not noted yet: it is in the session from its first moment, even as a clone that has not
//! executed its program.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};
use serde::{Deserialize, Serialize};

use super::PAUSE;
use crate::call::request::Verb;
use crate::host::process::Process;
use crate::host::signal::Signals;

/// The length of a holder's JSON in bytes, padded with spaces.
const HOLDER_BYTES: usize = 512;
/// The largest number of bytes that the shim reads of a holder.
const MAX_HOLDER_BYTES: usize = 4096;

/// The content of a lock's file: who holds the lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<Process>,
    /// The holder's session, which every delegate shares. Earlier programs did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<i32>,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    groups: Vec<Process>,
}

impl Holder {
    /// This process as the holder.
    pub(super) fn current(verb: Verb) -> Self {
        let holder = Process::seen_now(std::process::id().cast_signed()).ok();
        let session = getsid(None).ok().map(Pid::as_raw);
        Self { holder, session, verb: verb.as_str().to_owned(), groups: Vec::new() }
    }

    /// Reads the holder from a lock's file. A file that is just being written gives the default, and the caller reads it again.
    pub(super) fn read(file: &File) -> Self {
        // The offset is explicit, because the file is read several times.
        let mut bytes = [0; MAX_HOLDER_BYTES];
        let read = file.read_at(&mut bytes, 0).unwrap_or_default();
        serde_json::from_slice(&bytes[..read]).unwrap_or_default()
    }

    /// Formats the holder for the file. One write of a fixed length replaces the whole content, also if the writer is killed.
    pub(super) fn to_line(&self) -> Vec<u8> {
        let mut line = types::json::raw::to_raw(self).get().as_bytes().to_vec();
        line.resize(line.len().max(HOLDER_BYTES), b' ');
        line
    }

    /// Adds a delegate's process group, and drops the groups that have ended.
    pub(super) fn note_group(&mut self, group: Option<Process>) {
        self.groups.retain(|earlier| earlier.is_alive());
        self.groups.extend(group);
    }

    /// Whether the holder died without unlocking in an orderly way.
    pub(super) fn is_dead(&self) -> bool {
        self.holder.is_some_and(|process| !process.is_alive())
    }

    /// Whether a delegate that the holder noted still runs.
    pub(super) fn has_groups(&self) -> bool {
        self.groups.iter().any(|group| group.is_alive())
    }

    /// Asks a living holder to stop. Returns false if the holder is not known, because its file is just being written.
    pub(super) fn ask_to_stop(&self) -> bool {
        self.holder.inspect(|process| process.signal(Signal::SIGTERM)).is_some()
    }

    /// Kills the processes that a dead holder left running. Returns true once none of them runs, even if a daemon still has the lock open.
    pub(super) fn end_work(&self, file: &File) -> bool {
        self.groups.iter().copied().for_each(Process::kill_group);
        if !self.groups.iter().all(|group| group.group_is_gone()) {
            return false;
        }
        let unnoted = self.unnoted_processes(file);
        for process in &unnoted {
            process.signal(Signal::SIGKILL);
            process.kill_group();
        }
        unnoted.is_empty()
    }

    /// Whether no process of a dead holder runs any more. Kills nothing.
    pub(super) fn work_is_over(&self, file: &File) -> bool {
        self.groups.iter().all(|group| group.group_is_gone()) && self.unnoted_processes(file).is_empty()
    }

    /// The processes of the holder's session that have inherited the lock.
    fn unnoted_processes(&self, file: &File) -> Vec<Process> {
        let of_session = |process: &Process| {
            let session = getsid(Some(Pid::from_raw(process.pid)));
            // The holder of an earlier program names no session. Then every process that inherited the lock counts as work.
            self.session.is_none_or(|ours| session.is_ok_and(|session| session.as_raw() == ours))
        };
        let inheritors = self.holder.map(|taker| inheritors(file, taker));
        inheritors.unwrap_or_default().into_iter().filter(of_session).collect()
    }

    /// Kills the processes that a dead holder left running although they closed the lock, and waits until they are gone: what the kernel still does
    /// for a killed process must not happen after a rollback.
    pub(super) fn end_groups(&self, signals: &Signals) {
        self.groups.iter().copied().for_each(Process::kill_group);
        // Only a process in an uninterruptible sleep survives this for long.
        let last = Instant::now() + Duration::from_secs(1);
        while self.groups.iter().any(|group| !group.group_is_gone()) && Instant::now() < last {
            signals.pause(PAUSE);
        }
    }

    /// The verb that the holder runs.
    pub(super) fn verb(&self) -> &str {
        &self.verb
    }

    /// The processes that are at work under the lock: the holder, and the groups of its delegates.
    pub(super) fn living_pids(&self) -> Vec<i32> {
        let all = self.holder.iter().chain(&self.groups);
        all.filter(|process| process.is_alive()).map(|process| process.pid).collect()
    }

    /// The holder as text, for the error of a call that waited for it in vain.
    pub(super) fn describe(&self) -> String {
        match self.holder {
            Some(process) if process.is_alive() => format!("{} in process {}", self.verb, process.pid),
            Some(process) => {
                format!("what {} in process {}, now dead, had started", self.verb, process.pid)
            }
            None => "an unknown process".into(),
        }
    }
}

/// The processes that have inherited the lock that `taker` took on `file`. Other processes have the file open too: they wait for the lock, or have
/// just got it. For each descriptor, the kernel names the process that took the lock.
///
/// The search is slow, because it walks all of `/proc`. Only a holder that was killed needs it.
fn inheritors(file: &File, taker: Process) -> Vec<Process> {
    let mut holders = Vec::new();
    let named = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let (Ok(named), Ok(processes)) = (named, std::fs::read_dir("/proc")) else {
        return holders;
    };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = open.flatten().any(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|target| target == named)
                && is_lock_of(taker.pid, &process.path().join("fdinfo").join(fd.file_name()))
        });
        if holds && pid != taker.pid {
            holders.extend(Process::read(pid));
        }
    }
    holders
}

/// Whether a descriptor, by its file in `/proc`, holds a lock that the dead process `taker` took.
///
/// *Shape*: `lock:\t1: FLOCK  ADVISORY  WRITE 812 00:2b:77 0 EOF`, where process 812 took the lock. Outside of the first pid
/// namespace, 0 stands for a dead process. *Source*: man 5 `proc`, `/proc/pid/fdinfo` and `/proc/locks`; `fs/locks.c`.
fn is_lock_of(taker: i32, fdinfo: &Path) -> bool {
    let locker = |line: &str| line.strip_prefix("lock:")?.split_whitespace().nth(4)?.parse::<i32>().ok();
    std::fs::read_to_string(fdinfo)
        .is_ok_and(|text| text.lines().filter_map(locker).any(|pid| pid == taker || pid == 0))
}
