//! Trouble: shims that are killed, disks that are full, records that are damaged, daemons that stay.

pub(crate) mod concurrency;
pub(crate) mod daemons;
pub(crate) mod damaged;
pub(crate) mod filled;
pub(crate) mod full_disk;
pub(crate) mod killed;
pub(crate) mod mounts;
pub(crate) mod unfinished;
