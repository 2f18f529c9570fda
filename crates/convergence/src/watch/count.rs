//! The schedule of the counts of attachments for the annotation `crossfade/observed`.
//!
//! A count reads every record, and every change of the annotation is a write on the API server and an event for all that watch Nodes. A node
//! that starts or drains pods changes its records many times a second. So a change is counted [`SETTLE`] later, and at least [`EVERY`] after the
//! count before; the count that comes last sees the last change. While nothing changes, nothing is counted, and the loop does not wake up for it.
//!
//! inotify tells of the changes. The modification times of the directories would not do: they stay as they are when a line is appended to a
//! record, and `watch` would have to look at them every few seconds for ever. Only where inotify tells nothing, the records are counted [`BLIND`]
//! apart.
//!
//! A count that is made for another reason, such as a flip, counts as well.

use std::time::Duration;

/// From the first change to its count. An ADD or a DEL writes several lines, most of them within this time, so that one count sees its end.
pub const SETTLE: Duration = Duration::from_secs(1);
/// Shortest time between a count and the next one.
pub const EVERY: Duration = Duration::from_secs(5);
/// Between two counts where nothing tells of changes.
pub const BLIND: Duration = Duration::from_secs(20);

/// The moments that decide when the next count is due, each as the time since `watch` began.
#[derive(Debug, Default)]
pub struct CountPace {
    /// When something changed first that was not counted yet.
    changed_at: Option<Duration>,
    /// When the attachments were counted last.
    counted_at: Option<Duration>,
    /// Whether changes are reported.
    hears: bool,
}

impl CountPace {
    /// Something changed at `now`.
    pub fn note_changed(&mut self, now: Duration) {
        self.changed_at.get_or_insert(now);
    }

    /// The attachments were counted at `now`; `hears` says whether later changes will be reported.
    pub fn note_counted(&mut self, now: Duration, hears: bool) {
        *self = Self { changed_at: None, counted_at: Some(now), hears };
    }

    /// When the next count is due; none while nothing has changed since the last one.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        let Some(counted) = self.counted_at else {
            return self.changed_at.map(|changed_at| changed_at + SETTLE);
        };
        let settled = self.changed_at.map(|changed_at| changed_at + SETTLE);
        let untold = (!self.hears).then(|| counted + BLIND);
        let next = settled.into_iter().chain(untold).min()?;
        Some(next.max(counted + EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_change_is_counted_soon_and_a_second_one_not_before_its_time() {
        let mut pace = CountPace::default();
        assert_eq!(pace.due_at(), None, "nothing to count");
        pace.note_counted(secs(10), true);
        assert_eq!(pace.due_at(), None, "nothing has changed since");
        pace.note_changed(secs(100));
        pace.note_changed(secs(101));
        assert_eq!(pace.due_at(), Some(secs(100) + SETTLE), "by the first change");
        pace.note_counted(secs(101), true);
        pace.note_changed(secs(102));
        assert_eq!(pace.due_at(), Some(secs(101) + EVERY));
        pace.note_changed(secs(105));
        pace.note_counted(secs(106), true);
        assert_eq!(pace.due_at(), None, "both are counted");
        let mut pace = CountPace::default();
        pace.note_changed(secs(3));
        assert_eq!(pace.due_at(), Some(secs(3) + SETTLE), "before the first count");
    }

    #[test]
    fn a_storm_is_counted_every_five_seconds_and_its_last_change_as_well() {
        let (mut pace, mut counts) = (CountPace::default(), Vec::new());
        pace.note_counted(Duration::ZERO, true);
        let mut counted_until = Duration::ZERO;
        let last = Duration::from_millis(59_900);
        for tick in 0..1000_u32 {
            let now = Duration::from_millis(100) * tick;
            if now <= last {
                pace.note_changed(now);
            }
            if pace.due_at().is_some_and(|due| due <= now) {
                pace.note_counted(now, true);
                counts.push(now);
                counted_until = now;
            }
        }
        assert!(counts.windows(2).all(|two| two[1] - two[0] >= EVERY), "{counts:?}");
        assert_eq!(counts.len(), 12, "{counts:?}");
        assert!(counted_until >= last && pace.due_at().is_none(), "{counts:?}");
    }

    #[test]
    fn where_nothing_tells_of_changes_they_are_looked_for() {
        let mut pace = CountPace::default();
        pace.note_counted(secs(10), false);
        assert_eq!(pace.due_at(), Some(secs(10) + BLIND));
        pace.note_changed(secs(11));
        assert_eq!(pace.due_at(), Some(secs(10) + EVERY), "some changes are told all the same");
        pace.note_counted(secs(15), true);
        assert_eq!(pace.due_at(), None, "all of them are told again");
    }
}
