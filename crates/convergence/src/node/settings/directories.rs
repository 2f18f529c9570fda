//! The directories that a command works on.
//!
//! A flag outranks what Crossfade's installed conf names, and that conf outranks the defaults. So `policy set` on a node and the plugin
//! there always mean the same policy.

use std::io::Cursor;
use std::path::PathBuf;

use shim::call::request::Conf;
use shim::node::layout::{CONF_FILE, Layout, PLUGIN};
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::json::raw::RawObject;

use crate::failure::Failure;

/// The directories of one installation.
#[derive(Debug, Clone)]
pub struct Directories {
    /// The runtime's conf directory.
    pub conf_dir: PathBuf,
    /// State, run directory, and the policy where it is named, as this process finds them.
    pub layout: Layout,
    /// The same as the node sees them, for a conf that the node's runtime will read.
    pub layout_on_node: Layout,
    /// Crossfade's installed conf; `None` if there is none, else the problem that keeps it from being read.
    pub installed: Result<Option<InstalledConf>, Problem>,
}

/// Crossfade's conf, with the parts that the plugin reads in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledConf {
    pub bytes: Vec<u8>,
    /// Mode of the file.
    pub mode: u32,
    /// Whether the conf's first plugin is Crossfade's: another owner may have put a file under this name.
    pub is_ours: bool,
    /// The name of Crossfade's network.
    pub name: String,
    /// `cniVersion` as the conf writes it.
    pub cni_version: String,
    /// Capabilities that the conf declares.
    pub capabilities: Vec<String>,
    /// The directories that the conf names, as the node sees them.
    pub layout: Layout,
}

impl Directories {
    /// Refuses a conf of Crossfade that cannot be read: it might name other directories.
    ///
    /// # Errors
    /// Bad settings.
    pub fn require_readable(&self) -> Result<(), Failure> {
        match &self.installed {
            Err(why) => Err(Failure::all(Exit::BadSettings, [why])),
            Ok(_) => Ok(()),
        }
    }

    /// Whether Crossfade's conf is installed, so that pods come through the plugin.
    #[must_use]
    pub fn has_own_conf(&self) -> bool {
        matches!(&self.installed, Ok(Some(conf)) if conf.is_ours)
    }

    /// The path of Crossfade's conf; the file need not exist.
    #[must_use]
    pub fn conf_file(&self) -> PathBuf {
        self.conf_dir.join(CONF_FILE)
    }
}

impl InstalledConf {
    /// Reads the bytes of a conf.
    ///
    /// # Errors
    /// In words; they quote no value.
    pub fn parse(bytes: Vec<u8>, mode: u32) -> Result<Self, String> {
        let list = RawObject::parse(&bytes).map_err(|e| e.to_string())?;
        let plugins: Vec<RawObject> =
            list.decode("plugins").map_err(|e| format!("plugins: {e}"))?.unwrap_or_default();
        let mut plugin = plugins.into_iter().next().ok_or("it has no plugin")?;
        // As the reference library hands it to the plugin, so that it is read by the plugin's own parser.
        for key in ["name", "cniVersion"] {
            if let Some(value) = list.get(key) {
                plugin.set(key, value.to_owned());
            }
        }
        let is_ours = plugin.decode::<String>("type").ok().flatten().is_some_and(|name| name == PLUGIN);
        let conf = Conf::read(&mut Cursor::new(plugin.to_raw().get())).map_err(|(e, _)| e.to_string())?;
        let declared: RawObject = plugin.decode("capabilities").ok().flatten().unwrap_or_default();
        Ok(Self {
            mode,
            bytes,
            is_ours,
            cni_version: conf.version.to_string(),
            name: conf.name,
            capabilities: declared.pairs().map(|(name, _)| name.to_owned()).collect(),
            layout: conf.layout,
        })
    }
}
