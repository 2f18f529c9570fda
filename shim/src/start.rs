//! The first steps of the process, instead of the standard library's own.
//!
//! The standard library reads `/proc/self/maps` and sets up a second stack, so that it can name the thread of a stack overflow. This costs a tenth
//! of a millisecond in every call, and a twelfth of the program (the parsers of the C library that it links). Without it, an overflow still ends
//! the process at its guard page, by the same signal. This module does the other steps, which the plugin relies on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{SigHandler, Signal, signal};

/// The entry point that the C library calls once the process is set up.
#[expect(unsafe_code, reason = "the C library finds its entry point by this very name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    keep_memory_to_ourselves();
    open_standard_streams();
    ignore_broken_pipes();
    std::process::exit(crate::run());
}

/// Prevents core dumps, and that another process of this uid reads the memory or environment: confs hold tokens. A delegate starts dumpable again
/// (man 2 `prctl`, PR_SET_DUMPABLE), whereas it would inherit a limit on core dumps.
fn keep_memory_to_ourselves() {
    // If the kernel refuses, the process is as dumpable as any other program.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Opens /dev/null for each standard stream that the caller closed. Otherwise the next file would get the stream's number, and the output for the
/// caller.
fn open_standard_streams() {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    if [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
        .into_iter()
        .all(|fd| fcntl(fd, FcntlArg::F_GETFD).is_ok())
    {
        return;
    }
    while let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > stderr.as_raw_fd() {
            return;
        }
        // The lowest free number belongs to one of the three streams, so the descriptor stays open.
        let _ = null.into_raw_fd();
    }
    // Without /dev/null, no further step is safe.
    std::process::abort();
}

/// Ignores SIGPIPE, so that a reader that hangs up is an error of the write, and not the end of the process. Delegates start with the default.
#[expect(unsafe_code, reason = "ignoring a signal installs no handler that could break a rule")]
fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN runs no handler.
    let ignored = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    debug_assert!(ignored.is_ok(), "SIGPIPE may be ignored");
}
