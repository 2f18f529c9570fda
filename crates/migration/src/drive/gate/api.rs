//! The gate on the API server's answers to this program's own requests.

use std::collections::VecDeque;
use std::time::Duration;

use crate::roll::world::{Color, Verdict};

/// Requests of this long ago count.
const LATELY: Duration = Duration::from_mins(1);
/// Of a hundred answers, ninety-nine come within this time.
const IN_TIME: Duration = Duration::from_secs(2);

/// The latest answers.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When each request began, and how long its answer took.
    answers: VecDeque<(Duration, Duration)>,
    /// When the API server last refused a request because it had too much to do.
    busy: Option<Duration>,
}

impl Pulse {
    /// Takes up an answer.
    pub fn note_answered(&mut self, began: Duration, now: Duration) {
        self.answers.push_back((began, now.saturating_sub(began)));
        self.forget(now);
    }

    /// Takes up that the API server had too much to do.
    pub const fn note_busy(&mut self, now: Duration) {
        self.busy = Some(now);
    }

    fn forget(&mut self, now: Duration) {
        while self.answers.front().is_some_and(|(began, _)| now.saturating_sub(*began) > LATELY) {
            self.answers.pop_front();
        }
    }

    /// Green while ninety-nine of a hundred answers of the last minute came within two seconds, and no request was refused for lack of room.
    #[must_use]
    pub fn verdict(&self, now: Duration) -> Verdict {
        let describe = |color, why: String| Verdict { color, checked_at: now, why };
        if let Some(ago) = self.busy.map(|busy| now.saturating_sub(busy)).filter(|ago| *ago < LATELY) {
            let why = format!("the API server had too much to do {} s ago (status 429)", ago.as_secs());
            return describe(Color::Red, why);
        }
        let is_late = |(began, _): &&(Duration, Duration)| now.saturating_sub(*began) <= LATELY;
        let mut took: Vec<Duration> = self.answers.iter().filter(is_late).map(|(_, took)| *took).collect();
        took.sort_unstable();
        // The smallest time within which ninety-nine of a hundred answers came.
        let Some(slow) = took.get((took.len() * 99).div_ceil(100).saturating_sub(1)) else {
            return describe(Color::Unknown, "no request was answered within the last minute".into());
        };
        let why = format!(
            "99 % of {} requests of the last minute took at most {} ms",
            took.len(),
            slow.as_millis()
        );
        describe(if *slow < IN_TIME { Color::Green } else { Color::Red }, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A pulse of answers that took so many milliseconds, one in each second.
    fn pulse(took: &[u64]) -> Pulse {
        let mut pulse = Pulse::default();
        for (began, took) in (1000..).zip(took) {
            pulse.note_answered(secs(began), secs(began) + Duration::from_millis(*took));
        }
        pulse
    }

    #[test]
    fn it_is_red_when_answers_are_late_or_refused_and_unknown_without_any() {
        let mut hundred = [10; 101];
        hundred[50] = 9_000;
        for (took, now, color) in [
            (&[][..], 1000, Color::Unknown),
            (&[10], 1000, Color::Green),
            (&[1_999], 1002, Color::Green),
            (&[2_000], 1002, Color::Red),
            (&[10, 10, 5_000], 1010, Color::Red),
            // More than a minute ago.
            (&[5_000], 1070, Color::Unknown),
        ] {
            assert_eq!(pulse(took).verdict(secs(now)).color, color, "{took:?} at {now}");
        }
        let mut one_of_many = Pulse::default();
        for took in hundred {
            one_of_many.note_answered(secs(1000), secs(1000) + Duration::from_millis(took));
        }
        assert_eq!(one_of_many.verdict(secs(1010)).color, Color::Green, "one of 101 may be late");
    }

    #[test]
    fn a_refusal_for_lack_of_room_counts_for_a_minute() {
        let mut pulse = pulse(&[10]);
        pulse.note_busy(secs(1001));
        assert_eq!(pulse.verdict(secs(1002)).color, Color::Red);
        pulse.note_answered(secs(1060), secs(1060));
        assert_eq!(pulse.verdict(secs(1061)).color, Color::Green);
    }

    #[test]
    fn old_answers_are_forgotten() {
        let mut pulse = pulse(&[10, 10, 10]);
        pulse.note_answered(secs(2000), secs(2000));
        assert_eq!(pulse.answers.len(), 1);
    }
}
