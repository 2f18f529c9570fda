//! The call that holds the lock of an attachment, for whoever asks why nothing happens. Nothing is locked, created or ended.

use std::fs::File;

use super::holder::Holder;
use crate::layout::Layout;
use crate::store::Key;
use crate::trust;

/// A call of the plugin that is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningCall {
    /// Its verb, `ADD` or `DEL`.
    pub verb: String,
    /// The plugin's process, if it lives, and the process groups of the delegates that it runs.
    pub pids: Vec<i32>,
}

/// The call that works on an attachment now, if there is one and its lock can be read.
#[must_use]
pub fn running(layout: &Layout, key: &Key) -> Option<RunningCall> {
    let path = layout.locks().join(key.file_name());
    let (file, _) = trust::open_regular(File::options().read(true), &path).ok()?;
    let holder = Holder::read(&file);
    let pids = holder.alive();
    (!pids.is_empty()).then(|| RunningCall { verb: holder.verb().to_owned(), pids })
}
