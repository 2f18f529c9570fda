//! How a program starts.
//!
//! `posix_spawn` suits every process: it blocks all signals while the child still shares the memory of this process, and looks at the handler of every
//! signal. The plugin has one thread and no handlers, so it starts programs with fewer system calls, and says so with [`launch_by`].

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// A program that is about to start, and what it starts with.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program's open file, which is executed.
    pub file: BorrowedFd<'a>,
    /// The program's path, which is its only argument.
    pub path: &'a CStr,
    /// Whether the path is executed and not the open file, because the program is a script.
    pub by_path: bool,
    /// The environment: `NAME=VALUE` each.
    pub environment: &'a [CString],
    /// Its stdin, stdout and stderr. None of them has the number 0, 1 or 2.
    pub streams: [BorrowedFd<'a>; 3],
}

/// Starts a program in a process group of its own, with no signal blocked and no standard signal ignored, and returns once the program runs.
///
/// # Errors
/// The error of the kernel, that of `execve` included. Then there is no child.
pub type Launcher = fn(&Launch<'_>) -> nix::Result<Pid>;

static LAUNCHER: OnceLock<Launcher> = OnceLock::new();

/// From now on, this process starts programs by `launcher`, and no longer by `posix_spawn`. The first call counts.
pub fn launch_by(launcher: Launcher) {
    let _ = LAUNCHER.set(launcher);
}

/// Starts a program.
///
/// # Errors
/// As [`Launcher`].
pub(super) fn launch(program: &Launch<'_>) -> nix::Result<Pid> {
    LAUNCHER.get().map_or_else(|| by_posix_spawn(program), |launcher| launcher(program))
}

fn by_posix_spawn(program: &Launch<'_>) -> nix::Result<Pid> {
    let mut actions = PosixSpawnFileActions::init()?;
    for (stream, number) in program.streams.iter().zip(0..) {
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
    let arguments = [program.path];
    if program.by_path {
        posix_spawn(program.path, &actions, &attributes, &arguments, program.environment)
    } else {
        let opened = super::binary::opened(program.file);
        posix_spawn(&opened, &actions, &attributes, &arguments, program.environment)
    }
}
