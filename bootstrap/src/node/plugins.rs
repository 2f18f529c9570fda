//! Plugins on a node: whether a binary can be used, which types a network lacks, and Crossfade's own plugin in the runtime's directories, compared with
//! the package's.
//!
//! A runtime's directory may change at any time: k3s unpacks its plugins anew with every release, and an image's tool may replace
//! `/opt/cni/bin` as a whole. Without the plugin every new pod fails, so Crossfade copies it from the package's place again.

pub(crate) mod bin_dirs;

use std::path::{Path, PathBuf};

use shim::attachment::conflist::Conflist;
use shim::host::exec::Binary;
use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::{PACKAGED_PLUGIN, PLUGIN};
use types::command::problem::Problem;
use types::json::raw::RawObject;

use convergence::node::plugins::bin_dirs::BinDir;
use convergence::node::plugins::packaged_plugin::Plugins;

use crate::host::root::Root;

/// Largest plugin that Crossfade installs, in bytes.
const MAX_PLUGIN_BYTES: usize = 64 << 20;

/// Joins directories as `CNI_PATH` has them.
#[must_use]
pub(crate) fn join_dirs(dirs: &[PathBuf]) -> String {
    let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_string_lossy()).collect();
    dirs.join(":")
}

/// Crossfade's plugin as a runtime with these directories uses it; the packaged one if none of them has it.
#[must_use]
pub(crate) fn plugin_in_use(dirs: &[PathBuf]) -> PathBuf {
    let installed = dirs.iter().map(|dir| dir.join(PLUGIN)).find(|path| path.is_file());
    installed.unwrap_or_else(|| PACKAGED_PLUGIN.into())
}

/// Types of a network whose binary cannot be used, with the reason: its plugins and their address managers.
#[must_use]
pub(crate) fn missing_plugins(root: &Root, conf: &Conflist, dirs: &[PathBuf]) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for plugin in &conf.plugins {
        types.push(plugin.plugin_type.clone());
        let ipam: RawObject = plugin.object.decode("ipam").ok().flatten().unwrap_or_default();
        types.extend(ipam.decode::<String>("type").ok().flatten().filter(|name| !name.is_empty()));
    }
    types.dedup();
    types.iter().filter_map(|name| find(root, name, dirs).err()).collect()
}

/// Finds a plugin in directories that have the root before them, and holds it to the rule for binaries.
///
/// # Errors
/// Why there is none to be used, in a line that names it.
pub(crate) fn find(root: &Root, name: &str, dirs: &[PathBuf]) -> Result<Binary, String> {
    if root.is_node() {
        return Binary::find(name, &[&join_dirs(dirs)]).map_err(|why| why.to_string());
    }
    let place = dirs.iter().map(|dir| root.resolve_inside(&dir.join(name))).find(|place| place.is_file());
    let parts = place.as_ref().and_then(|place| Some((place.file_name()?.to_str()?, place.parent()?)));
    let Some((name, dir)) = parts else {
        return Err(format!("plugin {name:?}: no such binary in {}", join_dirs(dirs).replace(':', ", ")));
    };
    Binary::find(name, &[&dir.to_string_lossy()]).map_err(|why| why.to_string())
}

/// The plugin to install.
///
/// # Errors
/// It cannot be read or trusted.
pub(crate) fn plugin(path: &Path) -> Result<Vec<u8>, Problem> {
    let problem = |what: String| Problem::new(what).with_place(path.display().to_string());
    let mut file = trust::open(path)
        .map_err(|why| problem(format!("plugin to install: {why}")).fix("name it with --plugin"))?;
    let bytes = read_bounded(&mut file, MAX_PLUGIN_BYTES)
        .map_err(|e| problem(format!("plugin to install {}: {e}", path.display())))?;
    if bytes.is_empty() {
        return Err(problem(format!("plugin to install {}: it is empty", path.display())));
    }
    Ok(bytes)
}

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
