//! The machine as a program works on it: paths and the root, other programs, mounts, files that are durable or shared, locks, and events.

pub(crate) mod chroot;
pub(crate) mod command;
pub(crate) mod command_lock;
pub(crate) mod durable;
pub(crate) mod events;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod program;
pub(crate) mod root;
pub(crate) mod shared_dir;
pub(crate) mod untrusted;
