//! Who holds a lock, and what a holder that died has left at work.
//!
//! What a delegate started belongs to it as long as it is in the delegate's process group, or in the session that we and all
//! delegates share. What made a session of its own (man 2 `setsid`) is a daemon: the network wants it to stay, whatever it
//! has inherited of us. So a dead holder's work is over when the groups it noted are gone and nobody of its session holds
//! the lock. The second half finds a delegate that was started and not noted yet: it is in the session from its first
//! moment, as a clone that has not executed its program, too.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::PAUSE;
use crate::process::Process;
use crate::request::Verb;
use crate::signal::Signals;

/// Length of a holder's JSON, padded with spaces.
const HOLDER_BYTES: usize = 512;
/// Longest that is read.
const MAX_HOLDER_BYTES: usize = 4096;

/// Who holds a lock, as its file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<Process>,
    /// Its session, and so that of every delegate; earlier programs did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<i32>,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    groups: Vec<Process>,
}

impl Holder {
    /// This process.
    pub(super) fn current(verb: Verb) -> Self {
        let (holder, session) = Process::current_in_session().ok().unzip();
        Self { holder, session, verb: verb.as_str().to_owned(), groups: Vec::new() }
    }

    /// What the file of a lock says. It may be in the middle of being written; then it is looked at again.
    pub(super) fn read(file: &File) -> Self {
        // From its beginning, each time.
        let mut bytes = [0; MAX_HOLDER_BYTES];
        let read = file.read_at(&mut bytes, 0).unwrap_or_default();
        serde_json::from_slice(&bytes[..read]).unwrap_or_default()
    }

    /// As it is written: one write of one length, so that a reader sees all of it and a kill leaves all of it.
    pub(super) fn to_line(&self) -> String {
        format!("{:<HOLDER_BYTES$}", types::raw::to_raw(self).get())
    }

    /// Notes a delegate's process group; those that have ended are forgotten.
    pub(super) fn note_group(&mut self, group: Option<Process>) {
        self.groups.retain(|earlier| earlier.is_alive());
        self.groups.extend(group);
    }

    /// Whether it died without a word.
    pub(super) fn is_dead(&self) -> bool {
        self.holder.is_some_and(|process| !process.is_alive())
    }

    /// Whether a delegate that it noted is still there.
    pub(super) fn has_groups(&self) -> bool {
        self.groups.iter().any(|group| group.is_alive())
    }

    /// Asks a living holder to stop.
    pub(super) fn ask_to_stop(&self) {
        if let Some(process) = self.holder {
            process.signal(Signal::SIGTERM);
        }
    }

    /// Ends what a dead holder left at work; true once nothing of it works any more, whoever still has the lock open.
    pub(super) fn end_work(&self, file: &File) -> bool {
        self.groups.iter().copied().for_each(Process::kill_group);
        if !self.groups.iter().all(|group| group.group_is_gone()) {
            return false;
        }
        let unnoted = self.unnoted(file);
        for process in &unnoted {
            process.signal(Signal::SIGKILL);
            process.kill_group();
        }
        unnoted.is_empty()
    }

    /// Whether nothing of a dead holder works any more; nobody is ended.
    pub(super) fn work_is_over(&self, file: &File) -> bool {
        self.groups.iter().all(|group| group.group_is_gone()) && self.unnoted(file).is_empty()
    }

    /// Who of its session has inherited the lock.
    fn unnoted(&self, file: &File) -> Vec<Process> {
        let of_session = |process: &Process| {
            let session = nix::unistd::getsid(Some(Pid::from_raw(process.pid)));
            // Of an earlier program's holder the session is not known, and what cannot be told apart is work.
            self.session.is_none_or(|ours| session.is_ok_and(|session| session.as_raw() == ours))
        };
        let inheritors = self.holder.map(|taker| inheritors(file, taker));
        inheritors.unwrap_or_default().into_iter().filter(of_session).collect()
    }

    /// Ends what a holder that is gone without a word has left working although it closed what it inherited, and waits
    /// until it is gone: what the kernel is still doing for a process that was killed must not land behind an undo.
    pub(super) fn end_groups(&self, signals: &Signals) {
        self.groups.iter().copied().for_each(Process::kill_group);
        // Nothing but an uninterruptible sleep in the kernel survives this for long.
        let last = Instant::now() + Duration::from_secs(1);
        while self.groups.iter().any(|group| !group.group_is_gone()) && Instant::now() < last {
            signals.pause(PAUSE);
        }
    }

    /// In words, for whoever waited for it in vain.
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

/// Who has inherited the lock that `taker` took on `file`. Others have the file open, too: they wait for the lock, or have
/// just got it themselves. The kernel says of each descriptor who took the lock that it holds.
///
/// Slow (it walks all of `/proc`), and asked only about a holder that was killed.
fn inheritors(file: &File, taker: Process) -> Vec<Process> {
    let mut found = Vec::new();
    let named = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let (Ok(named), Ok(processes)) = (named, std::fs::read_dir("/proc")) else {
        return found;
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
            found.extend(Process::of(pid));
        }
    }
    found
}

/// Whether the descriptor that this file of `/proc` is about holds a lock that the dead process `taker` took.
///
/// *Shape*: `lock:\t1: FLOCK  ADVISORY  WRITE 812 00:2b:77 0 EOF`, where 812 is who took it; outside of the first pid
/// namespace 0 stands for the dead. *Source*: man 5 `proc`, `/proc/pid/fdinfo` and `/proc/locks`; `fs/locks.c`.
fn is_lock_of(taker: i32, fdinfo: &Path) -> bool {
    let by = |line: &str| line.strip_prefix("lock:")?.split_whitespace().nth(4)?.parse::<i32>().ok();
    std::fs::read_to_string(fdinfo)
        .is_ok_and(|text| text.lines().filter_map(by).any(|pid| pid == taker || pid == 0))
}
