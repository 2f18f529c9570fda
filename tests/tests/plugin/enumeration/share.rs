//! The points that are played: all of them, or what fits into `make test`.
//!
//! Every kill is always played. Of everything else a run that is not told otherwise plays a part, chosen
//! by a seed that it prints: `CROSSFADE_SEED` repeats a run, `CROSSFADE_ENUMERATE=all` plays everything, `=none` only counts.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::point::{Fault, Point};

/// One in so many is played.
const ONE_IN: u64 = 12;

/// What is played of the points that need not be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// Everything.
    All,
    /// Nothing: the points are counted.
    Nothing,
    /// One in [`ONE_IN`], by this seed.
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
        if point.fault == Fault::Kill {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        (seed, point.to_string()).hash(&mut hasher);
        hasher.finish().is_multiple_of(ONE_IN)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every point"),
            Self::Nothing => f.write_str("nothing, only counted"),
            Self::Part { seed } => {
                write!(f, "every kill, one in {ONE_IN} of the rest (CROSSFADE_SEED={seed})")
            }
        }
    }
}
