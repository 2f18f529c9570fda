//! The facts of `cleanup`, gathered; nothing is changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use convergence::commands::cleanup::decide::ActiveCni;
use convergence::commands::cleanup::facts::{
    Claims, CleanupFacts, ConfFact, DirectoryFact, FileFacts, LeaseFact, PinFact,
};
use convergence::commands::cleanup::kernel::KernelFacts;
use convergence::failure::Failure;
use convergence::node::conf::confdir::{ConfDir, Content, is_conf_name};
use convergence::node::facts::NodeFacts;
use convergence::runtime::SandboxList;
use convergence::runtime::endpoint::RuntimeChoice;
use shim::attachment::conflist::Conflist;
use shim::node::inventory;
use shim::node::store::Store;
use types::attachment::Attachment;
use types::command::exit::Exit;
use types::json::raw::RawObject;
use types::policy::{Attach, Policy, Side};
use types::profile::{Leaves, Profile};

use super::journal::Journal;
use crate::commands::cleanup::kernel;
use crate::host::mounts::Mounts;
use crate::host::root::Root;
use crate::node::conf::{confdir, root_path};
use crate::node::networks::probe;
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::runtime::cri::Runtime;

/// Where host-local keeps the leases of each network. *Source*: containernetworking/plugins: plugins/ipam/host-local/backend/disk/backend.go.
const LEASES: &str = "/var/lib/cni/networks";
/// The interface that the plugin `bridge` makes unless its conf names another. *Source*: containernetworking/plugins: plugins/main/bridge/bridge.go.
const USUAL_BRIDGE: &str = "cni0";
/// How many container ids of leases are named.
const MOST_HELD: usize = 3;
/// The length of a process's name. *Source*: man 5 `proc_pid_comm`.
const COMM_BYTES: usize = 15;

/// What stays the same from one reading to the next.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub node: &'a NodeFacts,
    /// The CNI.
    pub profile: &'a Profile,
    /// The journal of the CNI's clean-up.
    pub journal: &'a Journal,
    /// The sandboxes that live, if a file says so.
    pub listed: Option<&'a BTreeSet<String>>,
    /// The directories in which the runtime looks for plugins, if the command line names them.
    pub bin_dirs: &'a [PathBuf],
}

/// Reads everything.
///
/// # Errors
/// Records, inventory or mounts cannot be read.
pub(crate) fn gather(subject: &Subject<'_>) -> Result<CleanupFacts, Failure> {
    let Subject { node, profile, .. } = subject;
    let failed =
        |what: &str, why: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("{what}: {why}"));
    let nothing = Leaves::default();
    let leaves = profile.leaves.as_ref().unwrap_or(&nothing);
    let mounts = Mounts::read().map_err(|why| failed("mounts", &why))?;
    let confs = confs(subject).map_err(|why| failed("confs", &why))?;
    let earlier = subject.journal.earlier_runs();
    let mut networks: BTreeSet<String> = leaves.networks.iter().cloned().collect();
    networks.extend(earlier.networks.iter().cloned());
    networks.extend(confs.facts.iter().filter(|conf| conf.is_own).map(|conf| conf.name.clone()));
    // What another conf of the node has for its name is that network's.
    networks.retain(|name| !confs.facts.iter().any(|conf| !conf.is_own && conf.name == *name));
    let is_node = Root::new(&node.root).is_node();
    let live = subject.listed.cloned().or_else(|| live_containers(&node.runtime.choice).filter(|_| is_node));
    let claims = claims(node, profile, &networks).map_err(|why| failed("attachments", &why))?;
    Ok(CleanupFacts {
        kernel: if is_node { kernel::gather() } else { KernelFacts::default() },
        files: files(subject, leaves, &networks, &mounts, live.as_ref(), confs.strange),
        in_use: active_cnis(subject, &confs.facts),
        used_conf: used_conf(subject, &confs.used),
        agents: if is_node { agents(&leaves.agents) } else { Vec::new() },
        answering: if is_node { probe::answering(profile) } else { Vec::new() },
        cidrs: node.policy().map(|policy| cidrs(policy, profile)).unwrap_or_default(),
        aside_dir: subject.journal.aside_dir(),
        confs: confs.facts,
        profile: (*profile).clone(),
        claims,
        networks,
        live,
        earlier,
    })
}

fn cidrs(policy: &Policy, profile: &Profile) -> Vec<ipnetwork::IpNetwork> {
    let its = policy.networks().filter(|(_, network)| network.profile == profile.name);
    its.flat_map(|(_, network)| network.cidrs.clone()).collect()
}

/// The sandboxes that the runtime lists, in whichever state.
fn live_containers(whom: &RuntimeChoice) -> Option<BTreeSet<String>> {
    let RuntimeChoice::At(endpoint) = whom else { return None };
    let sandboxes = Runtime::connect(endpoint).and_then(|runtime| runtime.sandboxes()).ok()?;
    Some(SandboxList::Cri(sandboxes).ids())
}

fn claims(node: &NodeFacts, profile: &Profile, networks: &BTreeSet<String>) -> Result<Claims, String> {
    let layout = &node.dirs.layout;
    let (records, damaged) =
        Store::new(layout).load_all().map_err(|why| format!("list the records: {why}"))?;
    let mut claims = Claims {
        damaged: damaged.iter().map(|(path, _)| path.display().to_string()).collect(),
        ..Claims::default()
    };
    for record in &records {
        claims.programs.extend(programs(record));
        let legs = record.intent.legs.iter();
        if legs.clone().any(|leg| leg.profile == profile.name || networks.contains(&leg.network)) {
            claims.records.push(format!("{} {}", record.intent.container_id, record.intent.ifname));
        }
    }
    let inventory = inventory::load(layout).map_err(|why| why.to_string())?;
    let of_policy = |side: &str| {
        node.policy()?
            .networks()
            .find(|(name, _)| name.as_str() == side)
            .map(|(_, network)| network.profile.clone())
    };
    for entry in &inventory.attachments {
        // Without a policy it is not known what `old` and `new` were, so every entry may be one.
        if of_policy(&entry.network).is_none_or(|its| its == profile.name) {
            claims.inventory.push(format!("{} {}", entry.container_id, entry.ifname));
        }
    }
    if let Some(policy) = node.policy() {
        let rules = policy.rules.iter().map(|rule| rule.attach);
        let annotated = policy.pod_annotation.iter().flat_map(|annotation| annotation.allow.iter().copied());
        let all: Vec<_> = std::iter::once(policy.attach).chain(rules).chain(annotated).collect();
        let gets = |side: Side| {
            all.iter().any(|attach| matches!(attach, Attach::Both) || *attach == Attach::One(side))
        };
        let its = policy.networks().filter(|(side, network)| gets(*side) && network.profile == profile.name);
        claims.attached = its.map(|(side, _)| side.as_str().to_owned()).collect();
    }
    Ok(claims)
}

/// The types of the plugins that a record's DEL calls.
fn programs(record: &Attachment) -> Vec<String> {
    let confs = record.intent.legs.iter().filter_map(|leg| Conflist::from_resolved(&leg.conf).ok());
    confs.flat_map(|conf| conf.plugins).map(|plugin| plugin.plugin_type).collect()
}

/// The confs of a node.
#[derive(Debug, Default)]
struct Confs {
    facts: Vec<ConfFact>,
    /// The first one that the runtime finds: its path, and whether it is Crossfade's.
    used: Option<(PathBuf, Content)>,
    strange: Vec<(PathBuf, String)>,
}

fn confs(subject: &Subject<'_>) -> std::io::Result<Confs> {
    let Subject { node, profile, .. } = subject;
    let own = node.dirs.conf_dir.clone();
    let agents = Root::new(&node.root).join(node.runtime.agents_dir());
    let mut all = Confs::default();
    let mut dirs = vec![own.clone()];
    if agents != own {
        dirs.push(agents);
    }
    for dir in dirs {
        let read = root_path::conf_dir(&Root::new(&node.root), &dir, &node.profiles)?;
        let is_loaded = dir == own;
        if is_loaded {
            let first = read.confs.iter().find(|conf| !conf.is_meta_plugin());
            all.used = first.and_then(|conf| Some((dir.join(&conf.file), conf.content.clone().ok()?)));
        }
        for conf in &read.confs {
            let path = dir.join(&conf.file);
            let named = profile.conf.contains(&conf.file);
            match &conf.content {
                Ok(content) => all.facts.push(fact(subject, path, content, is_loaded)),
                Err(why) if named => all.strange.push((
                    path,
                    format!("it bears the name of a conf of {} and cannot be read: {why}", profile.name),
                )),
                Err(_) => {}
            }
        }
        taken_away(subject, &read, &mut all);
    }
    for conf in &mut all.facts {
        let file = conf.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !conf.is_own && profile.conf.contains(&file) {
            let why = format!(
                "it bears the name of a conf of {}, and its plugins are {}",
                profile.name,
                conf.types.join(", ")
            );
            all.strange.push((conf.path.clone(), why));
        }
    }
    Ok(all)
}

/// Confs of the CNI that another agent has renamed, and would rename back.
fn taken_away(subject: &Subject<'_>, read: &ConfDir, all: &mut Confs) {
    let Subject { node, profile, .. } = subject;
    for file in &read.taken_away {
        let profiles = node.profiles.all().iter();
        let before = profiles.filter_map(|profile| file.strip_suffix(&profile.exclusive.as_ref()?.suffix));
        if before.clone().any(|name| profile.conf.iter().any(|conf| conf == name) && is_conf_name(name)) {
            let path = read.path.join(file);
            if let Ok(content) = confdir::read_content(file, &path) {
                let conf_fact = fact(subject, path, &content, false);
                all.facts.extend(conf_fact.is_own.then_some(conf_fact));
            }
        } else if profile.takes(file) {
            let why =
                format!("{} renamed this conf of another CNI; rename it back, or remove it", profile.name);
            all.strange.push((read.path.join(file), why));
        }
    }
}

fn fact(subject: &Subject<'_>, path: PathBuf, content: &Content, is_loaded: bool) -> ConfFact {
    let Subject { node: NodeFacts { profiles, .. }, profile, .. } = subject;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let by_types = profiles.detect(&content.types).map(|profile| profile.name.as_str());
    let by_name = profiles.find_by_conf(&file).map(|profile| profile.name.as_str());
    // Canal has Calico's plugin under a name of its own, and a profile that a person wrote has types of its own.
    let is_its_type = content.types.iter().any(|cni_type| profile.types.contains(cni_type))
        || by_types == Some(&profile.name);
    let is_others = by_name.is_some_and(|name| name != profile.name);
    ConfFact {
        name: content.name.clone(),
        types: content.types.clone(),
        bridges: bridges(content),
        is_own: is_its_type && !is_others && !content.is_ours(),
        is_loaded,
        path,
    }
}

/// The interfaces that a conf's plugins `bridge` make.
fn bridges(content: &Content) -> Vec<String> {
    let listed: Option<Vec<RawObject>> = content.object.decode("plugins").ok().flatten();
    let plugins = listed.unwrap_or_else(|| vec![content.object.clone()]);
    let bridge = |plugin: &RawObject| {
        let text = |key: &str| plugin.decode::<String>(key).ok().flatten();
        let name =
            || text("bridge").filter(|name| !name.is_empty()).unwrap_or_else(|| USUAL_BRIDGE.to_owned());
        text("type").filter(|kind| kind == "bridge").map(|_| name())
    };
    plugins.iter().filter_map(bridge).collect()
}

/// The conf that the runtime uses, if it is the CNI's.
fn used_conf(subject: &Subject<'_>, first: &Option<(PathBuf, Content)>) -> Option<PathBuf> {
    let (path, content) = first.as_ref()?;
    fact(subject, path.clone(), content, true).is_own.then(|| path.clone())
}

/// The other CNIs of the node: the policy's other network, and every conf of a known CNI.
fn active_cnis(subject: &Subject<'_>, confs: &[ConfFact]) -> Vec<ActiveCni> {
    let (own, profiles) = (&subject.profile.name, &subject.node.profiles);
    let mut cnis: Vec<ActiveCni> = Vec::new();
    let mut add = |owner: String, name: &str| {
        if cnis.iter().any(|cni| cni.profile.name == name) {
            return;
        }
        let Some(profile) = profiles.find(name).cloned() else { return };
        let parts = profile.parts.iter().filter_map(|part| profiles.find(part)?.leaves.clone());
        let leaves = profile.leaves.iter().cloned().chain(parts).collect();
        cnis.push(ActiveCni { owner, profile, leaves });
    };
    if let Some(policy) = subject.node.policy() {
        for (side, network) in policy.networks().filter(|(_, network)| network.profile != *own) {
            add(format!("the network {side} of the policy"), &network.profile);
        }
    }
    for conf in confs.iter().filter(|conf| !conf.is_own) {
        let file = conf.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let profile = profiles.find_by_conf(&file).or_else(|| profiles.detect(&conf.types));
        if let Some(profile) = profile.filter(|profile| profile.name != *own) {
            add(format!("the conf {}", conf.path.display()), &profile.name);
        }
    }
    cnis
}

/// Processes of these names that could work as an agent: any user's process may have any name.
fn agents(names: &[String]) -> Vec<String> {
    let mut agents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let Ok(comm) = std::fs::read_to_string(entry.path().join("comm")) else { continue };
        let is_comm = |name: &&String| name.get(..COMM_BYTES).unwrap_or(name.as_str()) == comm.trim_end();
        let named = names.iter().find(is_comm).filter(|_| may_change_networks(&entry.path()));
        agents.extend(named.map(|name| format!("{name} (process {pid})")));
    }
    agents
}

/// Whether a process may change the network of the node, by its directory in `/proc`. What cannot be read is taken for yes, unless it has ended.
fn may_change_networks(process: &Path) -> bool {
    let Ok(status) = std::fs::read_to_string(process.join("status")) else { return process.exists() };
    let is_ours = |namespace: &str| {
        let id = |process: &Path| std::fs::read_link(process.join("ns").join(namespace)).ok();
        let (own, other) = (id(Path::new("/proc/self")), id(process));
        own.is_none() || other.is_none() || own == other
    };
    // In a user namespace of its own, any process has every capability.
    has_net_admin(&status) && is_ours("user") && is_ours("net")
}

/// Whether `CAP_NET_ADMIN` is in effect, by the text of `/proc/PID/status`. *Source*: man 5 `proc_pid_status`; `linux/capability.h`.
fn has_net_admin(status: &str) -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> CAP_NET_ADMIN & 1 == 1)
}

fn files(
    subject: &Subject<'_>,
    leaves: &Leaves,
    networks: &BTreeSet<String>,
    mounts: &Mounts,
    live: Option<&BTreeSet<String>>,
    strange_confs: Vec<(PathBuf, String)>,
) -> FileFacts {
    let root = &Root::new(&subject.node.root);
    let config = subject.node.runtime.config();
    let sources =
        BinDirSources { flags: subject.bin_dirs, config, ..BinDirSources::from_node(&subject.node.settings) };
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let programs = sources.search(root);
    let programs = programs.iter().flat_map(|dir| leaves.programs.iter().map(move |name| dir.join(name)));
    let leases = leaves.leases.then_some(networks).into_iter().flatten();
    let shown = leaves.reboot.iter().flat_map(|leaves| &leaves.paths);
    FileFacts {
        mounts: leaves
            .mounts
            .iter()
            .filter(|point| mounts.is_mount_point(&root.join(point)))
            .cloned()
            .collect(),
        pins: if root.is_node() { pins(leaves) } else { Vec::new() },
        files: leaves.files.iter().map(|path| root.entry(path)).filter(is_there).collect(),
        strange_confs,
        directories: leaves
            .directories
            .iter()
            .filter_map(|path| directory(&root.join(path), mounts))
            .collect(),
        leases: leases
            .filter_map(|name| lease_fact(&root.join(Path::new(LEASES).join(name)), name, live))
            .collect(),
        programs: programs.filter(is_there).collect(),
        shown: shown.filter(|path| is_there(&root.join(path))).cloned().collect(),
    }
}

fn directory(path: &Path, mounts: &Mounts) -> Option<DirectoryFact> {
    let real = path.canonicalize().ok().filter(|real| real.is_dir())?;
    Some(DirectoryFact { mounts: mounts.mounts_below(&real), path: real })
}

fn pins(leaves: &Leaves) -> Vec<PinFact> {
    let mut pins = Vec::new();
    for pattern in &leaves.pins {
        let Some(dir) = Path::new(pattern.as_str()).parent() else { continue };
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.to_str().is_some_and(|path| pattern.matches(path)) {
                pins.push(PinFact { is_dir: entry.file_type().is_ok_and(|kind| kind.is_dir()), path });
            }
        }
    }
    pins
}

/// The leases of a network: a file for each address, whose first line is the container's id.
fn lease_fact(path: &Path, network: &str, live: Option<&BTreeSet<String>>) -> Option<LeaseFact> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(path).ok()?.flatten() {
        let is_address = entry.file_name().to_string_lossy().parse::<std::net::IpAddr>().is_ok();
        if is_address {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            ids.push(text.lines().next().unwrap_or_default().trim().to_owned());
        }
    }
    ids.sort();
    Some(LeaseFact {
        path: path.into(),
        network: network.to_owned(),
        count: ids.len(),
        live: ids.iter().filter(|id| live.is_some_and(|live| live.contains(*id))).cloned().collect(),
        container_ids: ids.into_iter().take(MOST_HELD).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_the_right_to_change_networks() {
        for (status, expected) in [
            ("Name:\tflanneld\nCapEff:\t000001ffffffffff\n", true),
            ("Name:\tcalico-node\nUid:\t10001\nCapEff:\t0000000000003000\n", true),
            ("Name:\tflanneld\nUid:\t1000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n", false),
            ("Name:\tflanneld\nCapEff:\t0000000000002000\n", false),
            ("Name:\tflanneld\n", true),
        ] {
            assert_eq!(has_net_admin(status), expected, "{status}");
        }
        assert!(!may_change_networks(Path::new("/proc/self/no-such-process")));
    }
}
