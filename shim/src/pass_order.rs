//! Whose turn it is in a pass of closes, and how long a turn lasts.
//!
//! A close that hangs must not keep the others from theirs, neither in this pass nor in the next. So each close gets a part
//! of the time that is left, and every pass begins behind the close at which the one before ended.
//!
//! *Shape*: `RUN/turn` holds the file name of the attachment that was tried last ([`Key::file_name`]). The file is written
//! before the close begins, so that a pass that is killed in a close that hangs does not begin with that close again. It
//! decides an order and nothing else: without it, or with anything else in it, a pass begins somewhere.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use crate::file::{self, PRIVATE, read_bounded};
use crate::layout::Layout;
use crate::store::Key;
use crate::trust;

/// A file name has at most so many bytes (NAME_MAX).
const MAX_BYTES: usize = 255;

/// The time of one pass, shared out over its closes.
#[derive(Debug, Clone, Copy)]
pub struct TimeShares {
    end: Instant,
    least: Duration,
    most: Duration,
}

impl TimeShares {
    /// Shares of the time until `end`. A close gets at least a quarter of all of it although there are more than four: most
    /// take a fraction of their part, and a thousand must not get some milliseconds each.
    #[must_use]
    pub fn until(end: Instant, now: Instant) -> Self {
        let all = end.saturating_duration_since(now);
        Self { end, least: all / 4, most: all }
    }

    /// Shares of the same length, as many as there is time for until `end`.
    #[must_use]
    pub const fn of(each: Duration, end: Instant) -> Self {
        Self { end, least: each, most: each }
    }

    /// The deadline of the next one of `closes`; none when what is left is too short to begin one.
    #[must_use]
    pub fn next(&self, closes: usize, now: Instant) -> Option<Instant> {
        let left = self.end.saturating_duration_since(now);
        if left.is_zero() || left < self.least / 2 {
            return None;
        }
        let part = left / u32::try_from(closes.max(1)).unwrap_or(u32::MAX);
        Some(now + part.clamp(self.least, self.most).min(left))
    }
}

/// Puts what a pass closes into the order of its turns: by file name, beginning behind the one that was tried last.
pub fn order<T>(all: &mut [T], last_tried: Option<&str>, key: impl Fn(&T) -> &Key) {
    all.sort_by_cached_key(|one| key(one).file_name());
    if let Some(last) = last_tried {
        let first = all.partition_point(|one| key(one).file_name().as_str() <= last);
        all.rotate_left(first);
    }
}

/// The attachment that was tried last, by its file name; none where nobody can tell.
#[must_use]
pub fn last_tried(layout: &Layout) -> Option<String> {
    let bytes = read_bounded(&mut trust::open(&layout.turn()).ok()?, MAX_BYTES).ok()?;
    String::from_utf8(bytes).ok()
}

/// Notes that an attachment is about to be tried.
///
/// # Errors
/// Any I/O error; then the next pass may begin with the same close.
pub fn note(layout: &Layout, key: &Key) -> io::Result<()> {
    file::create_private_dir(&layout.run_dir)?;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(PRIVATE);
    let (mut file, _) = trust::open_regular(&mut options, &layout.turn())?;
    file.write_all(key.file_name().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_gets_its_part_of_what_is_left_and_never_too_little() {
        let now = Instant::now();
        let secs = Duration::from_secs;
        let shares = TimeShares::until(now + secs(16), now);
        for (closes, after, expected) in [
            (1, 0, Some(16)),
            (2, 0, Some(8)),
            (2, 8, Some(4)),
            (4, 0, Some(4)),
            (1000, 0, Some(4)),
            (1000, 14, Some(2)),
            (1000, 15, None),
            (1, 15, None),
            (1, 16, None),
            (0, 0, Some(16)),
        ] {
            let next = shares.next(closes, now + secs(after)).map(|until| until - now - secs(after));
            assert_eq!(next, expected.map(secs), "{closes} closes after {after} s");
        }
        let equal = TimeShares::of(secs(5), now + secs(12));
        let next = |after: u64| equal.next(9, now + secs(after)).map(|until| until - now);
        assert_eq!((next(0), next(9), next(10)), (Some(secs(5)), Some(secs(12)), None));
    }

    #[test]
    fn a_pass_begins_behind_what_was_tried_last_and_comes_to_everything() {
        let keys = || ["c2", "c1", "c3"].map(|id| Key::new(id, "eth0"));
        for (last, expected) in [
            (None, ["c1", "c2", "c3"]),
            (Some("c1@eth0"), ["c2", "c3", "c1"]),
            (Some("c2"), ["c2", "c3", "c1"]),
            (Some("c3@eth0"), ["c1", "c2", "c3"]),
            (Some("\u{7f}"), ["c1", "c2", "c3"]),
            (Some(""), ["c1", "c2", "c3"]),
        ] {
            let mut all = keys();
            order(&mut all, last, |key| key);
            assert_eq!(all.map(|key| key.container_id), expected, "after {last:?}");
        }
    }

    #[test]
    fn what_was_tried_last_is_remembered_in_the_run_directory() {
        let dir = std::env::temp_dir().join(format!("crossfade-turn-{}", std::process::id()));
        let layout = Layout { run_dir: dir.join("run"), ..Layout::default() };
        assert_eq!(last_tried(&layout), None);
        for id in ["a-rather-long-id", "c1"] {
            let key = Key::new(id, "eth0");
            note(&layout, &key).expect("note");
            assert_eq!(last_tried(&layout), Some(key.file_name()));
        }
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
