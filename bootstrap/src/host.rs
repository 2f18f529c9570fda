//! The machine as a program works on it: paths and the root, other programs, mounts, files that are durable or shared, locks, and events.

pub mod chroot;
pub mod command;
pub mod command_lock;
pub mod durable;
pub mod events;
pub mod mounts;
pub mod program;
pub mod root;
pub mod shared_dir;
pub mod untrusted;
