//! The gate on the time of the week at which nodes may start.

use crate::config::roll::Window;

/// Days as a window names them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of the week in some time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Days since Monday.
    pub day: usize,
    /// Minutes since midnight.
    pub minute: u32,
}

/// Whether a window is open, or there is none at all. `local` says what time it is in a time zone; none if the zone is not known, and a window there is
/// closed.
#[must_use]
pub fn is_open(windows: &[Window], local: impl Fn(Option<&str>) -> Option<LocalTime>) -> bool {
    windows.is_empty()
        || windows
            .iter()
            .any(|window| local(window.zone.as_deref()).is_some_and(|time| contains(window, time)))
}

/// Whether a moment is in a window. One that ends at or before it begins ends on the next day.
fn contains(window: &Window, time: LocalTime) -> bool {
    let (Some(from), Some(to)) = (minute(&window.from), minute(&window.to)) else { return false };
    let begins = |day: usize| {
        window.days.is_empty()
            || DAYS.get(day % 7).is_some_and(|name| window.days.iter().any(|item| item == name))
    };
    if from < to {
        begins(time.day) && (from..to).contains(&time.minute)
    } else {
        begins(time.day) && time.minute >= from || begins(time.day + 6) && time.minute < to
    }
}

/// Minutes since midnight of `HH:MM`.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: u32| text.parse().ok().filter(|number: &u32| *number < below);
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[&str], from: &str, to: &str, zone: Option<&str>) -> Window {
        let days = days.iter().map(|day| (*day).to_owned()).collect();
        Window { days, from: from.into(), to: to.into(), zone: zone.map(Into::into) }
    }

    /// Each row: days, from, to, day, hour and minute, whether it is open.
    #[test]
    fn a_window_is_open_from_its_start_to_before_its_end() {
        for (days, from, to, day, (hour, past), open) in [
            (&[][..], "09:00", "17:00", 0, (9, 0), true),
            (&[], "09:00", "17:00", 0, (8, 59), false),
            (&[], "09:00", "17:00", 0, (16, 59), true),
            (&[], "09:00", "17:00", 0, (17, 0), false),
            (&["mon"], "09:00", "17:00", 0, (12, 0), true),
            (&["mon"], "09:00", "17:00", 1, (12, 0), false),
            (&["sun"], "22:00", "04:00", 6, (23, 0), true),
            (&["sun"], "22:00", "04:00", 0, (3, 59), true),
            (&["sun"], "22:00", "04:00", 0, (4, 0), false),
            (&["sun"], "22:00", "04:00", 6, (3, 0), false),
            (&["sun"], "22:00", "04:00", 0, (23, 0), false),
            (&[], "00:00", "00:00", 3, (13, 7), true),
            (&[], "25:00", "26:00", 3, (13, 7), false),
        ] {
            let local = LocalTime { day, minute: hour * 60 + past };
            let is_within = is_open(&[window(days, from, to, None)], |_| Some(local));
            assert_eq!(is_within, open, "{days:?} {from}-{to} on {} at {hour}:{past}", DAYS[day]);
        }
    }

    #[test]
    fn without_a_window_any_time_will_do_and_an_unknown_zone_is_closed() {
        assert!(is_open(&[], |_| None));
        let all_day = window(&[], "00:00", "00:00", Some("Mars/Phobos"));
        assert!(!is_open(std::slice::from_ref(&all_day), |zone| {
            assert_eq!(zone, Some("Mars/Phobos"));
            None
        }));
    }
}
