//! The agent's clock. It stands still while the agent does not run, so that a machine that is too busy, or was suspended, is no fault of the network.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The agent looks at the clock more often than this, if it runs; milliseconds.
const STALL: u64 = 500;

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    state: Mutex<State>,
}

/// Milliseconds since the clock began.
#[derive(Debug, Default)]
struct State {
    looked_at: u64,
    stood: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }

    /// Milliseconds for which the agent has run.
    pub(crate) fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).look(elapsed)
    }
}

impl State {
    fn look(&mut self, elapsed: u64) -> u64 {
        let elapsed = elapsed.max(self.looked_at);
        let gap = elapsed - self.looked_at;
        if gap > STALL {
            self.stood += gap;
        }
        self.looked_at = elapsed;
        elapsed - self.stood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_which_nothing_looks_does_not_pass() {
        let mut state = State::default();
        let looks = [100, 150, 150 + STALL, 5_000, 4_000, 5_100];
        let times = looks.map(|elapsed| state.look(elapsed));
        assert_eq!(times, [100, 150, 650, 650, 650, 750]);
    }
}
