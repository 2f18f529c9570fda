//! The pace of requests: 20 a second, 40 at once, and half of that for a minute after the API server said that it has too much to do.

use std::time::Duration;

/// Requests in a second.
const RATE: f64 = 20.0;
/// Requests at once, after a time without any.
const BURST: f64 = 40.0;
/// How long it is slower after the API server refused a request for lack of room.
const SLOW: Duration = Duration::from_mins(1);

/// A bucket of tokens, one for each request.
#[derive(Debug)]
pub(in crate::live) struct Pace {
    /// Below zero, requests wait for these.
    tokens: f64,
    updated_at: Duration,
    slow_until: Duration,
}

impl Pace {
    /// A full bucket.
    pub(in crate::live) const fn new(now: Duration) -> Self {
        Self { tokens: BURST, updated_at: now, slow_until: Duration::ZERO }
    }

    /// Takes a token, and says how long its request has to wait.
    pub(in crate::live) fn take(&mut self, now: Duration) -> Duration {
        let rate = if now < self.slow_until { RATE / 2.0 } else { RATE };
        let passed = now.saturating_sub(self.updated_at);
        self.tokens = rate.mul_add(passed.as_secs_f64(), self.tokens).min(BURST) - 1.0;
        self.updated_at = now;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / rate) }
    }

    /// Halves the pace for a time, and empties the bucket.
    pub(in crate::live) fn slow_down(&mut self, now: Duration) {
        self.slow_until = now + SLOW;
        self.tokens = self.tokens.min(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    /// How many requests go at once.
    fn at_once(pace: &mut Pace, now: Duration) -> usize {
        (0..1000).take_while(|_| pace.take(now).is_zero()).count()
    }

    #[test]
    fn forty_at_once_then_twenty_a_second() {
        let mut pace = Pace::new(START);
        assert_eq!(at_once(&mut pace, START), 40);
        assert_eq!(pace.take(START), Duration::from_millis(100), "the second one that waits");
        // Ten seconds fill it, and no more than that.
        assert_eq!(at_once(&mut pace, START + Duration::from_mins(1)), 40);
    }

    #[test]
    fn half_as_fast_for_a_minute_after_the_server_was_busy() {
        let mut pace = Pace::new(START);
        pace.slow_down(START);
        assert_eq!(pace.take(START), Duration::from_millis(100), "one tenth of a second each");
        assert_eq!(pace.take(START + Duration::from_millis(100)), Duration::from_millis(100));
        let later = START + SLOW;
        at_once(&mut pace, later);
        assert_eq!(
            pace.take(later),
            Duration::from_millis(100),
            "one twentieth again, for the second that waits"
        );
    }
}
