//! The probes of one kind that an agent sends to one target, and what became of them.
//!
//! A loss is held back until it is certain whose it is: an answer that follows shows that the target was there, and the loss is the network's; a
//! target that ends within [`GRACE`] was about to be restarted, and its losses are counted apart.

use std::collections::VecDeque;

use crate::report::Counts;

/// An answer within this time is in time; milliseconds.
pub const IN_TIME: u64 = 1_000;
/// A probe that is not answered within this time is lost; milliseconds.
pub const LOST: u64 = 10_000;
/// The shortest time without an answer that is an outage, where probes are sent that often; milliseconds.
pub const OUTAGE: u64 = 3_000;
/// How long losses of a target that does not answer any more are held back; milliseconds.
pub const GRACE: u64 = 15_000;

/// See the module.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The time from one probe to the next; milliseconds.
    period: u64,
    sequence: u64,
    /// Probes without an answer, by number, with the time at which each was sent.
    pending: VecDeque<(u64, u64)>,
    /// When the last answer came, or the first probe was sent.
    answered_at: Option<u64>,
    /// Losses and breaks since the last answer.
    held: Counts,
    /// The present time without an answer is counted as an outage.
    is_outage_counted: bool,
    counts: Counts,
}

impl Stream {
    /// A stream with a probe each `period` milliseconds.
    #[must_use]
    pub fn new(period: u64) -> Self {
        Self {
            period,
            sequence: 0,
            pending: VecDeque::new(),
            answered_at: None,
            held: Counts::default(),
            is_outage_counted: false,
            counts: Counts::default(),
        }
    }

    /// The shortest time without an answer that is an outage of this stream: three probes.
    fn outage(&self) -> u64 {
        OUTAGE.max(3 * self.period)
    }

    /// The number of the probe that is sent now.
    pub fn send(&mut self, now: u64) -> u64 {
        self.sequence += 1;
        self.pending.push_back((self.sequence, now));
        self.answered_at.get_or_insert(now);
        self.sequence
    }

    /// An answer to the probe `sequence` came. Answers that come twice, or after the probe was given up, count for nothing.
    pub fn answer(&mut self, sequence: u64, now: u64) {
        let Some(place) = self.pending.iter().position(|(number, _)| *number == sequence) else { return };
        let sent_at = self.pending.remove(place).map_or(now, |(_, sent_at)| sent_at);
        let is_in_time = now.saturating_sub(sent_at) <= IN_TIME;
        match is_in_time {
            true => self.counts.answered += 1,
            false => self.counts.late += 1,
        }
        let gap = now.saturating_sub(self.answered_at.unwrap_or(now));
        let is_overdue = |(_, sent_at): &(u64, u64)| now.saturating_sub(*sent_at) > IN_TIME;
        let has_failed = !is_in_time || self.held.lost > 0 || self.pending.front().is_some_and(is_overdue);
        if has_failed {
            self.counts.longest_gap = self.counts.longest_gap.max(gap);
        }
        if has_failed && gap >= self.outage() && !self.is_outage_counted {
            self.counts.outages += 1;
        }
        self.is_outage_counted = false;
        self.counts += std::mem::take(&mut self.held);
        self.answered_at = Some(now);
    }

    /// The connection of this stream ended unasked.
    pub fn break_off(&mut self) {
        self.held.broken += 1;
    }

    /// Gives up probes that are too old, and counts an outage that lasts.
    pub fn advance(&mut self, now: u64) {
        while self.pending.front().is_some_and(|(_, sent_at)| now.saturating_sub(*sent_at) >= LOST) {
            self.pending.pop_front();
            self.held.lost += 1;
        }
        let silence = self.silence(now);
        if silence >= GRACE && !self.pending.is_empty() {
            self.counts += std::mem::take(&mut self.held);
            self.counts.longest_gap = self.counts.longest_gap.max(silence);
            if silence >= self.outage() {
                self.counts.outages += u64::from(!std::mem::replace(&mut self.is_outage_counted, true));
            }
        }
    }

    /// How long no answer has come; milliseconds.
    #[must_use]
    pub fn silence(&self, now: u64) -> u64 {
        now.saturating_sub(self.answered_at.unwrap_or(now))
    }

    /// What has become certain since the last call.
    pub fn take(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// The last counts of a target that has ended.
    #[must_use]
    pub fn end(mut self) -> Counts {
        let restarting = self.held.lost + u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        self.counts.restarting += restarting;
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends a probe each second from 0 on; `delay` says when the answer to each comes, if it does.
    fn play(seconds: u64, delay: impl Fn(u64) -> Option<u64>) -> (Stream, Counts) {
        let (mut stream, mut answers, mut total) = (Stream::new(1_000), Vec::new(), Counts::default());
        for now in (0..seconds * 1000).step_by(100) {
            if now % 1000 == 0 {
                let sequence = stream.send(now);
                answers.extend(delay(now / 1000).map(|delay| (now + delay, sequence)));
            }
            for (_, sequence) in answers.extract_if(.., |(at, _)| *at <= now) {
                stream.answer(sequence, now);
            }
            stream.advance(now);
            total += stream.take();
        }
        (stream, total)
    }

    #[test]
    fn what_is_answered_in_time_is_clean() {
        let (stream, counts) = play(30, |_| Some(100));
        assert_eq!(counts, Counts { answered: 30, ..Counts::default() });
        assert_eq!(stream.end(), Counts::default());
    }

    #[test]
    fn one_loss_is_a_loss_and_no_outage() {
        let (_, counts) = play(30, |second| (second != 10).then_some(100));
        assert_eq!(counts, Counts { answered: 29, lost: 1, longest_gap: 2_000, ..Counts::default() });
    }

    #[test]
    fn three_seconds_without_an_answer_are_an_outage() {
        let (_, counts) = play(40, |second| (!(10..13).contains(&second)).then_some(100));
        assert_eq!(
            counts,
            Counts { answered: 37, lost: 3, outages: 1, longest_gap: 4_000, ..Counts::default() }
        );
    }

    #[test]
    fn what_comes_late_is_not_lost() {
        let (_, counts) = play(40, |second| Some(if second == 10 { 2_500 } else { 100 }));
        assert_eq!((counts.late, counts.lost, counts.outages), (1, 0, 0));
        let (_, all) = play(40, |_| Some(1_500));
        assert_eq!((all.answered, all.lost, all.outages), (0, 0, 0));
        assert!(all.late > 30);
    }

    #[test]
    fn the_losses_of_a_target_that_ends_are_apart() {
        let (stream, counts) = play(24, |second| (second < 10).then_some(100));
        assert_eq!(counts, Counts { answered: 10, ..Counts::default() }, "not before it is certain");
        assert_eq!(stream.end(), Counts { restarting: 14, ..Counts::default() });
    }

    #[test]
    fn a_target_that_stays_silent_is_an_outage_once() {
        let (stream, counts) = play(60, |second| (second < 10).then_some(100));
        assert_eq!((counts.outages, counts.lost, counts.restarting), (1, 40, 0));
        assert!(counts.longest_gap > 49_000);
        assert_eq!(stream.end().restarting, 10);
    }

    #[test]
    fn a_slow_stream_has_no_outage_between_its_probes() {
        let mut stream = Stream::new(10_000);
        for second in 0..10 {
            let sequence = stream.send(second * 10_000);
            if second != 5 {
                stream.answer(sequence, second * 10_000 + 10);
            }
            stream.advance(second * 10_000 + 9_999);
        }
        assert_eq!(stream.take(), Counts { answered: 9, lost: 1, longest_gap: 20_000, ..Counts::default() });
    }

    #[test]
    fn a_time_in_which_nothing_was_sent_is_no_outage() {
        let mut stream = Stream::new(1_000);
        for now in [0, 20_000] {
            let sequence = stream.send(now);
            stream.answer(sequence, now + 10);
        }
        assert_eq!(stream.take(), Counts { answered: 2, ..Counts::default() });
    }

    #[test]
    fn answers_in_another_order_are_no_gap() {
        let mut stream = Stream::new(1_000);
        let first = stream.send(0);
        stream.answer(first, 10);
        let [second, third] = [stream.send(2_000), stream.send(2_050)];
        stream.answer(third, 2_060);
        stream.answer(second, 2_070);
        assert_eq!(stream.take(), Counts { answered: 3, ..Counts::default() });
    }

    #[test]
    fn a_connection_that_breaks_counts_once_its_target_answers_again() {
        let mut stream = Stream::new(1_000);
        let first = stream.send(0);
        stream.answer(first, 10);
        stream.break_off();
        assert_eq!(stream.take().broken, 0);
        let second = stream.send(1_000);
        stream.answer(second, 1_010);
        assert_eq!(stream.take().broken, 1);
        stream.break_off();
        assert_eq!(stream.end().broken, 0);
    }

    proptest! {
        /// Every probe is counted exactly once, however its answer is delayed.
        #[test]
        fn no_probe_is_counted_twice_or_never(delays in proptest::collection::vec(proptest::option::of(0_u64..20_000), 1..60)) {
            let seconds = u64::try_from(delays.len()).unwrap_or_default();
            let (stream, counts) = play(seconds, |second| delays[usize::try_from(second).unwrap_or_default()]);
            let last = stream.end();
            prop_assert_eq!(counts.judged() + last.judged() + last.restarting, seconds);
        }
    }
}
