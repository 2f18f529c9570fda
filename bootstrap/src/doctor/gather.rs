//! The look at everything: each source once, each bounded in time, and none needed by another. What cannot be read is a fact.
//!
//! | source | bound |
//! |---|---|
//! | settings, confs, records, kernel | none is waited for |
//! | the runtime's configuration | that of `containerd config dump` |
//! | the runtime | 10 s for each of three questions; no further one where the first was not answered |
//! | probes | 2 s for each network, and 5 s for those that owe DELs |
//! | systemd | 30 s |
//! | the journal | 10 s |
//! | the API server | [`SERVER_WITHIN`] |
//!
//! systemd, the journal and the API server are asked beside the others.

pub(crate) mod journal;
mod recorded;
mod sandboxes;
pub(crate) mod units;

use std::time::Duration;

use convergence::doctor::facts::{Facts, Source};
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::networks::NetworkConf;
use convergence::node::paths::{GATE, PRIVATE_CONF_DIR, STATUS, UNFIT};
use convergence::publish::node_read::ApiServerState;
use shim::host::boot;
use shim::node::layout::Layout;
use types::command::problem::Problem;
use types::node::{Mode, Node};

use crate::cli::{Doctor, Global};
use crate::host::root::Root;
use crate::node::agent::status_file;
use crate::node::attachments::last_pass;
use crate::node::cni::{self, PluginChoice};
use crate::node::conf::foreign;
use crate::node::networks::{self, readiness};
use crate::node::settings::mode;
use crate::node::{facts, fitness, identity, switch};
use crate::publish::node_read::{self, ApiReadError};
use crate::publish::reporter;
use convergence::node::attachments::last_pass::Pass;

/// How long the API server may take to answer both questions.
const SERVER_WITHIN: Duration = Duration::from_secs(15);
/// Largest file of the gate, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Gathers every fact; nothing on the node changes.
#[must_use]
pub(crate) fn gather(global: &Global, args: &Doctor) -> Facts {
    let root = Root::new(&global.root);
    let settings = mode::settings(&root);
    std::thread::scope(|threads| {
        let units = threads.spawn(|| units::gather(&root, &settings.node));
        let journal = threads.spawn(|| journal::gather(&root));
        let server = threads.spawn(|| server(&root, &settings.node));
        let node = facts::with_runtime(global, settings.clone(), &args.runtime);
        let cni = cni::gather(&node, PluginChoice::default());
        let now = boot::now();
        let boot_id = identity::current(&root).map_or_else(|_| String::new(), |identity| identity.boot_id);
        let networks =
            node.policy().map_or_else(Vec::new, |policy| readiness::gather(&node, policy, &cni.networks));
        let (state, kernel, sandboxes) = recorded::gather(&node, &cni);
        // What boot, the gate and watch left in /run is of this machine's own installation.
        let is_here = root.is_node() && node.dirs.layout.run_dir == Layout::default().run_dir;
        let foreign_dir = root.join(PRIVATE_CONF_DIR);
        let is_private = node.settings.conf_dir == Mode::Private;
        let others = foreign::list(&foreign_dir).unwrap_or_default();
        Facts {
            off_switch: switch::off_switch(&root),
            booted: if is_here { identity::is_current(&root) } else { Ok(()) },
            gate: gate(global, &node, &boot_id).filter(|_| is_here),
            unfit: text(&root, UNFIT).filter(|_| is_here),
            foreign: (is_private && !others.is_empty())
                .then(|| convergence::node::conf::foreign::describe(&foreign_dir, &others, &node.profiles)),
            watch: is_here.then(|| status_file::read(&root.join(STATUS))),
            swept: last_pass::read(&node.dirs.layout, Pass::Sweep, &boot_id),
            unmapped: unmapped_host_ports(&node, &cni),
            networks,
            state,
            kernel,
            sandboxes,
            units: units.join().unwrap_or_else(|_| died_source("systemd")),
            journal: journal.join().unwrap_or_else(|_| died_source("the journal")),
            server: server.join().unwrap_or_else(|_| died_source("the API server")),
            now: now.unwrap_or_else(|_| boot::Moment {
                boot_id: String::new(),
                boottime_ms: 0,
                wall_secs: 0,
            }),
            boot_id,
            cni,
            node,
        }
    })
}

/// A reader that panicked has read nothing.
fn died_source<T>(source: &str) -> Source<T> {
    let what = format!("{source}: the part of doctor that reads it ended by itself");
    Source::Unread(
        Problem::new(what).with_place(source).fix("run crossfade-bootstrap doctor again, and report this"),
    )
}

fn text(root: &Root, path: &str) -> Option<String> {
    let bytes = shim::host::file::read_regular(&root.entry(path), MAX_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What keeps the gate shut, if it holds kubelet back in this boot: it leaves a file until it opens.
fn gate(global: &Global, node: &NodeFacts, boot_id: &str) -> Option<Vec<Problem>> {
    let first: boot::Moment = serde_json::from_str(&text(&Root::new(&node.root), GATE)?).ok()?;
    let holds = first.boot_id == boot_id;
    holds.then(|| fitness::findings(global, node.node_json(), node.runtime.clone()))
}

/// Networks of whose pods some asked for host ports in this boot, while no plugin of the conf maps them.
fn unmapped_host_ports(node: &NodeFacts, cni: &CniFacts) -> Vec<String> {
    let noted = |network: &&NetworkConf| networks::has_unmapped_host_ports(network, &node.dirs.layout);
    let names = cni.networks.iter().filter(noted).filter_map(NetworkConf::name);
    names.map(str::to_owned).collect()
}

fn server(root: &Root, node: &Node) -> Source<ApiServerState> {
    let Some(credential) = reporter(root, node) else {
        return Source::Absent("this node has no kubelet, or node.json says report.node false".into());
    };
    match node_read::gather(&credential, SERVER_WITHIN) {
        Ok(looked) => Source::Read(looked),
        Err(ApiReadError::NoCredential(why)) => Source::Absent(why),
        Err(ApiReadError::Trouble(why)) => Source::Unread(why),
    }
}
