//! The observation of one pass: it reads everything and changes nothing.

mod networks;

use crate::node::plugins::packaged_plugin;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shim::boot;
use shim::layout::{Layout, POLICY_FILE, SETTINGS_DIRS};
use types::endpoint::socket;
use types::node::{Mode, Proof};
use types::policy::{Policy, Probe, Side};

pub use self::networks::{ConfAbsence, ConfSummary, NetworkObservation};
use self::networks::{lives, networks};
use super::proof;
use crate::cli::Global;
use crate::host::root::Root;
use crate::node::attachments::last_sweep;
use crate::node::cni;
use crate::node::cni::PluginChoice;
use crate::node::conf::foreign;
use crate::node::facts;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::identity;
use crate::node::networks::probe;
use crate::node::settings;
use crate::node::switch;
use crate::runtime::conf_reading;
use convergence::node::attachments::last_sweep::SweepResult;
use convergence::node::cni::CniFacts;
use convergence::node::conf::foreign::ForeignEntry;
use convergence::node::facts::NodeFacts;
use convergence::node::settings::Settings;
use convergence::node::settings::directories::InstalledConf;
use convergence::node::switch::OffSwitch;
use convergence::paths::{BOOTED, DISABLED, LEAVING, NODE_FILE, PRIVATE_CONF_DIR, PROOF};
use convergence::runtime::facts::RuntimeFacts;
use shim::layout::PROBED;

/// What a round finds: the node, and what only `watch` looks at.
#[derive(Debug)]
pub struct Observation {
    /// The node; its conf directory is the one in which the runtime finds Crossfade's conf. Where node.json cannot be used, its settings
    /// are what they were before.
    pub node: NodeFacts,
    /// The confs, networks and plugins of the node.
    pub cni: CniFacts,
    /// Time since `watch` began.
    pub now: Duration,
    pub boot_id: String,
    /// `watch` runs in a pod.
    pub in_pod: bool,
    /// What switched Crossfade off.
    pub off: Option<OffSwitch>,
    /// Why `boot` has not succeeded in this boot.
    pub not_booted: Option<String>,
    /// The policy's networks, with what their agents and probes say.
    pub networks: Vec<NetworkObservation>,
    /// Foreign files in Crossfade's own conf directory, in private mode.
    pub foreign: Vec<ForeignEntry>,
    /// Which directory the conf directory is, by device and inode; none while there is none.
    pub dir_id: Option<String>,
    /// Whether `uninstall` is removing Crossfade's conf.
    pub leaving: bool,
    /// The identity of the runtime's socket, which changes when the runtime restarts.
    pub life: Option<String>,
    /// Why CRI-O, which does not tell what it has loaded, may not have read Crossfade's conf.
    pub unread: Option<String>,
    /// What the last pass of the sweep in this boot came to.
    pub swept: Option<SweepResult>,
    /// The directory of markers of networks whose probes held, and the networks that have one.
    pub probed: (PathBuf, BTreeSet<Side>),
}

/// What earlier passes have found.
#[derive(Debug)]
pub struct PriorFacts<'a> {
    /// node.json as it was in force before.
    pub settings: &'a Settings,
    /// The runtime as it was configured when it was started, and what it says that it uses.
    pub runtime: RuntimeFacts,
    /// Crossfade's conf when it was last installed.
    pub before: Option<&'a InstalledConf>,
    /// `watch` runs in a pod.
    pub in_pod: bool,
}

impl Observation {
    /// Looks at everything, with what was known before. `now` is the time since `watch` began.
    #[must_use]
    pub fn gather(global: &Global, known: PriorFacts<'_>, now: Duration) -> Self {
        let PriorFacts { settings: last, runtime, before, in_pod } = known;
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
        let probed = root.at(PROBED);
        let endpoint = node.runtime.choice.endpoint();
        Self {
            off: switch::off_switch(&root),
            not_booted: identity::is_of(&root, &boot_id).err().map(String::from),
            foreign: foreign_in(&node),
            dir_id: identity(&node.dirs.conf_dir, false),
            leaving: node.dirs.layout.run_dir.join(LEAVING).exists(),
            life: endpoint.and_then(|endpoint| identity(socket(endpoint), true)),
            unread: not_read(&node),
            swept: last_sweep::read(&node.dirs.layout, &boot_id),
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
    pub fn ask_again(&mut self, now: Duration) {
        self.now = now;
        let NodeFacts { dirs, runtime, policy, .. } = &self.node;
        self.swept = last_sweep::read(&dirs.layout, &self.boot_id);
        if self.unread.is_some() {
            let endpoint = runtime.choice.endpoint().unwrap_or_default();
            self.unread = conf_reading::problem(endpoint, &dirs.conf_file());
        }
        let Ok(read) = policy else { return };
        for observed in &mut self.networks {
            let Some(network) = read.policy.network(observed.side) else { continue };
            observed.asked = probe::ask(network, &self.probed.0.join(observed.side.as_str()));
            observed.agent = lives(&probe::sockets(network));
            if let Ok((conf, _)) = &observed.conf {
                let file = proof::result(&dirs.layout, observed.side);
                observed.proof = proof::read(&file, &conf.name, &self.boot_id);
            }
        }
    }

    /// Whether a program has put an entry into Crossfade's own directory since the observation.
    #[must_use]
    pub fn is_intruded(&self) -> bool {
        !foreign_in(&self.node).is_empty()
    }

    /// Whether the runtime reads Crossfade's private directory.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        matches!(self.node.settings.conf_dir, Mode::Private)
    }

    /// Files that decide what a round does, wherever they are.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let NodeFacts { root, dirs, runtime, .. } = &self.node;
        let root = &Root::new(root);
        let CniFacts { confs, plugins, .. } = &self.cni;
        let (layout, conf_dir) = (&dirs.layout, &dirs.conf_dir);
        let mut files = vec![root.at(DISABLED), root.at(BOOTED), layout.name(), conf_dir.clone()];
        files.extend(SETTINGS_DIRS.iter().map(|dir| root.at(Path::new(dir).join(NODE_FILE))));
        match &layout.policy {
            Some(policy) => files.push(policy.clone()),
            None => files.extend(SETTINGS_DIRS.iter().map(|dir| root.at(Path::new(dir).join(POLICY_FILE)))),
        }
        files.extend([layout.run_dir.join(LEAVING), layout.run_dir.join(PROOF)]);
        files.extend([last_sweep::place(layout), root.at(Layout::default().version_query())]);
        files.extend(runtime.choice.endpoint().map(|endpoint| socket(endpoint).to_path_buf()));
        files.extend(confs.iter().flat_map(|dir| &dir.confs).map(|conf| conf_dir.join(&conf.file)));
        for (_, network) in self.node.policy().into_iter().flat_map(Policy::networks) {
            files.extend(network.conf.iter().cloned());
            files.extend(network.probes().iter().filter_map(|probe| match probe {
                Probe::Unix(path) | Probe::File(path) => Some(path.clone()),
                Probe::Http { .. } => None,
            }));
        }
        files.extend(plugins.paths());
        files.extend(packaged_plugin::files(plugins, root));
        files
    }

    /// Directories whose events are worth a round: those of [`Observation::files`] but for what every pod touches.
    #[must_use]
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let bin_dirs = self.cni.plugins.paths();
        let layout = &self.node.dirs.layout;
        let in_bin_dir =
            |file: &PathBuf| file.parent().is_some_and(|dir| bin_dirs.iter().any(|bin| bin == dir));
        let busy = |file: &PathBuf| *file == layout.name() || bin_dirs.contains(file) || in_bin_dir(file);
        let files = self.files();
        let above = files.iter().filter(|file| !busy(file)).filter_map(|file| file.parent());
        let mut directories: BTreeSet<PathBuf> = above.map(Path::to_path_buf).collect();
        directories.extend([self.node.dirs.conf_dir.clone(), layout.run_dir.join(PROOF)]);
        directories
    }
}

/// Foreign entries in the runtime's directory, if that is Crossfade's own. A directory from the command line belongs to the caller,
/// so nothing in it counts as foreign. A directory that cannot be listed is reported elsewhere.
fn foreign_in(node: &NodeFacts) -> Vec<ForeignEntry> {
    let conf_dir = &node.dirs.conf_dir;
    let is_private =
        node.settings.conf_dir == Mode::Private && *conf_dir == Root::new(&node.root).at(PRIVATE_CONF_DIR);
    if is_private { foreign::list(conf_dir).unwrap_or_default() } else { Vec::new() }
}

/// Whether CRI-O may still use another conf; of a tree that is no node nothing is known.
fn not_read(node: &NodeFacts) -> Option<String> {
    let is_crio = node.runtime.crio().is_some() && Root::new(&node.root).is_node();
    let endpoint = node.runtime.choice.endpoint().filter(|_| is_crio)?;
    conf_reading::problem(endpoint, &node.dirs.conf_file())
}

/// Stat of every file, by which a quiet tick sees that nothing has changed without opening anything.
#[must_use]
pub fn prints(files: &[PathBuf]) -> BTreeMap<PathBuf, Option<String>> {
    files.iter().map(|file| (file.clone(), identity(file, true))).collect()
}

/// Which file or directory lies there; `changes` tells apart its states, too.
fn identity(path: &Path, changes: bool) -> Option<String> {
    let meta = path.metadata().or_else(|_| path.symlink_metadata()).ok()?;
    // A file system may give the number of a removed directory to the next one.
    let born = meta.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let born = born.unwrap_or_default().as_nanos();
    let state = if changes {
        format!(":{:o}:{}:{}.{}", meta.mode(), meta.size(), meta.ctime(), meta.ctime_nsec())
    } else {
        String::new()
    };
    Some(format!("{}:{}:{born}{state}", meta.dev(), meta.ino()))
}
