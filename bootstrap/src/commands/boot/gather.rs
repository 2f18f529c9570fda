//! What `boot` finds, before anything is decided or touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use shim::layout::{CONF_DIR, CONF_FILE, Layout, PACKAGED_PLUGIN, RUNTIME_CACHE};
use shim::store::Store;
use types::endpoint::socket;
use types::node::{Mode, Node, RuntimeKind};
use types::policy::{Policy, Side};
use types::problem::Problem;

use super::final_image::Leavings;
use crate::change::look;
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::node::conf::our_conf;
use crate::node::confdir::ConfDir;
use crate::node::digest;
use crate::node::directories::Installed;
use crate::node::directories::below;
use crate::node::directories::named;
use crate::node::directories::policy_file;
use crate::node::directories::usual_dir;
use crate::node::distrust::{self, DirectoryRule};
use crate::node::foreign::{self, Foreign};
use crate::node::identity::{BootKind, Booted, Identity};
use crate::node::networks::NetworkConf;
use crate::node::paths::{BOOTED, IDENTITY, NODE_FILE, PRIVATE_CONF_DIR, PROBED, Root, SET_ASIDE, WITHOUT};
use crate::node::plugins::BinPlace;
use crate::node::plugins::places;
use crate::node::policy::completion::Completion;
use crate::node::policy::secondary;
use crate::node::rooted;
use crate::node::settings;
use crate::node::{name, plugins};
use crate::runtime::CniSetup;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::{self, Whom};
use crate::systemd::continuation;

/// What was found. Paths are below the root but where it says otherwise.
#[derive(Debug)]
pub struct BootFacts {
    /// The tree.
    pub root: Root,
    /// Where things are that boot writes and removes.
    pub places: Places,
    /// How this node takes part.
    pub node: Node,
    /// This boot.
    pub identity: Identity,
    /// What kind of boot it is.
    pub kind: BootKind,
    /// The runtime; none where there is none.
    pub runtime: Result<Option<RuntimeConfig>, Problem>,
    /// The runtime runs already: what it reads now is in force until it is started again.
    pub runtime_runs: bool,
    /// Whether the runtime's unit hands our words on; always, in shared mode.
    pub handed_on: Result<(), Problem>,
    /// The directory that the runtime reads without us.
    pub usual: Result<ConfDir, String>,
    /// Ours of private mode.
    pub private: Result<ConfDir, String>,
    /// What others have put there.
    pub foreign: Vec<Foreign>,
    /// Of what is in the usual directory: SHA-256 by file name, in hex, of what can be read.
    pub sums: BTreeMap<String, String>,
    /// The usual directory exists.
    pub usual_exists: bool,
    /// Ours of private mode exists.
    pub private_exists: bool,
    /// Our conf in the usual directory, where it is a file of ours whatever else is in it.
    pub our_conf: Option<PathBuf>,
    /// There is a node.json.
    pub node_decides: bool,
    /// The confs that the policy's networks name, below the root.
    pub policy_confs: BTreeSet<PathBuf>,
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
    pub networks: Vec<NetworkConf>,
    /// Confs that records name, below the root.
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
    pub bin_dirs: Vec<BinPlace>,
    /// Directories that others could write.
    pub distrusted: Vec<String>,
    /// What an earlier time has left; none where the node has our plugin.
    pub(super) without: Option<Leavings>,
}

/// Files and directories of ours, below the root.
#[derive(Debug)]
pub struct Places {
    /// [`WITHOUT`].
    pub without: PathBuf,
    /// A directory of this boot in [`SET_ASIDE`].
    pub aside: PathBuf,
    /// [`PRIVATE_CONF_DIR`].
    pub private: PathBuf,
    /// [`IDENTITY`].
    pub identity: PathBuf,
    /// [`BOOTED`].
    pub booted: PathBuf,
}

impl Places {
    fn below(root: &Root, boot_id: &str) -> Self {
        Self {
            without: root.entry(WITHOUT),
            aside: root.at(SET_ASIDE).join(boot_id),
            private: root.at(PRIVATE_CONF_DIR),
            identity: root.entry(IDENTITY),
            booted: root.entry(BOOTED),
        }
    }
}

impl BootFacts {
    /// Looks at everything; nothing is changed.
    ///
    /// # Errors
    /// node.json is not valid, or the boot cannot be told: then nothing can be decided.
    // Long because a boot looks at much, each fact in one line.
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
            Leavings::gather(&root, config, &layout, (&identity, runtime_runs || kind == BootKind::Again))
        });
        let held: Vec<Side> = match kind {
            BootKind::Again => {
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
            Some(_) => distrust::directories(DirectoryRule::Possible, None, &[], (&layout, &store)),
            None => {
                let bin_dirs: Vec<PathBuf> = places.iter().map(|place| place.path.clone()).collect();
                distrust::directories(DirectoryRule::Possible, Some(&usual), &bin_dirs, (&layout, &store))
            }
        };
        Ok(Self {
            handed_on: match (node.conf_dir, config.and_then(|config| config.unit.as_deref())) {
                (Mode::Private, Some(unit)) => continuation::check(&root, unit),
                _ => Ok(()),
            },
            runtime_runs,
            usual: read(&usual),
            private: read(&root.at(PRIVATE_CONF_DIR)),
            // Where it cannot be listed, `private` says so.
            foreign: foreign::look(&root.at(PRIVATE_CONF_DIR)).unwrap_or_default(),
            installed,
            networks: policy.as_ref().map_or_else(|_| Vec::new(), |policy| networks(&root, policy)),
            recorded: recorded(&root, &store),
            policy_confs: policy.iter().flat_map(|policy| policy_confs(&root, policy)).collect(),
            sums: sums(&usual),
            usual_exists: usual.is_dir(),
            private_exists: root.at(PRIVATE_CONF_DIR).is_dir(),
            our_conf: our_conf(&root, &usual),
            node_decides: root.settings_file(NODE_FILE).is_some(),
            places: Places::below(&root, &identity.boot_id),
            name: name::of(&root.inside(&layout.name())),
            cached: names_in(&root.at(RUNTIME_CACHE)),
            state: state(&layout),
            plugin: plugins::plugin(&root.at(PACKAGED_PLUGIN)),
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
            BootKind::Clone => true,
            BootKind::First => self.state.is_empty() && !self.runtime_runs,
            BootKind::Reboot | BootKind::Again => false,
        }
    }
}

/// A runtime without a unit and a file that can be read, as in a pod, which runs already and tells what it uses. One that does not
/// tell is known where node.json names its directories.
fn answered(root: &Root, node: &Node) -> Option<RuntimeConfig> {
    match RuntimeAnswer::whom(&Whom::on(root, node, None)) {
        RuntimeAnswer::Told(setup) => Some(RuntimeConfig::told(RuntimeKind::Containerd, setup)),
        RuntimeAnswer::Silent if !node.runtime.bin_dirs.is_empty() => {
            let (conf_dir, bin_dirs) = (CONF_DIR.into(), node.runtime.bin_dirs.clone());
            let setup = CniSetup { conf_dir, bin_dirs, max_confs: 1, networks: Vec::new() };
            Some(RuntimeConfig::told(RuntimeKind::Crio, setup))
        }
        RuntimeAnswer::NotAsked
        | RuntimeAnswer::Unknown(_)
        | RuntimeAnswer::Absent(_)
        | RuntimeAnswer::Unanswered(_)
        | RuntimeAnswer::Silent => None,
    }
}

fn networks(root: &Root, policy: &Policy) -> Vec<NetworkConf> {
    let load = |(side, network): (_, &types::policy::Network)| {
        // Whether their plugins are there is not asked: agents bring them.
        NetworkConf { side, conf: rooted::conf(root, &network.conf), missing: Vec::new() }
    };
    policy.networks().map(load).collect()
}

fn recorded(root: &Root, store: &Store) -> Result<BTreeSet<PathBuf>, String> {
    let (sound, _) = store.all().map_err(|e| format!("list the records: {e}"))?;
    let confs = sound.into_iter().flat_map(|record| record.intent.legs).filter_map(|leg| leg.conf_path);
    Ok(confs.map(|conf| root.at(PathBuf::from(conf))).collect())
}

fn policy_confs<'a>(root: &'a Root, policy: &'a Policy) -> impl Iterator<Item = PathBuf> + 'a {
    policy.networks().flat_map(|(_, network)| &network.conf).map(|conf| root.at(conf))
}

/// SHA-256 of the files in a directory; what is no file, or cannot be read, has none.
fn sums(dir: &Path) -> BTreeMap<String, String> {
    let sum = |file: String| {
        let (bytes, _) = look(&dir.join(&file))?;
        Some((file, digest::sha256(&bytes)))
    };
    names_in(dir).into_iter().filter_map(sum).collect()
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
