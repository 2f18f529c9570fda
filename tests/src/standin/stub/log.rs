//! The call log: what happened to the stubs, one JSON line each.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PATIENCE;
use crate::host::deadline::until;

/// What happened to the stubs, in order.
#[derive(Debug, Clone)]
pub struct CallLog {
    pub(super) path: PathBuf,
}

/// One line of the call log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stub was called.
    Call(Box<Call>),
    /// A stub started a child.
    Spawned {
        /// The stub's pid.
        by: i32,
        /// The child's pid.
        pid: i32,
    },
}

/// One call of a stub, as it saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// The name under which the stub was found: its binary's file name.
    pub name: String,
    /// argv[0].
    pub argv0: String,
    /// CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME and all the rest of the environment.
    pub env: BTreeMap<String, String>,
    /// Stdin as text; `None` when the script left it unread.
    pub stdin: Option<String>,
    /// Its process id.
    pub pid: i32,
    /// Its parent's process id.
    pub ppid: i32,
    /// Its process group.
    pub pgid: i32,
    /// Open files at the start: number and target of the link in /proc/self/fd.
    pub fds: Vec<(i32, String)>,
    /// Blocked signals (`SigBlk` of /proc/self/status, hexadecimal).
    pub blocked: String,
    /// Ignored signals (`SigIgn` of /proc/self/status, hexadecimal).
    pub ignored: String,
}

impl Call {
    /// An environment variable, empty if unset.
    pub fn var(&self, name: &str) -> &str {
        self.env.get(name).map_or("", String::as_str)
    }

    /// CNI_COMMAND.
    pub fn verb(&self) -> &str {
        self.var("CNI_COMMAND")
    }

    /// `stub-old ADD eth0`; without the ifname where there is none.
    pub fn brief(&self) -> String {
        format!("{} {} {}", self.name, self.verb(), self.var("CNI_IFNAME")).trim_end().to_owned()
    }

    /// Stdin as JSON.
    ///
    /// # Errors
    /// When it was left unread or is no JSON.
    pub fn conf(&self) -> Result<Value> {
        let text = self.stdin.as_deref().context("the stub left its stdin unread")?;
        serde_json::from_str(text).with_context(|| format!("stdin of {}: {text}", self.brief()))
    }
}

impl CallLog {
    /// Every event so far.
    ///
    /// # Errors
    /// When the log is not readable, or as [`events`].
    pub fn events(&self) -> Result<Vec<Event>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => events(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("read {}", self.path.display())),
        }
    }

    /// Every call so far but VERSION, which runtimes and shims may ask at will.
    ///
    /// # Errors
    /// As [`CallLog::events`].
    pub fn calls(&self) -> Result<Vec<Call>> {
        Ok(self
            .events()?
            .into_iter()
            .filter_map(|event| match event {
                Event::Call(call) if call.verb() != "VERSION" => Some(*call),
                Event::Call(_) | Event::Spawned { .. } => None,
            })
            .collect())
    }

    /// [`Call::brief`] of every call so far.
    ///
    /// # Errors
    /// As [`CallLog::events`].
    pub fn briefs(&self) -> Result<Vec<String>> {
        Ok(self.calls()?.iter().map(Call::brief).collect())
    }

    /// Pids of the children that stubs have started.
    ///
    /// # Errors
    /// As [`CallLog::events`].
    pub fn spawned(&self) -> Result<Vec<i32>> {
        Ok(self
            .events()?
            .into_iter()
            .filter_map(|event| match event {
                Event::Spawned { pid, .. } => Some(pid),
                Event::Call(_) => None,
            })
            .collect())
    }

    /// Pid of the last child that the stub with this pid has started.
    ///
    /// # Errors
    /// As [`CallLog::events`].
    pub fn spawned_by(&self, stub: i32) -> Result<Option<i32>> {
        let spawned = |event| match event {
            Event::Spawned { by, pid } if by == stub => Some(pid),
            Event::Spawned { .. } | Event::Call(_) => None,
        };
        Ok(self.events()?.into_iter().filter_map(spawned).next_back())
    }

    /// Waits until that many calls like `brief` are in the log and returns the last of them.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_for(&self, brief: &str, count: usize) -> Result<Call> {
        until(&format!("call {count} of `{brief}`"), PATIENCE, || {
            Ok(self.calls()?.into_iter().filter(|call| call.brief() == brief).nth(count - 1))
        })
    }

    /// Forgets what was logged so far.
    ///
    /// # Errors
    /// When the log cannot be emptied.
    pub fn clear(&self) -> Result<()> {
        fs::write(&self.path, b"").with_context(|| format!("empty {}", self.path.display()))
    }
}

/// The events of a piece of the call log. A line that ends too early is none: it is of a stub that was killed as it wrote, which comes before
/// all that it does.
///
/// # Errors
/// A line that is whole and no event.
pub fn events(text: &str) -> Result<Vec<Event>> {
    let events = text.lines().filter(|line| !line.is_empty()).filter_map(|line| {
        match serde_json::from_str::<Event>(line) {
            Err(error) if error.is_eof() => None,
            event => Some(event.with_context(|| format!("call log line {line}"))),
        }
    });
    events.collect()
}

/// Appends one line to the call log in one write, so that lines of parallel stubs never mix; an end of line comes first, since the kernel
/// ends a write early, between two pages, for a process that is killed.
///
/// # Errors
/// When the log is not writable.
pub fn append(log: &Path, event: &Event) -> Result<()> {
    let line = format!("\n{}\n", serde_json::to_string(event)?);
    let mut file = OpenOptions::new().append(true).create(true).open(log)?;
    if file.write(line.as_bytes())? != line.len() {
        bail!("short write to {}", log.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_that_was_killed_as_it_wrote_hides_no_other_stub() {
        let dir = tempfile::tempdir().expect("scratch");
        let log = CallLog { path: dir.path().join("log") };
        let spawned = |pid| append(&log.path, &Event::Spawned { by: 1, pid }).expect("line");
        spawned(2);
        let mut torn = OpenOptions::new().append(true).open(&log.path).expect("log");
        torn.write_all(b"\n{\"event\":\"call\",\"fds\":[[0,\"/memfd\"").expect("torn");
        spawned(3);
        assert_eq!(log.spawned().expect("events"), [2, 3]);
        torn.write_all(b"{\"event\":\"no such event\"}\n").expect("wrong");
        assert!(log.events().is_err(), "what is whole and wrong is no torn line");
    }
}
