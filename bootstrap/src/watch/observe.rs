//! What a round finds: everything is looked at, nothing is changed.

mod networks;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shim::boot;
use shim::file::read_bounded;
use shim::layout::{BIN_DIRS, CONF_FILE, Layout, POLICY_FILE, SETTINGS_DIRS};
use shim::trust;
use types::endpoint::socket;
use types::node::{Mode, Node, Proof, RuntimeKind};
use types::policy::{MAX_BYTES, Policy, Probe, Side};

pub use self::networks::{Absent, Loaded, NetworkObservation};
use self::networks::{lives, networks};
use super::proof::{self};
use super::usual::Usual;
use crate::cli::Global;
use crate::node::confdir::ConfDir;
use crate::node::digest;
use crate::node::directories::{Directories, Installed};
use crate::node::foreign::{self, Foreign};
use crate::node::identity::Booted;
use crate::node::last_sweep::{self, Swept};
use crate::node::name;
use crate::node::packaged_plugin::Plugins;
use crate::node::paths::{BOOTED, DISABLED, LEAVING, NODE_FILE, PRIVATE_CONF_DIR, PROBED, PROOF, Root};
use crate::node::probe::{self};
use crate::node::rooted;
use crate::node::settings;
use crate::node::switch::{self, Off};
use crate::runtime::endpoint::Whom;
use crate::runtime::picks::Picks;
use crate::runtime::{self, CniSetup, unread};

/// What was found.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Since `watch` began.
    pub now: Duration,
    /// This boot.
    pub boot_id: String,
    /// `watch` runs in a pod.
    pub in_pod: bool,
    /// What switched us off.
    pub off: Option<Off>,
    /// node.json; where it cannot be used, why, and [`Observation::node`] is what it was before.
    pub bad_node: Option<String>,
    /// How the node takes part.
    pub node: Node,
    /// There is a node.json.
    pub node_decides: bool,
    /// Why the runtime's own directories are not known.
    pub untold: Option<String>,
    /// Why `boot` has not succeeded in this boot.
    pub not_booted: Option<String>,
    /// State and run directory.
    pub layout: Layout,
    /// The policy.
    pub policy: Result<Held, String>,
    /// Its networks.
    pub networks: Vec<NetworkObservation>,
    /// The runtime's conf directory.
    pub conf_dir: PathBuf,
    /// What is in it.
    pub dir: Result<ConfDir, String>,
    /// What others have put there, where it is ours alone: in private mode.
    pub foreign: Vec<Foreign>,
    /// Which directory it is; none while there is none.
    pub dir_id: Option<String>,
    /// Our conf.
    pub own: Result<Option<Installed>, String>,
    /// Our network's name.
    pub name: Result<Option<String>, String>,
    /// Somebody takes our conf away on purpose.
    pub leaving: bool,
    /// Whom to ask what the runtime has loaded.
    pub whom: Whom,
    /// Which runtime it is; none where that is not known.
    pub kind: Option<RuntimeKind>,
    /// Which conf of its directory it uses.
    pub picks: Picks,
    /// Which life of the runtime it is, told by its socket.
    pub runtime: Option<String>,
    /// Why CRI-O, which does not tell what it has loaded, may not have read our conf.
    pub unread: Option<String>,
    /// What the last pass of the sweep in this boot came to.
    pub swept: Option<Swept>,
    /// The markers of networks whose probes held: directory and what is in it.
    pub probed: (PathBuf, BTreeSet<Side>),
    /// Where plugins are looked for.
    pub bin_dirs: Vec<PathBuf>,
    /// Our plugin there.
    pub plugins: Plugins,
    /// What the runtime says that it uses.
    pub asked: runtime::answer::RuntimeAnswer,
}

/// A valid policy.
#[derive(Debug, Clone)]
pub struct Held {
    /// It.
    pub policy: Policy,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// What is known before a look.
#[derive(Debug, Clone, Copy)]
pub struct Remembered<'a> {
    /// node.json as it was when it was last valid.
    pub node: &'a Node,
    /// The runtime's directories.
    pub usual: &'a Usual,
    /// What the runtime says that it uses.
    pub asked: &'a runtime::answer::RuntimeAnswer,
    /// Our conf when it was last there.
    pub before: Option<&'a Installed>,
    /// `watch` runs in a pod.
    pub in_pod: bool,
}

impl Observation {
    /// Looks at everything, with what was known before.
    #[must_use]
    pub fn gather(global: &Global, known: Remembered<'_>, now: Duration) -> Self {
        let Remembered { node, usual, asked, before, in_pod } = known;
        let root = Root::new(&global.root);
        let (mut node, bad_node) = match settings::load(&root) {
            Ok(node) => (node, None),
            Err(why) => (node.clone(), Some(why)),
        };
        // A proof is a unit of its own, and a pod cannot start one.
        if in_pod {
            node.proof = Proof::Probe;
        }
        let told = asked.setup();
        let told_dir =
            told.map(|setup| setup.conf_dir.as_path()).filter(|dir| *dir != Path::new(PRIVATE_CONF_DIR));
        let usual_dir = usual.conf_dir.as_deref().or(told_dir);
        let settings = Directories::on(global, &node, usual_dir, before);
        let layout = settings.layout;
        let boot_id = boot::boot_id().unwrap_or_default().to_owned();
        let bin_dirs = bin_dirs(&root, &node, usual, told);
        let policy = load(&layout.policy_file());
        let probed = root.at(PROBED);
        let networks = policy.as_ref().map_or_else(
            |_| Vec::new(),
            |held| networks(&held.policy, &layout, (&root, &bin_dirs), (&probed, &boot_id)),
        );
        Self {
            off: switch::off(&root),
            node_decides: root.settings_file(NODE_FILE).is_some(),
            untold: usual.untold.clone(),
            not_booted: Booted::is_of(&root, &boot_id).err().map(String::from),
            dir: rooted::conf_dir(&root, &settings.conf_dir)
                .map_err(|e| format!("conf dir {}: {e}", settings.conf_dir.display())),
            foreign: foreign_in(&root, &node, &settings.conf_dir),
            dir_id: identity(&settings.conf_dir, false),
            name: name::of(&root.inside(&layout.name())),
            leaving: layout.run_dir.join(LEAVING).exists(),
            runtime: usual.whom.endpoint().and_then(|endpoint| identity(socket(endpoint), true)),
            whom: usual.whom.clone(),
            kind: usual.kind,
            picks: usual.picks.clone(),
            unread: not_read(&root, usual, &settings.conf_dir.join(CONF_FILE)),
            swept: last_sweep::read(&layout, &boot_id),
            probed: (
                probed.clone(),
                Side::BOTH.into_iter().filter(|side| probed.join(side.as_str()).exists()).collect(),
            ),
            conf_dir: settings.conf_dir,
            own: settings.installed,
            now,
            boot_id,
            in_pod,
            bad_node,
            node,
            layout,
            plugins: Plugins::look(&root, &bin_dirs),
            asked: asked.clone(),
            policy,
            networks,
            bin_dirs,
        }
    }

    /// Asks the probes again and looks for proofs; everything else stays as it was found.
    pub fn ask_again(&mut self, now: Duration) {
        self.now = now;
        self.swept = last_sweep::read(&self.layout, &self.boot_id);
        if self.unread.is_some() {
            let endpoint = self.whom.endpoint().unwrap_or_default();
            self.unread = unread::since(endpoint, &self.conf_dir.join(CONF_FILE));
        }
        let Ok(held) = &self.policy else { return };
        for facts in &mut self.networks {
            let Some(network) = held.policy.network(facts.side) else { continue };
            facts.asked = probe::ask(network, &self.probed.0.join(facts.side.as_str()));
            facts.agent = lives(&probe::sockets(network));
            if let Ok((conf, _)) = &facts.conf {
                facts.proof =
                    proof::read(&proof::result(&self.layout, facts.side), &conf.name, &self.boot_id);
            }
        }
    }

    /// Whether somebody has put something into our own directory by now.
    #[must_use]
    pub fn is_intruded(&self, root: &Root) -> bool {
        !foreign_in(root, &self.node, &self.conf_dir).is_empty()
    }

    /// Whether the runtime's directory is ours.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        matches!(self.node.conf_dir, Mode::Private)
    }

    /// Files that decide what a round does, wherever they are.
    #[must_use]
    pub fn files(&self, root: &Root) -> Vec<PathBuf> {
        let mut files = vec![root.at(DISABLED), root.at(BOOTED), self.layout.name(), self.conf_dir.clone()];
        files.extend(SETTINGS_DIRS.iter().map(|dir| root.at(Path::new(dir).join(NODE_FILE))));
        match &self.layout.policy {
            Some(policy) => files.push(policy.clone()),
            None => files.extend(SETTINGS_DIRS.iter().map(|dir| root.at(Path::new(dir).join(POLICY_FILE)))),
        }
        files.extend([self.layout.run_dir.join(LEAVING), self.layout.run_dir.join(PROOF)]);
        files.extend([last_sweep::place(&self.layout), root.at(Layout::default().version_query())]);
        files.extend(self.whom.endpoint().map(|endpoint| socket(endpoint).to_path_buf()));
        files.extend(self.dir.iter().flat_map(|dir| &dir.confs).map(|conf| self.conf_dir.join(&conf.file)));
        for (_, network) in self.policy.iter().flat_map(|held| held.policy.networks()) {
            files.extend(network.conf.iter().cloned());
            files.extend(network.probes().iter().filter_map(|probe| match probe {
                Probe::Unix(path) | Probe::File(path) => Some(path.clone()),
                Probe::Http { .. } => None,
            }));
        }
        files.extend(self.bin_dirs.iter().cloned());
        files.extend(self.plugins.files(root));
        files
    }

    /// Directories whose events are worth a round: those of [`Observation::files`] but for what every pod touches.
    #[must_use]
    pub fn directories(&self, root: &Root) -> BTreeSet<PathBuf> {
        let in_bin_dir =
            |file: &PathBuf| file.parent().is_some_and(|dir| self.bin_dirs.iter().any(|bin| bin == dir));
        let busy =
            |file: &PathBuf| *file == self.layout.name() || self.bin_dirs.contains(file) || in_bin_dir(file);
        let files = self.files(root);
        let above = files.iter().filter(|file| !busy(file)).filter_map(|file| file.parent());
        let mut directories: BTreeSet<PathBuf> = above.map(Path::to_path_buf).collect();
        directories.extend([self.conf_dir.clone(), self.layout.run_dir.join(PROOF)]);
        directories
    }
}

/// What others have put into the runtime's directory, where that is our own. A directory that is named on the command line is
/// whoever's: nothing of it is ever taken for foreign. One that cannot be listed is told of elsewhere.
fn foreign_in(root: &Root, node: &Node, conf_dir: &Path) -> Vec<Foreign> {
    let is_our_own = node.conf_dir == Mode::Private && conf_dir == root.at(PRIVATE_CONF_DIR);
    if is_our_own { foreign::look(conf_dir).unwrap_or_default() } else { Vec::new() }
}

/// Whether CRI-O may still use another conf; of a tree that is no node nothing is known.
fn not_read(root: &Root, usual: &Usual, conf: &Path) -> Option<String> {
    let is_crio = usual.kind == Some(RuntimeKind::Crio) && root.is_node();
    usual.whom.endpoint().filter(|_| is_crio).and_then(|endpoint| unread::since(endpoint, conf))
}

/// Where plugins are: what the runtime says; else what node.json or the runtime's configuration says. What is merely usual is taken
/// where nobody was to be asked.
fn bin_dirs(root: &Root, node: &Node, usual: &Usual, told: Option<&CniSetup>) -> Vec<PathBuf> {
    match (told, &node.runtime.bin_dirs, &usual.bin_dirs) {
        (Some(setup), ..) if !setup.bin_dirs.is_empty() => setup.bin_dirs.clone(),
        (_, named, _) if !named.is_empty() => named.clone(),
        (_, _, configured) if !configured.is_empty() => configured.clone(),
        _ => BIN_DIRS.iter().map(|dir| root.at(dir)).filter(|dir| dir.is_dir()).collect(),
    }
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

fn load(path: &Path) -> Result<Held, String> {
    let named = |why: String| format!("policy {}: {why}", path.display());
    let mut file = trust::open(path).map_err(|why| named(why.to_string()))?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| named(e.to_string()))?;
    let policy = Policy::parse(&bytes).map_err(named)?;
    Ok(Held { policy, sha256: digest::sha256(&bytes) })
}
