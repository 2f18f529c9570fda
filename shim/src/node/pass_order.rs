//! The order in which GC and the sweep close attachments, and how much time each close gets.
//!
//! One close that hangs must not starve the others, neither in this pass nor in the next one. So each close gets a share of the
//! remaining time, and each pass begins behind the attachment that the previous pass tried last.
//!
//! *Shape*: `RUN/turn` holds the file name of that attachment ([`Key::file_name`]). A pass writes the file before it begins a close, so a
//! pass that is killed in a hanging close does not make the next pass begin with the same close. The file decides an order and nothing
//! else: if it is absent or holds anything else, a pass begins with any attachment.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use crate::host::file::{self, PRIVATE, read_bounded};
use crate::host::trust;
use crate::node::layout::Layout;
use crate::node::store::Key;

/// The longest file name, in bytes (NAME_MAX).
const MAX_BYTES: usize = 255;

/// Divides the time of one pass among its closes.
#[derive(Debug, Clone, Copy)]
pub struct TimeShares {
    end: Instant,
    least: Duration,
    most: Duration,
}

impl TimeShares {
    /// Divides the time until `end`. A close gets at least a quarter of the whole time, even if there are more than four closes: most
    /// closes need a fraction of their share, and a thousand closes must not get a few milliseconds each.
    #[must_use]
    pub fn new_until(end: Instant, now: Instant) -> Self {
        let all = end.saturating_duration_since(now);
        Self { end, least: all / 4, most: all }
    }

    /// Gives each close the same time, until `end` is reached.
    #[must_use]
    pub const fn new(each: Duration, end: Instant) -> Self {
        Self { end, least: each, most: each }
    }

    /// The deadline of the next close if `closes` are left; none if the remaining time is too short to begin one.
    #[must_use]
    pub fn next_deadline(&self, closes: usize, now: Instant) -> Option<Instant> {
        let remaining = self.end.saturating_duration_since(now);
        if remaining.is_zero() || remaining < self.least / 2 {
            return None;
        }
        let part = remaining / u32::try_from(closes.max(1)).unwrap_or(u32::MAX);
        Some(now + part.clamp(self.least, self.most).min(remaining))
    }
}

/// Sorts the attachments of a pass by file name, beginning behind the one that the previous pass tried last.
pub fn order<T>(all: &mut [T], last_tried: Option<&str>, key: impl Fn(&T) -> &Key) {
    all.sort_by_cached_key(|item| key(item).file_name());
    if let Some(last) = last_tried {
        let first = all.partition_point(|item| key(item).file_name().as_str() <= last);
        all.rotate_left(first);
    }
}

/// The file name of the attachment that a pass tried last; none if the file is absent or unreadable.
#[must_use]
pub fn last_tried(layout: &Layout) -> Option<String> {
    let bytes = read_bounded(&mut trust::open(&layout.turn()).ok()?, MAX_BYTES).ok()?;
    String::from_utf8(bytes).ok()
}

/// Records that the pass is about to try this attachment.
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
        let shares = TimeShares::new_until(now + secs(16), now);
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
            let next = shares.next_deadline(closes, now + secs(after)).map(|until| until - now - secs(after));
            assert_eq!(next, expected.map(secs), "{closes} closes after {after} s");
        }
        let equal = TimeShares::new(secs(5), now + secs(12));
        let next = |after: u64| equal.next_deadline(9, now + secs(after)).map(|until| until - now);
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
