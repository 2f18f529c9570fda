//! What a boot takes: the pure decision.
//!
//! First what belongs to another machine goes out of the way, then everything that a pod could need is put in its place, and what says that
//! it is done comes last. No DEL is among it: no agent is up, and a record of an earlier boot keeps for the sweep.

use std::path::{Path, PathBuf};

use shim::file::PRIVATE;
use shim::layout::{CONF_FILE, PLUGIN};
use types::node::Mode;

use super::gather::{self, Facts};
use super::without;
use crate::change::{self, Act, Change, Write};
use crate::cli::exit::Failure;
use crate::commands::install::decide::{self, CONF_MODE, InTheWay, Naming, PLUGIN_MODE};
use crate::node::conf::conf;
use crate::node::confdir::ConfDir;
use crate::node::digest;
use crate::node::foreign::Foreign;
use crate::node::identity::{Booted, Kind};
use crate::node::paths::{BOOTED, IDENTITY, NODE_FILE, PRIVATE_CONF_DIR, PROBED, SET_ASIDE, WITHOUT};
use crate::runtime::endpoint;
use crate::runtime::picks::{Picks, Told};
use types::profile::{self, Profile};

/// Mode of what everybody on the node may read.
const PUBLIC: u32 = 0o644;

/// What a boot takes.
#[derive(Debug)]
pub struct Decision {
    /// In order.
    pub changes: Vec<Change>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

/// Decides, or finds everything that stands in the way.
///
/// # Errors
/// All findings at once; 78 when a settings file is among them, else 3.
pub fn decide(facts: &Facts) -> Result<Decision, Failure> {
    match &facts.without {
        Some(left) => without::decide(facts, left),
        None => with_plugin(facts),
    }
}

fn with_plugin(facts: &Facts) -> Result<Decision, Failure> {
    let mut way = InTheWay::default();
    let mut notes = vec![kind(facts).to_owned()];
    way.settings(facts.policy.as_ref().err());
    for error in [
        facts.plugin.as_ref().err(),
        facts.usual.as_ref().err(),
        facts.private.as_ref().err(),
        facts.recorded.as_ref().err(),
        facts.runtime.as_ref().err(),
    ] {
        way.findings.extend(error.cloned());
    }
    way.findings.extend(facts.distrusted.iter().cloned());
    runtime(facts, &mut way, &mut notes);

    let aside = Aside::new(facts);
    let mut changes = Vec::new();
    let set_aside = if facts.kind == Kind::Clone { facts.state.as_slice() } else { &[] };
    changes.extend(set_aside.iter().map(|path| aside.change(path, "another machine's", false)));
    // What is set aside is no longer there for what follows.
    let written = match &facts.name {
        _ if set_aside.contains(&facts.layout.name()) => None,
        Ok(name) => name.as_deref(),
        Err(why) => {
            way.settings(Some(why));
            None
        }
    };
    let plugin = plugins(facts, &mut way, &mut notes);
    if let Ok(usual) = &facts.usual {
        let mode = if facts.node.conf_dir == Mode::Private {
            private(facts, usual, written, &mut way, &mut notes)
        } else {
            shared(facts, usual, written, &aside, (&mut way, &mut notes))
        };
        changes.extend(plugin);
        changes.extend(facts.completion.as_ref().map(|completion| completion.change(&facts.root)));
        notes.extend(facts.held_back.iter().map(|network| {
            format!(
                "network {network}: the policy gets its probes at the next boot, or by crossfade-bootstrap install: until watch has written \
                 a file in {PROBED}, every pod that starts would wait for it"
            )
        }));
        changes.extend(mode);
    }
    if !way.findings.is_empty() {
        return Err(way.failure());
    }
    changes.extend(recorded(facts));
    if facts.marked_without {
        changes.push(Change::remove(facts.root.entry(WITHOUT), false, "there is something to watch"));
    }
    Ok(Decision { changes, notes })
}

pub(super) const fn kind(facts: &Facts) -> &'static str {
    match facts.kind {
        Kind::First => "first boot of this machine with us",
        Kind::Clone => "this machine is an image of another one that we have prepared",
        Kind::Reboot => "a reboot of this machine",
        Kind::Again => "this boot is prepared already; done again",
    }
}

/// A runtime that is not known may read any directory: what is merely usual would have its pods pass us by.
fn runtime(facts: &Facts, way: &mut InTheWay, notes: &mut Vec<String>) {
    let Some(config) = facts.config() else {
        if facts.runtime.is_ok() {
            way.found(endpoint::unconfigured(&facts.root));
        }
        return;
    };
    notes.extend(config.handlers.iter().map(|(name, dir)| {
        format!(
            "runtime handler {name} reads confs of its own in {}, so pods of that RuntimeClass are not attached by us",
            dir.display()
        )
    }));
}

/// Where things go that are set aside: a directory of this boot, since nothing there is ever overwritten.
pub(super) struct Aside(PathBuf);

impl Aside {
    pub(super) fn new(facts: &Facts) -> Self {
        Self(facts.root.at(SET_ASIDE).join(&facts.identity.boot_id))
    }

    pub(super) fn change(&self, from: &Path, why: &str, nudge: bool) -> Change {
        let to = self.0.join(from.file_name().unwrap_or_default());
        let reason = format!("{why}; to {}", to.display());
        Change::new(Act::SetAside { from: from.into(), to, nudge }, from.display().to_string(), reason)
    }
}

/// Our plugin in every directory that the runtime looks into.
fn plugins(facts: &Facts, way: &mut InTheWay, notes: &mut Vec<String>) -> Vec<Change> {
    let Ok(plugin) = &facts.plugin else {
        return Vec::new();
    };
    let has = |place: &gather::Place| place.dir.plugin.as_ref().is_some_and(|(bytes, _)| bytes == plugin);
    let (stuck, free): (Vec<_>, Vec<_>) =
        facts.bin_dirs.iter().partition(|place| place.read_only && !has(place));
    for place in &stuck {
        let text = format!("bin dir {} is read-only", place.dir.path.display());
        if free.is_empty() {
            way.found(format!(
                "{text}, and the runtime looks nowhere else: have {PLUGIN} in it when the image is built"
            ));
        } else {
            notes.push(format!("{text}: the runtime finds us in another one"));
        }
    }
    free.into_iter()
        .map(|place| {
            let write =
                Write { path: place.plugin(), bytes: plugin.clone(), mode: PLUGIN_MODE, nudge: false };
            let old = place.dir.plugin.as_ref().map(|(bytes, mode)| (bytes.as_slice(), *mode));
            Change::write(write, old, "the plugin")
        })
        .collect()
}

/// Our network's name: kept once it is written. What CRI-O insists on is taken for it, or it would never use our conf.
fn name(
    facts: &Facts,
    dir: &ConfDir,
    written: Option<&str>,
    way: &mut InTheWay,
) -> Option<(String, Option<Change>)> {
    let file = facts.layout.name();
    let installed = facts.ours();
    let wanted = facts.config().and_then(|config| config.default_network.as_deref());
    let (name, from) = match (written.or(installed.map(|conf| conf.name.as_str())), wanted) {
        (None, Some(wanted)) => (wanted.to_owned(), "the runtime's cni_default_network".to_owned()),
        _ => match (Naming { written, file: &file, installed, dir }).choose() {
            Ok(named) => named,
            Err(why) => {
                way.found(why);
                return None;
            }
        },
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != name) {
        way.found(format!(
            "the runtime insists on the network {wanted} (cni_default_network), and ours is called {name}, after {from}: set it to {name}, or leave it out"
        ));
    }
    let write = Write { path: file, bytes: format!("{name}\n").into_bytes(), mode: PRIVATE, nudge: false };
    let why = format!("our network is called {name}, after {from}");
    Some((name, written.is_none().then(|| Change::write(write, None, &why))))
}

fn private(
    facts: &Facts,
    usual: &ConfDir,
    written: Option<&str>,
    way: &mut InTheWay,
    notes: &mut Vec<String>,
) -> Vec<Change> {
    match facts.config() {
        Some(config) if config.unit.is_none() => way.found(format!(
            "private mode: {} is started by another program, so it cannot be told of our directory: use confDir shared",
            config.kind.as_str()
        )),
        _ => way.findings.extend(facts.handed_on.as_ref().err().cloned()),
    }
    // The runtime will read none of them. One whose results it has cached gives us its name all the same: by it the DELs of pods that
    // lived before the boot find them.
    let mut readable = usual.clone();
    readable.confs.retain(|conf| {
        let prefix = conf.name().map(|name| format!("{name}-"));
        prefix.is_some_and(|prefix| facts.cached.iter().any(|file| file.starts_with(&prefix)))
    });
    let mut changes: Vec<Change> =
        name(facts, &readable, written, way).into_iter().filter_map(|(_, change)| change).collect();

    let dir = facts.root.at(PRIVATE_CONF_DIR);
    if !dir.is_dir() {
        changes.push(Change::new(
            Act::MakeDir(dir.clone()),
            dir.display().to_string(),
            "the runtime reads it",
        ));
    }
    changes.extend(facts.foreign.iter().map(Foreign::removal));
    if let Ok(found) = &facts.private
        && facts.kind != Kind::Again
    {
        let stale = found.confs.iter().map(|conf| dir.join(&conf.file));
        let ours = stale.filter(|path| !facts.foreign.iter().any(|one| one.path == *path));
        changes.extend(ours.map(|path| Change::remove(path, true, "no network is ready before a boot")));
    }
    match gather::our_conf(&facts.root, &usual.path) {
        Some(path) if facts.kind == Kind::Again || facts.runtime_runs => notes.push(format!(
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

fn shared(
    facts: &Facts,
    usual: &ConfDir,
    written: Option<&str>,
    aside: &Aside,
    (way, notes): (&mut InTheWay, &mut Vec<String>),
) -> Vec<Change> {
    let strangers = strangers(facts, usual);
    let mut left = usual.clone();
    left.confs.retain(|conf| !strangers.iter().any(|(file, _)| *file == conf.file));
    if let Some(config) = facts.config() {
        decide::one_conf(&config.setup, way);
    }
    if matches!(&facts.installed, Ok(Some(conf)) if !conf.is_ours) {
        way.found(format!("{} is not ours; move it away", usual.path.join(CONF_FILE).display()));
    }
    let named = name(facts, &left, written, way);
    let picks = Picks::of(facts.config());
    decide::conf_dir(&left, named.as_ref().map(|(name, _)| name.as_str()), &picks, way, notes);
    // A boot that was refused for it would keep the node down, and the one before may have been the restart that harms.
    if let Some((name, _)) = &named
        && let Told::Nothing(why) = picks.told(&left, name)
    {
        notes.push(why);
    }
    let Some((name, name_change)) = named else {
        return Vec::new();
    };
    let mut changes: Vec<Change> = strangers
        .iter()
        .map(|(file, profile)| {
            let path = usual.path.join(file);
            let sum = change::look(&path)
                .map_or_else(String::new, |(bytes, _)| format!(", sha256 {}", digest::sha256(&bytes)));
            aside.change(
                &path,
                &format!("a conf of {}, which the policy does not name{sum}", profile.name),
                true,
            )
        })
        .collect();
    changes.extend(name_change);
    if !usual.path.is_dir() {
        let target = usual.path.display().to_string();
        changes.push(Change::new(Act::MakeDir(usual.path.clone()), target, "the runtime reads it"));
    }
    let installed = facts.ours();
    // Where there is a node.json, it decides; else what an installation chose stays.
    let chosen = installed.filter(|_| facts.root.settings_file(NODE_FILE).is_none());
    let version = chosen.map_or(facts.node.cni_version.as_str(), |conf| conf.cni_version.as_str());
    let bytes = conf(&facts.named, &name, version, &decide::capabilities(&facts.networks, installed));
    let write = Write { path: usual.path.join(CONF_FILE), bytes, mode: CONF_MODE, nudge: true };
    let old = installed.map(|conf| (conf.bytes.as_slice(), conf.mode));
    let broken = facts.installed.as_ref().err();
    changes.push(Change::write(write, old, broken.map_or("the runtime calls us", String::as_str)));
    changes
}

/// Confs that an image brought along: of CNIs that we know and the policy does not name. Never a file that the policy or a record
/// names, nor a meta-plugin's.
fn strangers(facts: &Facts, usual: &ConfDir) -> Vec<(String, &'static Profile)> {
    let (Ok(policy), Ok(recorded), true) = (&facts.policy, &facts.recorded, facts.is_fresh()) else {
        return Vec::new();
    };
    let names = |path: &Path| {
        let by_policy =
            policy.networks().any(|(_, network)| network.conf.iter().any(|conf| facts.root.at(conf) == path));
        by_policy || recorded.iter().any(|conf| facts.root.at(conf) == path)
    };
    let named = |profile: &Profile| policy.networks().any(|(_, network)| network.profile == profile.name);
    usual
        .of_others()
        .filter(|conf| !names(&usual.path.join(&conf.file)))
        .filter_map(|conf| {
            let types = conf.content.as_ref().map_or(&[][..], |content| &content.types);
            let profile = profile::by_conf(&conf.file).or_else(|| profile::detect(types))?;
            (!named(profile)).then(|| (conf.file.clone(), profile))
        })
        .collect()
}

/// What is remembered: the boot, for the next one; and that it is done, for the gate.
pub(super) fn recorded(facts: &Facts) -> [Change; 2] {
    let write = |path: &str, bytes: Vec<u8>, mode: u32, why: &str| {
        Change::file(Write { path: facts.root.entry(path), bytes, mode, nudge: false }, why)
    };
    let booted = Booted::new(facts.kind, facts.identity.boot_id.clone());
    [
        write(
            IDENTITY,
            facts.identity.in_mode(facts.node.conf_dir).to_bytes(),
            PRIVATE,
            "which machine and boot this is",
        ),
        write(BOOTED, booted.to_bytes(), PUBLIC, "this boot is prepared"),
    ]
}
