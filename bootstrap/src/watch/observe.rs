//! The observation of one pass: it reads everything and changes nothing.

mod networks;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convergence::node::cni::CniFacts;
use convergence::node::conf::foreign::ForeignEntry;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{BOOTED, DISABLED, LEAVING, NODE_FILE, PRIVATE_CONF_DIR, PROOF};
use convergence::node::settings::Settings;
use convergence::node::settings::directories::InstalledConf;
use convergence::runtime::facts::RuntimeFacts;
use convergence::watch::observation::Observation;
use shim::host::boot;
use shim::node::layout::{Layout, POLICY_FILE, PROBED, SETTINGS_DIRS};
use types::node::socket_path;
use types::node::{Mode, Proof};
use types::policy::{Policy, Probe, Side};

use self::networks::networks;
use crate::cli::Global;
use crate::host::root::Root;
use crate::node::attachments::last_pass;
use crate::node::cni::{self, PluginChoice};
use crate::node::conf::foreign;
use crate::node::facts::{self, ConfDirChoice, NodeQuery};
use crate::node::networks::probe;
use crate::node::plugins;
use crate::node::{identity, settings, switch};
use crate::runtime::conf_reading;
use crate::watch::observe::networks::lives;
use crate::watch::proof;
use convergence::node::attachments::last_pass::Pass;

pub(crate) use convergence::watch::observation::NetworkObservation;

/// What earlier passes have found.
#[derive(Debug)]
pub(crate) struct PriorFacts<'a> {
    /// node.json as it was in force before.
    pub settings: &'a Settings,
    /// The runtime as it was configured when it was started, and what it says that it uses.
    pub runtime: RuntimeFacts,
    /// Crossfade's conf when it was last installed.
    pub before: Option<&'a InstalledConf>,
    /// `watch` runs in a pod.
    pub in_pod: bool,
}

/// Foreign entries in the runtime's directory, if that is Crossfade's own. A directory from the command line belongs to the caller,
/// so nothing in it counts as foreign. A directory that cannot be listed is reported elsewhere.
fn foreign_in(node: &NodeFacts) -> Vec<ForeignEntry> {
    let conf_dir = &node.dirs.conf_dir;
    let is_private =
        node.settings.conf_dir == Mode::Private && *conf_dir == Root::new(&node.root).join(PRIVATE_CONF_DIR);
    if is_private { foreign::list(conf_dir).unwrap_or_default() } else { Vec::new() }
}

/// Whether CRI-O may still use another conf; of a tree that is no node nothing is known.
fn unread_reason(node: &NodeFacts) -> Option<String> {
    let is_crio = node.runtime.crio().is_some() && Root::new(&node.root).is_node();
    let endpoint = node.runtime.choice.endpoint().filter(|_| is_crio)?;
    conf_reading::problem(endpoint, &node.dirs.conf_file())
}

/// Stat of every file, by which a quiet tick sees that nothing has changed without opening anything.
#[must_use]
pub(crate) fn prints(files: &[PathBuf]) -> BTreeMap<PathBuf, Option<String>> {
    files.iter().map(|file| (file.clone(), identity(file, true))).collect()
}

/// Which file or directory lies there; `changes` tells apart its states, too.
fn identity(path: &Path, changes: bool) -> Option<String> {
    let meta = path.metadata().or_else(|_| path.symlink_metadata()).ok()?;
    // A file system may give the number of a removed directory to the next one.
    let born =
        meta.created().ok().and_then(|created_at| created_at.duration_since(std::time::UNIX_EPOCH).ok());
    let born = born.unwrap_or_default().as_nanos();
    let state = if changes {
        format!(":{:o}:{}:{}.{}", meta.mode(), meta.size(), meta.ctime(), meta.ctime_nsec())
    } else {
        String::new()
    };
    Some(format!("{}:{}:{born}{state}", meta.dev(), meta.ino()))
}

/// Looks at everything, with what was known before. `now` is the time since `watch` began.
#[must_use]
pub(crate) fn gather(global: &Global, prior: PriorFacts<'_>, now: Duration) -> Observation {
    let PriorFacts { settings: last, runtime, before, in_pod } = prior;
    let root = Root::new(&global.root);
    let mut settings = settings::reload(&root, last);
    // A proof is a unit of its own, and a pod cannot start one.
    if in_pod {
        settings.node.proof = Proof::Probe;
    }
    let conf_dir = ConfDirChoice::InForce { before };
    let node = facts::gather(NodeQuery { global, settings, runtime, conf_dir });
    let cni = cni::gather(&node, PluginChoice::default());
    let boot_id = boot::boot_id().unwrap_or_default().to_owned();
    let probed = root.join(PROBED);
    let endpoint = node.runtime.choice.endpoint();
    Observation {
        off_switch: switch::off_switch(&root),
        not_booted: identity::is_of(&root, &boot_id).err().map(String::from),
        foreign: foreign_in(&node),
        dir_id: identity(&node.dirs.conf_dir, false),
        leaving: node.dirs.layout.run_dir.join(LEAVING).exists(),
        life: endpoint.and_then(|endpoint| identity(socket_path(endpoint), true)),
        unread: unread_reason(&node),
        last_sweep: last_pass::read(&node.dirs.layout, Pass::Sweep, &boot_id),
        last_move: last_pass::read(&node.dirs.layout, Pass::MovePods, &boot_id),
        networks: networks(&node, &cni, &probed, &boot_id),
        probed: (
            probed.clone(),
            Side::BOTH.into_iter().filter(|side| probed.join(side.as_str()).exists()).collect(),
        ),
        now,
        boot_id,
        in_pod,
        cni,
        node,
    }
}

/// Asks the probes again and looks for proofs; everything else stays as it was found.
pub(crate) fn ask_again(facts: &mut Observation, now: Duration) {
    facts.now = now;
    let NodeFacts { dirs, runtime, policy, profiles, .. } = &facts.node;
    facts.last_sweep = last_pass::read(&dirs.layout, Pass::Sweep, &facts.boot_id);
    facts.last_move = last_pass::read(&dirs.layout, Pass::MovePods, &facts.boot_id);
    if facts.unread.is_some() {
        let endpoint = runtime.choice.endpoint().unwrap_or_default();
        facts.unread = conf_reading::problem(endpoint, &dirs.conf_file());
    }
    let Ok(read) = policy else { return };
    for observed in &mut facts.networks {
        let Some(network) = read.policy.network(observed.side) else { continue };
        let marker = facts.probed.0.join(observed.side.as_str());
        observed.probe_answers = probe::ask(network, &marker, profiles);
        observed.agent = lives(&probe::sockets(network));
        if let Ok((name, _)) = &observed.conf {
            let file = proof::result(&dirs.layout, observed.side);
            observed.proof = proof::read(&file, name, &facts.boot_id);
        }
    }
}

/// Whether a program has put an entry into Crossfade's own directory since the observation.
#[must_use]
pub(crate) fn is_intruded(facts: &Observation) -> bool {
    !foreign_in(&facts.node).is_empty()
}

/// Files that decide what a round does, wherever they are.
#[must_use]
pub(crate) fn files(facts: &Observation) -> Vec<PathBuf> {
    let NodeFacts { root, dirs, runtime, .. } = &facts.node;
    let root = &Root::new(root);
    let CniFacts { confs, plugins, .. } = &facts.cni;
    let (layout, conf_dir) = (&dirs.layout, &dirs.conf_dir);
    let mut files = vec![root.join(DISABLED), root.join(BOOTED), layout.name(), conf_dir.clone()];
    files.extend(SETTINGS_DIRS.iter().map(|dir| root.join(Path::new(dir).join(NODE_FILE))));
    match &layout.policy {
        Some(policy) => files.push(policy.clone()),
        None => files.extend(SETTINGS_DIRS.iter().map(|dir| root.join(Path::new(dir).join(POLICY_FILE)))),
    }
    files.extend([layout.run_dir.join(LEAVING), layout.run_dir.join(PROOF)]);
    files.extend([Pass::Sweep, Pass::MovePods].map(|pass| last_pass::place(layout, pass)));
    files.push(root.join(Layout::default().version_query()));
    files.extend(runtime.choice.endpoint().map(|endpoint| socket_path(endpoint).to_path_buf()));
    files.extend(confs.iter().flat_map(|dir| &dir.confs).map(|conf| conf_dir.join(&conf.file)));
    for (_, network) in facts.node.policy().into_iter().flat_map(Policy::networks) {
        files.extend(network.conf.iter().cloned());
        files.extend(network.probes().iter().filter_map(|probe| match probe {
            Probe::Unix(path) | Probe::File(path) => Some(path.clone()),
            Probe::Http { .. } => None,
        }));
    }
    files.extend(plugins.paths());
    files.extend(plugins::files(plugins, root));
    files
}

/// Directories whose events are worth a round: those of [`Observation::files`] but for what every pod touches.
#[must_use]
pub(crate) fn directories(facts: &Observation) -> BTreeSet<PathBuf> {
    let bin_dirs = facts.cni.plugins.paths();
    let layout = &facts.node.dirs.layout;
    let in_bin_dir = |file: &PathBuf| file.parent().is_some_and(|dir| bin_dirs.iter().any(|bin| bin == dir));
    let busy = |file: &PathBuf| *file == layout.name() || bin_dirs.contains(file) || in_bin_dir(file);
    let files = files(facts);
    let above = files.iter().filter(|file| !busy(file)).filter_map(|file| file.parent());
    let mut directories: BTreeSet<PathBuf> = above.map(Path::to_path_buf).collect();
    directories.extend([facts.node.dirs.conf_dir.clone(), layout.run_dir.join(PROOF)]);
    directories
}
