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
use crate::node::conf::confdir::Content;

/// The directories of one installation.
#[derive(Debug, Clone)]
pub struct Directories {
    /// The runtime's conf directory.
    pub conf_dir: PathBuf,
    /// State, run directory, and the policy where it is named, as this process finds them.
    pub layout: Layout,
    /// The same as the node sees them, for a conf that the node's runtime will read.
    pub layout_on_node: Layout,
    /// The file in the place of Crossfade's conf.
    pub installed: OwnConfFile,
}

/// The file in the place of Crossfade's conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnConfFile {
    Absent,
    Ours(InstalledConf),
    /// Another owner has put a file under this name: none of its plugins is Crossfade's.
    Foreign,
    /// It cannot be read, so it is unknown which directories it names.
    Unreadable(Problem),
}

/// Crossfade's conf, with the parts that the plugin reads in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledConf {
    pub bytes: Vec<u8>,
    /// Mode of the file.
    pub mode: u32,
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
        self.unreadable_conf().map_or(Ok(()), |why| Err(Failure::all(Exit::BadSettings, [why])))
    }

    /// Why Crossfade's conf cannot be read, if so.
    #[must_use]
    pub const fn unreadable_conf(&self) -> Option<&Problem> {
        if let OwnConfFile::Unreadable(why) = &self.installed { Some(why) } else { None }
    }

    /// The problem of another owner's file that has the name of Crossfade's conf; `next` is what to run once the file is away.
    #[must_use]
    pub fn foreign_conf_problem(&self, next: Option<&str>) -> Option<Problem> {
        let file = self.conf_file().display().to_string();
        let fix = format!("move it away{}", next.map(|next| format!(", then {next}")).unwrap_or_default());
        (self.installed == OwnConfFile::Foreign)
            .then(|| Problem::new(format!("{file} is not Crossfade's")).with_place(file).fix(fix))
    }

    /// The path of Crossfade's conf; the file need not exist.
    #[must_use]
    pub fn conf_file(&self) -> PathBuf {
        self.conf_dir.join(CONF_FILE)
    }
}

impl OwnConfFile {
    /// Crossfade's conf, if it is there and readable: pods come through the plugin.
    #[must_use]
    pub const fn conf(&self) -> Option<&InstalledConf> {
        if let Self::Ours(conf) = self { Some(conf) } else { None }
    }

    /// Judges the bytes of the file in the place of Crossfade's conf.
    ///
    /// # Errors
    /// In words; they quote no value.
    pub fn parse(bytes: Vec<u8>, mode: u32) -> Result<Self, String> {
        let content = Content::parse_file(CONF_FILE, &bytes)?;
        if !content.is_ours() {
            return Ok(Self::Foreign);
        }
        if content.types.first().is_none_or(|name| name != PLUGIN) {
            return Err("its first plugin is another one than Crossfade's".to_owned());
        }
        let list = content.object;
        let plugins: Option<Vec<RawObject>> = list.decode("plugins").map_err(|e| format!("plugins: {e}"))?;
        let mut plugin = plugins.into_iter().flatten().next().ok_or("it has no plugin")?;
        // As the reference library hands it to the plugin, so that it is read by the plugin's own parser.
        for key in ["name", "cniVersion"] {
            if let Some(value) = list.get(key) {
                plugin.set(key, value.to_owned());
            }
        }
        let conf = Conf::read(&mut Cursor::new(plugin.to_raw().get())).map_err(|(e, _)| e.to_string())?;
        let declared: RawObject = plugin.decode("capabilities").ok().flatten().unwrap_or_default();
        Ok(Self::Ours(InstalledConf {
            mode,
            bytes,
            cni_version: conf.version.to_string(),
            name: conf.name,
            capabilities: declared.pairs().map(|(name, _)| name.to_owned()).collect(),
            layout: conf.layout,
        }))
    }
}
