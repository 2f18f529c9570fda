//! Each finding has a state of the node that has it, and the nearest one that has not.

mod around;
mod attached;
mod conf;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use shim::host::boot::Moment;
use shim::node::layout::{CONF_FILE, Layout};
use types::command::exit::Exit;
use types::node::{Mode, Node, RuntimeKind};
use types::policy::{Phase, Policy, Side};
use types::profile::Profiles;
use types::status::{self, ConfState, Document, ProofState, Reason};

use crate::doctor::decide::{decide, rules};
use crate::doctor::facts::{
    AttachmentRecords, BOOT_UNIT, Facts, Kernel, Sandboxes, Source, UnitState, WATCH_UNIT,
};
use crate::doctor::finding::Finding;
use crate::doctor::report::Diagnosis;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::agent::status_file::StatusFile;
use crate::node::attachments::Attachments;
use crate::node::cni::CniFacts;
use crate::node::conf::confdir::{ConfDir, ConfFile, Content};
use crate::node::facts::NodeFacts;
use crate::node::networks::readiness::NetworkReadiness;
use crate::node::plugins::bin_dirs::{BinDir, PluginState};
use crate::node::plugins::packaged_plugin::Plugins;
use crate::node::policy::file::PolicyFile;
use crate::node::settings::directories::{Directories, InstalledConf, OwnConfFile};
use crate::publish::node_read::{ApiServerState, ObservedCondition, RegisteredNode};
use crate::report::Report;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::RuntimeChoice;
use crate::runtime::facts::{ConfigFact, RuntimeFacts};
use crate::runtime::{CniSetup, Network};

const DIR: &str = "/etc/cni/net.d";
const BOOT: &str = "5c1e";
/// Now, in seconds since 1970.
const NOW: u64 = 1_790_000_000;

/// A finding, a change of the node that has it, and the nearest change that has not.
struct Case {
    code: &'static str,
    has: fn(&mut Facts),
    near: fn(&mut Facts),
}

const fn case(code: &'static str, has: fn(&mut Facts), near: fn(&mut Facts)) -> Case {
    Case { code, has, near }
}

fn policy(attach: &str) -> Value {
    json!({"version": 1, "attach": attach, "networks": {
        "old": {"profile": "generic", "conf": ["/o"]}, "new": {"profile": "cilium", "conf": ["/n"]}}})
}

fn policy_file(policy: &Value) -> PolicyFile {
    let bytes = policy.to_string().into_bytes();
    let policy = Policy::parse(&bytes).expect("valid");
    PolicyFile { path: "/etc/crossfade/policy.json".into(), bytes, policy, sha256: "x".into() }
}

fn installed() -> InstalledConf {
    InstalledConf {
        bytes: Vec::new(),
        mode: 0o644,
        name: "oldnet".into(),
        cni_version: "1.0.0".into(),
        capabilities: Vec::new(),
        layout: Layout::default(),
    }
}

fn conf_file(file: &str, name: &str, plugin: &str) -> ConfFile {
    let text = json!({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": plugin}]}).to_string();
    ConfFile { file: file.into(), content: Content::parse(text.as_bytes()) }
}

fn loaded(network: &str, plugin: &str, max_confs: u64) -> RuntimeAnswer {
    let network = Network { name: network.into(), types: vec![plugin.into()], conf: String::new() };
    RuntimeAnswer::Setup(CniSetup {
        conf_dir: DIR.into(),
        bin_dirs: vec!["/opt/cni/bin".into()],
        max_confs,
        networks: vec![network],
    })
}

fn network(side: Side, needed: bool) -> NetworkReadiness {
    NetworkReadiness {
        side,
        profile: "generic".into(),
        needed,
        conf: Ok(format!("{side}net")),
        missing: Vec::new(),
        probes: Ok(()),
        waits_for: None,
    }
}

fn report(ready: bool, reason: Reason) -> Document {
    Document {
        attached: None,
        restarts: None,
        not_moved: None,
        version: status::VERSION,
        boot_id: BOOT.into(),
        watch: status::Watch { pid: 1, start: 1 },
        ready,
        reason: reason.into(),
        message: "as it is".into(),
        phase: Some(Phase::Old),
        policy_sha256: None,
        conf: status::Conf {
            mode: Mode::Shared.into(),
            dir: DIR.into(),
            state: ConfState::InPlace.into(),
            repairs: 0,
            was_there: true,
            directory: None,
            lost_by: None,
        },
        networks: vec![status::Network {
            network: Side::Old,
            name: Some("oldnet".into()),
            profile: "generic".into(),
            attached: true,
            ready,
            why: None,
            proof: ProofState::None.into(),
            packets: None,
            unmapped_host_ports: false,
        }],
        findings: Vec::new(),
    }
}

fn unit(active: &str, sub: &str) -> UnitState {
    UnitState { load: "loaded".into(), active: active.into(), sub: sub.into(), result: "success".into() }
}

fn condition(status: &str) -> ObservedCondition {
    ObservedCondition { status: status.into(), reason: "Why".into(), message: "as it is".into() }
}

/// A node in shared mode on which nothing is wrong, and every source was read.
fn well() -> Facts {
    let plugin = BinDir {
        path: "/opt/cni/bin".into(),
        plugin: PluginState::Sound,
        other: None,
        read_only: false,
        distrust: None,
    };
    let setup = CniSetup { conf_dir: DIR.into(), bin_dirs: Vec::new(), max_confs: 1, networks: Vec::new() };
    let mut runtime = RuntimeConfig::from_answer(RuntimeKind::Containerd, setup);
    runtime.unit = Some("containerd.service".into());
    let registered = RegisteredNode {
        labels: std::collections::BTreeMap::new(),
        conditions: [
            ("Ready".to_owned(), condition("True")),
            ("CrossfadeReady".to_owned(), condition("True")),
            ("NetworkUnavailable".to_owned(), condition("False")),
        ]
        .into(),
        desired: None,
        observed: Some(format!(r#"{{"bootId":"{BOOT}"}}"#)),
        step: None,
    };
    Facts {
        node: NodeFacts {
            root: "/".into(),
            settings: Node { conf_dir: Mode::Shared, ..Node::default() },
            node_file: None,
            unusable: None,
            runtime: RuntimeFacts {
                config: ConfigFact::Read(runtime),
                choice: RuntimeChoice::At("unix:///run/r.sock".into()),
                answer: loaded("oldnet", "crossfade", 1),
            },
            dirs: Directories {
                conf_dir: DIR.into(),
                layout: Layout::default(),
                layout_on_node: Layout::default(),
                installed: OwnConfFile::Ours(installed()),
            },
            name: Ok(Some("oldnet".into())),
            policy: Ok(policy_file(&policy("old"))),
            profiles: Arc::clone(Profiles::built_in()),
        },
        cni: CniFacts {
            confs: Ok(ConfDir {
                path: PathBuf::from(DIR),
                confs: vec![
                    conf_file(CONF_FILE, "oldnet", "crossfade"),
                    conf_file("10-old.conflist", "oldnet", "bridge"),
                ],
                folders: Vec::new(),
                taken_away: Vec::new(),
            }),
            networks: Vec::new(),
            plugins: Plugins { dirs: vec![plugin], packaged: Ok(b"plugin".to_vec()) },
        },
        boot_id: BOOT.into(),
        now: Moment { boot_id: BOOT.into(), boottime_ms: 1_000_000, wall_secs: NOW },
        off_switch: None,
        booted: Ok(()),
        gate: None,
        unfit: None,
        foreign: None,
        watch: Some(StatusFile::Fresh(report(true, Reason::NetworkReady))),
        swept: None,
        networks: vec![network(Side::Old, true), network(Side::New, false)],
        unmapped: Vec::new(),
        state: Source::Read(AttachmentRecords {
            attached: Attachments { attachments: Vec::new(), damaged: Vec::new() },
            judged: Vec::new(),
            running: std::collections::BTreeMap::new(),
            ledger: Vec::new(),
        }),
        kernel: Source::Read(Kernel::default()),
        sandboxes: Source::Read(Sandboxes::default()),
        units: Source::Read(
            [
                (BOOT_UNIT.to_owned(), unit("active", "exited")),
                (WATCH_UNIT.to_owned(), unit("active", "running")),
                ("kubelet.service".to_owned(), unit("active", "running")),
                ("containerd.service".to_owned(), unit("active", "running")),
            ]
            .into(),
        ),
        journal: Source::Read(Vec::new()),
        server: Source::Read(ApiServerState {
            node: "n1".into(),
            registered: Some(registered),
            pods: Vec::new(),
        }),
    }
}

fn decide_after(change: fn(&mut Facts)) -> Vec<Finding> {
    let mut facts = well();
    change(&mut facts);
    decide(&facts)
}

fn cases() -> Vec<Case> {
    [around::cases(), conf::cases(), attached::cases()].into_iter().flatten().collect()
}

#[test]
fn on_a_node_that_is_well_nothing_is_found() {
    assert_eq!(decide(&well()), []);
}

#[test]
fn each_finding_is_found_where_it_is_and_not_in_the_nearest_state_without_it() {
    let all = cases();
    let mut failures = Vec::new();
    for Case { code, has, near } in &all {
        let codes = |change: &fn(&mut Facts)| {
            decide_after(*change).iter().map(|finding| finding.rule.code).collect::<Vec<_>>()
        };
        let (with, without) = (codes(has), codes(near));
        if !with.contains(code) {
            failures.push(format!("{code:?} is not among {with:?}"));
        }
        if without.contains(code) {
            failures.push(format!("{code:?} is among {without:?} of its nearest state"));
        }
    }
    assert_eq!(failures, Vec::<String>::new());
    let covered: BTreeSet<&str> = all.iter().map(|case| case.code).collect();
    let every: BTreeSet<&str> = rules().iter().map(|rule| rule.code).collect();
    assert_eq!(covered, every, "each code has a case");
}

#[test]
fn each_finding_names_its_objects_its_evidence_and_what_mends_it() {
    let mut failures = Vec::new();
    for Case { code, has, .. } in cases() {
        let all = decide_after(has);
        for finding in all.iter().filter(|finding| finding.rule.code == code) {
            let Finding { objects, evidence, cause, mend, .. } = finding;
            let is_whole =
                !objects.is_empty() && !evidence.is_empty() && !cause.is_empty() && !mend.is_empty();
            let has_no_empty = objects.iter().chain(evidence).all(|line| !line.trim().is_empty());
            let is_one_line =
                mend.iter().all(|mend| mend.command.iter().all(|command| !command.contains('\n')));
            if !is_whole || !has_no_empty || !is_one_line {
                failures.push(format!("{finding:?}"));
            }
        }
    }
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn only_a_note_leaves_a_node_all_right() {
    for Case { code, has, .. } in cases() {
        let mut facts = well();
        has(&mut facts);
        let findings = decide(&facts);
        let is_well = findings.iter().all(|finding| finding.severity == Severity::Note);
        let answer = Diagnosis::new(&facts, findings);
        assert_eq!(answer.exit() == Exit::Done, is_well, "{code:?}");
        assert_eq!(answer.problems().is_empty(), is_well, "{code:?}");
        let page = answer.human();
        let first = page.as_str().lines().next().unwrap_or_default().to_owned();
        assert_eq!(first.starts_with("This node is all right"), is_well, "{first}");
        assert!(page.as_str().contains(code), "{}", page.as_str());
    }
}

#[test]
fn what_was_not_read_is_told() {
    let mut facts = well();
    facts.server = Source::Absent("kubelet has no credential yet".into());
    facts.node.runtime.answer = RuntimeAnswer::Failed("no answer within 10 s".into());
    let findings = decide(&facts);
    assert!(
        findings.iter().all(|finding| finding.rule.code != "api-server"),
        "neither could be asked: {findings:?}"
    );
    let text = Diagnosis::new(&facts, findings).human();
    assert!(
        text.as_str().contains("not read: api-server: kubelet has no credential yet"),
        "{}",
        text.as_str()
    );
    assert!(text.as_str().contains("not read: runtime: no answer within 10 s"), "{}", text.as_str());
}

#[test]
fn a_code_is_one_word_of_its_own_and_each_symptom_has_one() {
    let rules = rules();
    let codes: BTreeSet<&str> = rules.iter().map(|rule| rule.code).collect();
    assert_eq!(codes.len(), rules.len());
    assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    let symptoms: BTreeSet<Symptom> = rules.iter().map(|rule| rule.grade.symptom).collect();
    assert_eq!(symptoms, Symptom::ALL.into());
    for Rule { code, what, why, fix, .. } in rules {
        let sentences = [what.split("\n\n").next().unwrap_or_default(), fix];
        assert!(sentences.iter().all(|text| text.ends_with('.')), "{code}");
        // A cause stands behind its code, and before more of the finding.
        assert!(why.len() > 10 && !why.ends_with('.'), "{code}");
        assert!([what, why, fix].iter().all(|text| !text.contains("##")), "{code}");
    }
}
