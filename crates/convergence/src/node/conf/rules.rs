//! The rules for Crossfade's conf: what it needs of the runtime's conf directory, and its content.

use std::collections::BTreeSet;

use shim::attachment::conflist::Plugin;
use shim::host::file::PRIVATE;
use shim::node::layout::Layout;
use types::command::problem::Problem;
use types::profile::Profiles;

use crate::change::obstacles::Obstacles;
use crate::change::{Change, Write};
use crate::node::cni::CniFacts;
use crate::node::conf::confdir::ConfDir;
use crate::node::conf::{OWN_CAPABILITIES, conf};
use crate::node::facts::NodeFacts;
use crate::node::settings::directories::InstalledConf;
use crate::runtime::CniSetup;
use crate::runtime::conf_selection::ConfSelection;

/// Finds everything in the runtime's conf directory that keeps pods from coming through Crossfade's conf.
pub fn conf_dir(
    dir: &ConfDir,
    name: Option<&str>,
    picks: &ConfSelection,
    profiles: &Profiles,
    (obstacles, notes): (&mut Obstacles, &mut Vec<String>),
) {
    obstacles.extend(picks.obstacle_problems(dir, name.unwrap_or_default()));
    for conf in dir
        .foreign_confs()
        .filter(|conf| conf.content.as_ref().is_ok_and(crate::node::conf::confdir::Content::is_ours))
    {
        let (file, path) = (&conf.file, dir.path.join(&conf.file));
        obstacles.add(
            Problem::new(format!("{file} has a plugin of type crossfade, too, and there must be one"))
                .with_place(path.display().to_string())
                .fix(format!("remove {file}, or its plugin of type crossfade")),
        );
    }
    if let Some(name) = name.filter(|name| dir.folders.iter().any(|folder| folder == name)) {
        let folder = dir.path.join(name).display().to_string();
        let what = format!(
            "{folder} is a folder called like Crossfade's network, whose plugins a runtime may chain behind Crossfade"
        );
        obstacles.add(
            Problem::new(what).with_place(folder).fix("move its plugins into the conf of their network"),
        );
    }
    for file in &dir.taken_away {
        let exclusive = profiles.all().iter().find(|profile| profile.takes(file));
        let exclusive = exclusive.and_then(|profile| profile.exclusive.as_ref());
        let setting =
            exclusive.map_or("let the agent leave other confs alone", |exclusive| exclusive.setting.as_str());
        let what = format!(
            "{file}: an agent takes this directory for itself and would rename Crossfade's conf as well"
        );
        let path = dir.path.join(file).display().to_string();
        obstacles.add(Problem::new(what).with_place(path).fix(format!("{setting}, then remove {file}")));
    }
    let exclusive = dir.foreign_confs().find_map(|conf| {
        let profile = profiles.detect(&conf.content.as_ref().ok()?.types)?;
        profile.exclusive.as_ref().map(|exclusive| (profile, exclusive))
    });
    if let Some((profile, exclusive)) = exclusive.filter(|_| dir.taken_away.is_empty()) {
        notes.push(format!(
            "{} is here and may take this directory for itself, which cannot be seen from here: unless it is so already, {}",
            profile.name, exclusive.setting
        ));
    }
}

/// Refuses a runtime that uses more than one conf: the other confs would attach pods beside Crossfade.
pub fn require_one_conf(setup: &CniSetup, obstacles: &mut Obstacles) {
    if setup.max_confs != 1 {
        let count = if setup.max_confs == 0 { "all".into() } else { setup.max_confs.to_string() };
        let what = format!(
            "the runtime uses {count} confs at once (max_conf_num), so pods would get the old network beside Crossfade's"
        );
        let place = "max_conf_num of the runtime's configuration";
        obstacles
            .add(Problem::new(what).with_place(place).fix("set max_conf_num to 1, and restart the runtime"));
    }
}

/// The bytes that Crossfade's conf should have on a node; `basis` is the conf that is installed, or was. Where there is a node.json, it decides
/// the version; else `option` does, and what an installation chose stays.
#[must_use]
pub fn own_conf_bytes(
    (node, cni): (&NodeFacts, &CniFacts),
    basis: Option<&InstalledConf>,
    option: Option<&str>,
    (layout, name): (&Layout, &str),
) -> Vec<u8> {
    let version = node.cni_version(option.or(basis.map(|conf| conf.cni_version.as_str())));
    conf(layout, name, version, &capabilities(node, cni, basis))
}

/// The capabilities of the delegates and of the plugin itself. While a network has no conf, or the policy cannot be used, the capabilities of
/// the earlier conf stay.
fn capabilities(node: &NodeFacts, cni: &CniFacts, basis: Option<&InstalledConf>) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = OWN_CAPABILITIES.map(str::to_owned).into();
    let confs = || cni.networks.iter().map(|network| network.conf.as_ref());
    all.extend(confs().flatten().flat_map(|(conf, _)| &conf.plugins).flat_map(Plugin::capabilities));
    if node.policy.is_err() || confs().any(|conf| conf.is_err()) {
        all.extend(basis.iter().flat_map(|conf| conf.capabilities.iter().cloned()));
    }
    all
}

/// Writes the file with the name of Crossfade's network.
#[must_use]
pub fn name_change(layout: &Layout, name: &str, why: impl Into<String>) -> Change {
    let bytes = format!("{name}\n").into_bytes();
    Change::ensure(Write { path: layout.name(), bytes, mode: PRIVATE, nudge: false }, why)
}
