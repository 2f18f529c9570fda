//! The limit of the repairs of Crossfade's conf: bookkeeping over moments, which count from the start of `watch`.
//!
//! Every change from a right conf to a wrong one counts as *taken*. One write repairs it, unless the conf was taken [`FEW`] times within
//! [`SHORT`], or [`MANY`] times within [`LONG`]. Then `watch` leaves the conf alone, because a war of renames harms pods more than either
//! of its ends. After [`CALM`] it tries once more; then a single taking within [`SHORT`] makes it stop again.

use std::time::Duration;

/// How many takings within [`SHORT`] make `watch` give up.
pub const FEW: usize = 3;
/// The period of [`FEW`].
pub const SHORT: Duration = Duration::from_secs(60);
/// How many takings within [`LONG`] make `watch` give up.
pub const MANY: usize = 10;
/// The period of [`MANY`].
pub const LONG: Duration = Duration::from_secs(3600);
/// How long a conf is left alone before the next try.
pub const CALM: Duration = Duration::from_secs(30 * 60);

/// When the conf was taken, and whether `watch` gave up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The moments at which the conf was taken, the latest last.
    takings: Vec<Duration>,
    /// The moment since which `watch` leaves the conf alone.
    contended: Option<Duration>,
}

impl Guard {
    /// Notes that the conf was taken at `now`; returns whether `watch` is to repair it.
    #[must_use]
    pub fn record_taking(&mut self, now: Duration) -> bool {
        self.takings.push(now);
        self.takings.retain(|taking| now.saturating_sub(*taking) < LONG);
        let lately = self.takings.iter().filter(|taking| now.saturating_sub(**taking) < SHORT).count();
        if lately >= FEW || self.takings.len() >= MANY {
            self.contended = Some(now);
        }
        self.contended.is_none()
    }

    /// Whether it is left alone at `now`; after [`CALM`] it is not, for one try.
    #[must_use]
    pub fn is_contended(&mut self, now: Duration) -> bool {
        if self.contended.is_some_and(|since| now.saturating_sub(since) >= CALM) {
            self.contended = None;
            // As if all but one of a war's takings had just happened.
            self.takings = vec![now; FEW - 1];
        }
        self.contended.is_some()
    }

    /// Ends a giving up: the conf is right again, so another program has put it back.
    pub fn note_settled(&mut self) {
        if self.contended.take().is_some() {
            self.takings.clear();
        }
    }

    /// Whether `watch` gave up and leaves the conf alone.
    #[must_use]
    pub const fn gave_up(&self) -> bool {
        self.contended.is_some()
    }
}

/// The pause after so many failures in a row: `first` after one, doubled each time, up to `longest`.
#[must_use]
pub fn backoff(failures: u32, (first, longest): (Duration, Duration)) -> Duration {
    (first * 2u32.saturating_pow(failures.saturating_sub(1).min(16))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// What becomes of takings at these moments, in seconds: how many are put back.
    fn repaired(moments: &[u64]) -> usize {
        let mut guard = Guard::default();
        let mut repaired = 0;
        for moment in moments {
            if !guard.is_contended(secs(*moment)) && guard.record_taking(secs(*moment)) {
                repaired += 1;
            }
        }
        repaired
    }

    #[test]
    fn three_within_a_minute_or_ten_within_an_hour_are_a_war() {
        let slow: Vec<u64> = (0..100).map(|n| n * 31).collect();
        for (moments, expected) in [
            (&[0][..], 1),
            (&[0, 30], 2),
            (&[0, 30, 59], 2),
            (&[0, 30, 60], 3),
            (&[0, 1, 2, 3, 4, 5, 600, 1700], 2),
            // 31 seconds apart are never three in a minute, but many in an hour.
            (&slow, 9),
        ] {
            assert_eq!(repaired(moments), expected, "{moments:?}");
        }
    }

    #[test]
    fn after_a_calm_there_is_one_try_and_one_taking_ends_it() {
        let mut guard = Guard::default();
        assert!(
            guard.record_taking(secs(0)) && guard.record_taking(secs(1)) && !guard.record_taking(secs(2))
        );
        assert!(guard.is_contended(secs(2) + CALM - secs(1)));
        assert!(!guard.is_contended(secs(2) + CALM), "one try");
        assert!(!guard.record_taking(secs(3) + CALM), "taken again at once");
        assert!(guard.is_contended(secs(4) + CALM));
        // A try that holds for a minute is a peace.
        assert!(!guard.is_contended(secs(4) + CALM * 2));
        assert!(guard.record_taking(secs(70) + CALM * 2));
    }

    #[test]
    fn another_program_may_end_a_war() {
        let mut guard = Guard::default();
        for moment in 0..3 {
            let _ = guard.record_taking(secs(moment));
        }
        assert!(guard.gave_up());
        guard.note_settled();
        assert!(!guard.is_contended(secs(3)) && guard.record_taking(secs(4)));
    }
}
