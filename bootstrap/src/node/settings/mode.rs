//! The mode of a node whose node.json cannot be used.
//!
//! Two things must not happen. A node in private mode must not start its runtime on the agents' directory. In shared mode node.json does
//! not concern the runtime, so Crossfade must not keep the runtime from starting. So Crossfade asks every other source of the mode, in this
//! order:
//!
//! 1. the file itself, if it is JSON and names a mode: the error is in another key;
//! 2. the last boot that succeeded, which kept the mode beside its machine and boot ids;
//! 3. another node.json that the broken one hides, such as the image's below /usr/lib/crossfade;
//! 4. Crossfade's conf in the directory that the runtime reads without Crossfade: only shared mode puts the conf existing.
//!
//! If no source answers, the node counts as private: a runtime that waits is noticed, and a pod on a wrong network is not.

use std::path::Path;

use shim::host::{file, trust};
use types::json::raw::RawObject;
use types::node::{Mode, Node};

use crate::host::root::Root;
use crate::node::conf::our_conf;
use crate::node::identity;
use crate::node::settings;
use crate::runtime::facts;
use convergence::node::paths::NODE_FILE;
use convergence::node::settings::{InvalidSettings, Settings};

/// Largest node.json that is looked into, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The mode of a node whose node.json cannot be used, and the source that tells it; see the module. `node` is what the file says all the same.
fn infer_mode(root: &Root, node: &Node) -> (Mode, &'static str) {
    let in_file =
        || Some((root.settings_file(NODE_FILE).and_then(|path| mode_in(&path))?, "it names this mode"));
    let remembered = || Some((identity::read_identity(root)?.conf_dir?, "the last boot was in this mode"));
    let hidden = || Some((hidden_mode(root)?, "another node.json, which it hides, names this mode"));
    let installed = || {
        is_installed(root, node)
            .then_some((Mode::Shared, "Crossfade's conf is in the runtime's own directory"))
    };
    in_file()
        .or_else(remembered)
        .or_else(hidden)
        .or_else(installed)
        .unwrap_or((Mode::Private, "nothing tells its mode, so it counts as private"))
}

/// node.json for a command that has to go on without it: to switch Crossfade off, to let the runtime start, or to say that the file is
/// wrong. If the file cannot be used, what counts is what it says by the keys that are valid by themselves, in the mode that the node is in
/// all the same.
#[must_use]
pub(crate) fn settings(root: &Root) -> Settings {
    let file = root.settings_file(NODE_FILE);
    match settings::load(root) {
        Ok(node) => Settings { node, file, unusable: None },
        Err(why) => {
            let salvaged = file.as_deref().and_then(settings::salvage);
            let (node, unusable_keys) =
                salvaged.map_or_else(Default::default, |(node, unusable_keys)| (node, Some(unusable_keys)));
            let (conf_dir, mode_by) = infer_mode(root, &node);
            let unusable = Some(InvalidSettings { why, mode_by, unusable_keys });
            Settings { node: Node { conf_dir, ..node }, file, unusable }
        }
    }
}

/// The mode that a file names, even if another key of the file is wrong. A file that other users could write names none.
fn mode_in(path: &Path) -> Option<Mode> {
    let mut file = trust::open(path).ok()?;
    let bytes = file::read_bounded(&mut file, MAX_BYTES).ok()?;
    let mode: String = RawObject::parse(&bytes).ok()?.decode("confDir").ok()??;
    Mode::ALL.into_iter().find(|candidate| candidate.as_str() == mode)
}

fn hidden_mode(root: &Root) -> Option<Mode> {
    let mut hidden = root.settings_files(NODE_FILE).skip(1);
    hidden.find_map(|place| settings::read(&root.join(place)).ok()).map(|node| node.conf_dir)
}

fn is_installed(root: &Root, node: &Node) -> bool {
    our_conf(root, &root.join(facts::gather_configured(root, node).agents_dir())).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(text: &str) -> Settings {
        let dir = tempfile::Builder::new().tempdir_in("/var/tmp").expect("scratch");
        std::fs::create_dir_all(dir.path().join("etc/crossfade")).expect("directory");
        std::fs::write(dir.path().join("etc/crossfade/node.json"), text).expect("node.json");
        settings(&Root::new(dir.path()))
    }

    #[test]
    fn what_a_broken_file_says_by_sound_keys_counts() {
        let settings = settings_of(
            r#"{"version": 1, "confDir": "shared", "gate": {"trySeconds": 7}, "runtime": {"nmae": "crio"}, "lables": {}}"#,
        );
        let unusable = settings.unusable.as_ref().expect("broken");
        assert!(unusable.why.contains("node.json"), "{}", unusable.why);
        assert_eq!((settings.node.gate.try_secs, settings.node.conf_dir), (7, Mode::Shared));
        assert_eq!(settings.node.runtime, Node::default().runtime);
        let understood = ["gate", "runtime", "lables", "kubelet"].map(|key| settings.understands(key));
        assert_eq!(understood, [true, false, false, true]);
    }

    #[test]
    fn of_a_file_that_is_no_json_or_of_another_version_nothing_counts() {
        for text in ["{", r#"{"version": 2, "gate": {"trySeconds": 7}}"#, r#"{"gate": {"trySeconds": 7}}"#] {
            let settings = settings_of(text);
            assert!(
                settings.unusable.is_some()
                    && !settings.understands("gate")
                    && !settings.understands("kubelet"),
                "{text}"
            );
            assert_eq!(settings.node.gate, Node::default().gate, "{text}");
        }
        let well = settings_of(r#"{"version": 1, "gate": {"trySeconds": 7}}"#);
        assert!(well.unusable.is_none() && well.understands("gate") && well.node.gate.try_secs == 7);
    }
}
