//! Entries that are added to the inventory.

use std::io;

use shim::node::inventory::{self, Entry};
use shim::node::layout::Layout;
use shim::node::store::{Store, StoredRecord};

/// Adds entries to the inventory; what has an entry or a record by now is left alone.
///
/// # Errors
/// Any I/O error; then the inventory is what it was.
pub(crate) fn list(layout: &Layout, entries: &[Entry]) -> io::Result<()> {
    let store = Store::new(layout);
    let mut fresh = Vec::new();
    for entry in entries {
        if matches!(store.find(&entry.key())?, StoredRecord::Absent) {
            fresh.push(entry.clone());
        }
    }
    inventory::change(layout, |inventory| {
        fresh.retain(|entry| inventory.find(&entry.key()).is_none());
        inventory.attachments.append(&mut fresh);
    })
}
