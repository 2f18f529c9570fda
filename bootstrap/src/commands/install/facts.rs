//! The facts of `install` about the node, gathered before anything is decided or touched.

use std::collections::BTreeSet;
use std::path::PathBuf;

use convergence::commands::install::facts::{InstallFacts, config_without_dir};
use convergence::node::facts::NodeFacts;
use convergence::node::networks::gated::Keeper;
use convergence::node::settings::Settings;
use convergence::node::settings::directories::OwnConfFile;
use convergence::runtime::Sandbox;
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::cache::Cache;
use convergence::runtime::endpoint::RuntimeChoice;
use convergence::runtime::facts::RuntimeFacts;
use shim::host::boot;
use shim::node::store::{Key, Store};
use types::node::Node;
use types::policy::Policy;

use crate::cli::{Global, Install};
use crate::host::root::Root;
use crate::host::untrusted::{self, DirectoryRule};
use crate::node::attachments::{listed_keys, recorded_keys};
use crate::node::cni::{self, PluginChoice};
use crate::node::facts;
use crate::node::networks::gated;
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::node::policy::completion;
use crate::publish::removal::leftovers;
use crate::runtime::answer::deleter;
use crate::runtime::cri::Runtime;
use crate::runtime::running_adds::can_see;
use crate::runtime::{cache, conf_reading, endpoint};

fn runtime_dirs(root: &Root, runtime: &RuntimeFacts) -> Vec<PathBuf> {
    let (answered, config) = (runtime.answer.setup(), config_without_dir(runtime));
    if answered.is_none() && config.is_none() {
        return Vec::new();
    }
    BinDirSources { runtime: answered, config, ..BinDirSources::from_node(&Node::default()) }.search(root)
}

/// The sandboxes of a runtime that runs which are not among the known ones.
fn list_uncached(
    answer: &RuntimeAnswer,
    choice: &RuntimeChoice,
    known_ids: &[&BTreeSet<String>],
) -> Result<Vec<Sandbox>, String> {
    let (RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent, Some(endpoint)) = (answer, choice.endpoint())
    else {
        return Ok(Vec::new());
    };
    let known_ids: BTreeSet<String> = known_ids.iter().flat_map(|ids| ids.iter().cloned()).collect();
    Runtime::connect(endpoint)
        .and_then(|runtime| runtime.list_pod_network_sandboxes(&known_ids))
        .map_err(|e| format!("{e:#}"))
}

/// The container ids of a cache. Of a file that cannot be read the name has it: `NETWORK-ID-IFNAME`.
fn cached_ids(cache: &Result<Cache, String>) -> BTreeSet<String> {
    let Ok(cache) = cache else { return BTreeSet::new() };
    let named =
        cache.unreadable.iter().filter_map(|(path, _)| path.file_name()?.to_str()?.rsplit('-').nth(1));
    let read = cache.attachments.iter().map(|cached| cached.key.container_id.clone());
    read.chain(named.map(str::to_owned)).collect()
}

fn ids(keys: &Result<BTreeSet<Key>, String>) -> BTreeSet<String> {
    keys.iter().flatten().map(|key| key.container_id.clone()).collect()
}

/// Looks at everything; nothing is changed.
// Long because installing looks at much, each fact in one line.
#[must_use]
pub(crate) fn gather(global: &Global, settings: Settings, args: &Install) -> InstallFacts {
    let root = Root::default();
    let node = facts::with_runtime(global, settings, &args.runtime).with_usable_policy();
    let choice = PluginChoice { bin_dirs: &args.bin_dirs, plugin: Some(&args.plugin) };
    let cni = cni::gather(&node, choice);
    let NodeFacts { dirs, runtime: RuntimeFacts { choice, answer, .. }, .. } = &node;
    let store = Store::new(&dirs.layout);
    let cache = cache::gather(&args.cache_dir)
        .map_err(|e| format!("runtime's cache {}: {e}", args.cache_dir.display()));
    let (recorded, listed) = (recorded_keys(&store), listed_keys(dirs));
    let completion = completion::find(&Root::default(), &dirs.layout.policy_file(), &node.profiles);
    let completed = completion.as_ref().and_then(|completion| Policy::parse(&completion.bytes).ok());
    let before = node.policy();
    let waiting = completed.as_ref().or(before).map_or_else(Vec::new, |policy| {
        gated::gather(policy, before.filter(|_| dirs.installed.conf().is_some()), &node.profiles)
    });
    InstallFacts {
        keeper: match waiting.as_slice() {
            [] => Keeper::Watch,
            _ => gated::find_keeper(&root, args),
        },
        waiting,
        mode: args.mode,
        distrusted: untrusted::directories(
            DirectoryRule::Present,
            Some(&dirs.conf_dir),
            &cni.plugins.paths(),
            (&dirs.layout, &store),
        ),
        uncached: list_uncached(answer, choice, &[&cached_ids(&cache), &ids(&recorded), &ids(&listed)]),
        cache,
        recorded,
        listed,
        runtime_dirs: runtime_dirs(&root, &node.runtime),
        now: boot::now().map_err(|e| format!("read the clock: {e}")),
        leftovers: match dirs.installed {
            OwnConfFile::Absent => leftovers(&root, &node.settings),
            OwnConfFile::Ours(_) | OwnConfFile::Foreign | OwnConfFile::Unreadable(_) => Ok(None),
        },
        deleter: deleter(&node.runtime),
        completion,
        sees: match (answer, choice.endpoint()) {
            (RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent, Some(endpoint)) => can_see(endpoint),
            (RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent, None)
            | (
                RuntimeAnswer::NotAsked
                | RuntimeAnswer::Unknown(_)
                | RuntimeAnswer::Absent(_)
                | RuntimeAnswer::Failed(_),
                _,
            ) => Ok(()),
        },
        later: match args.runtime.runtime_endpoint {
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
