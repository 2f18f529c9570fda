//! The facts of `boot`, gathered before anything is decided or touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use shim::layout::{CONF_DIR, Layout, RUNTIME_CACHE};
use shim::store::Store;
use types::endpoint::socket;
use types::node::{Mode, Node, RuntimeKind};
use types::policy::{Policy, Side};
use types::problem::Problem;

use super::leavings::Leavings;
use crate::change::read_with_mode;
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::node::cni::{CniFacts, PluginChoice};
use crate::node::conf::our_conf;
use crate::node::confdir::ConfDir;
use crate::node::facts::{ConfDirChoice, NodeFacts, NodeQuery};
use crate::node::foreign::{self, ForeignEntry};
use crate::node::identity::{BootKind, BootRecord, Identity};
use crate::node::paths::{BOOTED, IDENTITY, PRIVATE_CONF_DIR, PROBED, Root, SET_ASIDE, WITHOUT};
use crate::node::policy::completion::Completion;
use crate::node::settings::Settings;
use crate::node::untrusted::{self, DirectoryRule};
use crate::node::{attachments, digest, rooted, switch};
use crate::runtime::CniSetup;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::{self, RuntimeChoice};
use crate::runtime::facts::{ConfigFact, RuntimeFacts};
use crate::systemd::continuation;

/// Where runtimes mount the network namespaces of pods.
const NETNS: &str = "/run/netns";

/// What a boot finds beyond what every command gathers. Paths have the root before them.
#[derive(Debug)]
pub struct BootFacts {
    /// The node; its conf directory is the one that agents write to, whichever the runtime reads.
    pub node: NodeFacts,
    /// The confs, networks and plugins of the node.
    pub cni: CniFacts,
    /// Paths that boot writes and removes.
    pub places: Places,
    /// The identity of this machine and of this boot.
    pub identity: Identity,
    /// What kind of boot this is.
    pub kind: BootKind,
    /// The runtime runs already: what it reads now is in force until it is started again.
    pub runtime_runs: bool,
    /// Whether the runtime's unit passes Crossfade's arguments on; always true in shared mode.
    pub handed_on: Result<(), Problem>,
    /// Confs in Crossfade's private directory, or why they cannot be listed.
    pub private: Result<ConfDir, String>,
    /// Foreign entries in Crossfade's private directory.
    pub foreign: Vec<ForeignEntry>,
    /// Of what is in the usual directory: SHA-256 by file name, in hex, of what can be read.
    pub sums: BTreeMap<String, String>,
    /// Whether the agents' conf directory exists.
    pub usual_exists: bool,
    /// Whether Crossfade's private directory exists.
    pub private_exists: bool,
    /// Crossfade's conf in the usual directory, if the file is Crossfade's, whatever else the directory holds.
    pub our_conf: Option<PathBuf>,
    /// The confs that the policy's networks name, below the root.
    pub policy_confs: BTreeSet<PathBuf>,
    /// The probes that its profiles know and it does not.
    pub completion: Option<Completion>,
    /// An earlier boot left the marker of a node without Crossfade's plugin.
    pub marked_without: bool,
    /// Networks, each with its profile, whose pods would come to wait for a file that is not there, under running pods.
    pub held_back: Vec<String>,
    /// Confs that records name, with the root before them.
    pub recorded: Result<BTreeSet<PathBuf>, String>,
    /// File names of the runtime's result cache: `NETWORK-ID-IFNAME`.
    pub cached: Vec<String>,
    /// Network namespaces of pods that run although there is neither a record nor an inventory: they were attached without Crossfade.
    pub unlisted: Vec<String>,
    /// Crossfade's files and directories of state that exist.
    pub state: Vec<PathBuf>,
    /// Directories that other users could write, one line each.
    pub distrusted: Vec<String>,
    /// What an earlier image left on a node of a final image; `None` where the node has Crossfade's plugin.
    pub(super) without: Option<Leavings>,
}

/// Crossfade's files and directories that boot writes and removes, below the root.
#[derive(Debug)]
pub struct Places {
    pub without: PathBuf,
    /// A directory of this boot in [`SET_ASIDE`].
    pub aside: PathBuf,
    /// [`PRIVATE_CONF_DIR`].
    pub private: PathBuf,
    pub identity: PathBuf,
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

/// The node as a boot finds it. The off switch needs no other fact.
pub(super) fn of_agents(global: &Global, settings: Settings) -> NodeFacts {
    let root = Root::new(&global.root);
    let runtime = match switch::off_switch(&root) {
        Some(_) => RuntimeFacts::configured(&root, &settings.node),
        None => configured_or_told(&root, &settings.node),
    };
    NodeFacts::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::OfAgents })
}

impl BootFacts {
    /// Looks at what only a boot needs; nothing is changed.
    ///
    /// # Errors
    /// The boot cannot be told: then nothing can be decided.
    // Long because a boot looks at much, each fact in one line.
    pub fn gather(global: &Global, node: NodeFacts) -> Result<Self, Failure> {
        let root = node.root.clone();
        let node = node.with_usable_policy();
        let identity = match Identity::current(&root) {
            Err(_) if global.dry_run && !root.is_node() => Identity::of_an_image(),
            known => known.map_err(Failure::later)?,
        };
        let kind = identity.kind(Identity::recorded(&root).as_ref(), BootRecord::read(&root).as_ref());
        let cni = CniFacts::gather(&node, PluginChoice::default());
        let layout = &node.dirs.layout;
        root.holds_state(layout)
            .map_err(|why| Failure::new(Exit::No, why).fix("remove the link, or make it a relative one"))?;
        let store = Store::new(layout);
        let policy_file = layout.policy_file();
        let config = node.runtime.config();
        let endpoint = endpoint::find(&root, &node.settings, config).ok();
        let runtime_runs = endpoint.is_some_and(|named| root.at(socket(&named.endpoint)).exists());
        let without = (node.settings.conf_dir == Mode::Without)
            .then(|| Leavings::gather(&node, (&identity, runtime_runs || kind == BootKind::Again)));
        let held: Vec<Side> = match kind {
            BootKind::Again => {
                Side::BOTH.into_iter().filter(|side| !root.at(PROBED).join(side.as_str()).exists()).collect()
            }
            BootKind::First | BootKind::Clone | BootKind::Reboot => Vec::new(),
        };
        let completion = Completion::find_except(&policy_file, &held);
        let named_in = |completion: &Option<Completion>| {
            completion.iter().flat_map(|completion| completion.probed.clone()).collect::<Vec<_>>()
        };
        let mut held_back = named_in(&Completion::find(&policy_file));
        held_back.retain(|network| !named_in(&completion).contains(network));
        let distrusted = match without {
            Some(_) => untrusted::directories(DirectoryRule::Possible, None, &[], (layout, &store)),
            None => {
                let agents_dir = Some(node.dirs.conf_dir.as_path());
                untrusted::directories(
                    DirectoryRule::Possible,
                    agents_dir,
                    &cni.plugins.paths(),
                    (layout, &store),
                )
            }
        };
        let private = root.at(PRIVATE_CONF_DIR);
        Ok(Self {
            handed_on: match (node.settings.conf_dir, config.and_then(|config| config.unit.as_deref())) {
                (Mode::Private, Some(unit)) => continuation::check(&root, &node.settings, unit),
                _ => Ok(()),
            },
            runtime_runs,
            private: rooted::conf_dir(&root, &private)
                .map_err(|e| format!("conf dir {}: {e}", private.display())),
            // Where it cannot be listed, `private` says so.
            foreign: foreign::list(&private).unwrap_or_default(),
            recorded: recorded(&root, &store),
            policy_confs: node.policy().into_iter().flat_map(|policy| policy_confs(&root, policy)).collect(),
            sums: sums(&node.dirs.conf_dir),
            usual_exists: node.dirs.conf_dir.is_dir(),
            private_exists: private.is_dir(),
            our_conf: our_conf(&root, &node.dirs.conf_dir),
            places: Places::below(&root, &identity.boot_id),
            cached: names_in(&root.at(RUNTIME_CACHE)),
            unlisted: match (attachments::recorded(&store), attachments::listed(&node.dirs)) {
                (Ok(recorded), Ok(listed)) if recorded.is_empty() && listed.is_empty() => pod_netns(&root),
                // What cannot be read is said elsewhere.
                (Ok(_), Ok(_)) | (Err(_), _) | (_, Err(_)) => Vec::new(),
            },
            state: state(layout),
            distrusted,
            without,
            marked_without: root.entry(WITHOUT).symlink_metadata().is_ok(),
            held_back,
            completion,
            identity,
            kind,
            cni,
            node,
        })
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

/// The runtime as it is configured; else as it answers.
fn configured_or_told(root: &Root, settings: &Node) -> RuntimeFacts {
    let facts = RuntimeFacts::configured(root, settings);
    let config = match facts.config {
        ConfigFact::NoRuntime => answered(root, settings).map_or(ConfigFact::NoRuntime, ConfigFact::Answered),
        known @ (ConfigFact::NotRead
        | ConfigFact::Read(_)
        | ConfigFact::Answered(_)
        | ConfigFact::Unreadable(_)) => known,
    };
    RuntimeFacts { config, ..facts }
}

/// A runtime without a unit and a file that can be read, as in a pod, which runs already and tells what it uses. One that does not
/// tell is known where node.json names its directories.
fn answered(root: &Root, node: &Node) -> Option<RuntimeConfig> {
    match RuntimeAnswer::ask(&RuntimeChoice::find(root, node, None)) {
        RuntimeAnswer::Setup(setup) => Some(RuntimeConfig::from_answer(RuntimeKind::Containerd, setup)),
        RuntimeAnswer::Silent if !node.runtime.bin_dirs.is_empty() => {
            let (conf_dir, bin_dirs) = (CONF_DIR.into(), node.runtime.bin_dirs.clone());
            let setup = CniSetup { conf_dir, bin_dirs, max_confs: 1, networks: Vec::new() };
            Some(RuntimeConfig::from_answer(RuntimeKind::Crio, setup))
        }
        RuntimeAnswer::NotAsked
        | RuntimeAnswer::Unknown(_)
        | RuntimeAnswer::Absent(_)
        | RuntimeAnswer::Failed(_)
        | RuntimeAnswer::Silent => None,
    }
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
        let (bytes, _) = read_with_mode(&dir.join(&file))?;
        Some((file, digest::sha256(&bytes)))
    };
    names_in(dir).into_iter().filter_map(sum).collect()
}

/// The names in a directory; none where it cannot be listed.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The network namespaces that a runtime has made for pods and not removed. The directory is in memory, so that after a reboot there is none.
///
/// The runtime is not asked, for at a boot it does not run yet. *Source*: containerd, `pkg/netns/netns_linux.go`, `newNS`: `cni-` and a UUID;
/// CRI-O, `internal/config/nsmgr`, `NewPodNamespaces`: a UUID.
fn pod_netns(root: &Root) -> Vec<String> {
    let mut names = names_in(&root.at(NETNS));
    names.retain(|name| is_uuid(name.strip_prefix("cni-").unwrap_or(name)));
    names.sort();
    names
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// The files and directories of state that belong to one machine.
fn state(layout: &Layout) -> Vec<PathBuf> {
    [layout.attachments(), layout.damaged(), layout.inventory(), layout.ledger(), layout.name()]
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .collect()
}
