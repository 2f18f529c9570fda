//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Tells what happens from what hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is asked.
const STEP: Duration = Duration::from_millis(5);

/// Asks `condition` until it has an answer.
///
/// `limit` only tells a thing that answers from one that hangs: give it ten times what you expect.
///
/// # Errors
/// The condition's own error at once, or that `what` did not happen in time.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = condition()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("{what}: did not happen within {} s", limit.as_secs());
        }
        std::thread::sleep(STEP);
    }
}
