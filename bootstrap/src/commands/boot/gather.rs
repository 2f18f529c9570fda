//! The facts of `boot`, gathered before anything is decided or touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use convergence::commands::boot::facts::{BootFacts, Places};
use convergence::failure::Failure;
use convergence::node::digest;
use convergence::node::facts::NodeFacts;
use convergence::node::identity::{BootKind, Identity};
use convergence::node::paths::{BOOTED, IDENTITY, PRIVATE_CONF_DIR, SET_ASIDE, WITHOUT};
use convergence::node::policy::completion::Completion;
use convergence::node::settings::Settings;
use convergence::runtime::CniSetup;
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::config::RuntimeConfig;
use convergence::runtime::facts::{ConfigFact, RuntimeFacts};
use shim::node::layout::{CONF_DIR, Layout, PROBED, RUNTIME_CACHE};
use shim::node::store::Store;
use types::command::exit::Exit;
use types::node::socket_path;
use types::node::{Mode, Node, RuntimeKind};
use types::policy::{Policy, Side};

use crate::change::read_with_mode;
use crate::cli::Global;
use crate::commands::boot::leavings;
use crate::host::root::{Root, names_in};
use crate::host::untrusted::{self, DirectoryRule};
use crate::node::cni::{self, PluginChoice};
use crate::node::conf::{foreign, our_conf, root_path};
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::policy::completion;
use crate::node::{attachments, identity, switch};
use crate::runtime::{answer, endpoint};
use crate::systemd::continuation;

/// Where runtimes mount the network namespaces of pods.
const NETNS: &str = "/run/netns";

/// The node as a boot finds it. The off switch needs no other fact.
pub(super) fn agent_facts(global: &Global, settings: Settings) -> NodeFacts {
    let root = Root::new(&global.root);
    let runtime = match switch::off_switch(&root) {
        Some(_) => crate::runtime::facts::gather_configured(&root, &settings.node),
        None => read_or_ask_config(&root, &settings.node),
    };
    crate::node::facts::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::OfAgents })
}

/// The runtime as it is configured; else as it answers.
fn read_or_ask_config(root: &Root, settings: &Node) -> RuntimeFacts {
    let facts = crate::runtime::facts::gather_configured(root, settings);
    let config = match facts.config {
        ConfigFact::NoRuntime => {
            read_runtime_config(root, settings).map_or(ConfigFact::NoRuntime, ConfigFact::Answered)
        }
        fact @ (ConfigFact::NotRead
        | ConfigFact::Read(_)
        | ConfigFact::Answered(_)
        | ConfigFact::Unreadable(_)) => fact,
    };
    RuntimeFacts { config, ..facts }
}

/// A runtime without a unit and a file that can be read, as in a pod, which runs already and tells what it uses. One that does not
/// tell is known where node.json names its directories.
fn read_runtime_config(root: &Root, node: &Node) -> Option<RuntimeConfig> {
    match answer::ask(&endpoint::choose(root, node, None)) {
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

fn recorded_paths(root: &Root, store: &Store) -> Result<BTreeSet<PathBuf>, String> {
    let (sound, _) = store.load_all().map_err(|e| format!("list the records: {e}"))?;
    let confs = sound.into_iter().flat_map(|record| record.intent.legs).filter_map(|leg| leg.conf_path);
    Ok(confs.map(|conf| root.join(PathBuf::from(conf))).collect())
}

fn policy_confs<'a>(root: &'a Root, policy: &'a Policy) -> impl Iterator<Item = PathBuf> + 'a {
    policy.networks().flat_map(|(_, network)| &network.conf).map(|conf| root.join(conf))
}

/// SHA-256 of the files in a directory; what is no file, or cannot be read, has none.
fn sums(dir: &Path) -> BTreeMap<String, String> {
    let sum = |file: String| {
        let (bytes, _) = read_with_mode(&dir.join(&file))?;
        Some((file, digest::sha256(&bytes)))
    };
    names_in(dir).into_iter().filter_map(sum).collect()
}

/// The network namespaces that a runtime has made for pods and not removed. The directory is in memory, so that after a reboot there is none.
///
/// The runtime is not asked, for at a boot it does not run yet. *Source*: containerd, `pkg/netns/netns_linux.go`, `newNS`: `cni-` and a UUID;
/// CRI-O, `internal/config/nsmgr`, `NewPodNamespaces`: a UUID.
fn pod_netns(root: &Root) -> Vec<String> {
    let mut names = names_in(&root.join(NETNS));
    names.retain(|name| is_uuid(name.strip_prefix("cni-").unwrap_or(name)));
    names
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// The files and directories of state that belong to one machine.
fn state(layout: &Layout) -> Vec<PathBuf> {
    [layout.attachments(), layout.damaged_dir(), layout.inventory(), layout.ledger(), layout.name()]
        .into_iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .collect()
}

fn places_below(root: &Root, boot_id: &str) -> Places {
    Places {
        final_settings: root.entry(WITHOUT),
        aside_dir: root.join(SET_ASIDE).join(boot_id),
        private: root.join(PRIVATE_CONF_DIR),
        identity: root.entry(IDENTITY),
        booted: root.entry(BOOTED),
    }
}

/// Looks at what only a boot needs; nothing is changed.
///
/// # Errors
/// The boot cannot be told: then nothing can be decided.
// Long because a boot looks at much, each fact in one line.
pub(crate) fn gather(global: &Global, node: NodeFacts) -> Result<BootFacts, Failure> {
    let root = Root::new(&node.root);
    let node = node.with_usable_policy();
    let identity = match identity::current(&root) {
        Err(_) if global.dry_run && !root.is_node() => Identity::new_image(),
        fact => fact.map_err(Failure::try_later)?,
    };
    let kind = identity.kind(identity::read_identity(&root).as_ref(), identity::boot_record(&root).as_ref());
    let cni = cni::gather(&node, PluginChoice::default());
    let layout = &node.dirs.layout;
    root.holds_state(layout)
        .map_err(|why| Failure::new(Exit::No, why).fix("remove the link, or make it a relative one"))?;
    let store = Store::new(layout);
    let policy_file = layout.policy_file();
    let config = node.runtime.config();
    let endpoint = endpoint::find(&root, &node.settings, config).ok();
    let runtime_runs = endpoint.is_some_and(|named| root.join(socket_path(&named.endpoint)).exists());
    let leavings = (node.settings.conf_dir == Mode::Without)
        .then(|| leavings::gather(&node, (&identity, runtime_runs || kind == BootKind::Again)));
    let unproven_sides: Vec<Side> = match kind {
        BootKind::Again => {
            Side::BOTH.into_iter().filter(|side| !root.join(PROBED).join(side.as_str()).exists()).collect()
        }
        BootKind::First | BootKind::Clone | BootKind::Reboot => Vec::new(),
    };
    let completion = completion::find_except(&root, &policy_file, &node.profiles, &unproven_sides);
    let named_in = |completion: &Option<Completion>| {
        completion.iter().flat_map(|completion| completion.probed.clone()).collect::<Vec<_>>()
    };
    let mut held_back = named_in(&completion::find(&root, &policy_file, &node.profiles));
    held_back.retain(|network| !named_in(&completion).contains(network));
    let distrusted = match leavings {
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
    let unconfigured = config.is_none().then(|| endpoint::unconfigured_problem(&root));
    let private = root.join(PRIVATE_CONF_DIR);
    Ok(BootFacts {
        handed_on: match (node.settings.conf_dir, config.and_then(|config| config.unit.as_deref())) {
            (Mode::Private, Some(unit)) => continuation::check(&root, &node.settings, unit),
            (Mode::Private, None) | (Mode::Shared | Mode::Without, _) => Ok(()),
        },
        runtime_runs,
        private: root_path::conf_dir(&root, &private, &node.profiles)
            .map_err(|e| format!("conf dir {}: {e}", private.display())),
        // Where it cannot be listed, `private` says so.
        foreign: foreign::list(&private).unwrap_or_default(),
        recorded: recorded_paths(&root, &store),
        policy_confs: node.policy().into_iter().flat_map(|policy| policy_confs(&root, policy)).collect(),
        sums: sums(&node.dirs.conf_dir),
        usual_exists: node.dirs.conf_dir.is_dir(),
        private_exists: private.is_dir(),
        our_conf: our_conf(&root, &node.dirs.conf_dir),
        places: places_below(&root, &identity.boot_id),
        cached: names_in(&root.join(RUNTIME_CACHE)),
        unlisted: match (attachments::recorded_keys(&store), attachments::listed_keys(&node.dirs)) {
            (Ok(recorded), Ok(listed)) if recorded.is_empty() && listed.is_empty() => pod_netns(&root),
            // What cannot be read is said elsewhere.
            (Ok(_), Ok(_)) | (Err(_), _) | (_, Err(_)) => Vec::new(),
        },
        state: state(layout),
        distrusted,
        leavings,
        marked_without: root.entry(WITHOUT).symlink_metadata().is_ok(),
        held_back,
        completion,
        identity,
        kind,
        cni,
        unconfigured,
        node,
    })
}
