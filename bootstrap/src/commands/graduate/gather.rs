//! The facts of `graduate`, gathered; nothing is changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convergence::commands::graduate::facts::{
    GraduateFacts, NewNetwork, NodeAnnotations, NodeJson, ObservedCache, ObservedConf, ObservedRuntime,
    Progress,
};
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{NODE_FILE, WATCH_UNIT, WITHOUT};
use convergence::node::settings::directories::InstalledConf;
use convergence::runtime::SandboxList;
use convergence::runtime::cache::handover::file_name;
use convergence::runtime::cache::made_by_cri;
use nix::unistd::{SysconfVar, sysconf};
use shim::call::version::Version;
use shim::host::boot::Moment;
use shim::host::file::read_bounded;
use shim::host::process::Process;
use shim::host::trust;
use shim::node::inventory::{self, Deleter, Entry};
use shim::node::layout::{CONF_FILE, SETTINGS_DIRS};
use shim::node::store::{Key, Store};
use shim::sweep::ListStatus;
use types::attachment::Attachment;
use types::command::exit::Exit;
use types::json::raw::{RawObject, raw_string};
use types::node::{Mode, Node};
use types::policy::Side;

use super::journal::Journal;
use crate::cli::{Global, Graduate};
use crate::host::durable;
use crate::host::root::Root;
use crate::node::attachments;
use crate::node::cni::{self, PluginChoice};
use crate::node::facts::{self, ConfDirChoice, NodeQuery};
use crate::node::networks::readiness;
use crate::node::settings::{self, directories};
use crate::publish::node_read::{self, ApiReadError};
use crate::publish::removal::Removal;
use crate::publish::reporter;
use crate::runtime::answer::deleter;
use crate::runtime::cri::Runtime;
use crate::runtime::running_adds::can_see;
use crate::runtime::{cache, config};
use crate::systemd::systemctl;

/// How long the API server may take to answer.
const SERVER_WITHIN: Duration = Duration::from_secs(15);
/// Largest entry of the runtime's cache, and largest node.json, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// The unit that a restart by its usual name is about.
const CRIO_UNIT: &str = "crio.service";

/// What stays the same from one reading to the next.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// The global options of the command line.
    pub global: &'a Global,
    /// The options of the command.
    pub args: &'a Graduate,
    /// What is on its way from elsewhere: the API server is asked once.
    pub transit: &'a NodeAnnotations,
}

/// The node, and everything that is decided by.
#[derive(Debug)]
pub(crate) struct NodeSnapshot {
    pub node: NodeFacts,
    /// The directories in which the runtime looks for plugins.
    pub bin_dirs: Vec<PathBuf>,
    pub facts: GraduateFacts,
}

/// The node, whose runtime is asked. Once Crossfade's conf has left, its copy says which directories it named.
///
/// # Errors
/// Bad settings: nothing is guessed.
pub(crate) fn node(global: &Global, args: &Graduate) -> Result<NodeFacts, Failure> {
    let settings = settings::require(&Root::new(&global.root))?;
    let node = facts::with_runtime(global, settings, &args.node.runtime);
    node.dirs.require_readable()?;
    if node.own_conf().is_some() {
        return Ok(node);
    }
    let copy = copy(&node.dirs.layout.state_dir);
    let Some(before) = copy else { return Ok(node) };
    let global = Global { conf_dir: node.dirs.conf_dir.clone(), ..global.clone() };
    let settings = node.node_json();
    let conf_dir = ConfDirChoice::InForce { before: Some(&before) };
    Ok(facts::gather(NodeQuery { global: &global, settings, runtime: node.runtime, conf_dir }))
}

/// Whether nothing here has to leave: a node that Crossfade never came to, or that an `uninstall` has finished. A pod of a DaemonSet comes to both.
///
/// # Errors
/// Records or inventory cannot be read.
pub(crate) fn is_bare(node: &NodeFacts) -> Result<bool, Failure> {
    let layout = &node.dirs.layout;
    if node.own_conf().is_some() || layout.policy_file().symlink_metadata().is_ok() {
        return Ok(false);
    }
    // With both lost, records still say who has to DEL what.
    let known = attachments::list(layout, None)?;
    Ok(known.attachments.is_empty() && known.damaged.is_empty())
}

/// The copy of Crossfade's conf that an earlier run made.
fn copy(state_dir: &Path) -> Option<InstalledConf> {
    let path = Journal::new(state_dir).aside_dir().join(CONF_FILE);
    directories::read(&path).conf().cloned()
}

/// What is on its way to this node from elsewhere.
#[must_use]
pub(crate) fn transit(node: &NodeFacts) -> NodeAnnotations {
    let Some(credential) = reporter(&Root::new(&node.root), &node.settings) else {
        return NodeAnnotations::default();
    };
    match node_read::gather(&credential, SERVER_WITHIN) {
        Ok(answer) => {
            let (desired, step) = answer.registered.map(|node| (node.desired, node.step)).unwrap_or_default();
            NodeAnnotations { desired, step, unseen: None }
        }
        // A node without a credential is on no roll.
        Err(ApiReadError::NoCredential(_)) => NodeAnnotations::default(),
        Err(ApiReadError::Trouble(why)) => {
            NodeAnnotations { unseen: Some(why.what), ..NodeAnnotations::default() }
        }
    }
}

/// Reads everything.
///
/// # Errors
/// Bad settings; records, inventory or confs cannot be read.
pub(crate) fn gather(subject: &Subject<'_>) -> Result<NodeSnapshot, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new(Exit::Failed, why.to_string());
    let node = node(subject.global, subject.args)?;
    let policy = node.require_policy()?.policy.clone();
    let layout = node.dirs.layout.clone();
    let journal = Journal::new(&layout.state_dir);
    let progress = journal.progress();
    let cni = cni::gather(&node, PluginChoice { bin_dirs: &subject.args.bin_dirs, plugin: None });
    let dir = cni.confs.map_err(|why| failed(&why))?;
    let (sound, damaged) = Store::new(&layout).load_all().map_err(|why| failed(&why))?;
    let listed = inventory::load(&layout).map_err(|why| failed(&why))?.attachments;
    let listing = listing(&node);
    let list_status = |key: &Key, args: Option<&str>| {
        let by_cri = made_by_cri(args, &key.container_id);
        listing.as_ref().map_or(ListStatus::Listed, |listing| listing.sees(key, by_cri))
    };
    let records: Vec<(Attachment, ListStatus)> = sound
        .into_iter()
        .map(|record| (list_status(&key(&record), record.intent.cni_args.as_deref()), record))
        .map(|(status, record)| (record, status))
        .collect();
    let entries: Vec<(Entry, ListStatus)> = listed
        .into_iter()
        .map(|entry| (list_status(&entry.key(), entry.cni_args.as_deref()), entry))
        .map(|(status, entry)| (entry, status))
        .collect();
    let readiness = readiness::gather(&node, &policy, &cni.networks);
    let new = cni.networks.iter().find(|network| network.side == Side::New).map(|network| NewNetwork {
        conf: network
            .conf
            .as_ref()
            .map(|(conf, path)| (conf.name.clone(), path.clone()))
            .map_err(ToString::to_string),
        is_checked: network
            .conf
            .as_ref()
            .is_ok_and(|(conf, _)| conf.version >= Version::V040 && !conf.disable_check),
        why_not: readiness
            .iter()
            .find(|readiness| readiness.side == Side::New)
            .and_then(convergence::node::networks::readiness::NetworkReadiness::unready_reason),
    });
    let ours = node.own_conf().cloned();
    let name = node.name.clone().map_err(|why| failed(&why))?;
    let name = name
        .or_else(|| ours.as_ref().map(|conf| conf.name.clone()))
        .or_else(|| copy(&layout.state_dir).map(|conf| conf.name));
    let new_name = new.as_ref().and_then(|new| new.conf.as_ref().ok()).map(|(name, _)| name.as_str());
    let keys: Vec<Key> = records
        .iter()
        .map(|(record, _)| key(record))
        .chain(entries.iter().map(|(entry, _)| entry.key()))
        .collect();
    let facts = GraduateFacts {
        runtime: runtime(&node, listing.as_ref().err(), listing.as_ref().ok(), &progress),
        cache: cache(&subject.args.cache_dir, &keys, (name.as_deref(), new_name)),
        conf: ObservedConf { dir, file: node.dirs.conf_file(), ours, name },
        new,
        policy,
        records,
        damaged: damaged.iter().map(|(path, _)| path.display().to_string()).collect(),
        entries,
        progress,
        transit: subject.transit.clone(),
        node_json: node_json(&node),
        plugins: cni.plugins.dirs.clone(),
        aside_dir: journal.aside_dir().to_path_buf(),
        state: [layout.attachments(), layout.inventory()]
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok())
            .collect(),
        layout,
        marker: Root::new(&node.root).join(WITHOUT),
        watch_runs: systemctl::is_here()
            && Root::new(&node.root).entry(WATCH_UNIT).symlink_metadata().is_ok(),
        retract: Removal::gather(&Root::new(&node.root), &node.settings).change(),
    };
    Ok(NodeSnapshot { bin_dirs: cni.plugins.paths(), node, facts })
}

fn key(record: &Attachment) -> Key {
    Key::new(&record.intent.container_id, &record.intent.ifname)
}

fn listing(node: &NodeFacts) -> Result<SandboxList, String> {
    let endpoint = node.runtime.choice.endpoint().ok_or("no runtime is known")?;
    let sandboxes = Runtime::connect(endpoint).and_then(|runtime| runtime.sandboxes());
    sandboxes.map(SandboxList::Cri).map_err(|why| format!("{why:#}"))
}

fn runtime(
    node: &NodeFacts,
    unlisted: Option<&String>,
    listing: Option<&SandboxList>,
    progress: &Progress,
) -> ObservedRuntime {
    let endpoint = node.runtime.choice.endpoint();
    let has_answered = node.runtime.answer.trouble().is_none() && endpoint.is_some();
    let unit = node.settings.runtime.unit.as_deref().unwrap_or(CRIO_UNIT);
    let is_configured = node
        .runtime
        .config()
        .is_some_and(|config| config::require_configured(&Root::new(&node.root), config).is_ok());
    ObservedRuntime {
        replays: deleter(&node.runtime) == Deleter::Runtime,
        answer: node.runtime.answer.clone(),
        blind: endpoint.filter(|_| has_answered).and_then(|endpoint| can_see(endpoint).err()),
        picks: node.runtime.conf_selection(),
        is_private: is_configured || node.settings.conf_dir == Mode::Private,
        can_restart: unit == CRIO_UNIT && is_loaded(CRIO_UNIT),
        is_restarted: endpoint
            .zip(progress.left_at.as_ref())
            .is_some_and(|(endpoint, left_at)| started_after(endpoint, left_at)),
        // One that does not answer is named once.
        unlisted: unlisted.filter(|_| has_answered).cloned(),
        sandboxes: listing.map(SandboxList::ids).unwrap_or_default(),
    }
}

/// Whether systemd answers, and has this unit.
fn is_loaded(unit: &str) -> bool {
    systemctl::is_here() && systemctl::load_state(unit).is_ok_and(|state| state == "loaded")
}

/// Whether the process behind a socket began after `then`, in this boot. *Source*: man 5 `proc_pid_stat`, `starttime`, in ticks since boot.
fn started_after(endpoint: &str, then: &Moment) -> bool {
    let pid = Runtime::connect(endpoint).and_then(|runtime| runtime.pid()).ok();
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    let (Some(process), Some(ticks)) = (pid.and_then(Process::read), ticks.filter(|ticks| *ticks > 0)) else {
        return false;
    };
    let is_of_now = shim::host::boot::boot_id().is_ok_and(|now| now == then.boot_id);
    // The tick in which it began had begun by then at the earliest.
    !is_of_now || (process.start + 1) * 1000 / ticks > then.boottime_ms
}

/// The cache, with the entries of these attachments under Crossfade's name and under the new network's; the first counts.
fn cache(dir: &Path, keys: &[Key], (ours, new): (Option<&str>, Option<&str>)) -> ObservedCache {
    let mut observed_cache = ObservedCache { dir: dir.into(), ..ObservedCache::default() };
    match cache::gather(dir) {
        Ok(cache) => {
            let ours = cache.attachments.into_iter().filter(|cached| cached.through_us);
            observed_cache.through_us = ours.map(|cached| cached.key).collect::<BTreeSet<_>>();
        }
        Err(why) => {
            observed_cache.unreadable = Some(format!("the runtime's result cache {}: {why}", dir.display()))
        }
    }
    for key in keys {
        let under = |name: Option<&str>| name.and_then(|name| bytes(&dir.join(file_name(name, key))));
        let (ours, new) = (under(ours), under(new));
        observed_cache.under_ours.extend(ours.as_ref().map(|_| key.clone()));
        observed_cache.under_new.extend(new.as_ref().map(|_| key.clone()));
        observed_cache.entries.extend(ours.or(new).map(|bytes| (key.clone(), bytes)));
    }
    observed_cache
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut file = trust::open(path).ok()?;
    read_bounded(&mut file, MAX_BYTES).ok()
}

/// What node.json says now, as the administrator's file that says `confDir` none. Everything else stays as it counts.
fn node_json(node: &NodeFacts) -> NodeJson {
    let path = Root::new(&node.root).entry(Path::new(SETTINGS_DIRS[0]).join(NODE_FILE));
    let read = |path: &PathBuf| bytes(path).ok_or_else(|| format!("read {}: not trusted", path.display()));
    let counts = node.node_file.as_ref().map_or_else(|| Ok(br#"{"version":1}"#.to_vec()), read);
    NodeJson {
        before: bytes(&path),
        after: counts.and_then(|bytes| without_plugin(&bytes)),
        fleeting: durable::outlives_reboot(&path).err(),
        path,
    }
}

fn without_plugin(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if Node::parse(bytes)?.conf_dir == Mode::Without {
        return Ok(bytes.to_vec());
    }
    let mut object = RawObject::parse(bytes).map_err(|why| why.to_string())?;
    object.set("confDir", raw_string(Mode::Without.as_str()));
    let mut bytes = object.to_raw().get().as_bytes().to_vec();
    bytes.push(b'\n');
    Node::parse(&bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_json_keeps_all_but_the_mode() {
        let before = r#"{"version":1,"confDir":"shared","labels":{"a":"b"},"gate":{"trySeconds":7}}"#;
        let after = String::from_utf8(without_plugin(before.as_bytes()).expect("valid")).expect("text");
        assert_eq!(after.trim_end(), before.replace("shared", "none"));
        assert_eq!(without_plugin(after.as_bytes()).expect("valid"), after.as_bytes(), "a second time");
        let named = String::from_utf8(without_plugin(br#"{"version":1}"#).expect("valid")).expect("text");
        assert_eq!(named, "{\"version\":1,\"confDir\":\"none\"}\n");
        without_plugin(b"{\"version\":2}").expect_err("another version");
    }
}
