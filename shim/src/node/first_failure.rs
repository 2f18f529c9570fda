//! The time at which a DEL first failed, for an attachment whose record cannot be written (a full or read-only disk).
//!
//! A forced DEL of a retired network waits until its DEL has failed for long enough. Without this time the wait would begin anew with
//! every DEL, and on a full disk the pods of a retired network could never be deleted.
//!
//! *Shape*: `RUN/failing/CONTAINERID@IFNAME`, an empty file (0600). Its modification time is the boot-time clock, in
//! seconds and nanoseconds since boot: no wall clock that jumps, and no content, so that a run directory without a free
//! block still takes it (a tmpfs needs an inode for it, and nothing else). A reboot takes the directory away.
//!
//! If the run directory has no inode left either, the shim remembers nothing and never shortens a wait, because each failure might be the
//! first. A `forceAfterSeconds` of 0 still works.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, UNIX_EPOCH};

use crate::host::boot::Moment;
use crate::host::file::{self, PRIVATE};
use crate::node::layout::Layout;
use crate::node::store::{Key, Store};
use crate::{host::trust, node::inventory};

/// The time at which the DEL of `key` first failed, if a file says so.
#[must_use]
pub fn recall(layout: &Layout, key: &Key, now: &Moment) -> Option<Moment> {
    let path = layout.failing().join(key.file_name());
    let (_, meta) = trust::open_regular(File::options().read(true), &path).ok()?;
    let since_boot = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let boottime_ms = u64::try_from(since_boot.as_millis()).ok()?;
    // If the writer was killed before it set the time, the file has the wall clock, which is decades ahead.
    let elapsed_ms = now.boottime_ms.checked_sub(boottime_ms)?;
    Some(Moment {
        boot_id: now.boot_id.clone(),
        boottime_ms,
        wall_secs: now.wall_secs.saturating_sub(elapsed_ms / 1000),
    })
}

/// Remembers that the DEL of `key` first failed at `at`, a moment of this boot.
///
/// # Errors
/// Any I/O error; then it is not remembered.
pub fn remember(layout: &Layout, key: &Key, failed_at: &Moment) -> io::Result<()> {
    let dir = layout.failing();
    file::create_private_dir(&dir)?;
    let mut options = File::options();
    options.append(true).create(true).mode(PRIVATE);
    let (file, _) = trust::open_regular(&mut options, &dir.join(key.file_name()))?;
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_millis(failed_at.boottime_ms)))
}

/// Removes the time of `key`. The caller does that before it removes the record, so a later attachment of this name never inherits the time.
pub fn forget(layout: &Layout, key: &Key) {
    // The file is nearly always absent. If it cannot be removed, the next pass finds it.
    let _ = std::fs::remove_file(layout.failing().join(key.file_name()));
}

/// Removes the times of attachments that have neither a record nor an inventory entry.
///
/// # Errors
/// When the directory or the records cannot be listed.
pub fn tidy(layout: &Layout, store: &Store) -> io::Result<()> {
    let entries = match std::fs::read_dir(layout.failing()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let inventory = inventory::load(layout)?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let listed = inventory.attachments.iter().any(|entry| name == *entry.key().file_name());
        if !listed && !store.has_file(&name)? {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_recalled_until_it_is_forgotten_and_only_where_it_makes_sense() {
        let dir = std::env::temp_dir().join(format!("crossfade-failing-{}", std::process::id()));
        let layout = Layout { state_dir: dir.join("state"), run_dir: dir.join("run"), policy: None };
        let (key, now) = (Key::new("c1", "eth0"), crate::host::boot::now().expect("now"));
        assert_eq!(recall(&layout, &key, &now), None);
        let failed_at = Moment { boottime_ms: now.boottime_ms.saturating_sub(5000), ..now.clone() };
        remember(&layout, &key, &failed_at).expect("remember");
        let recalled = recall(&layout, &key, &now).expect("it was remembered");
        assert_eq!(recalled.boottime_ms, failed_at.boottime_ms);
        assert!(recalled.age(&now).has_reached(5) && !recalled.age(&now).has_reached(6));
        // Made, and not yet set: its time is the wall clock's.
        std::fs::write(layout.failing().join("c2@eth0"), "").expect("a file");
        assert_eq!(recall(&layout, &Key::new("c2", "eth0"), &now), None);

        tidy(&layout, &Store::new(&layout)).expect("tidy");
        assert_eq!(recall(&layout, &key, &now), None, "there is neither a record nor an entry");
        remember(&layout, &key, &failed_at).expect("remember");
        forget(&layout, &key);
        assert_eq!(recall(&layout, &key, &now), None);
        std::fs::remove_dir_all(dir).expect("clean up");
    }
}
