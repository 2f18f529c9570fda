//! Crossfade's plugin in the directories of a node's runtime.

pub mod bin_dirs;
pub mod packaged_plugin;

/// Mode of Crossfade's plugin.
pub const PLUGIN_MODE: u32 = 0o755;
