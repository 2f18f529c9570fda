//! A plugin as a program: its open file, its path and its environment.
//!
//! The standard library's `Command` leaves those signals ignored in the program that the runtime ignored, except SIGPIPE, and a shell that is born with
//! a signal ignored cannot undo that. `posix_spawn` itself resets them all.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::PluginCall;
use super::binary::{Binary, opened_path};

/// What is executed.
#[derive(Debug)]
pub(super) struct Program<'a> {
    binary: &'a Binary,
    path: CString,
    environment: Vec<CString>,
}

impl<'a> Program<'a> {
    /// The program of a call: its binary, and this process's environment with the call's variables in it.
    ///
    /// # Errors
    /// A variable or the path holds a NUL byte.
    pub(super) fn prepare(call: &PluginCall<'a>) -> io::Result<Self> {
        let binary = call.binary;
        let is_replaced = |name: &OsStr| call.env.iter().any(|(key, _)| name == *key);
        let inherited = std::env::vars_os().filter(|(name, _)| !is_replaced(name));
        let inherited = inherited.map(|(name, value)| variable(&name, &value));
        let own = call.env.iter().map(|(key, value)| variable(OsStr::new(key), value));
        Ok(Self {
            binary,
            path: CString::new(binary.path.as_os_str().as_bytes())?,
            environment: inherited.chain(own).collect::<io::Result<_>>()?,
        })
    }

    /// Starts it with these streams, in a process group of its own, with no signal blocked and no standard signal ignored.
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
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        let arguments = [&self.path];
        if self.binary.script {
            // Its interpreter opens it once more, by the path in its arguments.
            posix_spawn(self.path.as_c_str(), &actions, &attributes, &arguments, &self.environment)
        } else {
            let file = opened_path(self.binary.file.as_fd());
            posix_spawn(&file, &actions, &attributes, &arguments, &self.environment)
        }
    }
}

/// `NAME=VALUE`.
fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    // With room for the NUL byte, so that nothing is copied twice.
    let mut text = OsString::with_capacity(name.len() + value.len() + 2);
    text.push(name);
    text.push("=");
    text.push(value);
    Ok(CString::new(text.into_vec())?)
}
