//! The commands: each gathers, decides and reports, and none uses another.

pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod finish;
mod output_file;
pub(crate) mod plan;
pub(crate) mod policies;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod requirements;
pub(crate) mod roll;
pub(crate) mod simulate;
pub(crate) mod snapshot;
mod source;
pub(crate) mod status;
