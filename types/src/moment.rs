//! Moments on the clock that survives a change of the wall clock, and ages.
//!
//! Ages are measured on `CLOCK_BOOTTIME` within one boot (man 2 `clock_gettime`); an earlier boot is simply *earlier*. The wall clock
//! is written beside it for people and decides nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in one boot.
///
/// *Shape*: `{"bootID":"5c1e...","boottimeMs":81234,"wallSecs":1790000000}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The moment was in this boot, this long ago.
    ThisBoot(Duration),
    /// The moment was in an earlier boot.
    EarlierBoot,
}

impl Moment {
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
    /// Whether this many seconds have passed. An earlier boot is past every limit.
    #[must_use]
    pub fn has_reached(self, secs: u64) -> bool {
        match self {
            Self::ThisBoot(age) => age >= Duration::from_secs(secs),
            Self::EarlierBoot => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment_at(boot_id: &str, boottime_ms: u64) -> Moment {
        Moment { boot_id: boot_id.into(), boottime_ms, wall_secs: 0 }
    }

    #[test]
    fn ages_count_within_a_boot_and_an_earlier_boot_is_past_everything() {
        assert!(!moment_at("a", 1000).age(&moment_at("a", 10_999)).has_reached(10));
        assert!(moment_at("a", 1000).age(&moment_at("a", 11_000)).has_reached(10));
        assert!(moment_at("a", 9_000_000).age(&moment_at("b", 1)).has_reached(u64::MAX));
        assert!(
            moment_at("a", 5).age(&moment_at("a", 1)).has_reached(0),
            "a clock that went back counts as no time"
        );
    }
}
