//! The facts of `install` about the node, gathered before anything is decided or touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::boot::{self, Moment};
use shim::inventory::Deleter;
use shim::store::{Key, Store};
use types::node::{Mode, Node};
use types::policy::Policy;

use crate::cli::{Global, Install};
use crate::host::root::Root;
use crate::host::untrusted::{self, DirectoryRule};
use crate::node::attachments::{listed, recorded};
use crate::node::cni;
use crate::node::cni::PluginChoice;
use crate::node::facts;
use crate::node::networks::gated;
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::node::policy::completion;
use crate::publish::removal::Leftovers;
use crate::runtime::answer::deleter;
use crate::runtime::cache;
use crate::runtime::conf_reading;
use crate::runtime::cri::Runtime;
use crate::runtime::endpoint;
use crate::runtime::running_adds::can_see;
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::networks::gated::{GatedNetwork, Keeper};
use convergence::node::policy::completion::Completion;
use convergence::node::settings::Settings;
use convergence::runtime::Sandbox;
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::cache::Cache;
use convergence::runtime::config::RuntimeConfig;
use convergence::runtime::endpoint::RuntimeChoice;
use convergence::runtime::facts::RuntimeFacts;

/// What an installation finds beyond what every command gathers. What could not be read says why, in words that name it.
#[derive(Debug)]
pub struct InstallFacts {
    /// The running node, whose runtime was asked.
    pub node: NodeFacts,
    /// The confs, networks and plugins of the node.
    pub cni: CniFacts,
    /// The mode that the command line names.
    pub mode: Mode,
    /// Directories of Crossfade and of the runtime that other users could write.
    pub distrusted: Vec<String>,
    /// The probes that its profiles know and it does not.
    pub completion: Option<Completion>,
    /// Networks whose pods will wait for a file of `watch`.
    pub waiting: Vec<GatedNetwork>,
    /// Who keeps the files that pods wait for.
    pub keeper: Keeper,
    /// The attachments in the runtime's result cache.
    pub cache: Result<Cache, String>,
    /// The attachments that have a record, without damaged ones.
    pub recorded: Result<BTreeSet<Key>, String>,
    /// The attachments that have an inventory entry.
    pub listed: Result<BTreeSet<Key>, String>,
    /// The sandboxes that it runs on a pod network and that neither its cache, a record nor the inventory knows.
    pub uncached: Result<Vec<Sandbox>, String>,
    /// Directories in which the runtime itself says that it looks for plugins; none where it says nothing.
    pub runtime_dirs: Vec<PathBuf>,
    /// Whether a runtime that does not name its conf has read Crossfade's conf, if the conf is installed.
    pub read: Result<(), String>,
    /// The runtime that `watch`, `boot` and later commands will ask without options of a command line.
    pub later: RuntimeChoice,
    /// What an earlier installation may have left on the Node, if this one begins.
    pub leftovers: Result<Option<Leftovers>, String>,
    /// Who sends the DELs of the attachments from before the installation.
    pub deleter: Deleter,
    /// Whether its ADDs that are running can be seen from here.
    pub sees: Result<(), String>,
    pub now: Result<Moment, String>,
}

impl InstallFacts {
    /// Looks at everything; nothing is changed.
    // Long because installing looks at much, each fact in one line.
    #[must_use]
    pub fn gather(global: &Global, settings: Settings, wanted: &Install) -> Self {
        let root = Root::default();
        let node = facts::with_runtime(global, settings, &wanted.runtime).with_usable_policy();
        let choice = PluginChoice { bin_dirs: &wanted.bin_dirs, plugin: Some(&wanted.plugin) };
        let cni = cni::gather(&node, choice);
        let NodeFacts { dirs, runtime: RuntimeFacts { choice, answer, .. }, .. } = &node;
        let store = Store::new(&dirs.layout);
        let cache = cache::gather(&wanted.cache_dir)
            .map_err(|e| format!("runtime's cache {}: {e}", wanted.cache_dir.display()));
        let (recorded, listed) = (recorded(&store), listed(dirs));
        let completion = completion::find(&Root::default(), &dirs.layout.policy_file());
        let completed = completion.as_ref().and_then(|completion| Policy::parse(&completion.bytes).ok());
        let before = node.policy();
        let waiting = completed
            .as_ref()
            .or(before)
            .map_or_else(Vec::new, |policy| gated::gather(policy, before.filter(|_| dirs.has_own_conf())));
        Self {
            keeper: match waiting.as_slice() {
                [] => Keeper::Watch,
                _ => gated::find_keeper(&root, wanted),
            },
            waiting,
            mode: wanted.mode,
            distrusted: untrusted::directories(
                DirectoryRule::Present,
                Some(&dirs.conf_dir),
                &cni.plugins.paths(),
                (&dirs.layout, &store),
            ),
            uncached: uncached(answer, choice, &[&cached(&cache), &ids(&recorded), &ids(&listed)]),
            cache,
            recorded,
            listed,
            runtime_dirs: runtime_dirs(&root, &node.runtime),
            now: boot::now().map_err(|e| format!("read the clock: {e}")),
            leftovers: match dirs.installed {
                Ok(None) => Leftovers::gather(&root, &node.settings),
                Ok(Some(_)) | Err(_) => Ok(None),
            },
            deleter: deleter(&node.runtime),
            completion,
            sees: match (answer, choice.endpoint()) {
                (RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent, Some(endpoint)) => can_see(endpoint),
                _ => Ok(()),
            },
            later: match wanted.runtime.runtime_endpoint {
                // Whom `watch` and `boot` will ask goes by what is configured.
                Some(_) => endpoint::choose(&root, &node.settings, node.runtime.config()),
                None => choice.clone(),
            },
            read: match choice.endpoint() {
                Some(endpoint) if *answer == RuntimeAnswer::Silent => {
                    conf_reading::check(endpoint, &dirs.conf_file())
                }
                _ => Ok(()),
            },
            cni,
            node,
        }
    }

    /// The configuration of a runtime that runs and says nothing of itself, which is CRI-O.
    #[must_use]
    pub fn unsaid(&self) -> Option<&RuntimeConfig> {
        unsaid(&self.node.runtime)
    }
}

fn unsaid(runtime: &RuntimeFacts) -> Option<&RuntimeConfig> {
    runtime.crio().filter(|_| runtime.answer == RuntimeAnswer::Silent)
}

fn runtime_dirs(root: &Root, runtime: &RuntimeFacts) -> Vec<PathBuf> {
    let (answered, config) = (runtime.answer.setup(), unsaid(runtime));
    if answered.is_none() && config.is_none() {
        return Vec::new();
    }
    BinDirSources { runtime: answered, config, ..BinDirSources::of_node(&Node::default()) }.search(root)
}

/// The sandboxes of a runtime that runs which are not among the known ones.
fn uncached(
    asked: &RuntimeAnswer,
    choice: &RuntimeChoice,
    known: &[&BTreeSet<String>],
) -> Result<Vec<Sandbox>, String> {
    let (RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent, Some(endpoint)) = (asked, choice.endpoint()) else {
        return Ok(Vec::new());
    };
    let known: BTreeSet<String> = known.iter().flat_map(|ids| ids.iter().cloned()).collect();
    Runtime::at(endpoint).and_then(|runtime| runtime.on_pod_network(&known)).map_err(|e| format!("{e:#}"))
}

/// The container ids of a cache. Of a file that cannot be read the name has it: `NETWORK-ID-IFNAME`.
fn cached(cache: &Result<Cache, String>) -> BTreeSet<String> {
    let Ok(cache) = cache else { return BTreeSet::new() };
    let named =
        cache.unreadable.iter().filter_map(|(path, _)| path.file_name()?.to_str()?.rsplit('-').nth(1));
    let read = cache.attachments.iter().map(|cached| cached.key.container_id.clone());
    read.chain(named.map(str::to_owned)).collect()
}

fn ids(keys: &Result<BTreeSet<Key>, String>) -> BTreeSet<String> {
    keys.iter().flatten().map(|key| key.container_id.clone()).collect()
}
