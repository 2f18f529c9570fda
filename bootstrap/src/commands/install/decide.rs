//! What installing under running pods takes: the pure decision.
//!
//! The order is the promise: everything that a DEL could need is there before the conf, and the conf, which is the switch, comes last.

use std::collections::BTreeSet;
use std::path::Path;

use shim::conflist::Unloadable;
use shim::inventory::Entry;
use shim::layout::{CONF_FILE, PLUGIN};
use types::names::is_name;
use types::node::Mode;
use types::policy::{Attach, Policy, SecondaryFailure, Side};

use crate::change::{Act, Change, Write};
use crate::cli::Install;
use crate::cli::exit::{Exit, Failure};
use crate::commands::install::facts::{Facts, NetworkFacts};
use crate::commands::install::inventory::{Known, take};
use crate::commands::install::uncached::{self, Said};
use crate::node::conf::{OWN_CAPABILITIES, conf};
use crate::node::confdir::ConfDir;
use crate::node::directories::Installed;
use crate::node::evidence::{self, Keeper};
use crate::node::paths::Root;
use crate::node::profile;
use crate::runtime::CniSetup;
use crate::runtime::asked::{Asked, Uses};
use crate::runtime::endpoint::Whom;
use crate::runtime::picks::Picks;
use crate::systemd::systemctl;

/// Our name on a node that has no network yet.
pub(crate) const DEFAULT_NAME: &str = "crossfade";
/// cniVersion of our conf unless something else is asked for.
pub(crate) const DEFAULT_CNI_VERSION: &str = "1.0.0";
/// Mode of our conf: it holds no secret.
pub(crate) const CONF_MODE: u32 = 0o644;
/// Mode of our plugin.
pub(crate) const PLUGIN_MODE: u32 = 0o755;

/// What installing would do.
#[derive(Debug)]
pub struct Decision {
    /// In order.
    pub changes: Vec<Change>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

/// Decides what installing takes, or finds everything that stands in its way.
///
/// # Errors
/// All findings at once; 78 when the policy or another settings file is among them, else 3.
pub fn decide(facts: &Facts, wanted: &Install) -> Result<Decision, Failure> {
    let mut way = InTheWay::default();
    let mut notes = Vec::new();
    if facts.mode == Mode::Private {
        way.found(
            "--mode private: the runtime would have to be restarted under running pods. Install in shared mode; then set confDir to private in node.json, which counts from the next boot on, or rotate the node to an image that says so",
        );
    }
    way.settings(facts.policy.as_ref().err());
    way.settings(facts.name.as_ref().err());
    for error in [
        facts.plugin.as_ref().err(),
        facts.conf_dir.as_ref().err(),
        facts.recorded.as_ref().err(),
        facts.listed.as_ref().err(),
        facts.cache.as_ref().err(),
        facts.uncached.as_ref().err(),
        facts.sees.as_ref().err(),
        facts.now.as_ref().err(),
    ] {
        way.findings.extend(error.cloned());
    }
    way.findings.extend(facts.distrusted.iter().cloned());
    if facts.bin_dirs.is_empty() {
        way.found("no directory of plugins: neither /opt/cni/bin nor /usr/lib/cni exists; name the runtime's with --bin-dir");
    }
    let mut files = Vec::new();
    if let Ok(policy) = &facts.policy {
        networks(facts, policy, &mut way, &mut notes);
        files = evidence::decide(&facts.waiting, &facts.keeper, &needed(policy), &mut way, &mut notes);
    }
    let name = facts.conf_dir.as_ref().ok().zip(facts.name.as_ref().ok()).and_then(|(dir, written)| {
        let named = Naming {
            written: written.as_deref(),
            file: &facts.settings.layout.name(),
            installed: facts.settings.installed.as_ref().ok().and_then(Option::as_ref),
            dir,
        };
        let named = named.choose().map_err(|why| way.found(why)).ok();
        let picks = Picks::of(facts.config.as_ref());
        conf_dir(dir, named.as_ref().map(|(name, _)| name.as_str()), &picks, &mut way, &mut notes);
        if let Some((name, _)) = &named {
            way.findings.extend(picks.told(dir, name).wrong());
        }
        named
    });
    runtime(facts, wanted, &mut way, &mut notes);
    let entries = inventory(facts, wanted, &mut way, &mut notes);
    let (Some((name, from)), Ok(plugin)) = (name, &facts.plugin) else {
        return Err(way.failure());
    };
    if !way.findings.is_empty() {
        return Err(way.failure());
    }
    // The plugin first: nobody calls it before the conf is there, and one of an earlier version may not know all that is written next.
    let mut changes = Vec::new();
    for dir in &facts.bin_dirs {
        let write =
            Write { path: dir.path.join(PLUGIN), bytes: plugin.clone(), mode: PLUGIN_MODE, nudge: false };
        let old = dir.plugin.as_ref().map(|(bytes, mode)| (bytes.as_slice(), *mode));
        changes.push(Change::write(write, old, "the plugin"));
    }
    changes.push(inventory_change(facts, entries));
    changes.push(name_change(facts, &name, &from));
    changes.extend(files);
    changes.extend(facts.completion.as_ref().map(|completion| completion.change(&Root::default())));
    changes.push(conf_change(facts, wanted, &name));
    if changes.iter().any(|change| matches!(&change.act, Act::Write(write) if write.nudge)) {
        changes.push(Change::new(
            Act::Confirm,
            CONF_FILE,
            "the runtime uses it; then list what was attached until then",
        ));
    }
    // Behind our conf: its unit wants that of boot, which would be the first to write it.
    changes.extend((facts.keeper == Keeper::Unit).then(systemctl::start_watch));
    Ok(Decision { changes, notes })
}

/// Everything that stands in the way.
#[derive(Debug, Default)]
pub(crate) struct InTheWay {
    pub(crate) findings: Vec<String>,
    bad_settings: bool,
}

impl InTheWay {
    pub(crate) fn found(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }

    pub(crate) fn settings(&mut self, finding: Option<&String>) {
        self.bad_settings |= finding.is_some();
        self.findings.extend(finding.cloned());
    }

    pub(crate) fn failure(self) -> Failure {
        let exit = if self.bad_settings { Exit::BadSettings } else { Exit::No };
        Failure::all(exit, self.findings)
    }
}

/// The networks that a pod may get now: these must work from the first moment. The other one may come later.
#[must_use]
pub fn needed(policy: &Policy) -> BTreeSet<Side> {
    let of = |attach| match attach {
        Attach::One(side) => vec![side],
        Attach::Both if policy.both.secondary_failure == SecondaryFailure::Tolerate => {
            vec![policy.both.primary]
        }
        Attach::Both => Side::BOTH.to_vec(),
    };
    std::iter::once(policy.attach).chain(policy.rules.iter().map(|rule| rule.attach)).flat_map(of).collect()
}

fn networks(facts: &Facts, policy: &Policy, way: &mut InTheWay, notes: &mut Vec<String>) {
    let needed = needed(policy);
    for network in &facts.networks {
        let side = network.side;
        match &network.conf {
            Err(Unloadable::Absent(_)) if !needed.contains(&side) => notes.push(format!(
                "network {side} has no conf yet; run install again when it has one, so that our conf declares its capabilities"
            )),
            Err(why) => way.found(format!("network {side}: {why}")),
            Ok(conf) if conf.plugins.iter().any(|plugin| plugin.plugin_type == PLUGIN) => {
                way.found(format!("network {side}: its conf leads back to us; expected that of the CNI itself"));
            }
            Ok(_) if needed.contains(&side) => {
                network.missing.iter().for_each(|why| way.found(format!("network {side}: {why}")));
            }
            Ok(_) => notes.extend(network.missing.iter().map(|why| format!("network {side}: {why}"))),
        }
    }
    if let [NetworkFacts { conf: Ok(one), .. }, NetworkFacts { conf: Ok(other), .. }] =
        facts.networks.as_slice()
        && one.name == other.name
    {
        way.found(format!(
            "both networks are called {:?}; expected two names, for records tell them apart by it",
            one.name
        ));
    }
}

/// What our network's name may come from.
pub(crate) struct Naming<'a> {
    /// The name file's content.
    pub(crate) written: Option<&'a str>,
    /// The name file.
    pub(crate) file: &'a Path,
    /// Our conf.
    pub(crate) installed: Option<&'a Installed>,
    /// The confs of this node.
    pub(crate) dir: &'a ConfDir,
}

impl Naming<'_> {
    /// Our network's name and where it is from. It keys the runtime's result cache, so it is that of the network which the
    /// node has now, and never changes afterwards.
    pub(crate) fn choose(&self) -> Result<(String, String), String> {
        let (name, from) = if let Some(name) = self.written {
            (name.to_owned(), self.file.display().to_string())
        } else if let Some(installed) = self.installed {
            (installed.name.clone(), CONF_FILE.to_owned())
        } else if let Some(first) = self.dir.of_others().next() {
            match &first.content {
                Ok(content) => (content.name.clone(), first.file.clone()),
                Err(why) => {
                    return Err(format!(
                        "{} is the network of this node and cannot be read: {why}; repair it first",
                        first.file
                    ));
                }
            }
        } else {
            (DEFAULT_NAME.to_owned(), "this node has no network yet".to_owned())
        };
        if is_name(&name) {
            return Ok((name, from));
        }
        Err(format!(
            "our network cannot be called {name:?} ({from}): expected letters, digits, '_', '.' and '-'"
        ))
    }
}

/// Holds the runtime's conf directory against what our conf needs of it.
pub(crate) fn conf_dir(
    dir: &ConfDir,
    name: Option<&str>,
    picks: &Picks,
    way: &mut InTheWay,
    notes: &mut Vec<String>,
) {
    for conf in picks.instead_of_ours(dir, name.unwrap_or_default()) {
        match &conf.content {
            Ok(_) if conf.is_meta_plugin() => way.found(format!(
                "{} sorts before ours and does not delegate to us: let its clusterNetwork be {}, or {}",
                conf.file,
                name.unwrap_or("our network"),
                dir.path.join(CONF_FILE).display()
            )),
            _ => way.found(format!(
                "{} sorts before {CONF_FILE}, so the runtime would use it: rename it to something later",
                conf.file
            )),
        }
    }
    for conf in
        dir.of_others().filter(|conf| conf.content.as_ref().is_ok_and(crate::node::confdir::Content::is_ours))
    {
        way.found(format!("{} has a plugin of our type, too: remove it, there must be one", conf.file));
    }
    if let Some(name) = name.filter(|name| dir.folders.iter().any(|folder| folder == name)) {
        way.found(format!(
            "{} is a folder called like our network, whose plugins a runtime may chain behind us: move them into the conf of their network",
            dir.path.join(name).display()
        ));
    }
    for file in &dir.taken_away {
        let exclusive = profile::all().iter().find(|profile| profile.takes(file));
        let exclusive = exclusive.and_then(|profile| profile.exclusive.as_ref());
        way.found(format!(
            "{file}: an agent takes this directory for itself and would rename our conf as well: {}, then remove the file",
            exclusive.map_or("let it leave other confs alone", |exclusive| exclusive.setting.as_str())
        ));
    }
    let exclusive = dir.of_others().find_map(|conf| {
        let profile = profile::detect(&conf.content.as_ref().ok()?.types)?;
        profile.exclusive.as_ref().map(|exclusive| (profile, exclusive))
    });
    if let Some((profile, exclusive)) = exclusive.filter(|_| dir.taken_away.is_empty()) {
        notes.push(format!(
            "{} is here and may take this directory for itself, which cannot be seen from here: unless it is so already, {}",
            profile.name, exclusive.setting
        ));
    }
}

/// Holds what the runtime says of itself against what we are about to do.
fn runtime(facts: &Facts, wanted: &Install, way: &mut InTheWay, notes: &mut Vec<String>) {
    if let Some(why) = facts.asked.trouble() {
        way.found(format!(
            "{why}. Without its answer it is not known where it looks for confs and plugins: start it, or name the right one; \
             --runtime-endpoint none asks nobody, and then --conf-dir and --bin-dir must be right"
        ));
    }
    if facts.asked == Asked::NotAsked && wanted.bin_dirs.is_empty() {
        way.found("--runtime-endpoint none: nobody says where the runtime looks for plugins; name it with --bin-dir");
    }
    if let Whom::At(endpoint) = &facts.whom
        && facts.later != facts.whom
    {
        notes.push(format!(
            "boot and watch do not know this runtime by themselves: say {endpoint:?} in node.json, runtime.endpoint, and where another \
             program starts it, its configuration file in runtime.config"
        ));
    }
    if facts.asked == Asked::Silent && facts.config.is_none() {
        way.found(
            "the runtime does not tell where it looks for confs and plugins, nor which network it uses, and its configuration was not found: \
             name its unit in node.json, runtime.unit, or its file in runtime.config",
        );
    }
    let config = facts.config.as_ref();
    let told = config
        .map(|config| CniSetup { bin_dirs: config.plugin_dirs(&Root::default()), ..config.setup.clone() });
    let Some(setup) = facts.asked.setup().or(told.as_ref()) else {
        return;
    };
    if setup.conf_dir != facts.settings.conf_dir {
        way.found(format!(
            "the runtime reads {}, not {}: name it with --conf-dir",
            setup.conf_dir.display(),
            facts.settings.conf_dir.display()
        ));
    }
    for dir in &setup.bin_dirs {
        if !facts.bin_dirs.iter().any(|ours| ours.path == *dir) {
            way.found(format!(
                "the runtime looks for plugins in {}: name it with --bin-dir, too",
                dir.display()
            ));
        }
    }
    one_conf(setup, way);
}

/// A runtime that uses more confs than the first would attach pods past us.
pub(crate) fn one_conf(setup: &CniSetup, way: &mut InTheWay) {
    if setup.max_confs != 1 {
        way.found(format!(
            "the runtime uses {} confs at once (max_conf_num), so pods would get the old network beside ours: set it to 1",
            if setup.max_confs == 0 { "all".into() } else { setup.max_confs.to_string() }
        ));
    }
}

/// The entries that are missing in the inventory.
fn inventory(facts: &Facts, wanted: &Install, way: &mut InTheWay, notes: &mut Vec<String>) -> Vec<Entry> {
    let (Ok(cache), Ok(recorded), Ok(listed), Ok(now)) =
        (&facts.cache, &facts.recorded, &facts.listed, &facts.now)
    else {
        return Vec::new();
    };
    let taken = take(
        cache,
        &Known {
            names: &names(facts),
            unrecorded: facts.policy.as_ref().ok().and_then(|policy| policy.unrecorded),
            accepted: &wanted.accepted,
            left_out: &left_out(facts, wanted),
            recorded,
            listed,
            deleter: facts.deleter,
            now,
        },
    );
    way.findings.extend(taken.findings);
    notes.extend(taken.notes);
    let mut entries = taken.entries;
    let said = Said { network: wanted.uncached, ignored: &wanted.ignored_sandboxes };
    let sandboxes = facts.uncached.as_deref().unwrap_or_default();
    match uncached::take(sandboxes, said, now) {
        Ok(more) => entries.extend(more),
        Err(why) => way.found(why),
    }
    if let Some(side) = wanted.uncached
        && facts.policy.as_ref().is_ok_and(|policy| policy.network(side).is_none())
    {
        way.found(format!("--uncached {side}: the policy has no network {side}"));
    }
    entries
}

/// The policy's networks by their own names, as far as they have confs.
#[must_use]
pub fn names(facts: &Facts) -> Vec<(Side, String)> {
    let named = |network: &NetworkFacts| Some((network.side, network.conf.as_ref().ok()?.name.clone()));
    facts.networks.iter().filter_map(named).collect()
}

/// Networks that keep their own records, and those that the caller left out.
#[must_use]
pub fn left_out(facts: &Facts, wanted: &Install) -> Vec<String> {
    let meta = facts.conf_dir.iter().flat_map(|dir| &dir.confs).filter(|conf| conf.is_meta_plugin());
    meta.filter_map(|conf| conf.name().map(str::to_owned)).chain(wanted.ignored.iter().cloned()).collect()
}

fn inventory_change(facts: &Facts, entries: Vec<Entry>) -> Change {
    let target = facts.settings.layout.inventory().display().to_string();
    let there = facts.listed.as_ref().map_or(0, BTreeSet::len);
    if entries.is_empty() {
        return Change::new(Act::Keep, target, format!("{there} attachments, none to add"));
    }
    let count = |side: Side| entries.iter().filter(|entry| entry.network == side.as_str()).count();
    let reason = format!(
        "{} attachments that are there before us: {} of old, {} of new; {there} listed already",
        entries.len(),
        count(Side::Old),
        count(Side::New)
    );
    Change::new(Act::List(entries), target, reason)
}

fn name_change(facts: &Facts, name: &str, from: &str) -> Change {
    let written = facts.name.as_ref().ok().and_then(Option::as_ref);
    let path = facts.settings.layout.name();
    let write =
        Write { bytes: format!("{name}\n").into_bytes(), path, mode: shim::file::PRIVATE, nudge: false };
    match written {
        Some(_) => {
            Change::new(Act::Keep, write.path.display().to_string(), format!("our network is called {name}"))
        }
        None => Change::write(write, None, &format!("our network is called {name}, after {from}")),
    }
}

fn conf_change(facts: &Facts, wanted: &Install, name: &str) -> Change {
    let installed = facts.settings.installed.as_ref().ok().and_then(Option::as_ref);
    let version = match wanted.cni_version {
        Some(version) => version.as_str(),
        None => installed.map_or(DEFAULT_CNI_VERSION, |conf| conf.cni_version.as_str()),
    };
    let bytes = conf(&facts.settings.layout, name, version, &capabilities(&facts.networks, installed));
    let write = Write { path: facts.settings.conf_file(), bytes, mode: CONF_MODE, nudge: true };
    let old = installed.map(|conf| (conf.bytes.as_slice(), conf.mode));
    let broken = facts.settings.installed.as_ref().err();
    // Right in the directory and unknown to the runtime: it reloads when the file is written anew.
    if let (Uses::Other(what), Some(_)) = (facts.asked.uses(name), installed) {
        let target = write.path.display().to_string();
        return Change::new(Act::Write(write), target, format!("the runtime has not loaded it: {what}"));
    }
    // A runtime that does not tell is made to read it, and to show that it does.
    if let (Err(why), Some(_)) = (&facts.read, installed) {
        let target = write.path.display().to_string();
        return Change::new(Act::Write(write), target, format!("written anew: {why}"));
    }
    Change::write(write, old, broken.map_or("the switch: from now on the runtime calls us", String::as_str))
}

/// What the delegates declare, and what we read ourselves. While a network has no conf, what was declared stays.
pub(crate) fn capabilities(networks: &[NetworkFacts], installed: Option<&Installed>) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = OWN_CAPABILITIES.map(str::to_owned).into();
    for network in networks {
        match &network.conf {
            Ok(conf) => all.extend(conf.plugins.iter().flat_map(shim::conflist::Plugin::capabilities)),
            Err(_) => all.extend(installed.iter().flat_map(|conf| conf.capabilities.iter().cloned())),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_needed_where_a_pod_may_get_it_now() {
        let both =
            r#""attach":"both","both":{"primary":"new","defaultRoute":"new","secondaryFailure":"tolerate"}"#;
        for (rest, sides) in [
            (r#""attach":"old""#, vec![Side::Old]),
            (r#""attach":"old","unrecorded":"new""#, vec![Side::Old]),
            (r#""attach":"old","rules":[{"pod":"x","attach":"new"}]"#, vec![Side::Old, Side::New]),
            (r#""attach":"both""#, vec![Side::Old, Side::New]),
            (both, vec![Side::New]),
        ] {
            let text = format!(
                r#"{{"version":1,"networks":{{"old":{{"conf":["/o"]}},"new":{{"conf":["/n"]}}}},{rest}}}"#
            );
            let policy = Policy::parse(text.as_bytes()).expect("valid");
            assert_eq!(needed(&policy).into_iter().collect::<Vec<_>>(), sides, "{rest}");
        }
    }
}
