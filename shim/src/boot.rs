//! Boot identity and the clocks that survive a wall-clock jump.
//!
//! Ages are measured on `CLOCK_BOOTTIME` within one boot (man 2 `clock_gettime`); an earlier boot is simply *earlier*. The wall clock
//! is written beside it for people and decides nothing.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::file::read_bounded;

/// A boot id is a UUID and a newline.
const MAX_BOOT_ID_BYTES: usize = 64;

/// A moment in one boot.
///
/// *Shape*: `{"bootID":"5c1e...","boottimeMs":81234,"wallSecs":1790000000}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `/proc/sys/kernel/random/boot_id`.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Milliseconds since boot, suspended time included.
    #[serde(rename = "boottimeMs")]
    pub boottime_ms: u64,
    /// Seconds since 1970, for people.
    #[serde(rename = "wallSecs")]
    pub wall_secs: u64,
}

/// How long ago a [`Moment`] was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// In this boot, so long ago.
    ThisBoot(Duration),
    /// In an earlier boot.
    EarlierBoot,
}

impl Moment {
    /// Now.
    ///
    /// # Errors
    /// When `/proc` is not mounted or the clock cannot be read.
    pub fn now() -> io::Result<Self> {
        let boottime = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            boot_id: boot_id()?.to_owned(),
            boottime_ms: u64::try_from(boottime.as_millis()).unwrap_or(u64::MAX),
            wall_secs: wall.as_secs(),
        })
    }

    /// The age of `self` at `now`.
    #[must_use]
    pub fn age(&self, now: &Self) -> Age {
        if self.boot_id == now.boot_id {
            Age::ThisBoot(Duration::from_millis(now.boottime_ms.saturating_sub(self.boottime_ms)))
        } else {
            Age::EarlierBoot
        }
    }
}

impl Age {
    /// Whether so many seconds have passed; an earlier boot is past every limit.
    #[must_use]
    pub fn reached(self, secs: u64) -> bool {
        match self {
            Self::ThisBoot(age) => age >= Duration::from_secs(secs),
            Self::EarlierBoot => true,
        }
    }
}

/// The kernel's identity of this boot.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<&'static str> {
    // A process does not outlive its boot, and GC asks for each of ten thousand records.
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let text = read_bounded(&mut File::open(crate::layout::BOOT_ID)?, MAX_BOOT_ID_BYTES)?;
    Ok(BOOT_ID.get_or_init(|| String::from_utf8_lossy(&text).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_id: &str, boottime_ms: u64) -> Moment {
        Moment { boot_id: boot_id.into(), boottime_ms, wall_secs: 0 }
    }

    #[test]
    fn ages_count_within_a_boot_and_an_earlier_boot_is_past_everything() {
        assert!(!at("a", 1000).age(&at("a", 10_999)).reached(10));
        assert!(at("a", 1000).age(&at("a", 11_000)).reached(10));
        assert!(at("a", 9_000_000).age(&at("b", 1)).reached(u64::MAX));
        assert!(at("a", 5).age(&at("a", 1)).reached(0), "a clock that went back counts as no time");
    }
}
