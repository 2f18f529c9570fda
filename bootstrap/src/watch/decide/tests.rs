use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use shim::layout::{CONF_FILE, Layout};
use types::node::{Mode, Node, Proof, RuntimeKind};
use types::policy::Policy;

use super::*;
use crate::node::confdir::{ConfDir, ConfFile};
use crate::node::directories::Installed;
use crate::node::switch::Off;
use crate::runtime::endpoint::Whom;
use crate::runtime::picks::Picks;
use crate::watch::facts::{Absent, Held, Loaded};
use crate::watch::guard::CALM;
use crate::watch::probe::Asked;
use crate::watch::proof::Kept;

mod boots;
mod runtime;
mod told;

const ME: Process = Process { pid: 1, start: 1 };
const DIR: &str = "/etc/cni/net.d";

/// A node whose conf directory obeys: what is decided to be written is there in the next round.
struct World {
    facts: Facts,
    memory: Memory,
}

/// What a round came to, in words.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    reason: &'static str,
    changes: Vec<String>,
    happened: Vec<&'static str>,
}

impl World {
    fn new(mode: Mode) -> Self {
        let policy = json!({"version":1, "attach":"old", "networks":{
            "old":{"profile":"generic","conf":["/o"]}, "new":{"profile":"generic","conf":["/n"]}}});
        let facts = Facts {
            now: Duration::ZERO,
            boot_id: "boot".into(),
            in_pod: false,
            off: None,
            bad_node: None,
            node: Node { conf_dir: mode, ..Node::default() },
            node_decides: false,
            untold: None,
            not_booted: None,
            layout: Layout::default(),
            policy: Ok(held(&policy)),
            networks: [Side::Old, Side::New].map(network).into(),
            conf_dir: DIR.into(),
            dir: Ok(ConfDir { path: DIR.into(), ..ConfDir::default() }),
            foreign: Vec::new(),
            dir_id: Some("d1".into()),
            own: Ok(None),
            name: Ok(Some("oldnet".into())),
            leaving: false,
            whom: Whom::At("/run/r.sock".into()),
            kind: None,
            picks: Picks::First,
            runtime: Some("r1".into()),
            unread: None,
            swept: None,
            probed: ("/run/crossfade/probe".into(), BTreeSet::new()),
            bin_dirs: vec!["/opt/cni/bin".into()],
            plugins: runtime::plugins(),
            asked: crate::runtime::asked::Asked::NotAsked,
        };
        Self { facts, memory: Memory { sweeps: sweeps::Sweeps::never(), ..Memory::default() } }
    }

    fn policy(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut policy = json!({"version":1, "attach":"old", "networks":{
            "old":{"profile":"generic","conf":["/o"]}, "new":{"profile":"generic","conf":["/n"]}}});
        change(&mut policy);
        self.facts.policy = Ok(held(&policy));
    }

    fn of(&mut self, side: Side) -> &mut NetworkFacts {
        self.facts.networks.iter_mut().find(|network| network.side == side).expect("there")
    }

    fn red(&mut self, side: Side, red: bool) {
        self.of(side).asked.all = if red { Err("no answer".into()) } else { Ok(()) };
    }

    /// One round `secs` later.
    fn round(&mut self, secs: u64) -> Told {
        self.facts.now += Duration::from_secs(secs);
        let decision = decide(&self.facts, &self.memory, ME);
        self.memory = decision.memory;
        for change in &decision.changes {
            match &change.act {
                Act::Write(write) if write.path.ends_with(CONF_FILE) => {
                    self.facts.own = Ok(Some(installed(&write.bytes, write.mode)));
                    self.memory.settled = Some(write.bytes.clone());
                    self.memory.was_there = true;
                }
                Act::Write(write) if write.path.ends_with("name") => {
                    self.facts.name = Ok(Some(String::from_utf8_lossy(&write.bytes).trim().to_owned()));
                }
                Act::Remove { path, .. } if path.ends_with(CONF_FILE) => self.facts.own = Ok(None),
                Act::Mark { name, .. } => {
                    for network in &mut self.facts.networks {
                        network.marked |= network.conf.as_ref().is_ok_and(|(conf, _)| conf.name == *name);
                    }
                }
                _ => {}
            }
        }
        let short = |change: &Change| format!("{} {}", change.act.word(), file_name(&change.target));
        Told {
            reason: decision.report.reason.as_str(),
            changes: decision.changes.iter().map(short).collect(),
            happened: decision.happened.iter().map(|one| one.reason).collect(),
        }
    }

    /// One round that finds nothing to do.
    fn quiet(&mut self, reason: &'static str) {
        assert_eq!(self.round(1), Told { reason, changes: vec![], happened: vec![] });
    }

    fn listed(&mut self, file: &str) {
        let content = Err("unread".to_owned());
        let Ok(dir) = &mut self.facts.dir else { return };
        dir.confs.push(ConfFile { file: file.into(), content });
    }
}

#[test]
fn what_could_not_be_written_was_never_there() {
    let mut world = World::new(Mode::Private);
    world.facts.own = Ok(None);
    let mut decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.ready && decision.document.conf.was_there, "about to be written");
    decision.failed("write 01-crossfade.conflist: No space left on device");
    assert!(!decision.document.conf.was_there && !decision.document.ready && !decision.report.ready);
    assert!(
        decision.report.message.contains("No space left")
            && decision.document.message == decision.report.message
    );
    let happened: Vec<_> = decision.happened.iter().map(|one| one.reason).collect();
    assert!(!happened.contains(&"NetworkReady") && happened.contains(&"ConfNotFirst"), "{happened:?}");
    world.red(Side::Old, true);
    let mut decision = decide(&world.facts, &world.memory, ME);
    decision.failed("x");
    assert_eq!(decision.report.reason, Reason::WaitingForNetwork, "the graver reason stays");
}

fn file_name(target: &str) -> String {
    Path::new(target).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn held(policy: &serde_json::Value) -> Held {
    Held { policy: Policy::parse(policy.to_string().as_bytes()).expect("valid"), sha256: "x".into() }
}

fn network(side: Side) -> NetworkFacts {
    NetworkFacts {
        side,
        profile: "generic".into(),
        conf: Ok((Loaded { name: format!("{side}net"), capabilities: BTreeSet::new() }, PathBuf::from("/x"))),
        missing: Vec::new(),
        asked: Asked { all: Ok(()), ours: None },
        agent: Vec::new(),
        marked: true,
        unmapped_hostports: false,
        proof: None,
    }
}

fn installed(bytes: &[u8], mode: u32) -> Installed {
    Installed {
        bytes: bytes.to_vec(),
        mode,
        is_ours: true,
        name: "oldnet".into(),
        cni_version: "1.0.0".into(),
        capabilities: vec![],
        layout: Layout::default(),
    }
}

const CONF: &str = "write 01-crossfade.conflist";

#[test]
fn private_our_conf_appears_when_the_attached_networks_are_ready_and_stays() {
    let mut world = World::new(Mode::Private);
    world.red(Side::Old, true);
    world.red(Side::New, true);
    assert_eq!(world.round(0).changes, [""; 0]);
    world.red(Side::New, false);
    assert_eq!(world.round(1), Told { reason: "WaitingForNetwork", changes: vec![], happened: vec![] });
    world.red(Side::Old, false);
    let told = world.round(1);
    assert_eq!((told.reason, told.changes), ("NetworkReady", vec![CONF.to_owned()]));
    assert_eq!(told.happened, ["ConfWritten", "NetworkReady"]);
    world.quiet("NetworkReady");
    world.red(Side::Old, true);
    let told = world.round(1);
    assert_eq!((told.reason, told.changes.len()), ("WaitingForNetwork", 0), "it stays");
    world.facts.policy = Err("torn".into());
    assert_eq!(world.round(1).changes.len(), 0, "it stays");
}

#[test]
fn private_a_foreign_conf_goes_in_every_round_and_the_node_is_not_ready_while_it_is_there() {
    let scratch = tempfile::tempdir().expect("scratch");
    std::fs::write(scratch.path().join("10-containerd-net.conflist"), "{").expect("file");
    let foreign = crate::node::foreign::look(scratch.path()).expect("listed");
    let mut world = World::new(Mode::Private);
    world.red(Side::Old, true);
    world.facts.foreign.clone_from(&foreign);
    const GONE: &str = "remove 10-containerd-net.conflist";
    let told = world.round(0);
    assert_eq!(
        (told.reason, told.changes),
        ("ForeignConf", vec![GONE.to_owned()]),
        "before our conf is there"
    );
    assert_eq!(told.happened, ["ForeignConf"]);
    // Written again and again: no war is called, nothing is left alone.
    world.red(Side::Old, false);
    for round in 0..30 {
        let told = world.round(1);
        assert_eq!(told.reason, "ForeignConf", "round {round}");
        assert_eq!(told.changes[0], GONE, "round {round}");
    }
    assert!(matches!(&world.facts.own, Ok(Some(_))), "our conf is not held up, for it sorts first");
    world.facts.foreign.clear();
    let decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.ready, "{:?}", decision.report);
    assert!(
        decision.document.findings[0].starts_with("removed 31 times"),
        "{:?}",
        decision.document.findings
    );
}

#[test]
fn private_what_must_hold_before_the_first_write() {
    type Break = fn(&mut World);
    let cases: [(&str, Break); 8] = [
        ("BootFailed", |world| world.facts.not_booted = Some("x".into())),
        ("BadSettings", |world| world.facts.policy = Err("x".into())),
        ("BadSettings", |world| {
            world.facts.bad_node = Some("x".into());
            world.red(Side::Old, true);
        }),
        ("SwitchedOff", |world| world.facts.off = Some(Off::File)),
        ("WaitingForNetwork", |world| world.of(Side::Old).conf = Err(Absent("x".into()))),
        ("WaitingForNetwork", |world| world.of(Side::Old).missing = vec!["x".into()]),
        ("WaitingForNetwork", |world| {
            world.policy(|policy| policy["attach"] = json!("both"));
            world.red(Side::New, true);
        }),
        ("WaitingForNetwork", |world| {
            world.of(Side::Old).profile = "flannel".into();
        }),
    ];
    for (at, (reason, change)) in cases.into_iter().enumerate() {
        let mut world = World::new(Mode::Private);
        change(&mut world);
        let told = world.round(0);
        assert_eq!(told.reason, reason, "case {at}");
        assert!(!told.changes.contains(&CONF.to_owned()), "case {at}: {told:?}");
    }
    let mut world = World::new(Mode::Private);
    world.policy(|policy| {
        policy["attach"] = json!("both");
        policy["both"] = json!({"primary":"old","defaultRoute":"old","secondaryFailure":"tolerate"});
    });
    world.red(Side::New, true);
    assert_eq!(world.round(0).reason, "NetworkReady", "a tolerated secondary holds nothing up");
}

#[test]
fn shared_a_conf_that_was_installed_is_put_back_by_one_write() {
    type Harm = fn(&mut World);
    let harms: [Harm; 4] = [
        |world| world.facts.own = Ok(None),
        |world| world.facts.own = Err("torn".into()),
        |world| {
            let Ok(Some(own)) = &mut world.facts.own else { panic!("none") };
            own.mode = 0o600;
        },
        |world| {
            let Ok(Some(own)) = &mut world.facts.own else { panic!("none") };
            (own.is_ours, own.bytes) = (false, b"other".to_vec());
        },
    ];
    let mut world = World::new(Mode::Shared);
    assert_eq!(world.round(0).happened, ["ConfRepaired", "NetworkReady"], "nobody knows why it is away");
    for harm in harms {
        harm(&mut world);
        let told = world.round(100);
        assert_eq!(
            told,
            Told { reason: "NetworkReady", changes: vec![CONF.into()], happened: vec!["ConfRepaired"] }
        );
        world.quiet("NetworkReady");
    }
    assert_eq!(world.memory.repairs, 5);
}

#[test]
fn shared_what_was_never_installed_or_is_taken_away_on_purpose_is_not_written() {
    let mut world = World::new(Mode::Shared);
    world.facts.name = Ok(None);
    assert_eq!(world.round(0).changes, [""; 0]);
    world.facts.name = Ok(Some("oldnet".into()));
    world.round(1);
    world.facts.leaving = true;
    world.facts.own = Ok(None);
    assert_eq!(world.round(1).changes, [""; 0]);
    world.facts.leaving = false;
    assert_eq!(world.round(1).changes, [CONF], "an uninstall that gave up");
    world.facts.own = Ok(None);
    world.facts.name = Ok(None);
    assert_eq!(world.round(1).changes, [""; 0], "one that did not, and had no round to itself");
}

#[test]
fn a_changed_capability_is_a_new_conf_and_no_repair() {
    for mode in [Mode::Private, Mode::Shared] {
        let mut world = World::new(mode);
        world.round(0);
        let repairs = world.memory.repairs;
        let Ok((conf, _)) = &mut world.of(Side::New).conf else { panic!("none") };
        conf.capabilities.insert("bandwidth".into());
        assert_eq!(world.round(1).happened, ["ConfWritten"]);
        // The agent takes its conf away: what it declared stays.
        let Ok(Some(own)) = &mut world.facts.own else { panic!("none") };
        own.capabilities.push("bandwidth".into());
        world.of(Side::New).conf = Err(Absent("gone".into()));
        world.quiet("NetworkReady");
        assert_eq!(world.memory.repairs, repairs);
    }
}

#[test]
fn whoever_takes_it_again_and_again_is_named_and_left_alone_until_a_calm() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    let ours = world.facts.own.clone();
    let mut writes = 0;
    for _ in 0..1000 {
        world.facts.own = Ok(None);
        let Ok(dir) = &mut world.facts.dir else { panic!("none") };
        dir.taken_away = vec![format!("{CONF_FILE}.cilium_bak")];
        let told = world.round(1);
        writes += told.changes.len();
        if told.reason == "ConfContended" {
            break;
        }
    }
    assert_eq!(writes, 2);
    let decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.message.contains("cilium") && decision.report.message.contains("cni.exclusive"));
    assert!(decision.document.findings.iter().any(|finding| finding.contains(".cilium_bak")));
    for _ in 0..100 {
        assert_eq!(world.round(10), Told { reason: "ConfContended", changes: vec![], happened: vec![] });
    }
    assert_eq!(world.round(CALM.as_secs()).changes, [CONF], "one try");
    world.facts.own = Ok(None);
    assert_eq!(world.round(1).changes, [""; 0], "taken again");
    // Whoever puts it back ends it.
    world.facts.own = ours;
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn a_replaced_directory_is_written_to_again_and_the_runtime_has_to_be_restarted() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    world.facts.dir_id = Some("d2".into());
    world.facts.own = Ok(None);
    let told = world.round(1);
    assert_eq!((told.reason, told.changes), ("RuntimeRestartNeeded", vec![CONF.to_owned()]));
    world.quiet("RuntimeRestartNeeded");
    let document = decide(&world.facts, &world.memory, ME).document;
    let heir = Memory::after(Some(&document));
    assert_eq!(decide(&world.facts, &heir, ME).report.reason, Reason::RuntimeRestartNeeded, "the next watch");
    world.facts.runtime = Some("r2".into());
    assert_eq!(world.round(1).reason, "NetworkReady");
    // Removed, and not made again by anybody.
    world.facts.dir_id = None;
    world.facts.own = Ok(None);
    assert_eq!(world.round(1).changes, [""; 0]);
    assert_eq!(world.round(3).changes, [CONF]);
    // A file system may give it the same number.
    world.facts.dir_id = Some("d2".into());
    assert_eq!(world.round(1).reason, "RuntimeRestartNeeded");
    assert_eq!(world.memory.guard, crate::watch::guard::Guard::default(), "nobody took our conf alone");
}

#[test]
fn a_replaced_directory_is_told_in_the_words_of_the_runtime_that_is_here() {
    for (kind, picks, words, not) in [
        (None, Picks::First, "restart the runtime", "CRI-O"),
        (Some(RuntimeKind::Containerd), Picks::First, "containerd 1.6", "CRI-O"),
        (
            Some(RuntimeKind::Crio),
            Picks::Named("oldnet".into()),
            "restart CRI-O (its pods run on)",
            "containerd",
        ),
        (Some(RuntimeKind::Crio), Picks::FirstOfCrio, "once our conf is the first one", "containerd"),
    ] {
        let mut world = World::new(Mode::Shared);
        (world.facts.kind, world.facts.picks) = (kind, picks);
        world.round(0);
        world.facts.dir_id = Some("d2".into());
        world.facts.own = Ok(None);
        world.round(1);
        let report = decide(&world.facts, &world.memory, ME).report;
        assert_eq!(report.reason, Reason::RuntimeRestartNeeded);
        assert!(report.message.contains(words) && !report.message.contains(not), "{}", report.message);
    }
}

#[test]
fn on_crio_the_name_that_it_is_told_counts_before_the_order() {
    for (picks, reason, words) in [
        (Picks::Named("oldnet".into()), Reason::NetworkReady, ""),
        (Picks::Named("another".into()), Reason::ConfNotFirst, "cni_default_network"),
        (Picks::FirstOfCrio, Reason::ConfNotFirst, "do not restart CRI-O until then"),
    ] {
        let mut world = World::new(Mode::Shared);
        (world.facts.kind, world.facts.picks) = (Some(RuntimeKind::Crio), picks);
        world.round(0);
        world.listed("!.conf");
        world.round(1);
        let decision = decide(&world.facts, &world.memory, ME);
        assert_eq!(decision.report.reason, reason, "{}", decision.report.message);
        assert!(decision.report.message.contains(words), "{}", decision.report.message);
    }
}

#[test]
fn a_crio_that_is_told_no_name_is_a_finding_in_shared_mode() {
    for (mode, picks, said) in [
        (Mode::Shared, Picks::FirstOfCrio, true),
        (Mode::Shared, Picks::Named("oldnet".into()), false),
        (Mode::Private, Picks::FirstOfCrio, false),
        (Mode::Shared, Picks::First, false),
    ] {
        let mut world = World::new(mode);
        world.facts.picks = picks;
        world.round(0);
        let findings = decide(&world.facts, &world.memory, ME).document.findings;
        assert_eq!(
            findings.iter().any(|finding| finding.contains("cni_default_network = \"oldnet\"")),
            said,
            "{findings:?}"
        );
    }
}

#[test]
fn a_conf_that_crio_has_not_read_is_not_ready() {
    let mut world = World::new(Mode::Shared);
    world.facts.unread = Some("CRI-O has not asked".into());
    for _ in 0..2 {
        let told = world.round(1);
        assert_eq!(told.reason, "WaitingForNetwork", "{told:?}");
    }
    world.facts.unread = None;
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn what_sorts_before_ours_is_named() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    world.listed("!.conf");
    let told = world.round(1);
    assert_eq!((told.reason, told.happened), ("ConfNotFirst", vec!["ConfNotFirst"]));
    world.quiet("ConfNotFirst");
}

#[test]
fn off_takes_our_conf_away_in_shared_mode_alone_and_only_ours() {
    for (mode, ours, removed) in
        [(Mode::Shared, true, true), (Mode::Shared, false, false), (Mode::Private, true, false)]
    {
        let mut world = World::new(mode);
        world.round(0);
        let Ok(Some(own)) = &mut world.facts.own else { panic!("none") };
        own.is_ours = ours;
        world.facts.off = Some(Off::File);
        let told = world.round(1);
        assert_eq!((told.reason, told.changes.len()), ("SwitchedOff", usize::from(removed)), "{told:?}");
        assert_eq!(world.facts.own == Ok(None), removed);
    }
}

#[test]
fn a_network_that_can_be_proven_is_proven_first() {
    let mut world = World::new(Mode::Private);
    world.of(Side::Old).profile = "flannel".into();
    world.of(Side::New).profile = "flannel".into();
    let told = world.round(0);
    assert_eq!(
        (told.reason, told.changes),
        ("WaitingForNetwork", vec!["start crossfade-prove-old".to_owned()])
    );
    let kept = |turn| Kept {
        version: 1,
        network: "old".into(),
        name: "oldnet".into(),
        turn,
        boot_id: "boot".into(),
        failed: None,
    };
    world.of(Side::Old).proof = Some(kept(1));
    assert_eq!(world.round(1).changes, [CONF]);
    // The agent restarts: proven again, and nobody waits.
    world.red(Side::Old, true);
    world.round(1);
    world.red(Side::Old, false);
    let told = world.round(1);
    assert_eq!((told.reason, told.changes), ("NetworkReady", vec!["start crossfade-prove-old".to_owned()]));
    world.of(Side::Old).proof = Some(Kept { failed: Some("no".into()), ..kept(2) });
    assert_eq!(world.round(1).reason, "WaitingForNetwork");
    world.facts.node.proof = Proof::Probe;
    assert_eq!(world.round(1).reason, "NetworkReady", "node.json says that probes do");
}

#[test]
fn the_marker_of_probes_that_only_we_can_ask_follows_them() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    for (ours, there, expected) in [
        (Some(Ok(())), false, vec!["write old"]),
        (Some(Ok(())), true, vec![]),
        (Some(Err("red".to_owned())), true, vec!["remove old"]),
        (Some(Err("red".to_owned())), false, vec![]),
        (None, true, vec!["remove old"]),
        (None, false, vec![]),
    ] {
        world.of(Side::Old).asked.ours = ours.clone();
        world.facts.probed.1 = there.then_some(Side::Old).into_iter().collect();
        assert_eq!(world.round(1).changes, expected, "{ours:?} {there}");
    }
    // `install` has written it, and the policy that waits for it comes in a moment.
    world.of(Side::Old).profile = "calico".into();
    world.of(Side::Old).asked.ours = None;
    world.facts.probed.1 = [Side::Old].into();
    assert!(world.round(1).changes.is_empty());
}

#[test]
fn network_unavailable_is_ours_to_clear_only_where_nobody_else_does() {
    for (old, new, attach, clears) in [
        ("calico", "antrea", "new", true),
        ("calico", "antrea", "old", false),
        ("calico", "cilium", "new", false),
        ("calico", "generic", "new", false),
        ("antrea", "aws-vpc", "new", false),
        ("calico", "aws-vpc", "both", false),
    ] {
        let mut world = World::new(Mode::Shared);
        world.facts.node.proof = Proof::Probe;
        world.policy(|policy| policy["attach"] = json!(attach));
        world.of(Side::Old).profile = old.into();
        world.of(Side::New).profile = new.into();
        world.round(0);
        let decision = decide(&world.facts, &world.memory, ME);
        assert!(decision.report.ready);
        assert_eq!(decision.report.clears_network_unavailable, clears, "{old} {new} {attach}");
        world.red(if attach == "old" { Side::Old } else { Side::New }, true);
        assert!(!decide(&world.facts, &world.memory, ME).report.clears_network_unavailable);
    }
}

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

#[test]
fn in_a_pod_nothing_is_swept_and_status_says_so() {
    let mut world = World::new(Mode::Shared);
    world.facts.in_pod = true;
    world.round(0);
    world.memory.sweeps.due = Duration::from_secs(60);
    assert!(world.round(60).changes.is_empty());
    let document = decide(&world.facts, &world.memory, ME).document;
    assert!(document.findings.iter().any(|finding| finding == super::pod::FINDING), "{document:?}");
}
