//! What `install` finds on the node, gathered before anything is decided or touched.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shim::boot::{self, Moment};
use shim::conflist::{Conflist, Unloadable};
use shim::exec::Binary;
use shim::file::{read_bounded, read_regular};
use shim::inventory::{self, Deleter};
use shim::layout::{BIN_DIRS, PLUGIN};
use shim::store::{Key, Store};
use shim::trust;
use types::node::Mode;
use types::policy::{Policy, Side};
use types::raw::RawObject;

use crate::cli::Install;
use crate::commands::policy::completion::Completion;
use crate::commands::policy::secondary;
use crate::node::confdir::ConfDir;
use crate::node::directories::Directories;
use crate::node::evidence::{self, Keeper, Waiting};
use crate::node::paths::Root;
use crate::node::rooted;
use crate::runtime::adding::can_see;
use crate::runtime::asked::Asked;
use crate::runtime::cache::Cache;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::cri::Runtime;
use crate::runtime::endpoint::Whom;
use crate::runtime::{CniSetup, Sandbox, unread};

/// Largest plugin that we install, in bytes.
const MAX_PLUGIN_BYTES: usize = 64 << 20;
/// What CRI-O calls itself. *Source*: `server/version.go` of CRI-O, `containerName`.
const CRIO_NAME: &str = "cri-o";
/// Longest name file, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// What was found. What could not be read says why, in words that name it.
#[derive(Debug)]
pub struct Facts {
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
    pub networks: Vec<NetworkFacts>,
    /// Our network's name, if it was written once.
    pub name: Result<Option<String>, String>,
    /// The plugin to install.
    pub plugin: Result<Vec<u8>, String>,
    /// Where it goes.
    pub bin_dirs: Vec<BinDir>,
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
    pub asked: Asked,
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

/// A network of the policy.
#[derive(Debug)]
pub struct NetworkFacts {
    /// Which.
    pub side: Side,
    /// Its conf.
    pub conf: Result<Conflist, Unloadable>,
    /// Binaries of it that no bin dir has, or that cannot be used.
    pub missing: Vec<String>,
}

/// A directory of plugins.
#[derive(Debug)]
pub struct BinDir {
    /// Where it is.
    pub path: PathBuf,
    /// Our plugin there: bytes and mode.
    pub plugin: Option<(Vec<u8>, u32)>,
}

impl Facts {
    /// Looks at everything; nothing is changed.
    #[must_use]
    pub fn gather(settings: Directories, wanted: &Install) -> Self {
        let store = Store::new(&settings.layout);
        let policy = secondary::load(&settings.layout.policy_file());
        let whom = Whom::of(&wanted.runtime);
        let asked = Asked::whom(&whom);
        let config = if asked == Asked::Silent { RuntimeConfig::of_crio(&Root::default()) } else { None };
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
                        NetworkFacts { side, conf, missing }
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
            distrusted: distrusted(&settings, &dirs, &store),
            networks,
            name: name(&settings.layout.name()),
            plugin: plugin(&wanted.plugin),
            bin_dirs: dirs.into_iter().map(BinDir::look).collect(),
            uncached: uncached(&asked, &whom, &[&cached(&cache), &ids(&recorded), &ids(&listed)]),
            cache,
            recorded,
            listed,
            now: boot::now().map_err(|e| format!("read the clock: {e}")),
            deleter: deleter(&whom),
            completion,
            policy,
            sees: match (&asked, whom.endpoint()) {
                (Asked::Told(_) | Asked::Silent, Some(endpoint)) => can_see(endpoint),
                _ => Ok(()),
            },
            later: match wanted.runtime.runtime_endpoint {
                Some(_) => Whom::found(&Root::default()),
                None => whom.clone(),
            },
            read: match whom.endpoint() {
                Some(endpoint) if asked == Asked::Silent => unread::check(endpoint, &settings.conf_file()),
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
fn uncached(asked: &Asked, whom: &Whom, known: &[&BTreeSet<String>]) -> Result<Vec<Sandbox>, String> {
    let (Asked::Told(_) | Asked::Silent, Some(endpoint)) = (asked, whom.endpoint()) else {
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

/// Keys of everything that has a record.
///
/// # Errors
/// When the records cannot be listed.
pub fn recorded(store: &Store) -> Result<BTreeSet<Key>, String> {
    let (sound, _) = store.all().map_err(|e| format!("list the records: {e}"))?;
    Ok(sound.into_iter().map(|record| Key::new(record.intent.container_id, record.intent.ifname)).collect())
}

/// Keys of everything that has an inventory entry.
///
/// # Errors
/// When the inventory cannot be read.
pub fn listed(settings: &Directories) -> Result<BTreeSet<Key>, String> {
    let inventory = inventory::load(&settings.layout).map_err(|e| e.to_string())?;
    Ok(inventory.attachments.iter().map(shim::inventory::Entry::key).collect())
}

/// Who sends the DELs of what is attached already: the runtime says by its name whether it replays the confs of its ADDs.
/// One that cannot be asked is told by the node's configuration.
#[must_use]
pub fn deleter(whom: &Whom) -> Deleter {
    let told = whom
        .endpoint()
        .and_then(|endpoint| Runtime::at(endpoint).ok())
        .filter(Runtime::is_there)
        .and_then(|runtime| runtime.name().ok());
    let is_crio = match told {
        Some(name) => name == CRIO_NAME,
        None => RuntimeConfig::of_crio(&Root::default()).is_some(),
    };
    if is_crio { Deleter::Runtime } else { Deleter::Crossfade }
}

/// Where plugins are: what was given, else what the runtime says, else the usual places that exist.
#[must_use]
pub fn bin_dirs(given: &[PathBuf], runtime: Option<&CniSetup>) -> Vec<PathBuf> {
    if !given.is_empty() {
        return given.to_vec();
    }
    match runtime {
        Some(setup) if !setup.bin_dirs.is_empty() => setup.bin_dirs.clone(),
        _ => BIN_DIRS.iter().map(PathBuf::from).filter(|dir| dir.is_dir()).collect(),
    }
}

/// The same of the runtime that was asked; where CRI-O does not tell, its configuration does.
#[must_use]
pub fn plugin_dirs(given: &[PathBuf], asked: &Asked) -> Vec<PathBuf> {
    let silent = given.is_empty() && *asked == Asked::Silent;
    let config = silent.then(|| RuntimeConfig::of_crio(&Root::default())).flatten();
    config.map_or_else(|| bin_dirs(given, asked.setup()), |config| config.plugin_dirs(&Root::default()))
}

/// Directories as `CNI_PATH`.
#[must_use]
pub fn joined(dirs: &[PathBuf]) -> String {
    let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_string_lossy()).collect();
    dirs.join(":")
}

/// Types of a network whose binary cannot be used, with the reason: its plugins and their address managers.
#[must_use]
pub fn missing(root: &Root, conf: &Conflist, dirs: &[PathBuf]) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for plugin in &conf.plugins {
        types.push(plugin.plugin_type.clone());
        let ipam: RawObject = plugin.object.decode("ipam").ok().flatten().unwrap_or_default();
        types.extend(ipam.decode::<String>("type").ok().flatten().filter(|name| !name.is_empty()));
    }
    types.dedup();
    types.iter().filter_map(|name| find(root, name, dirs).err()).collect()
}

/// Finds a plugin in directories that have the root before them, and holds it to the rule for binaries.
///
/// # Errors
/// Why there is none to be used, in a line that names it.
pub fn find(root: &Root, name: &str, dirs: &[PathBuf]) -> Result<Binary, String> {
    if root.is_node() {
        return Binary::find(name, &[&joined(dirs)]).map_err(|why| why.to_string());
    }
    let place = dirs.iter().map(|dir| root.inside(&dir.join(name))).find(|place| place.is_file());
    let parts = place.as_ref().and_then(|place| Some((place.file_name()?.to_str()?, place.parent()?)));
    let Some((name, dir)) = parts else {
        return Err(format!("plugin {name:?}: no such binary in {}", joined(dirs).replace(':', ", ")));
    };
    Binary::find(name, &[&dir.to_string_lossy()]).map_err(|why| why.to_string())
}

fn distrusted(settings: &Directories, bin_dirs: &[PathBuf], store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: &str, path: &Path, must_exist: bool| match trust::check_dir(path) {
        Err(why) if why.is_absent() && !must_exist => {}
        Err(why) => found.push(format!("{what}: {why}")),
        Ok(()) => {}
    };
    check("conf dir", &settings.conf_dir, true);
    bin_dirs.iter().for_each(|dir| check("bin dir", dir, true));
    check("run dir", &settings.layout.run_dir, false);
    if let Err(why) = store.check_trust() {
        found.push(format!("state dir: {why}"));
    }
    found
}

/// Our network's name as it was written once; none where it was not.
///
/// # Errors
/// When the file cannot be read or is not trusted.
pub fn name(path: &Path) -> Result<Option<String>, String> {
    let mut file = match trust::open(path) {
        Ok(file) => file,
        Err(why) if why.is_absent() => return Ok(None),
        Err(why) => return Err(format!("name file: {why}")),
    };
    let bytes =
        read_bounded(&mut file, MAX_NAME_BYTES).map_err(|e| format!("name file {}: {e}", path.display()))?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// The plugin to install.
///
/// # Errors
/// It cannot be read or trusted.
pub fn plugin(path: &Path) -> Result<Vec<u8>, String> {
    let mut file =
        trust::open(path).map_err(|why| format!("plugin to install: {why}; name it with --plugin"))?;
    let bytes = read_bounded(&mut file, MAX_PLUGIN_BYTES)
        .map_err(|e| format!("plugin to install {}: {e}", path.display()))?;
    if bytes.is_empty() {
        return Err(format!("plugin to install {}: it is empty", path.display()));
    }
    Ok(bytes)
}

impl BinDir {
    /// Looks at one.
    #[must_use]
    pub fn look(path: PathBuf) -> Self {
        let installed = path.join(PLUGIN);
        let mode =
            installed.symlink_metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.mode());
        // A link is no plugin of ours, wherever it leads.
        let bytes = mode.and_then(|_| read_regular(&installed, MAX_PLUGIN_BYTES).ok());
        Self { plugin: bytes.zip(mode).map(|(bytes, mode)| (bytes, mode & 0o7777)), path }
    }
}
