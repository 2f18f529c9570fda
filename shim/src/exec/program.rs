//! A plugin as a program: its open file, its path and its environment.
//!
//! The standard library's `Command` does the same with a map of the environment, which costs more than everything else of the call.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::unistd::Pid;

use super::PluginCall;
use super::binary::Binary;
use super::launch::{Launch, launch};

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
    pub(super) fn of(call: &PluginCall<'a>) -> io::Result<Self> {
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
        launch(&Launch {
            file: self.binary.file.as_fd(),
            path: &self.path,
            by_path: self.binary.script,
            environment: &self.environment,
            streams: streams.each_ref().map(AsFd::as_fd),
        })
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
