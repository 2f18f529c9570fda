//! The runtime's directories of plugins, and the file under the name of Crossfade's plugin in each.
//!
//! | who names the directories | counts |
//! |---|---|
//! | `--bin-dir` | first |
//! | the runtime, where it was asked and tells | next |
//! | node.json, `runtime.binDirs` | next |
//! | the runtime's configuration | next |
//! | none of these: the usual directories | last |
//!
//! What is configured may name directories that are not there. Then those that exist count, and where none does, the first one.

use convergence::node::plugins::bin_dirs::{BinDir, PluginState};

use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use shim::host::trust;
use shim::node::layout::{BIN_DIRS, PLUGIN};
use types::node::Node;

use crate::change::read_with_mode;
use crate::host::root::Root;
use convergence::node::plugins::PLUGIN_MODE;
use convergence::runtime::CniSetup;
use convergence::runtime::config::RuntimeConfig;

/// Who may name the directories in which the runtime looks for plugins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BinDirSources<'a> {
    /// Directories from the command line (`--bin-dir`).
    pub flags: &'a [PathBuf],
    /// What the runtime says of itself; none where it was not asked, or does not tell.
    pub runtime: Option<&'a CniSetup>,
    /// node.json, whose `runtime.binDirs` names directories.
    pub node: &'a Node,
    /// The runtime's configuration; none where there is none that can be read.
    pub config: Option<&'a RuntimeConfig>,
}

impl<'a> BinDirSources<'a> {
    /// Only node.json is a source: no command line and no configuration of a runtime.
    #[must_use]
    pub(crate) const fn from_node(node: &'a Node) -> Self {
        Self { flags: &[], runtime: None, node, config: None }
    }

    /// The directories by their paths in this process, with the root before them.
    #[must_use]
    pub(crate) fn search(&self, root: &Root) -> Vec<PathBuf> {
        match self.runtime {
            _ if !self.flags.is_empty() => self.flags.to_vec(),
            Some(setup) if !setup.bin_dirs.is_empty() => setup.bin_dirs.clone(),
            _ => existing_dirs(root, &self.configured_dirs()),
        }
    }

    /// What node.json, the runtime's configuration or custom says, as the node sees it.
    fn configured_dirs(&self) -> Vec<PathBuf> {
        match self.config {
            _ if !self.node.runtime.bin_dirs.is_empty() => self.node.runtime.bin_dirs.clone(),
            Some(config) if !config.setup.bin_dirs.is_empty() => config.setup.bin_dirs.clone(),
            _ => BIN_DIRS.iter().map(PathBuf::from).collect(),
        }
    }
}

fn existing_dirs(root: &Root, dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = dirs.iter().map(|dir| root.join_or_resolve(dir)).collect();
    if dirs.iter().any(|dir| dir.is_dir()) {
        dirs.retain(|dir| dir.is_dir());
    } else {
        dirs.truncate(1);
    }
    dirs
}

fn plugin_in(dir: &Path, packaged: Option<&[u8]>) -> (PluginState, Option<Vec<u8>>) {
    let path = dir.join(PLUGIN);
    if !dir.is_dir() {
        return (PluginState::NoDirectory, None);
    }
    match (read_with_mode(&path), packaged) {
        (Some((bytes, mode)), Some(packaged)) if bytes == packaged => {
            (if mode == PLUGIN_MODE { PluginState::Sound } else { PluginState::Mode }, None)
        }
        (Some((bytes, mode)), None) if mode & 0o111 != 0 => (PluginState::Sound, Some(bytes)),
        (Some((bytes, _)), _) => (PluginState::OtherFile, Some(bytes)),
        (None, _) if path.symlink_metadata().is_err() => (PluginState::Missing, None),
        (None, _) => (PluginState::OtherFile, None),
    }
}

/// Looks into a directory; `packaged` is the package's plugin.
#[must_use]
pub(crate) fn gather(path: &Path, packaged: Option<&[u8]>) -> BinDir {
    let above = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let (plugin, other) = plugin_in(path, packaged);
    BinDir {
        plugin,
        other,
        read_only: statvfs(above).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY)),
        distrust: trust::check_place(path).err().map(|why| why.to_string()),
        path: path.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use types::node::RuntimeKind;

    use super::*;

    fn setup(dirs: &[&str]) -> CniSetup {
        let bin_dirs = dirs.iter().map(PathBuf::from).collect();
        CniSetup { conf_dir: "/c".into(), bin_dirs, max_confs: 1, networks: Vec::new() }
    }

    #[test]
    fn a_plugin_is_crossfades_if_it_is_the_package_s_or_holds_the_state_directory() {
        let dir = |plugin, other: Option<&[u8]>| BinDir {
            path: "/opt/cni/bin".into(),
            plugin,
            other: other.map(<[u8]>::to_vec),
            read_only: false,
            distrust: None,
        };
        for (bytes, is) in [
            (&b"/var/lib/crossfade"[..], true),
            (b"\x7fELF..\0/var/lib/crossfade/attachments\0", true),
            (b"/var/lib/crossfad", false),
            (b"", false),
        ] {
            assert_eq!(dir(PluginState::OtherFile, Some(bytes)).is_crossfades(), Some(is), "{bytes:?}");
        }
        for (state, is) in [
            (PluginState::Sound, Some(true)),
            (PluginState::Mode, Some(true)),
            (PluginState::Missing, None),
            (PluginState::NoDirectory, None),
            (PluginState::OtherFile, None),
        ] {
            assert_eq!(dir(state, None).is_crossfades(), is, "{state:?}");
        }
    }

    #[test]
    fn the_first_who_names_directories_counts() {
        let tree = tempfile::tempdir().expect("scratch");
        let root = Root::new(tree.path());
        for dir in ["node", "config-b", "usr/lib/cni"] {
            std::fs::create_dir_all(tree.path().join(dir)).expect("directory");
        }
        let configured = |dirs: &[&str]| RuntimeConfig::from_answer(RuntimeKind::Crio, setup(dirs));
        for (flags, runtime, node, config, expected) in [
            (
                &["/flags"][..],
                Some(&["/runtime"][..]),
                &["/node"][..],
                Some(&["/config-b"][..]),
                &["/flags"][..],
            ),
            (&[], Some(&["/runtime", "/more"]), &["/node"], None, &["/runtime", "/more"]),
            (&[], Some(&[]), &["/node"], Some(&["/config-b"]), &["TREE/node"]),
            (&[], None, &["/node-gone", "/node"], None, &["TREE/node"]),
            (&[], None, &["/node-gone", "/node-gone-too"], None, &["TREE/node-gone"]),
            (&[], None, &[], Some(&["/config-a", "/config-b"]), &["TREE/config-b"]),
            (&[], None, &[], Some(&[]), &["TREE/usr/lib/cni"]),
            (&[], None, &[], None, &["TREE/usr/lib/cni"]),
        ] {
            let paths = |dirs: &[&str]| dirs.iter().map(PathBuf::from).collect::<Vec<_>>();
            let mut settings = Node::default();
            settings.runtime.bin_dirs = paths(node);
            let (runtime, config) = (runtime.map(setup), config.map(&configured));
            let flags = paths(flags);
            let sources = BinDirSources {
                flags: &flags,
                runtime: runtime.as_ref(),
                node: &settings,
                config: config.as_ref(),
            };
            let top = tree.path().display().to_string();
            let expected: Vec<PathBuf> =
                expected.iter().map(|dir| dir.replace("TREE", &top).into()).collect();
            assert_eq!(sources.search(&root), expected, "{sources:?}");
        }
    }

    #[test]
    fn the_plugin_there_is_judged_by_bytes_and_mode() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join(PLUGIN);
        let plugin_state = |packaged: Option<&[u8]>| plugin_in(dir.path(), packaged);
        assert_eq!(plugin_state(Some(b"p")), (PluginState::Missing, None));
        assert_eq!(plugin_in(&dir.path().join("gone"), Some(b"p")), (PluginState::NoDirectory, None));
        for (bytes, mode, packaged, expected, is_other) in [
            (&b"p"[..], 0o755, Some(&b"p"[..]), PluginState::Sound, false),
            (b"q", 0o755, Some(b"p"), PluginState::OtherFile, true),
            (b"p", 0o775, Some(b"p"), PluginState::Mode, false),
            (b"q", 0o755, None, PluginState::Sound, true),
            (b"q", 0o644, None, PluginState::OtherFile, true),
        ] {
            std::fs::write(&path, bytes).expect("plugin");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            let other = is_other.then(|| bytes.to_vec());
            assert_eq!(plugin_state(packaged), (expected, other), "{bytes:?} {mode:o} {packaged:?}");
        }
        std::fs::remove_file(&path).expect("gone");
        std::os::unix::fs::symlink("nowhere", &path).expect("link");
        assert_eq!(plugin_state(Some(b"p")), (PluginState::OtherFile, None));
    }
}
