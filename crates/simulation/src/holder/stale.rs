//! The share of changes that a holder's watches have delivered.

use super::Holder;
use crate::history::event::Stream;
use crate::history::queue::{Millis, SECOND};

/// A holder decides nothing if a watch has brought nothing for longer, as the real one does.
pub(crate) const STALE: Millis = 30 * SECOND;

impl Holder {
    /// Until when this watch brings nothing.
    pub(crate) fn delay(&self, stream: Stream) -> Millis {
        let silent =
            self.silent.filter(|(silent_stream, ..)| *silent_stream == stream).map_or(0, |(.., until)| until);
        self.asleep.max(self.away_until).max(self.deaf).max(silent)
    }

    /// Up to when everything that happened is known.
    pub(super) fn synced_at(&self, now: Millis) -> Millis {
        let late = self.asleep.max(self.away_until).max(self.deaf);
        let all = if late > now { self.late_since } else { now };
        let silent = self.silent.filter(|(.., until)| *until > now).map_or(now, |(_, since, _)| since);
        let known_times = [
            self.nodes.complete_until(now),
            self.pods.complete_until(now),
            self.workloads.complete_until(now),
            self.record.complete_until(now),
        ];
        known_times.into_iter().fold(all.min(silent), Millis::min)
    }
}
