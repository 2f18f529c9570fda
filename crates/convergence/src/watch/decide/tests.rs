mod boots;
mod conf_dir;
mod networks;
mod observed;
mod own_conf;
mod reported;
mod runtime;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shim::node::layout::{CONF_FILE, Layout};
use types::node::{Mode, Node, RuntimeKind};
use types::policy::Policy;
use types::profile::Profiles;

use crate::node::cni::CniFacts;
use crate::node::conf::confdir::{ConfDir, ConfFile};
use crate::node::facts::NodeFacts;
use crate::node::networks::ProbeAnswers;
use crate::node::policy::file::PolicyFile;
use crate::node::settings::directories::{Directories, InstalledConf, OwnConfFile};
use crate::node::switch::OffSwitch;
use crate::runtime::CniSetup;
use crate::runtime::conf_selection::ConfSelection;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::RuntimeChoice;
use crate::runtime::facts::{ConfigFact, RuntimeFacts};
use crate::watch::decide::*;
use crate::watch::guard::CALM;
use crate::watch::passes::Passes;
use crate::watch::proof::ProofResult;

const ME: Process = Process { pid: 1, start: 1 };
const DIR: &str = "/etc/cni/net.d";

/// A node whose conf directory obeys: what is decided to be written is there in the next round.
struct World {
    facts: Observation,
    memory: Memory,
}

/// The result of a pass, in words.
#[derive(Debug, PartialEq, Eq)]
struct PassSummary {
    reason: &'static str,
    changes: Vec<String>,
    happened: Vec<&'static str>,
}

impl World {
    fn new(mode: Mode) -> Self {
        let policy = json!({"version":1, "attach":"old", "networks":{
            "old":{"profile":"generic","conf":["/o"]}, "new":{"profile":"generic","conf":["/n"]}}});
        let node = NodeFacts {
            root: "/".into(),
            settings: Node { conf_dir: mode, ..Node::default() },
            node_file: None,
            unusable: None,
            runtime: RuntimeFacts {
                choice: RuntimeChoice::At("/run/r.sock".into()),
                ..RuntimeFacts::default()
            },
            dirs: Directories {
                conf_dir: DIR.into(),
                layout: Layout::default(),
                layout_on_node: Layout::default(),
                installed: OwnConfFile::Absent,
            },
            name: Ok(Some("oldnet".into())),
            policy: Ok(policy_file(&policy)),
            profiles: Arc::clone(Profiles::built_in()),
        };
        let cni = CniFacts {
            confs: Ok(ConfDir { path: DIR.into(), ..ConfDir::default() }),
            networks: Vec::new(),
            plugins: runtime::plugins(),
        };
        let facts = Observation {
            node,
            cni,
            now: Duration::ZERO,
            boot_id: "boot".into(),
            in_pod: false,
            off_switch: None,
            not_booted: None,
            networks: [Side::Old, Side::New].map(network).into(),
            foreign: Vec::new(),
            dir_id: Some("d1".into()),
            leaving: false,
            life: Some("r1".into()),
            unread: None,
            last_sweep: None,
            last_move: None,
            probed: ("/run/crossfade/probe".into(), BTreeSet::new()),
        };
        Self { facts, memory: Memory { sweeps: Passes::never(Pass::Sweep), ..Memory::default() } }
    }

    fn policy(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut policy = json!({"version":1, "attach":"old", "networks":{
            "old":{"profile":"generic","conf":["/o"]}, "new":{"profile":"generic","conf":["/n"]}}});
        change(&mut policy);
        self.facts.node.policy = Ok(policy_file(&policy));
    }

    fn network(&mut self, side: Side) -> &mut NetworkObservation {
        self.facts.networks.iter_mut().find(|network| network.side == side).expect("there")
    }

    fn red(&mut self, side: Side, red: bool) {
        self.network(side).probe_answers.all = if red { Err("no answer".into()) } else { Ok(()) };
    }

    /// Runs one pass `secs` later.
    fn round(&mut self, secs: u64) -> PassSummary {
        self.facts.now += Duration::from_secs(secs);
        let decision = decide(&self.facts, &self.memory, ME);
        self.memory = decision.memory;
        for change in &decision.changes {
            match &change.act {
                Act::Write(write) if write.path.ends_with(CONF_FILE) => {
                    self.facts.node.dirs.installed = OwnConfFile::Ours(installed(&write.bytes, write.mode));
                    self.memory.settled_conf = Some(write.bytes.clone());
                    self.memory.was_there = true;
                }
                Act::Write(write) if write.path.ends_with("name") => {
                    self.facts.node.name = Ok(Some(String::from_utf8_lossy(&write.bytes).trim().to_owned()));
                }
                Act::Remove { path, .. } if path.ends_with(CONF_FILE) => {
                    self.facts.node.dirs.installed = OwnConfFile::Absent
                }
                Act::Mark { name, .. } => {
                    for network in &mut self.facts.networks {
                        network.marked |= network.conf.as_ref().is_ok_and(|(own_name, _)| own_name == name);
                    }
                }
                _ => {}
            }
        }
        let short = |change: &Change| format!("{} {}", change.act.word(), file_name(&change.target));
        PassSummary {
            reason: decision.report.reason.as_str(),
            changes: decision.changes.iter().map(short).collect(),
            happened: decision.happened.iter().map(|event| event.reason.as_str()).collect(),
        }
    }

    /// Runs one pass that finds nothing to do.
    fn quiet(&mut self, reason: &'static str) {
        assert_eq!(self.round(1), PassSummary { reason, changes: vec![], happened: vec![] });
    }

    fn listed(&mut self, file: &str) {
        let content = Err("unread".to_owned());
        let Ok(dir) = &mut self.facts.cni.confs else { return };
        dir.confs.push(ConfFile { file: file.into(), content });
    }
}

#[test]
fn what_could_not_be_written_was_never_there() {
    let mut world = World::new(Mode::Private);
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    let mut decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.ready && decision.document.conf.was_there, "about to be written");
    decision.note_failed("write 01-crossfade.conflist: No space left on device");
    assert!(!decision.document.conf.was_there && !decision.document.ready && !decision.report.ready);
    assert!(
        decision.report.message.contains("No space left")
            && decision.document.message == decision.report.message
    );
    let happened: Vec<_> = decision.happened.iter().map(|event| event.reason.as_str()).collect();
    assert!(!happened.contains(&"NetworkReady") && happened.contains(&"ConfNotFirst"), "{happened:?}");
    world.red(Side::Old, true);
    let mut decision = decide(&world.facts, &world.memory, ME);
    decision.note_failed("x");
    assert_eq!(decision.report.reason, Reason::WaitingForNetwork, "the graver reason stays");
}

fn file_name(target: &str) -> String {
    Path::new(target).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn policy_file(policy: &serde_json::Value) -> PolicyFile {
    let bytes = policy.to_string().into_bytes();
    let policy = Policy::parse(&bytes).expect("valid");
    PolicyFile { path: "/etc/crossfade/policy.json".into(), bytes, policy, sha256: "x".into() }
}

fn network(side: Side) -> NetworkObservation {
    NetworkObservation {
        side,
        profile: "generic".into(),
        conf: Ok((format!("{side}net"), PathBuf::from("/x"))),
        missing: Vec::new(),
        probe_answers: ProbeAnswers { all: Ok(()), marker: None },
        agent: Vec::new(),
        marked: true,
        unmapped_hostports: false,
        proof: None,
    }
}

fn installed(bytes: &[u8], mode: u32) -> InstalledConf {
    InstalledConf {
        bytes: bytes.to_vec(),
        mode,
        name: "oldnet".into(),
        cni_version: "1.0.0".into(),
        capabilities: vec![],
        layout: Layout::default(),
    }
}

const CONF: &str = "write 01-crossfade.conflist";

#[test]
fn flips_are_told_and_the_sweep_comes_now_and_then() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    world.policy(|policy| policy["attach"] = json!("new"));
    assert_eq!(world.round(1).happened, ["Flipped"]);
    world.memory.sweeps.due = Duration::from_secs(60);
    let mut sweeps = 0;
    for _ in 0..60 {
        sweeps += world.round(60).changes.iter().filter(|change| *change == "start crossfade-sweep").count();
    }
    assert_eq!(sweeps, 6, "in an hour");
}

/// Each node of a bridge forwards between the networks, so each needs the agent of the one that new pods do not get.
#[test]
fn a_node_of_a_bridge_can_wait_for_the_network_that_new_pods_do_not_get() {
    let mut world = World::new(Mode::Private);
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    world.round(0);
    world.quiet("NetworkReady");
    world.red(Side::New, true);
    world.quiet("NetworkReady");
    world.facts.node.settings.report.require_all_networks = true;
    let round = world.round(1);
    assert_eq!(round.reason, "WaitingForNetwork");
    assert!(round.changes.is_empty(), "pods keep their conf: {round:?}");
    let report = decide(&world.facts, &world.memory, ME).report;
    assert!(report.message.contains("network new, which node.json requires"), "{report:?}");
    world.red(Side::New, false);
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn in_a_pod_nothing_is_swept_and_status_says_so() {
    let mut world = World::new(Mode::Shared);
    world.facts.in_pod = true;
    world.round(0);
    world.memory.sweeps.due = Duration::from_secs(60);
    assert!(world.round(60).changes.is_empty());
    let document = decide(&world.facts, &world.memory, ME).document;
    assert!(document.findings.iter().any(|finding| finding == crate::watch::POD_FINDING), "{document:?}");
}

/// A runtime of this kind with this configured network name; `None` for an unknown runtime.
fn configured(kind: Option<RuntimeKind>, picks: &ConfSelection) -> ConfigFact {
    let setup = CniSetup { conf_dir: DIR.into(), bin_dirs: Vec::new(), max_confs: 1, networks: Vec::new() };
    kind.map_or(ConfigFact::NoRuntime, |kind| {
        let mut config = RuntimeConfig::from_answer(kind, setup);
        if let ConfSelection::ByName(name) = picks {
            config.default_network = Some(name.clone());
        }
        ConfigFact::Read(config)
    })
}
