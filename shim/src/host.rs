//! The machine under the plugin: files, processes, signals, locks, network namespaces and the journal.

pub mod boot;
pub mod exec;
pub mod file;
pub mod journal;
pub mod lock;
pub mod netns;
pub mod process;
pub mod signal;
pub mod trust;
