//! The debounce of events before a pass.
//!
//! Events come in bursts (a rename is two, an agent's start hundreds), so a pass waits for [`QUIET`] and at most [`AT_MOST`]. Passes
//! without a pause are a storm; then each gathers longer, so that neither `watch` nor the runtime spends a core on the directory.

use std::collections::VecDeque;
use std::time::Duration;

/// A round begins when nothing happened for so long.
pub const QUIET: Duration = Duration::from_millis(100);
/// And at the latest so long after the first event.
pub const AT_MOST: Duration = Duration::from_millis(250);
/// How many passes within [`LATELY`] are no storm.
const BURST: usize = 20;
/// The period over which passes count as a storm.
const LATELY: Duration = Duration::from_secs(60);
/// Longest time of gathering in a storm.
const LONGEST: Duration = Duration::from_secs(4);

/// The moments of the last rounds that events began.
#[derive(Debug, Default)]
pub struct Debounce(VecDeque<Duration>);

impl Debounce {
    /// How long to gather from the first event at `now`: until nothing happened for the first, at the latest after the second.
    pub fn gather(&mut self, now: Duration) -> (Duration, Duration) {
        while self.0.front().is_some_and(|pass| now.saturating_sub(*pass) >= LATELY) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        match u32::try_from(self.0.len().saturating_sub(BURST)) {
            Ok(0) => (QUIET, AT_MOST),
            over => {
                // In a storm the loop does not wait for silence: all of it is gathered.
                let long = (AT_MOST * 2u32.saturating_pow(over.unwrap_or(u32::MAX).min(8))).min(LONGEST);
                (long, long)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_soon_and_a_storm_slower_and_slower() {
        let mut pace = Debounce::default();
        let mut now = Duration::ZERO;
        let mut rounds = 0;
        while now < Duration::from_secs(60) {
            let (quiet, at_most) = pace.gather(now);
            assert!(quiet <= at_most && at_most <= LONGEST);
            if rounds < BURST {
                assert_eq!((quiet, at_most), (QUIET, AT_MOST));
            }
            now += at_most;
            rounds += 1;
        }
        assert!(rounds < 45, "{rounds} rounds in a minute of storm");
        let (quiet, _) = pace.gather(now + LATELY);
        assert_eq!(quiet, QUIET, "after a calm");
    }
}
