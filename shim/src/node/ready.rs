//! Markers of networks that were ready in this boot.
//!
//! *Shape*: `RUN/ready/<network's own name>`, holding `{"bootID":"..","conf":"/etc/cni/net.d/05-cilium.conflist"}`. The file has the
//! network's own name, so that a new network does not inherit the marker of the network it replaces. The boot id makes the marker invalid if
//! the run directory survives a reboot. The conf's path identifies the network after its agent has removed the conf.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::boot;
use crate::host::file;
use crate::host::trust;
use crate::node::layout::Layout;

/// The largest marker, in bytes: a boot id and a path.
const MAX_BYTES: usize = 8 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    #[serde(rename = "bootID")]
    boot_id: String,
    conf: PathBuf,
}

/// Whether the network of this name was ready in this boot.
#[must_use]
pub fn is_marked(layout: &Layout, name: &str) -> bool {
    read(&layout.ready_dir().join(name)).is_some()
}

/// Whether a network whose conf is one of `paths` was ready in this boot. This works without the conf itself.
#[must_use]
pub fn is_marked_by_conf(layout: &Layout, paths: &[PathBuf]) -> bool {
    let Ok(markers) = std::fs::read_dir(layout.ready_dir()) else { return false };
    markers.flatten().filter_map(|entry| read(&entry.path())).any(|marker| paths.contains(&marker.conf))
}

/// Whether the network of this name was ready in this boot, with its conf at `conf`. Then [`mark`] would change nothing.
#[must_use]
pub fn is_marked_with_conf(layout: &Layout, name: &str, conf: &Path) -> bool {
    read(&layout.ready_dir().join(name)).is_some_and(|marker| marker.conf == conf)
}

/// Marks a network as ready in this boot. An existing marker is not written again.
///
/// # Errors
/// Any I/O error.
pub fn mark(layout: &Layout, name: &str, conf: &Path) -> io::Result<()> {
    if is_marked_with_conf(layout, name, conf) {
        return Ok(());
    }
    let path = layout.ready_dir().join(name);
    let marker = Marker { boot_id: boot::boot_id()?.to_owned(), conf: conf.into() };
    file::create_private_dir(&layout.run_dir)?;
    file::create_private_dir(&layout.ready_dir())?;
    let json = types::json::raw::to_raw(&marker);
    file::write_durable(&path, json.get().as_bytes(), file::PRIVATE).map(|_| ())
}

/// Reads a marker; none unless it is trusted and of this boot.
fn read(path: &Path) -> Option<Marker> {
    let bytes = file::read_bounded(&mut trust::open(path).ok()?, MAX_BYTES).ok()?;
    let marker: Marker = serde_json::from_slice(&bytes).ok()?;
    (marker.boot_id == boot::boot_id().ok()?).then_some(marker)
}
