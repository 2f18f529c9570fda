//! What `install` finds on the node, gathered before anything is decided or touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::boot::{self, Moment};
use shim::conflist::Conflist;
use shim::inventory::Deleter;
use shim::store::{Key, Store};
use types::node::Mode;
use types::policy::Policy;

use crate::cli::Install;
use crate::node::attachments::{listed, recorded};
use crate::node::confdir::ConfDir;
use crate::node::directories::Directories;
use crate::node::distrust::{self, DirectoryRule};
use crate::node::evidence::{self, Keeper, Waiting};
use crate::node::networks::NetworkConf;
use crate::node::paths::Root;
use crate::node::plugins::{missing, plugin, plugin_dirs};
use crate::node::policy::completion::Completion;
use crate::node::policy::secondary;
use crate::node::{name, rooted};
use crate::runtime::adding::can_see;
use crate::runtime::answer::{RuntimeAnswer, deleter};
use crate::runtime::cache::Cache;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::cri::Runtime;
use crate::runtime::endpoint::Whom;
use crate::runtime::{Sandbox, unread};

/// What was found. What could not be read says why, in words that name it.
#[derive(Debug)]
pub struct InstallFacts {
    /// Directories and our installed conf.
    pub settings: Directories,
    /// Shared or private.
    pub mode: Mode,
    /// The runtime's conf directory.
    pub conf_dir: Result<ConfDir, String>,
    /// Directories that others could write, ours and the runtime's.
    pub distrusted: Vec<String>,
    /// The policy.
    pub policy: Result<Policy, String>,
    /// The probes that its profiles know and it does not.
    pub completion: Option<Completion>,
    /// Networks whose pods will wait for a file of `watch`.
    pub waiting: Vec<Waiting>,
    /// Who keeps these files.
    pub keeper: Keeper,
    /// Its networks.
    pub networks: Vec<NetworkConf>,
    /// Our network's name, if it was written once.
    pub name: Result<Option<String>, String>,
    /// The plugin to install.
    pub plugin: Result<Vec<u8>, String>,
    /// Where it goes.
    pub bin_dirs: Vec<PathBuf>,
    /// Who is attached.
    pub cache: Result<Cache, String>,
    /// What has a record, damaged ones aside.
    pub recorded: Result<BTreeSet<Key>, String>,
    /// What has an inventory entry.
    pub listed: Result<BTreeSet<Key>, String>,
    /// Whom to ask of the runtime.
    pub whom: Whom,
    /// The sandboxes that it runs on a pod network and that neither its cache, a record nor the inventory knows.
    pub uncached: Result<Vec<Sandbox>, String>,
    /// What the runtime says of itself.
    pub asked: RuntimeAnswer,
    /// The configuration of a runtime that says nothing of itself.
    pub config: Option<RuntimeConfig>,
    /// Whether such a runtime has read our conf, where it is installed.
    pub read: Result<(), String>,
    /// Whom `watch`, `boot` and later commands will ask, to whom nobody says it on a command line.
    pub later: Whom,
    /// Who sends the DELs of what is attached already.
    pub deleter: Deleter,
    /// Whether its ADDs that are running can be seen from here.
    pub sees: Result<(), String>,
    /// Now.
    pub now: Result<Moment, String>,
}

impl InstallFacts {
    /// Looks at everything; nothing is changed.
    // Long because installing looks at much, each fact in one line.
    #[must_use]
    pub fn gather(settings: Directories, wanted: &Install) -> Self {
        let store = Store::new(&settings.layout);
        let policy = secondary::load(&settings.layout.policy_file());
        let whom = Whom::of(&wanted.runtime);
        let asked = RuntimeAnswer::whom(&whom);
        let config =
            if asked == RuntimeAnswer::Silent { RuntimeConfig::of_crio(&Root::default()) } else { None };
        let dirs = plugin_dirs(&wanted.bin_dirs, &asked);
        let networks = policy.as_ref().map_or_else(
            |_| Vec::new(),
            |policy| {
                policy
                    .networks()
                    .map(|(side, network)| {
                        let conf = Conflist::load(&network.conf).map(|(conf, _)| conf);
                        let missing = conf
                            .as_ref()
                            .map_or_else(|_| Vec::new(), |conf| missing(&Root::default(), conf, &dirs));
                        NetworkConf { side, conf, missing }
                    })
                    .collect()
            },
        );
        let cache = Cache::read(&wanted.cache_dir)
            .map_err(|e| format!("runtime's cache {}: {e}", wanted.cache_dir.display()));
        let (recorded, listed) = (recorded(&store), listed(&settings));
        let completion = Completion::of(&settings.layout.policy_file());
        let completed = completion.as_ref().and_then(|one| Policy::parse(&one.bytes).ok());
        let before = policy.as_ref().ok();
        let waiting = completed.as_ref().or(before).map_or_else(Vec::new, |policy| {
            evidence::waiting(policy, before.filter(|_| settings.has_ours()))
        });
        Self {
            keeper: match waiting.as_slice() {
                [] => Keeper::Watch,
                _ => Keeper::find(&Root::default(), wanted),
            },
            waiting,
            mode: wanted.mode,
            conf_dir: rooted::conf_dir(&Root::default(), &settings.conf_dir)
                .map_err(|e| format!("conf dir {}: {e}", settings.conf_dir.display())),
            distrusted: distrust::directories(
                DirectoryRule::Present,
                Some(&settings.conf_dir),
                &dirs,
                (&settings.layout, &store),
            ),
            networks,
            name: name::of(&settings.layout.name()),
            plugin: plugin(&wanted.plugin),
            bin_dirs: dirs,
            uncached: uncached(&asked, &whom, &[&cached(&cache), &ids(&recorded), &ids(&listed)]),
            cache,
            recorded,
            listed,
            now: boot::now().map_err(|e| format!("read the clock: {e}")),
            deleter: deleter(&whom),
            completion,
            policy,
            sees: match (&asked, whom.endpoint()) {
                (RuntimeAnswer::Told(_) | RuntimeAnswer::Silent, Some(endpoint)) => can_see(endpoint),
                _ => Ok(()),
            },
            later: match wanted.runtime.runtime_endpoint {
                Some(_) => Whom::found(&Root::default()),
                None => whom.clone(),
            },
            read: match whom.endpoint() {
                Some(endpoint) if asked == RuntimeAnswer::Silent => {
                    unread::check(endpoint, &settings.conf_file())
                }
                _ => Ok(()),
            },
            whom,
            asked,
            config,
            settings,
        }
    }
}

/// The sandboxes of a runtime that runs which are not among the known ones.
fn uncached(asked: &RuntimeAnswer, whom: &Whom, known: &[&BTreeSet<String>]) -> Result<Vec<Sandbox>, String> {
    let (RuntimeAnswer::Told(_) | RuntimeAnswer::Silent, Some(endpoint)) = (asked, whom.endpoint()) else {
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
