//! The limits of one access to a pod's netns.
//!
//! A pod with NET_ADMIN decides how much there is to read: it can create any number of routes, rules, addresses and links, and keep changing them.
//! So every access before a delegate runs needs a limit of time and of memory.

use std::io;
use std::time::{Duration, Instant};

use crate::host::signal::Signals;

/// The time for reads before and after a delegate's DEL. An ordinary pod takes a millisecond.
const BRIEF: Duration = Duration::from_secs(1);
/// The largest part of the remaining time that the removal of routes may take. The delegates need the rest.
const SHARE: u32 = 10;

/// When a conversation with the kernel ends, even if it is incomplete.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    until: Instant,
    signals: Option<&'a Signals>,
}

impl<'a> Budget<'a> {
    /// Until `deadline`, or until a signal asks the process to stop.
    #[must_use]
    pub const fn new(deadline: Instant, signals: Option<&'a Signals>) -> Self {
        Self { until: deadline, signals }
    }

    /// For optional work: a tenth of the time until `deadline`, and a second at most.
    #[must_use]
    pub fn share(deadline: Instant, signals: &'a Signals) -> Self {
        let remaining = deadline.saturating_duration_since(Instant::now());
        Self::new(Instant::now() + (remaining / SHARE).min(BRIEF), Some(signals))
    }

    /// A second from now, without regard to signals.
    #[must_use]
    pub fn new_brief() -> Self {
        Self::new(Instant::now() + BRIEF, None)
    }

    /// # Errors
    /// `Interrupted` after a signal that asks the process to stop, `TimedOut` after the deadline.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.signals.is_some_and(Signals::stop_requested) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "asked to stop"));
        }
        if Instant::now() >= self.until {
            let why = "there is more in the pod's netns than its share of the time allows";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(())
    }
}
