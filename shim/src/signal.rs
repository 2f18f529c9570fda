//! The signals of a short-lived process: a child ended, or the process is asked to stop.
//!
//! The handlers only write to a socket pair, so that one `poll` waits for an ended child, a signal to stop and a pipe with data. Unlike blocked
//! signals, handlers are not inherited across exec, so a delegate starts with the defaults.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

/// The signals of this process, from [`Signals::install`] on.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// Installs the handlers, unblocks all signals that the caller had blocked, and makes orphans of delegates children of this process (man 2
    /// `prctl`, PR_SET_CHILD_SUBREAPER).
    ///
    /// # Errors
    /// No file descriptor is free.
    pub fn install() -> io::Result<Self> {
        // Without a subreaper, the end of a process group is only less certain.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let (wake, notify) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            // The flag is set before the write, so that the loop that wakes up sees it.
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        for signal in [SIGCHLD, SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, notify.try_clone()?)?;
        }
        SigSet::empty().thread_set_mask()?;
        Ok(Self { wake, stop })
    }

    /// Whether a signal has asked this process to stop.
    #[must_use]
    pub fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Clears the request to stop, so that the rollback can run delegates.
    pub fn clear_stop_request(&self) {
        self.stop.store(false, Ordering::SeqCst);
    }

    /// Waits until one of `fds` is ready, a signal came, or `until` has passed. Returns which fds are ready.
    ///
    /// # Errors
    /// An error of `poll` other than EINTR.
    pub fn wait(&self, fds: &mut [PollFd<'_>], until: Instant) -> io::Result<Vec<bool>> {
        let mut all = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        all.extend(fds.iter().cloned());
        match poll(&mut all, timeout(until)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if all[0].any().unwrap_or(false) {
            let mut sink = [0; 64];
            while (&self.wake).read(&mut sink).is_ok_and(|read| read > 0) {}
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
    let left = until.saturating_duration_since(Instant::now());
    let millis = left.as_micros().div_ceil(1000);
    PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
}
