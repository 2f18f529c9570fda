//! What one look into a pod's netns may cost.
//!
//! A pod with NET_ADMIN decides how much there is to read: it can fill routes, rules, addresses and links, and keep changing them.
//! Whatever is done there before a delegate runs must end by itself, in time and in memory.

use std::io;
use std::time::{Duration, Instant};

use crate::signal::Signals;

/// Of what is read before a delegate's DEL, and after it, so much is enough; a pod that nobody filled takes a millisecond.
const BRIEF: Duration = Duration::from_secs(1);
/// The part of the time that is left which undoing may take at most: the delegates need the rest.
const SHARE: u32 = 10;

/// When a conversation ends, whatever it has come to.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    until: Instant,
    signals: Option<&'a Signals>,
}

impl<'a> Budget<'a> {
    /// Until `deadline`, or until we are asked to stop.
    #[must_use]
    pub const fn until(deadline: Instant, signals: Option<&'a Signals>) -> Self {
        Self { until: deadline, signals }
    }

    /// For what may stay undone: a tenth of what is left until `deadline`, a second at most.
    #[must_use]
    pub fn share(deadline: Instant, signals: &'a Signals) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        Self::until(Instant::now() + (left / SHARE).min(BRIEF), Some(signals))
    }

    /// A second from now, heeding no signal.
    #[must_use]
    pub fn brief() -> Self {
        Self::until(Instant::now() + BRIEF, None)
    }

    /// # Errors
    /// `Interrupted` once we are asked to stop, `TimedOut` once the time is used up.
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
