//! The first steps of the process, instead of the standard library's own.
//!
//! Those read `/proc/self/maps` and set up a second stack to name the thread of a stack overflow: a tenth of a millisecond in
//! every call, and a twelfth of the program (the parsers of the C library that they link). Without them an overflow still ends
//! the process at its guard page, by the same signal. What else they do, and we rely on, is done here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{SigHandler, Signal, signal};

/// What the C library calls when the process is set up.
#[expect(unsafe_code, reason = "the C library finds its entry point by this very name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    keep_memory_to_ourselves();
    open_standard_streams();
    ignore_broken_pipes();
    std::process::exit(crate::run());
}

/// No core dump of ours, and nobody of our uid who reads our memory or environment: confs hold tokens. What we execute
/// starts dumpable again (man 2 `prctl`, PR_SET_DUMPABLE), unlike with a limit on core dumps, which it would inherit.
fn keep_memory_to_ourselves() {
    // A kernel that refuses leaves what every program has.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Opens /dev/null for each standard stream that the caller closed: the next file opened would take its number, and get what
/// was meant for the caller.
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
        // The lowest free number is one of the three; it stays open.
        let _ = null.into_raw_fd();
    }
    // Without /dev/null there is nothing safe to go on with.
    std::process::abort();
}

/// A reader that hangs up is an error of the write, not the end of the process. Delegates start with the default.
#[expect(unsafe_code, reason = "ignoring a signal installs no handler that could break a rule")]
fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN runs no code of ours.
    let ignored = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    debug_assert!(ignored.is_ok(), "SIGPIPE may be ignored");
}
