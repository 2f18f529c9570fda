//! The freshness of what watches know: too old for a decision, or not.

use std::time::Duration;

/// How long what a watch knew counts after the last list, event or bookmark. A watch that works hears a bookmark every eighteen seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a watch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) enum Health {
    /// It has not told all yet.
    Starting,
    /// Changes arrive as they happen; when the last list, event or bookmark came.
    InSync(Duration),
    /// It broke; when the last list, event or bookmark came, and why.
    Lost(Duration, String),
    /// It has not told all, or not all that has happened since; why.
    Failing(String),
}

/// Something that is not known well enough to decide anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindSpot {
    /// What: `Nodes`, `Pods on node b7`.
    pub what: String,
    /// Why, in words.
    pub why: String,
    /// For how long; none if it was never known.
    pub since: Option<Duration>,
}

impl Health {
    /// The watch brought a list, an event or a bookmark. Says whether it was not in sync before.
    pub(in crate::live) fn sync(&mut self, now: Duration) -> bool {
        !matches!(std::mem::replace(self, Self::InSync(now)), Self::InSync(_))
    }

    /// The watch broke. It goes on by itself, and what it knew counts for a time.
    pub(in crate::live) fn lose(&mut self, why: &str) {
        let why = why.to_owned();
        *self = match self {
            Self::Starting | Self::Failing(_) => Self::Failing(why),
            Self::InSync(synced) | Self::Lost(synced, _) => Self::Lost(*synced, why),
        };
    }

    /// Up to when everything that happened is known; none if that does not count any more.
    pub(in crate::live) const fn synced_at(&self) -> Option<Duration> {
        match self {
            Self::InSync(synced) | Self::Lost(synced, _) => Some(*synced),
            Self::Starting | Self::Failing(_) => None,
        }
    }

    /// What it knew does not count any more, and is read anew.
    pub(in crate::live) fn expire(&mut self) {
        *self = Self::Failing(
            "they are read anew, since the API server does not tell any more what has changed".into(),
        );
    }

    /// Why nothing can be decided.
    pub(in crate::live) fn blind(&self, what: &str, now: Duration) -> Option<BlindSpot> {
        let blind = |why: &str, since| Some(BlindSpot { what: what.to_owned(), why: why.to_owned(), since });
        let lasting = |synced: Duration, why: &str| {
            let lasts = now.saturating_sub(synced);
            if lasts > PATIENCE { blind(why, Some(lasts)) } else { None }
        };
        match self {
            Self::InSync(synced) => lasting(*synced, "the API server sends neither events nor bookmarks"),
            Self::Starting => blind("the API server has not told them yet", None),
            Self::Failing(why) => blind(why, None),
            Self::Lost(synced, why) => lasting(*synced, why),
        }
    }
}

/// `Nodes cannot be watched for 41 s: no answer`.
impl std::fmt::Display for BlindSpot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.since {
            Some(since) => {
                write!(f, "{} cannot be watched for {} s: {}", self.what, since.as_secs(), self.why)
            }
            None => write!(f, "{} cannot be watched: {}", self.what, self.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_a_broken_watch_knew_counts_for_half_a_minute() {
        let mut health = Health::InSync(secs(100));
        assert_eq!(health.blind("Nodes", secs(100)), None);
        health.lose("no answer");
        health.lose("403");
        assert_eq!(health.blind("Nodes", secs(130)), None);
        let blind = health.blind("Nodes", secs(131)).expect("too old");
        assert_eq!(blind.to_string(), "Nodes cannot be watched for 31 s: 403");
    }

    #[test]
    fn what_was_never_known_does_not_count_at_all() {
        let mut health = Health::Starting;
        assert!(health.blind("Nodes", secs(100)).is_some());
        health.lose("403 Forbidden");
        let blind = health.blind("Nodes", secs(100)).expect("never known");
        assert_eq!(blind.to_string(), "Nodes cannot be watched: 403 Forbidden");
    }
}
