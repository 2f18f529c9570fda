//! The checks of the policy's networks: their confs and plugins exist, or are known to come.

use std::path::{Path, PathBuf};

use shim::attachment::conflist::LoadError;
use types::node::Node;
use types::policy::{Network, Policy, Side};
use types::profile::Profiles;

use super::check::{Check, Fault, from_faults, pass, skip};
use crate::host::root::Root;
use crate::node::conf::root_path;
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::node::plugins::{self, bin_dirs};
use convergence::node::plugins::bin_dirs::{BinDir, PluginState};
use convergence::runtime::config::RuntimeConfig;

/// A network of the policy, and what of it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delegate {
    side: Side,
    /// Where its conf may be, as the node sees it.
    candidates: Vec<PathBuf>,
    /// Its profile, if Crossfade knows the CNI.
    profile: Option<String>,
    /// The policy says itself how to tell that it is ready.
    has_probes: bool,
    conf: Conf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Conf {
    Absent,
    /// It is there and no use; why.
    Bad(String),
    /// It is there; its plugins, and those that are missing or not to be trusted, which is none where it cannot be told.
    There {
        types: Vec<String>,
        missing: Option<Vec<String>>,
    },
}

impl Delegate {
    /// Those of the policy; plugins are looked for where the runtime looks.
    pub(super) fn gather(
        root: &Root,
        policy: &Policy,
        node: &Node,
        config: Option<&RuntimeConfig>,
        profiles: &Profiles,
    ) -> Vec<Self> {
        let dirs = BinDirSources { config, ..BinDirSources::from_node(node) }.search(root);
        policy.networks().map(|(side, network)| Self::read(root, side, network, &dirs, profiles)).collect()
    }

    fn read(root: &Root, side: Side, network: &Network, dirs: &[PathBuf], profiles: &Profiles) -> Self {
        let conf = match root_path::conf(root, &network.conf) {
            Err(LoadError::Absent(_)) => Conf::Absent,
            Err(why) => Conf::Bad(why.to_string()),
            Ok((conf, _)) => Conf::There {
                types: conf.plugins.iter().map(|plugin| plugin.plugin_type.clone()).collect(),
                missing: has_proc().then(|| plugins::missing_plugins(root, &conf, dirs)),
            },
        };
        Self {
            side,
            candidates: network.conf.clone(),
            profile: profiles.find(&network.profile).map(|profile| profile.name.clone()),
            has_probes: !network.probes().is_empty(),
            conf,
        }
    }

    pub(super) fn check(&self) -> Vec<Check> {
        let id = match self.side {
            Side::Old => "delegate.old",
            Side::New => "delegate.new",
        };
        let candidates: Vec<_> = self.candidates.iter().map(|path| path.display().to_string()).collect();
        let candidates = candidates.join(" or ");
        match (&self.conf, &self.profile) {
            (Conf::Bad(why), _) => from_faults(
                id,
                vec![Fault::new(why, "mend it, or leave it out: an agent brings its own")],
                "",
            ),
            (Conf::There { missing: None, .. }, _) => skip(
                id,
                format!(
                    "{candidates} is there; whether its plugins are fit cannot be told while /proc is not mounted"
                ),
            ),
            (Conf::There { types, missing: Some(missing) }, _) => {
                let fault = |why: &String| {
                    let fix = format!("install it, or leave {candidates} out: an agent brings both");
                    Fault::new(format!("{candidates} is there, but {why}"), fix)
                };
                from_faults(
                    id,
                    missing.iter().map(fault).collect(),
                    format!("{candidates}, with {}", types.join(", ")),
                )
            }
            (Conf::Absent, Some(profile)) => {
                pass(id, format!("{candidates} and its plugins come with {profile}'s agent"))
            }
            (Conf::Absent, None) if self.has_probes => pass(
                id,
                format!(
                    "{candidates} is to come with an agent; the policy's own probes say when it is ready"
                ),
            ),
            (Conf::Absent, None) => {
                let what = format!("{candidates} is missing, and the policy does not say what brings it");
                let fix = format!(
                    "have conf and plugins in the image, or name the {} network's profile, or its probes, in the policy",
                    self.side.as_str()
                );
                from_faults(id, vec![Fault::new(what, fix)], "")
            }
        }
    }
}

/// Files that are open are looked at by their names there.
fn has_proc() -> bool {
    Path::new("/proc/self/fd").exists()
}

/// Whether boot can put Crossfade's plugin where the runtime looks.
pub(super) fn directories(root: &Root, node: &Node, config: Option<&RuntimeConfig>) -> Vec<Check> {
    let shown = |place: &BinDir| {
        place.path.strip_prefix(root.join("/")).map_or_else(
            |_| place.path.display().to_string(),
            |path| Path::new("/").join(path).display().to_string(),
        )
    };
    let dirs = BinDirSources { config, ..BinDirSources::from_node(node) }.search(root);
    let dirs = dirs.iter().map(|dir| bin_dirs::gather(dir, None));
    let places: Vec<_> = dirs
        .map(|dir| Dir {
            path: shown(&dir),
            exists: dir.plugin != PluginState::NoDirectory,
            is_stuck: dir.read_only && dir.other.is_none(),
            distrust: dir.distrust,
        })
        .collect();
    decide_directories(&places)
}

/// A directory of plugins.
struct Dir {
    path: String,
    exists: bool,
    /// It is read-only, and Crossfade's plugin is not in it.
    is_stuck: bool,
    distrust: Option<String>,
}

fn decide_directories(dirs: &[Dir]) -> Vec<Check> {
    const ID: &str = "delegate.directories";
    let names = dirs.iter().map(|dir| dir.path.as_str()).collect::<Vec<_>>().join(", ");
    let mut faults: Vec<_> = dirs
        .iter()
        .filter_map(|dir| dir.distrust.as_ref())
        .map(|why| Fault::new(why, "give the directory, and every one above it, to root alone"))
        .collect();
    if !dirs.is_empty() && dirs.iter().all(|dir| dir.is_stuck) {
        faults.push(Fault::new(
            format!("{names}: read-only, and the runtime looks nowhere else for plugins"),
            "copy Crossfade's plugin there when the image is built, or name another in node.json, runtime.binDirs",
        ));
    }
    let suffix = if dirs.iter().all(|dir| !dir.exists) { ", made at boot" } else { "" };
    from_faults(ID, faults, format!("{names}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    fn delegate(conf: Conf, profile: Option<&str>, has_probes: bool) -> Check {
        let profile = profile.map(str::to_owned);
        let delegate = Delegate { side: Side::New, candidates: vec!["/c".into()], profile, has_probes, conf };
        delegate.check().remove(0)
    }

    #[test]
    fn a_conf_is_whole_or_known_to_come() {
        let there = |missing: &[&str]| Conf::There {
            types: vec!["bridge".into()],
            missing: Some(missing.iter().map(|plugin| (*plugin).to_owned()).collect()),
        };
        for (conf, profile, has_probes, status, text) in [
            (Conf::Absent, Some("cilium"), false, Status::Ok, "come with cilium's agent"),
            (Conf::Absent, None, true, Status::Ok, "the policy's own probes"),
            (Conf::Absent, None, false, Status::Failed, "the policy does not say what brings it"),
            (Conf::Bad("bad conf".into()), Some("cilium"), true, Status::Failed, "bad conf"),
            (there(&[]), None, false, Status::Ok, "with bridge"),
            (Conf::There { types: vec![], missing: None }, None, false, Status::Skipped, "/proc"),
            (there(&["no such binary"]), Some("cilium"), true, Status::Failed, "no such binary"),
        ] {
            let check = delegate(conf.clone(), profile, has_probes);
            assert!(check.status == status && check.observation.contains(text), "{conf:?}: {check:?}");
        }
    }

    #[test]
    fn one_directory_that_can_be_written_is_enough_and_none_may_be_others() {
        let dir = |is_stuck, distrust: Option<&str>| Dir {
            path: "/d".into(),
            exists: true,
            is_stuck,
            distrust: distrust.map(str::to_owned),
        };
        for (dirs, status) in [
            (vec![dir(false, None)], Status::Ok),
            (vec![dir(true, None), dir(false, None)], Status::Ok),
            (vec![dir(true, None)], Status::Failed),
            (vec![dir(false, Some("theirs"))], Status::Failed),
        ] {
            assert_eq!(decide_directories(&dirs)[0].status, status);
        }
    }
}
