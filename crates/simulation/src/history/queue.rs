//! The queue of coming events, by time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Milliseconds since a history began.
pub type Millis = u64;

pub(crate) const SECOND: Millis = 1000;
pub(crate) const MINUTE: Millis = 60 * SECOND;
pub(crate) const HOUR: Millis = 60 * MINUTE;

/// Events by their time; of those at the same time the one that was pushed first comes first.
#[derive(Debug, Clone)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<QueueEntry<T>>>,
    pushed: u64,
}

#[derive(Debug, Clone)]
struct QueueEntry<T> {
    due_at: Millis,
    order: u64,
    event: T,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, time: Millis, what: T) {
        self.pushed += 1;
        self.heap.push(Reverse(QueueEntry { due_at: time, order: self.pushed, event: what }));
    }

    /// The next event, with its time.
    pub(crate) fn pop(&mut self) -> Option<(Millis, T)> {
        self.heap.pop().map(|Reverse(due)| (due.due_at, due.event))
    }
}

impl<T> QueueEntry<T> {
    const fn key(&self) -> (Millis, u64) {
        (self.due_at, self.order)
    }
}

impl<T> PartialEq for QueueEntry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for QueueEntry<T> {}

impl<T> PartialOrd for QueueEntry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for QueueEntry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_of_their_pushing() {
        let mut queue = Queue::new();
        for (time, what) in [(5, 'b'), (1, 'a'), (5, 'c'), (9, 'd')] {
            queue.push(time, what);
        }
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(popped, [(1, 'a'), (5, 'b'), (5, 'c'), (9, 'd')]);
    }
}
