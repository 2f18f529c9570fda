//! Plugins on a node: the directories where a runtime looks for them, ours in them, and whether a binary there can be used.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use shim::conflist::Conflist;
use shim::exec::Binary;
use shim::file::read_bounded;
use shim::layout::{BIN_DIRS, PLUGIN};
use shim::trust;
use types::node::Node;
use types::raw::RawObject;

use crate::change::look;
use crate::node::paths::Root;
use crate::runtime::CniSetup;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::config::RuntimeConfig;

/// Largest plugin that we install, in bytes.
const MAX_PLUGIN_BYTES: usize = 64 << 20;
/// Mode of our plugin.
pub const PLUGIN_MODE: u32 = 0o755;

/// Where plugins are: what was given, else what the runtime says, else the usual places that exist.
#[must_use]
pub fn bin_dirs(given: &[PathBuf], runtime: Option<&CniSetup>) -> Vec<PathBuf> {
    if !given.is_empty() {
        return given.to_vec();
    }
    match runtime {
        Some(setup) if !setup.bin_dirs.is_empty() => setup.bin_dirs.clone(),
        _ => BIN_DIRS.iter().map(PathBuf::from).filter(|dir| dir.is_dir()).collect(),
    }
}

/// The same of the runtime that was asked; where CRI-O does not tell, its configuration does.
#[must_use]
pub fn plugin_dirs(given: &[PathBuf], asked: &RuntimeAnswer) -> Vec<PathBuf> {
    let silent = given.is_empty() && *asked == RuntimeAnswer::Silent;
    let config = silent.then(|| RuntimeConfig::of_crio(&Root::default())).flatten();
    config.map_or_else(|| bin_dirs(given, asked.setup()), |config| config.plugin_dirs(&Root::default()))
}

/// Directories as `CNI_PATH`.
#[must_use]
pub fn joined(dirs: &[PathBuf]) -> String {
    let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_string_lossy()).collect();
    dirs.join(":")
}

/// Types of a network whose binary cannot be used, with the reason: its plugins and their address managers.
#[must_use]
pub fn missing(root: &Root, conf: &Conflist, dirs: &[PathBuf]) -> Vec<String> {
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
pub fn find(root: &Root, name: &str, dirs: &[PathBuf]) -> Result<Binary, String> {
    if root.is_node() {
        return Binary::find(name, &[&joined(dirs)]).map_err(|why| why.to_string());
    }
    let place = dirs.iter().map(|dir| root.inside(&dir.join(name))).find(|place| place.is_file());
    let parts = place.as_ref().and_then(|place| Some((place.file_name()?.to_str()?, place.parent()?)));
    let Some((name, dir)) = parts else {
        return Err(format!("plugin {name:?}: no such binary in {}", joined(dirs).replace(':', ", ")));
    };
    Binary::find(name, &[&dir.to_string_lossy()]).map_err(|why| why.to_string())
}

/// The plugin to install.
///
/// # Errors
/// It cannot be read or trusted.
pub fn plugin(path: &Path) -> Result<Vec<u8>, String> {
    let mut file =
        trust::open(path).map_err(|why| format!("plugin to install: {why}; name it with --plugin"))?;
    let bytes = read_bounded(&mut file, MAX_PLUGIN_BYTES)
        .map_err(|e| format!("plugin to install {}: {e}", path.display()))?;
    if bytes.is_empty() {
        return Err(format!("plugin to install {}: it is empty", path.display()));
    }
    Ok(bytes)
}

/// Where a runtime looks for plugins, as the node sees it: named in node.json, else in its configuration, else the usual places.
#[must_use]
pub fn configured_dirs(node: &Node, config: Option<&RuntimeConfig>) -> Vec<PathBuf> {
    match config {
        _ if !node.runtime.bin_dirs.is_empty() => node.runtime.bin_dirs.clone(),
        Some(config) => config.setup.bin_dirs.clone(),
        None => BIN_DIRS.iter().map(PathBuf::from).collect(),
    }
}

/// A directory for our plugin.
#[derive(Debug)]
pub struct BinPlace {
    /// Where it is.
    pub path: PathBuf,
    /// The bytes of our plugin there; a link is no plugin of ours, wherever it leads.
    pub plugin: Option<Vec<u8>>,
    /// It is there.
    pub exists: bool,
    /// Nothing can be written there, whoever we are.
    pub read_only: bool,
}

impl BinPlace {
    fn look(path: PathBuf) -> Self {
        let above = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
        let read_only = statvfs(above).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
        let plugin = look(&path.join(PLUGIN)).map(|(bytes, _)| bytes);
        Self { exists: path.is_dir(), read_only, plugin, path }
    }

    /// Where our plugin lies, or belongs.
    #[must_use]
    pub fn plugin_file(&self) -> PathBuf {
        self.path.join(PLUGIN)
    }
}

/// The runtime's directories of plugins that exist; where none does, the first, which is made.
#[must_use]
pub fn places(root: &Root, node: &Node, config: Option<&RuntimeConfig>) -> Vec<BinPlace> {
    let dirs = configured_dirs(node, config);
    let mut places: Vec<BinPlace> = dirs.iter().map(|dir| BinPlace::look(root.at(dir))).collect();
    if places.iter().any(|place| place.exists) {
        places.retain(|place| place.exists);
    } else {
        places.truncate(1);
    }
    places
}
