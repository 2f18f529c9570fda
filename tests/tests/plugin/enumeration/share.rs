//! The points that are played: all of them, or what fits into `make test`.
//!
//! A run that is not told otherwise plays a part of the kills and a smaller one of everything else, chosen by a seed that it prints:
//! `CROSSFADE_SEED` repeats a run, `CROSSFADE_ENUMERATE=all` plays everything, `=none` only counts.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::point::{Fault, Point};

/// One kill in so many is played.
const KILLS: u64 = 3;
/// One in so many of everything else.
const FAULTS: u64 = 36;

/// What is played of the points.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// Everything.
    All,
    /// Nothing: the points are counted.
    Nothing,
    /// One in [`KILLS`] and one in [`FAULTS`], by this seed.
    Part { seed: u64 },
}

impl Share {
    /// What this run plays.
    pub(crate) fn of_this_run() -> Self {
        static SHARE: OnceLock<Share> = OnceLock::new();
        *SHARE.get_or_init(|| {
            match std::env::var("CROSSFADE_ENUMERATE").as_deref() {
                Ok("all") => return Self::All,
                Ok("none") => return Self::Nothing,
                _ => {}
            }
            let seed = std::env::var("CROSSFADE_SEED").ok().and_then(|seed| seed.parse().ok());
            let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            Self::Part { seed: seed.unwrap_or_else(clock) }
        })
    }

    /// Whether a point is in it.
    pub(crate) fn has(self, point: &Point) -> bool {
        let seed = match self {
            Self::All => return true,
            Self::Nothing => return false,
            Self::Part { seed } => seed,
        };
        let one_in = if point.fault == Fault::Kill { KILLS } else { FAULTS };
        let mut hasher = DefaultHasher::new();
        (seed, point.to_string()).hash(&mut hasher);
        hasher.finish().is_multiple_of(one_in)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every point"),
            Self::Nothing => f.write_str("nothing, only counted"),
            Self::Part { seed } => {
                write!(f, "one kill in {KILLS}, one in {FAULTS} of the rest (CROSSFADE_SEED={seed})")
            }
        }
    }
}
