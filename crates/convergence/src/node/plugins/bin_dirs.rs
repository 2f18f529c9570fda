//! The runtime's directories of plugins, and the file under the name of Crossfade's plugin in each.

use std::path::PathBuf;

use shim::node::layout::{Layout, PLUGIN};

/// One directory in which the runtime looks for plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinDir {
    pub path: PathBuf,
    /// Whether the package's plugin is in the directory.
    pub plugin: PluginState,
    /// The bytes of another plugin of that name. A link has none, wherever it leads.
    pub other: Option<Vec<u8>>,
    /// The file system refuses writes there: the unit of `watch` sees most of the node so.
    pub read_only: bool,
    /// Why a user other than root could change the plugin, or the directory in which it would be made.
    pub distrust: Option<String>,
}

/// What is found under the name of Crossfade's plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// The package's plugin, or any program where there is no package to compare it with.
    Sound,
    /// The package's plugin with another mode.
    Mode,
    /// The directory has no file of the plugin's name.
    Missing,
    /// Another file has the plugin's name.
    OtherFile,
    /// The directory itself is missing.
    NoDirectory,
}

impl BinDir {
    /// Where Crossfade's plugin lies, or belongs.
    #[must_use]
    pub fn plugin_file(&self) -> PathBuf {
        self.path.join(PLUGIN)
    }

    /// Whether the file under the plugin's name is certainly Crossfade's: equal to the package's, or a program that contains the path of the
    /// state directory, as each release does. None if there is no such file.
    #[must_use]
    pub fn is_crossfades(&self) -> Option<bool> {
        let names = |bytes: &[u8]| {
            let path = Layout::default().state_dir;
            let path = path.as_os_str().as_encoded_bytes();
            bytes.windows(path.len()).any(|window| window == path)
        };
        match (&self.other, self.plugin) {
            (Some(bytes), _) => Some(names(bytes)),
            (None, PluginState::Sound | PluginState::Mode) => Some(true),
            (None, PluginState::Missing | PluginState::OtherFile | PluginState::NoDirectory) => None,
        }
    }

    /// The plugin's file, to be removed where no conf calls it any more; else a note of why the file stays. None if there is no such file.
    #[must_use]
    pub fn plugin_removal(&self) -> Option<Result<PathBuf, String>> {
        let path = self.plugin_file();
        let shown = path.display();
        Some(match self.is_crossfades()? {
            false => Err(format!("{shown} is called {PLUGIN} and is not known as Crossfade's: it stays")),
            true if self.read_only => {
                Err(format!("{shown} stays: its directory is read-only, and no conf calls it"))
            }
            true => Ok(path),
        })
    }

    /// Whether this process may put the plugin there.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        !self.read_only && self.distrust.is_none()
    }
}
