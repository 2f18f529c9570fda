//! The holder's clock. It goes on while the machine sleeps: a Lease that others may have taken meanwhile must not look fresh.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// Two clocks: one that decides, and one that people read.
#[derive(Clone)]
pub(in crate::live) struct Clock {
    now: Arc<dyn Fn() -> Duration + Send + Sync>,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Clock {
    /// The clocks of this machine.
    pub(in crate::live) fn from_machine() -> Self {
        Self::new(since_boot, Timestamp::now)
    }

    pub(in crate::live) fn new(
        now: impl Fn() -> Duration + Send + Sync + 'static,
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), wall: Arc::new(wall) }
    }

    /// Time since some moment before this program began. Only differences mean something.
    pub(in crate::live) fn now(&self) -> Duration {
        (self.now)()
    }

    /// The wall clock. It is written for people and decides nothing.
    pub(in crate::live) fn wall(&self) -> Timestamp {
        (self.wall)()
    }

    /// The wall clock as the API's `MicroTime`: `2026-01-01T00:00:00.000000Z`.
    pub(in crate::live) fn micro_time(&self) -> String {
        format!("{:.6}", self.wall())
    }
}

/// *Source*: man 2 `clock_gettime`. On Linux, `CLOCK_MONOTONIC` stops while the machine sleeps and `CLOCK_BOOTTIME` does not; on macOS,
/// `CLOCK_MONOTONIC` does not stop either.
#[cfg(unix)]
fn since_boot() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// *Source*: Rust's standard library reads `QueryPerformanceCounter`, which goes on while Windows sleeps.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// How long this thread has worked. Only differences mean something.
#[cfg(unix)]
pub(in crate::live) fn worked() -> Duration {
    let clock = rustix::time::ClockId::ThreadCPUTime;
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// Elsewhere it is the time that has passed, with what other programs took of it.
#[cfg(not(unix))]
pub(in crate::live) fn worked() -> Duration {
    since_boot()
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_and_people_read_microseconds() {
        let clock = Clock::from_machine();
        let before = clock.now();
        assert!(clock.now() >= before && before > Duration::ZERO);
        let fixed = Clock::new(|| Duration::ZERO, || Timestamp::from_microsecond(1_500_000).expect("a time"));
        assert_eq!(fixed.micro_time(), "1970-01-01T00:00:01.500000Z");
    }
}
