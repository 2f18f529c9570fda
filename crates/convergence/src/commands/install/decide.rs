//! The changes of an installation under running pods: the pure decision.
//!
//! The order is the promise: everything that a DEL could need is there before the conf, and the conf, which is the switch, comes last.
//!
//! | step | what it takes | why it is there before the next one |
//! |---|---|---|
//! | 0 | what an earlier installation left on the Node | `watch` would follow a phase that was asked for then |
//! | 1 | Crossfade's plugin in every directory of plugins | an older one may not know what is written next |
//! | 2 | the inventory of pods that are attached already | their DELs will come through Crossfade |
//! | 3 | the name of Crossfade's network | it is the key of the runtime's cache, so it never changes again |
//! | 4 | files that pods will wait for | else every pod that starts would wait |
//! | 5 | the probes of profiles, in the policy | they name the files of step 4 |
//! | 6 | Crossfade's conf | the switch: from now on the runtime calls Crossfade |
//! | 7 | the runtime's confirmation that it uses the conf, then the inventory once more | pods that started meanwhile |
//! | 8 | crossfade-watch.service, where no watch keeps the files of step 4 | its unit wants that of boot, which would write Crossfade's conf first |

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::attachment::conflist::LoadError;
use shim::node::inventory::Entry;
use shim::node::layout::{CONF_FILE, PLUGIN};
use types::command::problem::Problem;
use types::node::Mode;
use types::policy::{Policy, Side};

use crate::change::obstacles::Obstacles;
use crate::change::{Act, Change, Write};
use crate::commands::install::facts::InstallFacts;
use crate::commands::install::inventory::{InventoryFacts, take};
use crate::commands::install::uncached::{self, UncachedChoice};
use crate::failure::Failure;
use crate::node::agent::watch_unit;
use crate::node::conf::CONF_MODE;
use crate::node::conf::name::NameSources;
use crate::node::conf::rules::{self, conf_dir, own_conf_bytes, require_one_conf};
use crate::node::networks::gated::{self, Keeper};
use crate::node::networks::{NetworkConf, needed_sides};
use crate::node::paths::NODE_FILE;
use crate::node::plugins::PLUGIN_MODE;
use crate::node::plugins::bin_dirs::BinDir;
use crate::node::policy::completion::Completion;
use crate::runtime::answer::{ConfUse, RuntimeAnswer};
use crate::runtime::conf_selection::ConfSelection;
use crate::runtime::endpoint::RuntimeChoice;

/// What the command line says of the attachments, of plugins and of the conf.
#[derive(Debug, Clone, Copy)]
pub struct InstallOptions<'a> {
    /// It names directories of plugins.
    pub has_bin_dirs: bool,
    /// Networks whose attachments are listed as those of `unrecorded`.
    pub accepted: &'a [String],
    /// Networks whose attachments are left out.
    pub ignored: &'a [String],
    /// The network of sandboxes that the runtime's cache does not know.
    pub uncached: Option<Side>,
    /// Sandboxes that are left out.
    pub ignored_sandboxes: &'a [String],
    /// The version that the conf declares.
    pub cni_version: Option<&'a str>,
}

#[derive(Debug)]
pub struct InstallDecision {
    /// The changes, in the order in which `install` makes them.
    pub changes: Vec<Change>,
    /// Notes for the person who reads the report.
    pub notes: Vec<String>,
}

/// Decides what installing takes, or finds everything that stands in its way.
///
/// # Errors
/// All findings at once; 78 when the policy or another settings file is among them, else 3.
pub fn decide(facts: &InstallFacts, options: InstallOptions<'_>) -> Result<InstallDecision, Failure> {
    let mut obstacles = unreadable_obstacles(facts);
    obstacles.extend(version_problem(facts, options));
    let mut notes = Vec::new();
    let mut files = Vec::new();
    if let Some(policy) = facts.node.policy() {
        networks(facts, policy, &mut obstacles, &mut notes);
        files =
            gated::decide(&facts.waiting, &facts.keeper, &needed_sides(policy), &mut obstacles, &mut notes);
    }
    let name = our_name(facts, &mut obstacles, &mut notes);
    runtime(facts, options, &mut obstacles, &mut notes);
    let entries = inventory(facts, options, &mut obstacles, &mut notes);
    let (Some((name, from)), Ok(plugin)) = (name, &facts.cni.plugins.packaged) else {
        return Err(obstacles.failure());
    };
    if !obstacles.findings.is_empty() {
        return Err(obstacles.failure());
    }
    notes.extend(facts.leftovers.as_ref().err().cloned());
    let mut changes: Vec<Change> = facts.leftovers.iter().flatten().cloned().collect();
    // The plugin first on the disk: no runtime calls it before the conf exists, and an earlier version may not understand what is written next.
    changes.extend(facts.cni.plugins.dirs.iter().map(|dir| plugin_change(dir, plugin)));
    changes.push(inventory_change(facts, entries));
    changes.push(name_change(facts, &name, &from));
    changes.extend(files);
    changes.extend(facts.completion.as_ref().map(Completion::change));
    changes.push(conf_change(facts, options, &name));
    let why = "the runtime uses it; then list what was attached until then";
    changes.push(Change::new(Act::Confirm, CONF_FILE, why));
    // After Crossfade's conf: the unit wants that of boot, which would be the first to write the conf.
    changes.extend((facts.keeper == Keeper::Unit).then(watch_unit::start_watch));
    Ok(InstallDecision { changes, notes })
}

/// What cannot be read, and what nothing can be decided without.
fn unreadable_obstacles(facts: &InstallFacts) -> Obstacles {
    let mut obstacles = Obstacles::default();
    if facts.mode == Mode::Private {
        let what = "--mode private: the runtime would have to be restarted under running pods";
        obstacles.add(Problem::new(what).with_place("--mode").fix(
            "install in shared mode; then set confDir to private in node.json, which counts from the next boot on, or rotate the node to an image that says so",
        ));
    }
    obstacles.add_settings(facts.node.policy.as_ref().err());
    obstacles.add_settings(facts.node.name.as_ref().err());
    obstacles.extend(facts.cni.plugins.packaged.as_ref().err());
    for error in [
        facts.cni.confs.as_ref().err(),
        facts.recorded.as_ref().err(),
        facts.listed.as_ref().err(),
        facts.cache.as_ref().err(),
        facts.uncached.as_ref().err(),
        facts.sees.as_ref().err(),
        facts.now.as_ref().err(),
    ] {
        obstacles.extend(error.cloned());
    }
    obstacles.extend(facts.distrusted.iter().cloned());
    obstacles.extend(facts.node.dirs.foreign_conf_problem(None));
    if facts.cni.plugins.dirs.is_empty() {
        let what = "no directory of plugins: neither /opt/cni/bin nor /usr/lib/cni exists";
        obstacles.add(Problem::new(what).with_place("--bin-dir").fix("name the runtime's with --bin-dir"));
    }
    obstacles
}

/// Refuses a version that `watch` would not keep: where there is a node.json, it decides.
fn version_problem(facts: &InstallFacts, options: InstallOptions<'_>) -> Option<Problem> {
    let (version, file) = (options.cni_version?, facts.node.node_file.as_ref()?.display());
    let settled = facts.node.cni_version(None);
    let what = format!(
        "--cni-version {version}, but cniVersion is {settled} by {file} (its default where the key is left out), and watch writes that"
    );
    let fix = format!("set cniVersion to {version} in {file}, or leave --cni-version out");
    (version != settled).then(|| Problem::new(what).with_place("--cni-version").fix(fix))
}

/// The name of Crossfade's network and its source; problems of the conf directory become obstacles.
fn our_name(
    facts: &InstallFacts,
    obstacles: &mut Obstacles,
    notes: &mut Vec<String>,
) -> Option<(String, String)> {
    facts.cni.confs.as_ref().ok().zip(facts.node.name.as_ref().ok()).and_then(|(dir, written)| {
        let named = NameSources {
            content: written.as_deref(),
            file: &facts.node.dirs.layout.name(),
            installed: facts.node.own_conf(),
            dir,
        };
        let named = named.choose().map_err(|why| obstacles.add(why)).ok();
        let picks = ConfSelection::from_config(facts.config_without_dir());
        let name = named.as_ref().map(|(name, _)| name.as_str());
        conf_dir(dir, name, &picks, &facts.node.profiles, (obstacles, notes));
        if let Some((name, _)) = &named {
            obstacles.extend(picks.check_name(dir, name).problem());
        }
        named
    })
}

fn plugin_change(dir: &BinDir, plugin: &[u8]) -> Change {
    let write = Write { path: dir.plugin_file(), bytes: plugin.to_vec(), mode: PLUGIN_MODE, nudge: false };
    Change::ensure(write, "the plugin")
}

fn networks(facts: &InstallFacts, policy: &Policy, obstacles: &mut Obstacles, notes: &mut Vec<String>) {
    let needed = needed_sides(policy);
    for network in &facts.cni.networks {
        let side = network.side;
        match &network.conf {
            Err(LoadError::Absent(_)) if !needed.contains(&side) => notes.push(format!(
                "network {side} has no conf yet; run install again when it has one, so that Crossfade's conf declares its capabilities"
            )),
            Err(why) => obstacles.add(format!("network {side}: {why}")),
            Ok((conf, file)) if conf.plugins.iter().any(|plugin| plugin.plugin_type == PLUGIN) => {
                let what = format!("network {side}: its conf leads back to Crossfade");
                let fix = "name the conf of the CNI itself in the policy";
                obstacles.add(Problem::new(what).with_place(file.display().to_string()).fix(fix));
            }
            Ok((_, file)) if needed.contains(&side) => {
                let named = |why| Problem::new(format!("network {side}: {why}")).with_place(file.display().to_string());
                obstacles.extend(network.missing.iter().map(named));
            }
            Ok(_) => notes.extend(network.missing.iter().map(|why| format!("network {side}: {why}"))),
        }
    }
    if let [bin_dir, other] = facts.cni.networks.as_slice()
        && let Some(name) = bin_dir.name().filter(|name| other.name() == Some(name))
    {
        let what = format!("both networks are called {name:?}, and records tell them apart by their names");
        obstacles.add(Problem::new(what).with_place(name).fix("change the name in one of the two confs"));
    }
}

/// Compares what the runtime says about itself with what `install` is about to do.
fn runtime(
    facts: &InstallFacts,
    options: InstallOptions<'_>,
    obstacles: &mut Obstacles,
    notes: &mut Vec<String>,
) {
    if let Some(why) = facts.node.runtime.answer.trouble() {
        let what = format!("{why}. Without its answer it is not known where it looks for confs and plugins");
        obstacles.add(Problem::new(what).with_place("--runtime-endpoint").fix(
            "start it, or name the right one; --runtime-endpoint none asks no runtime, and then --conf-dir and --bin-dir must be right",
        ));
    }
    if facts.node.runtime.answer == RuntimeAnswer::NotAsked && !options.has_bin_dirs {
        let what = "--runtime-endpoint none: it is unknown where the runtime looks for plugins";
        obstacles.add(Problem::new(what).with_place("--bin-dir").fix("name it with --bin-dir"));
    }
    if let RuntimeChoice::At(endpoint) = &facts.node.runtime.choice
        && facts.later != facts.node.runtime.choice
    {
        notes.push(format!(
            "boot and watch do not know this runtime by themselves: say {endpoint:?} in node.json, runtime.endpoint, and where another \
             program starts it, its configuration file in runtime.config"
        ));
    }
    if facts.node.runtime.answer == RuntimeAnswer::Silent && facts.config_without_dir().is_none() {
        let what = "the runtime does not tell where it looks for confs and plugins, nor which network it uses, and its configuration was \
                    not found";
        let fix = "name its unit in node.json, runtime.unit, or its file in runtime.config";
        obstacles.add(Problem::new(what).with_place(NODE_FILE).fix(fix));
    }
    let configured = facts.config_without_dir().map(|config| &config.setup);
    let Some(setup) = facts.node.runtime.answer.setup().or(configured) else {
        return;
    };
    if setup.conf_dir != facts.node.dirs.conf_dir {
        let what = format!(
            "the runtime reads {}, not {}",
            setup.conf_dir.display(),
            facts.node.dirs.conf_dir.display()
        );
        let fix = format!("say --conf-dir {}", setup.conf_dir.display());
        obstacles.add(Problem::new(what).with_place("--conf-dir").fix(fix));
    }
    let has = |dir: &PathBuf| facts.cni.plugins.dirs.iter().any(|bin_dir| bin_dir.path == *dir);
    for dir in &facts.runtime_dirs {
        if !has(dir) {
            let what = format!("the runtime looks for plugins in {}", dir.display());
            let fix = "name it with --bin-dir, too";
            obstacles.add(Problem::new(what).with_place(dir.display().to_string()).fix(fix));
        }
    }
    require_one_conf(setup, obstacles);
}

/// The entries that the inventory lacks.
fn inventory(
    facts: &InstallFacts,
    options: InstallOptions<'_>,
    obstacles: &mut Obstacles,
    notes: &mut Vec<String>,
) -> Vec<Entry> {
    let (Ok(cache), Ok(recorded), Ok(listed), Ok(now)) =
        (&facts.cache, &facts.recorded, &facts.listed, &facts.now)
    else {
        return Vec::new();
    };
    let decision = take(
        cache,
        &InventoryFacts {
            names: &names(facts),
            unrecorded: facts.node.policy().and_then(|policy| policy.unrecorded),
            accepted: options.accepted,
            left_out: &left_out(facts, options),
            recorded,
            listed,
            deleter: facts.deleter,
            now,
        },
    );
    obstacles.extend(decision.findings);
    notes.extend(decision.notes);
    let mut entries = decision.entries;
    let choice = UncachedChoice { network: options.uncached, ignored: options.ignored_sandboxes };
    let sandboxes = facts.uncached.as_deref().unwrap_or_default();
    match uncached::take(sandboxes, choice, now) {
        Ok(more) => entries.extend(more),
        Err(why) => obstacles.add(why),
    }
    if let Some(side) = options.uncached
        && facts.node.policy().is_some_and(|policy| policy.network(side).is_none())
    {
        obstacles.add(
            Problem::new(format!("--uncached {side}: the policy has no network {side}"))
                .with_place("--uncached"),
        );
    }
    entries
}

/// The policy's networks by their own names, as far as they have confs.
#[must_use]
pub fn names(facts: &InstallFacts) -> Vec<(Side, String)> {
    let named = |network: &NetworkConf| Some((network.side, network.name()?.to_owned()));
    facts.cni.networks.iter().filter_map(named).collect()
}

/// Networks that keep their own records, and those that the caller left out.
#[must_use]
pub fn left_out(facts: &InstallFacts, options: InstallOptions<'_>) -> Vec<String> {
    let meta = facts.cni.confs.iter().flat_map(|dir| &dir.confs).filter(|conf| conf.is_meta_plugin());
    meta.filter_map(|conf| conf.name().map(str::to_owned)).chain(options.ignored.iter().cloned()).collect()
}

fn inventory_change(facts: &InstallFacts, entries: Vec<Entry>) -> Change {
    let target = facts.node.dirs.layout.inventory().display().to_string();
    let there = facts.listed.as_ref().map_or(0, BTreeSet::len);
    if entries.is_empty() {
        return Change::new(Act::Keep, target, format!("{there} attachments, none to add"));
    }
    let count = |side: Side| entries.iter().filter(|entry| entry.network == side.as_str()).count();
    let reason = format!(
        "{} attachments from before the installation: {} of old, {} of new; {there} listed already",
        entries.len(),
        count(Side::Old),
        count(Side::New)
    );
    let layout = Box::new(facts.node.dirs.layout.clone());
    Change::new(Act::List { layout, entries }, target, reason)
}

fn name_change(facts: &InstallFacts, name: &str, from: &str) -> Change {
    let why = format!("Crossfade's network is called {name}");
    let layout = &facts.node.dirs.layout;
    match &facts.node.name {
        Ok(Some(_)) => Change::new(Act::Keep, layout.name().display().to_string(), why),
        Ok(None) | Err(_) => rules::name_change(layout, name, format!("{why}, after {from}")),
    }
}

fn conf_change(facts: &InstallFacts, options: InstallOptions<'_>, name: &str) -> Change {
    let installed = facts.node.own_conf();
    let directories = (&facts.node.dirs.layout, name);
    let bytes = own_conf_bytes((&facts.node, &facts.cni), installed, options.cni_version, directories);
    let write = Write { path: facts.node.dirs.conf_file(), bytes, mode: CONF_MODE, nudge: true };
    let broken = facts.node.dirs.unreadable_conf();
    // Right in the directory and unknown to the runtime: it reloads when the file is written anew.
    if let (ConfUse::Other(what), Some(_)) = (facts.node.runtime.answer.uses(name), installed) {
        let target = write.path.display().to_string();
        return Change::new(Act::Write(write), target, format!("the runtime has not loaded it: {what}"));
    }
    // A runtime that does not tell is made to read it, and to show that it does.
    if let (Err(why), Some(_)) = (&facts.read, installed) {
        let target = write.path.display().to_string();
        return Change::new(Act::Write(write), target, format!("written anew: {why}"));
    }
    Change::ensure(
        write,
        broken.map_or_else(
            || "the switch: from now on the runtime calls Crossfade".to_owned(),
            Problem::to_string,
        ),
    )
}

#[cfg(test)]
mod tests;
