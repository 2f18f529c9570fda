//! The signals of a short-lived process: a child ended, or the process is asked to stop.
//!
//! The signals are blocked, and a descriptor reports them (man 2 `signalfd`), so that one `poll` waits for an ended child, a signal to stop and a pipe
//! with data. No handler interrupts a system call. A blocked signal stays blocked across exec, so code that starts a program must unblock it
//! (`exec::ReadyPlugin` does; the standard library's `Command` does so by itself).

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals of this process, from [`Signals::receive`] on.
#[derive(Debug)]
pub struct Signals {
    arrived: SignalFd,
    /// A signal has asked this process to stop.
    stop: AtomicBool,
    /// A child has ended, which no [`Signals::wait`] has told yet.
    child_ended: AtomicBool,
}

impl Signals {
    /// Receives the signals from now on, unblocks all others that the caller had blocked, and makes orphans of delegates children of this process
    /// (man 2 `prctl`, PR_SET_CHILD_SUBREAPER).
    ///
    /// The main thread must call it before there is another: a thread that does not block a signal would get it, and it would end the process.
    ///
    /// # Errors
    /// No file descriptor is free.
    pub fn receive() -> io::Result<Self> {
        // Without a subreaper, the end of a process group is only less certain.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let ours: SigSet =
            [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        // Of a SIGCHLD that the caller ignored, the kernel would discard the exit status of delegates (man 2 `sigaction`, SA_NOCLDWAIT). Any handler
        // prevents that; this one never runs, because the signal is blocked.
        signal_hook::flag::register(libc::SIGCHLD, Arc::default())?;
        let arrived = SignalFd::with_flags(&ours, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        ours.thread_set_mask()?;
        Ok(Self { arrived, stop: AtomicBool::new(false), child_ended: AtomicBool::new(false) })
    }

    /// Whether a signal has asked this process to stop.
    #[must_use]
    pub fn stop_requested(&self) -> bool {
        self.take_arrived();
        self.stop.load(Ordering::SeqCst)
    }

    /// Clears the request to stop, so that the rollback can run delegates.
    pub fn clear_stop_request(&self) {
        self.take_arrived();
        self.stop.store(false, Ordering::SeqCst);
    }

    /// Notes all signals that have arrived.
    fn take_arrived(&self) {
        // An error leaves the signals where they are, for the next time.
        while let Ok(Some(signal)) = self.arrived.read_signal() {
            let note =
                if signal.ssi_signo.cast_signed() == libc::SIGCHLD { &self.child_ended } else { &self.stop };
            note.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until one of `fds` is ready, a child has ended since the last wait, a signal to stop came, or `until` has passed. Returns which fds are
    /// ready.
    ///
    /// # Errors
    /// An error of `poll` other than EINTR.
    pub fn wait(&self, fds: &mut [PollFd<'_>], until: Instant) -> io::Result<Vec<bool>> {
        let mut all = vec![PollFd::new(self.arrived.as_fd(), PollFlags::POLLIN)];
        all.extend(fds.iter().cloned());
        // An earlier look for a signal to stop may have taken the signal of a child that ended just before.
        let ended = self.child_ended.swap(false, Ordering::SeqCst);
        match poll(&mut all, if ended { PollTimeout::ZERO } else { timeout(until) }) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if all[0].any().unwrap_or(false) {
            self.take_arrived();
            self.child_ended.store(false, Ordering::SeqCst);
        }
        Ok(all[1..].iter().map(|fd| fd.any().unwrap_or(false)).collect())
    }

    /// Sleeps for `pause` at most; a signal ends it early.
    pub fn pause(&self, pause: Duration) {
        // A `poll` that fails only makes the pause shorter.
        let _ = self.wait(&mut [], Instant::now() + pause);
    }
}

/// Milliseconds for `poll`, rounded up so that a wait does not end a millisecond early and spin.
fn timeout(until: Instant) -> PollTimeout {
    let remaining = until.saturating_duration_since(Instant::now());
    let millis = remaining.as_micros().div_ceil(1000);
    PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
}
