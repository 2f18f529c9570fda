//! What `boot` finds, before anything is decided or touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use shim::layout::{
    BIN_DIRS, CONF_DIR, CONF_FILE, Layout, PACKAGED_PLUGIN, PLUGIN, POLICY_FILE, RUNTIME_CACHE, SETTINGS_DIRS,
};
use shim::store::Store;
use shim::trust;
use types::endpoint::socket;
use types::node::{Mode, Node, RuntimeKind};
use types::policy::{Policy, Side};

use super::without::Leavings;
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::commands::generator;
use crate::commands::install::facts::{self, BinDir, NetworkFacts};
use crate::commands::policy::completion::Completion;
use crate::commands::policy::secondary;
use crate::node::confdir::ConfDir;
use crate::node::directories::{Installed, flagged};
use crate::node::foreign::{self, Foreign};
use crate::node::identity::{Booted, Identity, Kind};
use crate::node::paths::{PRIVATE_CONF_DIR, PROBED, Root, WITHOUT};
use crate::node::rooted;
use crate::node::settings;
use crate::runtime::CniSetup;
use crate::runtime::asked::Asked;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::{self, Whom};

/// What was found. Paths are below the root but where it says otherwise.
#[derive(Debug)]
pub struct Facts {
    /// The tree.
    pub root: Root,
    /// How this node takes part.
    pub node: Node,
    /// This boot.
    pub identity: Identity,
    /// What kind of boot it is.
    pub kind: Kind,
    /// The runtime; none where there is none.
    pub runtime: Result<Option<RuntimeConfig>, String>,
    /// The runtime runs already: what it reads now is in force until it is started again.
    pub runtime_runs: bool,
    /// Whether the runtime's unit hands our words on; always, in shared mode.
    pub handed_on: Result<(), String>,
    /// The directory that the runtime reads without us.
    pub usual: Result<ConfDir, String>,
    /// Ours of private mode.
    pub private: Result<ConfDir, String>,
    /// What others have put there.
    pub foreign: Vec<Foreign>,
    /// Our conf in the usual directory.
    pub installed: Result<Option<Installed>, String>,
    /// The directories that our conf names, as the node sees them.
    pub named: Layout,
    /// The same, below the root.
    pub layout: Layout,
    /// The policy.
    pub policy: Result<Policy, String>,
    /// The probes that its profiles know and it does not.
    pub completion: Option<Completion>,
    /// An earlier boot left the marker of a node without our plugin.
    pub marked_without: bool,
    /// Networks, each with its profile, whose pods would come to wait for a file that is not there, under running pods.
    pub held_back: Vec<String>,
    /// The confs of the policy's networks.
    pub networks: Vec<NetworkFacts>,
    /// Confs that records name, as the node sees them.
    pub recorded: Result<BTreeSet<PathBuf>, String>,
    /// Our network's name, if it was written once.
    pub name: Result<Option<String>, String>,
    /// File names of the runtime's result cache: `NETWORK-ID-IFNAME`.
    pub cached: Vec<String>,
    /// Files and directories of state that are there.
    pub state: Vec<PathBuf>,
    /// The plugin.
    pub plugin: Result<Vec<u8>, String>,
    /// Where it goes.
    pub bin_dirs: Vec<Place>,
    /// Directories that others could write.
    pub distrusted: Vec<String>,
    /// What an earlier time has left; none where the node has our plugin.
    pub(super) without: Option<Leavings>,
}

/// A directory for our plugin.
#[derive(Debug)]
pub struct Place {
    /// The directory, and our plugin in it.
    pub dir: BinDir,
    /// It is there.
    pub exists: bool,
    /// Nothing can be written there, whoever we are.
    pub read_only: bool,
}

impl Facts {
    /// Looks at everything; nothing is changed.
    ///
    /// # Errors
    /// node.json is not valid, or the boot cannot be told: then nothing can be decided.
    pub fn gather(global: &Global) -> Result<Self, Failure> {
        let root = Root::new(&global.root);
        let node = settings::load(&root).map_err(Failure::settings)?;
        let identity = match Identity::now(&root) {
            Err(_) if global.dry_run && !root.is_node() => Identity::of_an_image(),
            known => known.map_err(Failure::later)?,
        };
        let kind = identity.kind(Identity::before(&root).as_ref(), Booted::read(&root).as_ref());
        let runtime =
            RuntimeConfig::gather(&root, &node).map(|found| found.or_else(|| answered(&root, &node)));
        let config = runtime.as_ref().ok().and_then(Option::as_ref);
        let usual = root.at(usual_dir(config));
        let installed = Installed::read(&root.inside(&usual.join(CONF_FILE)));
        let named = named(global, installed.as_ref().ok().and_then(Option::as_ref));
        let layout = below(&root, &named);
        root.holds_state(&layout).map_err(|why| Failure::new(Exit::No, why))?;
        let store = Store::new(&layout);
        let policy_file = policy_file(&root, &named);
        let policy = secondary::load(&policy_file);
        let places = places(&root, &node, config);
        let read =
            |dir: &Path| rooted::conf_dir(&root, dir).map_err(|e| format!("conf dir {}: {e}", dir.display()));
        let endpoint = endpoint::find(&root, &node, config).ok();
        let runtime_runs = endpoint.is_some_and(|named| root.at(socket(&named.endpoint)).exists());
        let without = (node.conf_dir == Mode::Without).then(|| {
            Leavings::gather(&root, config, &layout, (&identity, runtime_runs || kind == Kind::Again))
        });
        let held: Vec<Side> = match kind {
            Kind::Again => {
                Side::BOTH.into_iter().filter(|side| !root.at(PROBED).join(side.as_str()).exists()).collect()
            }
            _ => Vec::new(),
        };
        let completion = Completion::but(&policy_file, &held);
        let named_in =
            |one: &Option<Completion>| one.iter().flat_map(|one| one.probed.clone()).collect::<Vec<_>>();
        let mut held_back = named_in(&Completion::of(&policy_file));
        held_back.retain(|network| !named_in(&completion).contains(network));
        let distrusted = match without {
            Some(_) => distrusted(None, &[], &store, &layout),
            None => distrusted(Some(&usual), &places, &store, &layout),
        };
        Ok(Self {
            handed_on: match (node.conf_dir, config.and_then(|config| config.unit.as_deref())) {
                (Mode::Private, Some(unit)) => generator::check(&root, unit),
                _ => Ok(()),
            },
            runtime_runs,
            usual: read(&usual),
            private: read(&root.at(PRIVATE_CONF_DIR)),
            // Where it cannot be listed, `private` says so.
            foreign: foreign::look(&root.at(PRIVATE_CONF_DIR)).unwrap_or_default(),
            installed,
            networks: policy.as_ref().map_or_else(|_| Vec::new(), |policy| networks(&root, policy)),
            recorded: recorded(&store),
            name: facts::name(&root.inside(&layout.name())),
            cached: names_in(&root.at(RUNTIME_CACHE)),
            state: state(&layout),
            plugin: facts::plugin(&root.at(PACKAGED_PLUGIN)),
            distrusted,
            without,
            marked_without: root.entry(WITHOUT).symlink_metadata().is_ok(),
            held_back,
            completion,
            bin_dirs: places,
            root,
            node,
            identity,
            kind,
            runtime,
            named,
            layout,
            policy,
        })
    }

    /// Our conf in the usual directory, where it is ours and can be read.
    #[must_use]
    pub fn ours(&self) -> Option<&Installed> {
        self.installed.as_ref().ok().and_then(Option::as_ref).filter(|conf| conf.is_ours)
    }

    /// The runtime, where there is one that can be read.
    #[must_use]
    pub fn config(&self) -> Option<&RuntimeConfig> {
        self.runtime.as_ref().ok().and_then(Option::as_ref)
    }

    /// Whether this machine has not been prepared before, by `install` neither: what lies around is an image's.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        match self.kind {
            Kind::Clone => true,
            Kind::First => self.state.is_empty() && !self.runtime_runs,
            Kind::Reboot | Kind::Again => false,
        }
    }
}

/// The directory that the runtime reads without us, as the node sees it. Where it is told of ours already, that is not to be seen
/// any more, and the usual one is taken.
#[must_use]
pub fn usual_dir(config: Option<&RuntimeConfig>) -> &Path {
    let told = config.map(|config| config.setup.conf_dir.as_path());
    told.filter(|dir| *dir != Path::new(PRIVATE_CONF_DIR)).unwrap_or(Path::new(CONF_DIR))
}

/// Where a runtime looks for plugins, as the node sees it: named in node.json, else in its configuration, else the usual places.
#[must_use]
pub fn bin_dirs(node: &Node, config: Option<&RuntimeConfig>) -> Vec<PathBuf> {
    match config {
        _ if !node.runtime.bin_dirs.is_empty() => node.runtime.bin_dirs.clone(),
        Some(config) => config.setup.bin_dirs.clone(),
        None => BIN_DIRS.iter().map(PathBuf::from).collect(),
    }
}

/// A runtime without a unit and a file that can be read, as in a pod, which runs already and tells what it uses. One that does not
/// tell is known where node.json names its directories.
fn answered(root: &Root, node: &Node) -> Option<RuntimeConfig> {
    match Asked::whom(&Whom::on(root, node, None)) {
        Asked::Told(setup) => Some(RuntimeConfig::told(RuntimeKind::Containerd, setup)),
        Asked::Silent if !node.runtime.bin_dirs.is_empty() => {
            let (conf_dir, bin_dirs) = (CONF_DIR.into(), node.runtime.bin_dirs.clone());
            let setup = CniSetup { conf_dir, bin_dirs, max_confs: 1, networks: Vec::new() };
            Some(RuntimeConfig::told(RuntimeKind::Crio, setup))
        }
        Asked::NotAsked | Asked::Unknown(_) | Asked::Absent(_) | Asked::Unanswered(_) | Asked::Silent => None,
    }
}

/// The directories that our conf names, as the node sees them.
#[must_use]
pub fn named(global: &Global, installed: Option<&Installed>) -> Layout {
    let ours = installed.filter(|conf| conf.is_ours);
    flagged(global, ours.map_or_else(Layout::default, |conf| conf.layout.clone()))
}

/// A layout of the node, below a root.
fn below(root: &Root, layout: &Layout) -> Layout {
    Layout { policy: Some(policy_file(root, layout)), ..root.layout(layout) }
}

/// The policy that counts: the one that is named, else the first of the usual places that has one.
#[must_use]
pub fn policy_file(root: &Root, named: &Layout) -> PathBuf {
    let usual =
        || root.settings_file(POLICY_FILE).unwrap_or_else(|| root.at(SETTINGS_DIRS[0]).join(POLICY_FILE));
    named.policy.as_ref().map_or_else(usual, |policy| root.at(policy))
}

fn networks(root: &Root, policy: &Policy) -> Vec<NetworkFacts> {
    let load = |(side, network): (_, &types::policy::Network)| {
        // Whether their plugins are there is not asked: agents bring them.
        NetworkFacts { side, conf: rooted::conf(root, &network.conf), missing: Vec::new() }
    };
    policy.networks().map(load).collect()
}

fn recorded(store: &Store) -> Result<BTreeSet<PathBuf>, String> {
    let (sound, _) = store.all().map_err(|e| format!("list the records: {e}"))?;
    let confs = sound.into_iter().flat_map(|record| record.intent.legs).filter_map(|leg| leg.conf_path);
    Ok(confs.map(PathBuf::from).collect())
}

/// The names in a directory; none where it cannot be listed.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What belongs to the machine that wrote it.
fn state(layout: &Layout) -> Vec<PathBuf> {
    [layout.attachments(), layout.damaged(), layout.inventory(), layout.ledger(), layout.name()]
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .collect()
}

/// The runtime's directories of plugins that exist; where none does, the first, which is made.
#[must_use]
pub fn places(root: &Root, node: &Node, config: Option<&RuntimeConfig>) -> Vec<Place> {
    let dirs = bin_dirs(node, config);
    let mut places: Vec<Place> = dirs.iter().map(|dir| Place::look(root.at(dir))).collect();
    if places.iter().any(|place| place.exists) {
        places.retain(|place| place.exists);
    } else {
        places.truncate(1);
    }
    places
}

impl Place {
    fn look(path: PathBuf) -> Self {
        let above = path.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
        let read_only = statvfs(above).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
        Self { exists: path.is_dir(), read_only, dir: BinDir::look(path) }
    }

    /// Our plugin there.
    #[must_use]
    pub fn plugin(&self) -> PathBuf {
        self.dir.path.join(PLUGIN)
    }
}

/// Directories that others could write, of those that are given and our own.
fn distrusted(usual: Option<&Path>, places: &[Place], store: &Store, layout: &Layout) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: &str, path: &Path| {
        if let Err(why) = trust::check_place(path) {
            found.push(format!("{what}: {why}"));
        }
    };
    usual.iter().for_each(|usual| check("conf dir", usual));
    places.iter().for_each(|place| check("bin dir", &place.dir.path));
    check("run dir", &layout.run_dir);
    if let Err(why) = store.check_trust() {
        found.push(format!("state dir: {why}"));
    }
    found
}

/// Our conf in a directory, if it is ours: nobody else's file of that name is ever touched.
#[must_use]
pub fn our_conf(root: &Root, dir: &Path) -> Option<PathBuf> {
    let found = rooted::conf_dir(root, dir).ok()?;
    let ours = found.confs.iter().find(|conf| conf.file == CONF_FILE)?;
    ours.content.as_ref().is_ok_and(crate::node::confdir::Content::is_ours).then(|| dir.join(CONF_FILE))
}
