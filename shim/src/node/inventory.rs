//! The inventory's file on this node. [`types::inventory`] has its types. Crossfade changes the file only under its lock.

use std::io;

pub use types::inventory::{Deleter, Entry, Inventory};

use crate::host::file::{self, PRIVATE, read_bounded};
use crate::host::lock;
use crate::host::trust;
use crate::node::layout::Layout;
use crate::node::store::Key;

/// The largest inventory that Crossfade reads, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// Reads the inventory. An absent file counts as an empty inventory.
///
/// # Errors
/// The file is untrusted, unreadable or invalid. The text names the file.
pub fn load(layout: &Layout) -> io::Result<Inventory> {
    let path = layout.inventory();
    let named = |why: String| io::Error::other(format!("inventory {}: {why}", path.display()));
    let mut file = match trust::open(&path) {
        Ok(file) => file,
        Err(why) if why.is_absent() => return Ok(Inventory::default()),
        Err(why) => return Err(named(why.to_string())),
    };
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| named(e.to_string()))?;
    Inventory::parse(&bytes).map_err(named)
}

/// Changes the inventory durably, under its lock. Equal bytes are not written again.
///
/// # Errors
/// Any I/O error. Then the file is unchanged.
pub fn change(layout: &Layout, change: impl FnOnce(&mut Inventory)) -> io::Result<()> {
    lock::exclusively(layout, "inventory", || {
        let mut inventory = load(layout)?;
        change(&mut inventory);
        file::create_private_dir(&layout.state_dir)?;
        let json = types::json::raw::to_raw(&inventory);
        file::write_if_changed(&layout.inventory(), json.get().as_bytes(), PRIVATE).map(|_| ())
    })
}

/// Removes the entry of `key`.
///
/// # Errors
/// Any I/O error.
pub fn strike_out(layout: &Layout, key: &Key) -> io::Result<()> {
    change(layout, |inventory| inventory.attachments.retain(|entry| entry.key() != *key))
}
