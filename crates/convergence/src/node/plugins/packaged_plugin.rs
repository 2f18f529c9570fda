//! Crossfade's plugin in the runtime's directories, compared with the package's, and the changes that repair it.
//!
//! A runtime's directory may change at any time: k3s unpacks its plugins anew with every release, and an image's tool may replace
//! `/opt/cni/bin` as a whole. Without the plugin every new pod fails, so Crossfade copies it from the package's place again.

use std::path::PathBuf;

use types::command::problem::Problem;

use crate::change::{Act, Change, Write};
use crate::node::agent::own_command::OwnCommand;
use crate::node::plugins::PLUGIN_MODE;
use crate::node::plugins::bin_dirs::{BinDir, PluginState};

/// The unit that puts the plugin where the unit of `watch` may not write.
pub const UNIT: &str = "crossfade-plugin";

/// How long the unit that runs `place` may take, in seconds.
const WITHIN_SECS: u64 = 60;

/// Crossfade's plugin as a file to put in place, and in the directories where the runtime looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugins {
    /// The runtime's directories, in its order.
    pub dirs: Vec<BinDir>,
    /// The plugin to put there; else why it cannot be read or trusted.
    pub packaged: Result<Vec<u8>, Problem>,
}

impl Plugins {
    /// The paths of the directories.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.dirs.iter().map(|dir| dir.path.clone()).collect()
    }

    /// Why the runtime does not find the package's plugin: it takes the first that is called so.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        let is_there = |dir: &&BinDir| !matches!(dir.plugin, PluginState::Missing | PluginState::NoDirectory);
        match self.dirs.iter().find(is_there) {
            Some(BinDir { plugin: PluginState::Sound, .. }) => Ok(()),
            Some(dir) => Err(format!("{} is not the plugin of the package", dir.plugin_file().display())),
            None if self.dirs.is_empty() => Err("it is not known where the runtime looks for plugins".into()),
            None => {
                let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.path.display().to_string()).collect();
                Err(format!(
                    "Crossfade's plugin is missing in {}, where the runtime looks for it",
                    dirs.join(" and ")
                ))
            }
        }
    }

    /// What puts the package's plugin where the runtime looks for it.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let Ok(packaged) = &self.packaged else { return Vec::new() };
        let has_none = self.check().is_err();
        let needs_plugin = |dir: &&BinDir| match dir.plugin {
            PluginState::Sound | PluginState::NoDirectory => false,
            PluginState::Mode | PluginState::OtherFile => true,
            PluginState::Missing => has_none,
        };
        let (writable, read_only): (Vec<_>, Vec<_>) =
            self.dirs.iter().filter(needs_plugin).partition(|dir| dir.is_writable());
        let mut changes: Vec<Change> = writable
            .into_iter()
            .map(|dir| {
                let path = dir.plugin_file();
                let target = path.display().to_string();
                let write = Write { path, bytes: packaged.clone(), mode: PLUGIN_MODE, nudge: false };
                Change::new(Act::Write(write), target, state_reason(dir.plugin))
            })
            .collect();
        if !read_only.is_empty() {
            let arguments = OwnCommand::place(read_only.iter().map(|dir| &dir.path)).into_words();
            let act = Act::Start { unit: UNIT.into(), arguments, within_secs: WITHIN_SECS };
            changes.push(Change::new(
                act,
                UNIT,
                format!("the plugin: {}", state_reason(read_only[0].plugin)),
            ));
        }
        changes
    }
}

const fn state_reason(state: PluginState) -> &'static str {
    match state {
        PluginState::Missing | PluginState::NoDirectory => "it was missing where the runtime looks for it",
        PluginState::Sound | PluginState::Mode | PluginState::OtherFile => "it was not the package's",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugins(places: &[(&str, PluginState, bool)], packaged: bool) -> Plugins {
        let dir = |(path, plugin, writable): &(&str, PluginState, bool)| BinDir {
            path: path.into(),
            plugin: *plugin,
            other: None,
            read_only: !writable,
            distrust: None,
        };
        let packaged = packaged.then(|| b"p".to_vec()).ok_or_else(|| "no package".into());
        Plugins { dirs: places.iter().map(dir).collect(), packaged }
    }

    #[test]
    fn it_is_put_where_it_is_missing_or_another_and_nowhere_else() {
        use PluginState::{Missing, Mode, NoDirectory, OtherFile, Sound};
        for (places, well, changes) in [
            (&[("/a", Sound, true)][..], true, &[][..]),
            (&[("/a", Missing, true), ("/b", Sound, true)], true, &[]),
            (&[("/a", NoDirectory, false), ("/b", Sound, true)], true, &[]),
            (&[("/a", Missing, true)], false, &["write /a/crossfade"]),
            (&[("/a", OtherFile, true), ("/b", Sound, true)], false, &["write /a/crossfade"]),
            (&[("/a", Mode, true), ("/b", Sound, true)], false, &["write /a/crossfade"]),
            (&[("/a", Sound, true), ("/b", OtherFile, true)], true, &["write /b/crossfade"]),
            (&[("/a", Missing, false)], false, &["start crossfade-plugin"]),
            (&[("/a", NoDirectory, false)], false, &[]),
            (&[], false, &[]),
        ] {
            let plugins = plugins(places, true);
            assert_eq!(plugins.check().is_ok(), well, "{places:?}");
            let lines: Vec<String> = plugins
                .changes()
                .iter()
                .map(|change| format!("{} {}", change.act.word(), change.target))
                .collect();
            assert_eq!(lines, changes, "{places:?}");
        }
        let bare = plugins(&[("/a", Missing, true)], false);
        assert!(bare.check().is_err() && bare.changes().is_empty(), "there is nothing to put there");
    }
}
