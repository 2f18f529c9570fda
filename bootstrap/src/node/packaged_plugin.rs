//! Our plugin where the runtime looks for it: whether it is there, is the package's, and what to do where it is not.
//!
//! A runtime's directory may change under us: k3s unpacks its plugins anew with every release, and an image's tool may replace
//! `/opt/cni/bin` as a whole. A pod whose plugin is gone gets no network at all, so it is put back from the package's place.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use shim::layout::{PACKAGED_PLUGIN, PLUGIN};
use shim::trust;

use crate::change::{Act, Change, Write, look};
use crate::node::own_command::OwnCommand;
use crate::node::paths::Root;
use crate::node::plugins::PLUGIN_MODE;

/// The unit that puts the plugin where the unit of `watch` may not write.
pub const UNIT: &str = "crossfade-plugin";
/// How long that unit may run, in seconds.
const WITHIN_SECS: u64 = 60;

/// One directory in which the runtime looks for plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPlace {
    /// Where it is.
    pub dir: PathBuf,
    /// What is there under our plugin's name.
    pub found: PluginState,
    /// Whether this process may write there, and nobody but root: the unit of `watch` sees most of the file system read-only.
    pub writable: bool,
}

/// What is found under our plugin's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// The package's plugin; or any, where there is no package to compare it with.
    Sound,
    /// Nothing.
    Missing,
    /// A file that is not the package's, or with another mode.
    Other,
    /// The directory itself is missing.
    NoDirectory,
}

/// What there is of our plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plugins {
    /// The runtime's directories, in its order.
    pub places: Vec<PluginPlace>,
    /// The package's plugin, to put there; none where this node has no package.
    pub packaged: Option<Vec<u8>>,
}

impl Plugins {
    /// Looks into `dirs`.
    #[must_use]
    pub fn look(root: &Root, dirs: &[PathBuf]) -> Self {
        let packaged = look(&root.at(PACKAGED_PLUGIN)).map(|(bytes, _)| bytes);
        let place = |dir: &PathBuf| PluginPlace {
            found: PluginState::look(dir, packaged.as_deref()),
            writable: access(dir, AccessFlags::W_OK).is_ok() && trust::check_dir(dir).is_ok(),
            dir: dir.clone(),
        };
        Self { places: dirs.iter().map(place).collect(), packaged }
    }

    /// Why the runtime does not find the package's plugin: it takes the first that is called so.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        let first =
            self.places.iter().find(|place| matches!(place.found, PluginState::Sound | PluginState::Other));
        match first {
            Some(PluginPlace { found: PluginState::Sound, .. }) => Ok(()),
            Some(place) => {
                Err(format!("{} is not the plugin of the package", place.dir.join(PLUGIN).display()))
            }
            None if self.places.is_empty() => {
                Err("it is not known where the runtime looks for plugins".into())
            }
            None => {
                let dirs: Vec<String> =
                    self.places.iter().map(|place| place.dir.display().to_string()).collect();
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
        let Some(packaged) = &self.packaged else { return Vec::new() };
        let has_none = self.check().is_err();
        let wanted = |place: &&PluginPlace| match place.found {
            PluginState::Sound | PluginState::NoDirectory => false,
            PluginState::Other => true,
            PluginState::Missing => has_none,
        };
        let (ours, theirs): (Vec<_>, Vec<_>) =
            self.places.iter().filter(wanted).partition(|place| place.writable);
        let mut changes: Vec<Change> = ours
            .into_iter()
            .map(|place| {
                let path = place.dir.join(PLUGIN);
                let target = path.display().to_string();
                let write = Write { path, bytes: packaged.clone(), mode: PLUGIN_MODE, nudge: false };
                Change::new(Act::Write(write), target, place.found.why())
            })
            .collect();
        if !theirs.is_empty() {
            let arguments = OwnCommand::place(theirs.iter().map(|place| &place.dir)).into_words();
            let act = Act::Start { unit: UNIT.into(), arguments, within_secs: WITHIN_SECS };
            changes.push(Change::new(act, UNIT, format!("the plugin: {}", theirs[0].found.why())));
        }
        changes
    }

    /// Files whose change is worth a look.
    pub fn files(&self, root: &Root) -> impl Iterator<Item = PathBuf> {
        let places = self.places.iter().map(|place| place.dir.join(PLUGIN));
        places.chain([root.at(PACKAGED_PLUGIN)])
    }
}

impl PluginState {
    fn look(dir: &Path, packaged: Option<&[u8]>) -> Self {
        let path = dir.join(PLUGIN);
        match (look(&path), packaged) {
            _ if !dir.is_dir() => Self::NoDirectory,
            (Some((bytes, PLUGIN_MODE)), Some(packaged)) if bytes == packaged => Self::Sound,
            (Some((_, mode)), None) if mode & 0o111 != 0 => Self::Sound,
            (None, _) if path.symlink_metadata().is_err() => Self::Missing,
            _ => Self::Other,
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Missing | Self::NoDirectory => "it was missing where the runtime looks for it",
            Self::Sound | Self::Other => "it was not the package's",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugins(places: &[(&str, PluginState, bool)], packaged: bool) -> Plugins {
        let place = |(dir, found, writable): &(&str, PluginState, bool)| PluginPlace {
            dir: dir.into(),
            found: *found,
            writable: *writable,
        };
        Plugins { places: places.iter().map(place).collect(), packaged: packaged.then(|| b"p".to_vec()) }
    }

    #[test]
    fn it_is_put_where_it_is_missing_or_another_and_nowhere_else() {
        use PluginState::{Missing, NoDirectory, Other, Sound};
        for (places, well, changes) in [
            (&[("/a", Sound, true)][..], true, &[][..]),
            (&[("/a", Missing, true), ("/b", Sound, true)], true, &[]),
            (&[("/a", NoDirectory, false), ("/b", Sound, true)], true, &[]),
            (&[("/a", Missing, true)], false, &["write /a/crossfade"]),
            (&[("/a", Other, true), ("/b", Sound, true)], false, &["write /a/crossfade"]),
            (&[("/a", Sound, true), ("/b", Other, true)], true, &["write /b/crossfade"]),
            (&[("/a", Missing, false)], false, &["start crossfade-plugin"]),
            (&[("/a", NoDirectory, false)], false, &[]),
            (&[], false, &[]),
        ] {
            let plugins = plugins(places, true);
            assert_eq!(plugins.check().is_ok(), well, "{places:?}");
            let told: Vec<String> =
                plugins.changes().iter().map(|one| format!("{} {}", one.act.word(), one.target)).collect();
            assert_eq!(told, changes, "{places:?}");
        }
        let bare = plugins(&[("/a", Missing, true)], false);
        assert!(bare.check().is_err() && bare.changes().is_empty(), "there is nothing to put there");
    }

    #[test]
    fn what_is_there_is_told_by_bytes_and_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join(PLUGIN);
        let found = |packaged: Option<&[u8]>| PluginState::look(dir.path(), packaged);
        assert_eq!(found(Some(b"p")), PluginState::Missing);
        assert_eq!(PluginState::look(&dir.path().join("gone"), Some(b"p")), PluginState::NoDirectory);
        for (bytes, mode, packaged, expected) in [
            (&b"p"[..], 0o755, Some(&b"p"[..]), PluginState::Sound),
            (b"q", 0o755, Some(b"p"), PluginState::Other),
            (b"p", 0o775, Some(b"p"), PluginState::Other),
            (b"q", 0o755, None, PluginState::Sound),
            (b"q", 0o644, None, PluginState::Other),
        ] {
            std::fs::write(&path, bytes).expect("plugin");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            assert_eq!(found(packaged), expected, "{bytes:?} {mode:o} {packaged:?}");
        }
        std::fs::remove_file(&path).expect("gone");
        std::os::unix::fs::symlink("nowhere", &path).expect("link");
        assert_eq!(found(Some(b"p")), PluginState::Other);
    }
}
