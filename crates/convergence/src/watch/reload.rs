//! The rewrites of a conf whose content is right, until the runtime loads it: bookkeeping over moments, which count from the start of `watch`.
//!
//! containerd 1.6 reloads its directory on a write, a rename away and a removal. A file that is moved away and back again is in place, but
//! containerd has not loaded it, and does not later. A write by `watch` makes the runtime read the directory again. A running ADD may hold
//! the runtime up, so each further try comes after twice the pause of the one before.

use std::time::Duration;

/// How long the runtime may take to load what was written, before it is written again.
pub const FIRST: Duration = Duration::from_secs(10);
/// Longest pause between two tries.
pub const LONGEST: Duration = Duration::from_secs(600);

/// When the conf was written for the runtime to load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reload {
    /// When Crossfade's conf was written last, and how long the runtime has from then on.
    written_at: Option<(Duration, Duration)>,
    /// How often it was written for the runtime's sake alone.
    tries: u32,
}

impl Reload {
    /// Notes that the runtime has loaded Crossfade's conf.
    pub fn note_loaded(&mut self) {
        *self = Self::default();
    }

    /// Notes that the conf was written at `now` for another reason.
    pub const fn wrote(&mut self, now: Duration) {
        self.written_at = Some((now, FIRST));
    }

    /// Whether the runtime may still be loading what was written, so that its silence is no fault.
    #[must_use]
    pub fn is_awaited(&self, now: Duration) -> bool {
        self.tries == 0 && self.written_at.is_some() && !self.is_due(now)
    }

    /// Whether `watch` writes the conf anew at `now`.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.written_at.is_none_or(|(written_at, pause)| now.saturating_sub(written_at) >= pause)
    }

    /// Notes that `watch` writes the conf anew at `now`.
    pub fn rewritten(&mut self, now: Duration) {
        let pause =
            if self.tries == 0 { FIRST } else { self.written_at.map_or(FIRST, |(_, pause)| pause * 2) };
        self.written_at = Some((now, pause.min(LONGEST)));
        self.tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn tries_come_at_once_and_then_ever_later() {
        let mut reload = Reload::default();
        let mut tries = Vec::new();
        for now in 0..7200 {
            if reload.is_due(secs(now)) {
                reload.rewritten(secs(now));
                tries.push(now);
            }
        }
        assert_eq!(tries[..6], [0, 10, 30, 70, 150, 310]);
        assert!(tries.windows(2).all(|two| two[1] - two[0] <= 600) && tries.len() < 18, "{tries:?}");
        reload.note_loaded();
        assert!(reload.is_due(secs(7200)), "the next time is another story");
    }

    #[test]
    fn what_was_just_written_is_awaited() {
        let mut reload = Reload::default();
        assert!(!reload.is_awaited(secs(5)));
        reload.wrote(secs(5));
        assert!(reload.is_awaited(secs(14)) && !reload.is_due(secs(14)));
        assert!(!reload.is_awaited(secs(15)) && reload.is_due(secs(15)));
        reload.rewritten(secs(15));
        assert!(!reload.is_awaited(secs(16)) && !reload.is_due(secs(16)));
    }
}
