//! Crossfade's plugin in the runtime's directories, compared with the package's, and the changes that repair it.
//!
//! A runtime's directory may change at any time: k3s unpacks its plugins anew with every release, and an image's tool may replace
//! `/opt/cni/bin` as a whole. Without the plugin every new pod fails, so Crossfade copies it from the package's place again.

use convergence::node::plugins::packaged_plugin::Plugins;

use std::path::{Path, PathBuf};

use shim::node::layout::PACKAGED_PLUGIN;

use crate::host::root::Root;
use crate::node::plugins::bin_dirs;
use crate::node::plugins::plugin;
use convergence::node::plugins::bin_dirs::BinDir;

/// Reads the plugin at `file`, usually the package's, and inspects `dirs`.
#[must_use]
pub(crate) fn gather(file: &Path, dirs: &[PathBuf]) -> Plugins {
    let packaged = plugin(file);
    let sound = packaged.as_deref().ok();
    Plugins { dirs: dirs.iter().map(|dir| bin_dirs::gather(dir, sound)).collect(), packaged }
}

/// Files whose change makes `watch` observe again.
pub(crate) fn files(plugins: &Plugins, root: &Root) -> impl Iterator<Item = PathBuf> {
    plugins.dirs.iter().map(BinDir::plugin_file).chain([root.join(PACKAGED_PLUGIN)])
}
