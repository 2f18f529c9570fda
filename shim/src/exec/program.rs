//! A plugin as posix_spawn(3) starts it: its path, its arguments and its environment.
//!
//! The standard library's `Command` does the same with a map of the environment, which costs more than everything else of the call.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::PluginCall;
use super::binary::opened;

/// What is executed.
pub(super) struct Program {
    path: PathBuf,
    arguments: [CString; 1],
    environment: Vec<CString>,
}

impl Program {
    /// The program of a call: its binary, and this process's environment with the call's variables in it.
    ///
    /// # Errors
    /// A variable or the path holds a NUL byte.
    pub(super) fn of(call: &PluginCall<'_>) -> io::Result<Self> {
        let binary = call.binary;
        let path = if binary.script { binary.path.clone() } else { opened(&binary.file) };
        let is_replaced = |name: &OsStr| call.env.iter().any(|(key, _)| name == *key);
        let inherited = std::env::vars_os().filter(|(name, _)| !is_replaced(name));
        let own = call.env.iter().map(|(key, value)| (OsString::from(key), value.clone()));
        let environment = inherited.chain(own).map(|(name, value)| variable(name, &value));
        Ok(Self {
            path,
            arguments: [CString::new(binary.path.as_os_str().as_bytes())?],
            environment: environment.collect::<io::Result<_>>()?,
        })
    }

    /// Starts it with these streams, in a process group of its own, with no signal blocked and none ignored.
    ///
    /// # Errors
    /// The error of the kernel, that of `execve` included.
    pub(super) fn spawn(&self, streams: &[OwnedFd; 3]) -> nix::Result<Pid> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (stream, number) in streams.iter().zip(0..) {
            actions.add_dup2(stream.as_raw_fd(), number)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
        )?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        // All signals and not only SIGPIPE: the C library sets one to its default at once, and looks at each of the others before that.
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        posix_spawn(&self.path, &actions, &attributes, &self.arguments, &self.environment)
    }
}

/// `NAME=VALUE`.
fn variable(name: OsString, value: &OsStr) -> io::Result<CString> {
    let mut text = name.into_vec();
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    Ok(CString::new(text)?)
}
