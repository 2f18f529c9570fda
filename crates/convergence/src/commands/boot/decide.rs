//! The changes of `boot`: the pure decision.
//!
//! First, another machine's state is set aside. Then everything that a pod could need is put in its place. The marker that boot is done
//! comes last. No DEL is among the changes: no agent runs yet, and `sweep` closes the records of an earlier boot later.
//!
//! | boot | Crossfade's state | confs of CNIs that the policy does not name | Crossfade's conf, shared mode | Crossfade's conf, private mode |
//! |---|---|---|---|---|
//! | first | there is none | set aside | written | not yet: `watch` writes it |
//! | clone | set aside, another machine's | set aside | written | not yet; one that is left goes |
//! | reboot | kept | kept | written where it differs | not yet; one that is left goes |
//! | again | kept | kept | written where it differs | kept, for it is in force |
//!
//! In no row, Crossfade's conf comes into force under pods that were attached without Crossfade and are not listed: that takes `install`.
//!
//! In every row, Crossfade's plugin is put where the runtime searches for it. In private mode the confs of other owners stay in their
//! place, because the runtime does not read them there.

use std::path::Path;

use shim::node::layout::{CONF_FILE, PLUGIN, PROBED};
use types::command::problem::Problem;
use types::node::Mode;
use types::profile::Profile;

use crate::change::obstacles::Obstacles;
use crate::change::{Act, Change, Write};
use crate::commands::boot::decision::{AsideDir, BootDecision, kind, record_changes};
use crate::commands::boot::facts::BootFacts;
use crate::failure::Failure;
use crate::node::conf::confdir::ConfDir;
use crate::node::conf::foreign::ForeignEntry;
use crate::node::conf::name::NameSources;
use crate::node::conf::{CONF_MODE, rules};
use crate::node::identity::BootKind;
use crate::node::paths::NODE_FILE;
use crate::node::plugins::PLUGIN_MODE;
use crate::node::plugins::bin_dirs::PluginState;
use crate::node::policy::completion::Completion;
use crate::runtime::conf_selection::{ConfSelection, NetworkNameCheck};

/// Decides, or finds everything that stands in the way.
///
/// # Errors
/// All findings at once; 78 when a settings file is among them, else 3.
pub fn decide(facts: &BootFacts) -> Result<BootDecision, Failure> {
    let mut obstacles = Obstacles::default();
    let mut notes = vec![kind(facts).to_owned()];
    obstacles.add_settings(facts.node.policy.as_ref().err());
    obstacles.extend(facts.cni.plugins.packaged.as_ref().err());
    for error in [facts.cni.confs.as_ref().err(), facts.private.as_ref().err(), facts.recorded.as_ref().err()]
    {
        obstacles.extend(error.cloned());
    }
    obstacles.extend(facts.node.runtime.problem());
    obstacles.extend(facts.distrusted.iter().cloned());
    check_unlisted(facts, &mut obstacles);
    runtime(facts, &mut obstacles, &mut notes);

    let aside = AsideDir::new(facts);
    let mut changes = Vec::new();
    let set_aside = if facts.kind == BootKind::Clone { facts.state.as_slice() } else { &[] };
    changes.extend(set_aside.iter().map(|path| aside.change(path, "another machine's", false)));
    // What is set aside is no longer there for what follows.
    let name_file = match &facts.node.name {
        _ if set_aside.contains(&facts.node.dirs.layout.name()) => None,
        Ok(name) => name.as_deref(),
        Err(why) => {
            obstacles.add_settings(Some(why));
            None
        }
    };
    let plugin = plugins(facts, &mut obstacles, &mut notes);
    if let Ok(usual) = &facts.cni.confs {
        let mode = if facts.node.settings.conf_dir == Mode::Private {
            decide_private(facts, usual, name_file, &mut obstacles, &mut notes)
        } else {
            decide_shared(facts, usual, name_file, &aside, (&mut obstacles, &mut notes))
        };
        changes.extend(plugin);
        changes.extend(facts.completion.as_ref().map(Completion::change));
        notes.extend(facts.held_back.iter().map(|network| {
            format!(
                "network {network}: the policy gets its probes at the next boot, or by crossfade-bootstrap install: until watch has written \
                 a file in {PROBED}, every pod that starts would wait for it"
            )
        }));
        changes.extend(mode);
    }
    if !obstacles.findings.is_empty() {
        return Err(obstacles.failure());
    }
    changes.extend(record_changes(facts));
    if facts.marked_without {
        changes.push(Change::remove(
            facts.places.final_settings.clone(),
            false,
            "there is something to watch",
        ));
    }
    Ok(BootDecision { changes, notes })
}

/// Refuses to put Crossfade's conf into force under pods of which nothing is known: their DELs would come to Crossfade.
fn check_unlisted(facts: &BootFacts, obstacles: &mut Obstacles) {
    let in_private = matches!(&facts.private, Ok(dir) if dir.confs.iter().any(|conf| conf.file == CONF_FILE));
    if facts.unlisted.is_empty() || facts.our_conf.is_some() || in_private {
        return;
    }
    let count = facts.unlisted.len();
    let what = format!(
        "{count} pods run here that were attached before Crossfade, and none of them is listed: their DELs would come to Crossfade, which \
         would not know them (network namespace {})",
        facts.unlisted[0]
    );
    let fix = "run crossfade-bootstrap install, which lists them first; then systemctl restart crossfade-boot crossfade-watch";
    obstacles.add(
        Problem::new(what).with_place(facts.node.dirs.layout.inventory().display().to_string()).fix(fix),
    );
}

/// Refuses an unknown runtime: it may read any directory, and a guess at the usual one could let its pods bypass Crossfade.
fn runtime(facts: &BootFacts, obstacles: &mut Obstacles, notes: &mut Vec<String>) {
    let Some(config) = facts.node.runtime.config() else {
        if facts.node.runtime.problem().is_none() {
            obstacles.extend(facts.unconfigured.clone());
        }
        return;
    };
    notes.extend(config.handlers.iter().map(|(name, dir)| {
        format!(
            "runtime handler {name} reads confs of its own in {}, so pods of that RuntimeClass are not attached by Crossfade",
            dir.display()
        )
    }));
}

/// Puts Crossfade's plugin into every directory in which the runtime searches.
fn plugins(facts: &BootFacts, obstacles: &mut Obstacles, notes: &mut Vec<String>) -> Vec<Change> {
    let Ok(plugin) = &facts.cni.plugins.packaged else {
        return Vec::new();
    };
    let (stuck, free): (Vec<_>, Vec<_>) =
        facts.cni.plugins.dirs.iter().partition(|dir| dir.read_only && dir.plugin != PluginState::Sound);
    for place in &stuck {
        let text = format!("bin dir {} is read-only", place.path.display());
        if free.is_empty() {
            let what = format!("{text}, and the runtime looks nowhere else");
            let fix = format!("have {PLUGIN} in it when the image is built");
            obstacles.add(Problem::new(what).with_place(place.path.display().to_string()).fix(fix));
        } else {
            notes.push(format!("{text}: the runtime finds the plugin in another one"));
        }
    }
    free.into_iter()
        .map(|place| {
            let write =
                Write { path: place.plugin_file(), bytes: plugin.clone(), mode: PLUGIN_MODE, nudge: false };
            Change::ensure(write, "the plugin")
        })
        .collect()
}

/// The name of Crossfade's network, which stays once it is written. Crossfade takes the name that CRI-O's `cni_default_network` demands,
/// because CRI-O would ignore a conf of any other name.
fn name(
    facts: &BootFacts,
    dir: &ConfDir,
    name_file: Option<&str>,
    obstacles: &mut Obstacles,
) -> Option<(String, Option<Change>)> {
    let file = facts.node.dirs.layout.name();
    let installed = facts.node.own_conf();
    let default_network = facts.node.runtime.config().and_then(|config| config.default_network.as_deref());
    let (name, from) = match (name_file.or(installed.map(|conf| conf.name.as_str())), default_network) {
        (None, Some(default_network)) => {
            (default_network.to_owned(), "the runtime's cni_default_network".to_owned())
        }
        _ => match (NameSources { content: name_file, file: &file, installed, dir }).choose() {
            Ok(named) => named,
            Err(why) => {
                obstacles.add(why);
                return None;
            }
        },
    };
    if let Some(default_network) = default_network.filter(|default_network| *default_network != name) {
        let what = format!(
            "the runtime insists on the network {default_network} (cni_default_network), and Crossfade's is called {name}, after {from}"
        );
        let fix = format!("set cni_default_network to {name}, or leave it out");
        obstacles.add(Problem::new(what).with_place("cni_default_network").fix(fix));
    }
    let why = format!("Crossfade's network is called {name}, after {from}");
    let change = name_file.is_none().then(|| rules::name_change(&facts.node.dirs.layout, &name, why));
    Some((name, change))
}

fn decide_private(
    facts: &BootFacts,
    usual: &ConfDir,
    name_file: Option<&str>,
    obstacles: &mut Obstacles,
    notes: &mut Vec<String>,
) -> Vec<Change> {
    match facts.node.runtime.config() {
        Some(config) if config.unit.is_none() => {
            let what = format!(
                "private mode: {} is started by another program, so it cannot be told of Crossfade's directory",
                config.kind.as_str()
            );
            obstacles.add(Problem::new(what).with_place(NODE_FILE).fix("use confDir shared"));
        }
        _ => obstacles.extend(facts.handed_on.as_ref().err().cloned()),
    }
    // The runtime will read none of these confs. If its cache has results of one of them, Crossfade's network takes that name all the same:
    // by this name the runtime finds the results for the DELs of pods from before the boot.
    let mut readable = usual.clone();
    readable.confs.retain(|conf| {
        let prefix = conf.name().map(|name| format!("{name}-"));
        prefix.is_some_and(|prefix| facts.cached.iter().any(|file| file.starts_with(&prefix)))
    });
    let mut changes: Vec<Change> =
        name(facts, &readable, name_file, obstacles).into_iter().filter_map(|(_, change)| change).collect();

    let dir = &facts.places.private;
    if !facts.private_exists {
        changes.push(Change::new(
            Act::MakeDir(dir.clone()),
            dir.display().to_string(),
            "the runtime reads it",
        ));
    }
    changes.extend(facts.foreign.iter().map(ForeignEntry::removal));
    if let Ok(conf_dir) = &facts.private
        && facts.kind != BootKind::Again
    {
        let stale = conf_dir.confs.iter().map(|conf| dir.join(&conf.file));
        let own_files = stale.filter(|path| !facts.foreign.iter().any(|entry| entry.path == *path));
        changes.extend(own_files.map(|path| Change::remove(path, true, "no network is ready before a boot")));
    }
    match facts.our_conf.clone() {
        Some(path) if facts.kind == BootKind::Again || facts.runtime_runs => notes.push(format!(
            "{} is in force until the runtime is restarted: reboot to go over to private mode",
            path.display()
        )),
        Some(path) => {
            changes.push(Change::remove(path, true, "private mode: not in the agents' directory"));
        }
        None => {}
    }
    changes
}

fn decide_shared(
    facts: &BootFacts,
    usual: &ConfDir,
    name_file: Option<&str>,
    aside: &AsideDir,
    (obstacles, notes): (&mut Obstacles, &mut Vec<String>),
) -> Vec<Change> {
    let strangers = strangers(facts, usual);
    let mut remaining = usual.clone();
    remaining.confs.retain(|conf| !strangers.iter().any(|(file, _)| *file == conf.file));
    if let Some(config) = facts.node.runtime.config() {
        rules::require_one_conf(&config.setup, obstacles);
    }
    obstacles.extend(facts.node.dirs.foreign_conf_problem(None));
    let named = name(facts, &remaining, name_file, obstacles);
    let picks = ConfSelection::from_config(facts.node.runtime.config());
    let name = named.as_ref().map(|(name, _)| name.as_str());
    rules::conf_dir(&remaining, name, &picks, &facts.node.profiles, (obstacles, notes));
    // A boot that was refused for it would keep the node down, and the one before may have been the restart that harms.
    if let Some((name, _)) = &named
        && let NetworkNameCheck::Unset(why) = picks.check_name(&remaining, name)
    {
        notes.push(why.into());
    }
    let Some((name, name_change)) = named else {
        return Vec::new();
    };
    let mut changes: Vec<Change> = strangers
        .iter()
        .map(|(file, profile)| {
            let path = usual.path.join(file);
            let sum = facts.sums.get(file).map_or_else(String::new, |sum| format!(", sha256 {sum}"));
            aside.change(
                &path,
                &format!("a conf of {}, which the policy does not name{sum}", profile.name),
                true,
            )
        })
        .collect();
    changes.extend(name_change);
    if !facts.usual_exists {
        let target = usual.path.display().to_string();
        changes.push(Change::new(Act::MakeDir(usual.path.clone()), target, "the runtime reads it"));
    }
    let directories = (&facts.node.dirs.layout_on_node, name.as_str());
    let bytes = rules::own_conf_bytes((&facts.node, &facts.cni), facts.node.own_conf(), None, directories);
    let write = Write { path: usual.path.join(CONF_FILE), bytes, mode: CONF_MODE, nudge: true };
    let broken = facts.node.dirs.unreadable_conf();
    let why = broken.map_or_else(|| "the runtime calls Crossfade".to_owned(), Problem::to_string);
    changes.push(Change::ensure(write, why));
    changes
}

/// Confs that an image contained: those of CNIs that Crossfade knows and that the policy does not name. A file that the policy or a record
/// names is never among them, nor a meta-plugin's.
fn strangers<'a>(facts: &'a BootFacts, usual: &ConfDir) -> Vec<(String, &'a Profile)> {
    let (Some(policy), Ok(recorded), true) = (facts.node.policy(), &facts.recorded, facts.is_fresh()) else {
        return Vec::new();
    };
    let names = |path: &Path| facts.policy_confs.contains(path) || recorded.contains(path);
    let named = |profile: &Profile| policy.networks().any(|(_, network)| network.profile == profile.name);
    usual
        .foreign_confs()
        .filter(|conf| !names(&usual.path.join(&conf.file)))
        .filter_map(|conf| {
            let profile = conf.profile(&facts.node.profiles)?;
            (!named(profile)).then(|| (conf.file.clone(), profile))
        })
        .collect()
}

#[cfg(test)]
pub mod tests;
