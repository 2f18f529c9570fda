//! Changes that a holder's watches have not delivered yet.

use std::collections::BTreeSet;

use crate::history::queue::Millis;

/// What of a kind changed that a holder does not know yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingChanges<T> {
    pub(crate) what: BTreeSet<T>,
    /// Since when.
    pub(crate) since: Option<Millis>,
}

impl<T: Ord> PendingChanges<T> {
    /// Notes a change, and says whether it is the first one.
    pub(crate) fn mark(&mut self, what: T, now: Millis) -> bool {
        self.what.insert(what);
        let is_first = self.since.is_none();
        self.since.get_or_insert(now);
        is_first
    }

    /// Up to when everything is known.
    pub(crate) fn complete_until(&self, now: Millis) -> Millis {
        // A change of this very millisecond is not known.
        self.since.map_or(now, |since| since.saturating_sub(1))
    }

    pub(crate) fn take(&mut self) -> BTreeSet<T> {
        self.since = None;
        std::mem::take(&mut self.what)
    }
}
