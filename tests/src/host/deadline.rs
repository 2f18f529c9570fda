//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Tells what happens from what hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is asked at first, and in the end: what takes long is asked less often, for each question may be a request to an API server
/// that others wait for, too.
const STEPS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// Asks `condition` until it has an answer.
///
/// `limit` only tells a thing that answers from one that hangs: give it ten times what you expect.
///
/// # Errors
/// The condition's own error at once, or that `what` did not happen in time.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = condition()? {
            return Ok(answer);
        }
        if begun.elapsed() > limit {
            bail!("{what}: did not happen within {} s", limit.as_secs());
        }
        std::thread::sleep((begun.elapsed() / 20).clamp(STEPS.0, STEPS.1));
    }
}
