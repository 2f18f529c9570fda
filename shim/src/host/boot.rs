//! This boot: its identity, and its clock.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
pub use types::moment::{Age, Moment};

use crate::host::file::read_bounded;

/// The largest boot id that is read, in bytes. It is a UUID and a newline.
const MAX_BOOT_ID_BYTES: usize = 64;

/// The present moment.
///
/// # Errors
/// `/proc` is not mounted, or the clock cannot be read.
pub fn now() -> io::Result<Moment> {
    let boottime = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Moment {
        boot_id: boot_id()?.to_owned(),
        boottime_ms: u64::try_from(boottime.as_millis()).unwrap_or(u64::MAX),
        wall_secs: wall.as_secs(),
    })
}

/// The kernel's identity of this boot.
///
/// # Errors
/// `/proc` is not mounted.
pub fn boot_id() -> io::Result<&'static str> {
    // A process does not outlive its boot, and GC asks for each of ten thousand records.
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let text = read_bounded(&mut File::open(crate::node::layout::BOOT_ID)?, MAX_BOOT_ID_BYTES)?;
    Ok(BOOT_ID.get_or_init(|| String::from_utf8_lossy(&text).trim().to_owned()))
}
