//! The life of Crossfade's conf: it appears, `watch` repairs it, `watch` stops, and it goes.

use shim::attachment::conflist::{Conflist, LoadError};
use types::json::raw::to_raw;

use crate::node::conf::foreign::ForeignEntry;
use crate::node::networks::NetworkConf;
use crate::watch::decide::tests::*;

#[test]
fn private_our_conf_appears_when_the_attached_networks_are_ready_and_stays() {
    let mut world = World::new(Mode::Private);
    world.red(Side::Old, true);
    world.red(Side::New, true);
    assert_eq!(world.round(0).changes, [""; 0]);
    world.red(Side::New, false);
    assert_eq!(
        world.round(1),
        PassSummary { reason: "WaitingForNetwork", changes: vec![], happened: vec![] }
    );
    world.red(Side::Old, false);
    let round = world.round(1);
    assert_eq!((round.reason, round.changes), ("NetworkReady", vec![CONF.to_owned()]));
    assert_eq!(round.happened, ["ConfWritten", "NetworkReady"]);
    world.quiet("NetworkReady");
    world.red(Side::Old, true);
    let round = world.round(1);
    assert_eq!((round.reason, round.changes.len()), ("WaitingForNetwork", 0), "it stays");
    world.facts.node.policy = Err("torn".into());
    assert_eq!(world.round(1).changes.len(), 0, "it stays");
}

#[test]
fn private_a_foreign_conf_goes_in_every_round_and_the_node_is_not_ready_while_it_is_there() {
    let file = "10-containerd-net.conflist";
    let foreign = vec![ForeignEntry {
        path: std::path::Path::new("/run/crossfade/net.d").join(file),
        what: file.into(),
        is_dir: false,
    }];
    let mut world = World::new(Mode::Private);
    world.red(Side::Old, true);
    world.facts.foreign.clone_from(&foreign);
    const GONE: &str = "remove 10-containerd-net.conflist";
    let round = world.round(0);
    assert_eq!(
        (round.reason, round.changes),
        ("ForeignConf", vec![GONE.to_owned()]),
        "before our conf is there"
    );
    assert_eq!(round.happened, ["ForeignConf"]);
    // Written again and again: no war is called, nothing is left alone.
    world.red(Side::Old, false);
    for pass in 0..30 {
        let round = world.round(1);
        assert_eq!(round.reason, "ForeignConf", "round {pass}");
        assert_eq!(round.changes[0], GONE, "round {pass}");
    }
    assert!(world.facts.node.own_conf().is_some(), "our conf is not held up, for it sorts first");
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
        ("BadSettings", |world| world.facts.node.policy = Err("x".into())),
        ("BadSettings", |world| {
            world.facts.node.unusable =
                Some(InvalidSettings { why: "x".into(), mode_by: "", unusable_keys: None });
            world.red(Side::Old, true);
        }),
        ("SwitchedOff", |world| world.facts.off_switch = Some(OffSwitch::File)),
        ("WaitingForNetwork", |world| world.network(Side::Old).conf = Err("x".into())),
        ("WaitingForNetwork", |world| world.network(Side::Old).missing = vec!["x".into()]),
        ("WaitingForNetwork", |world| {
            world.policy(|policy| policy["attach"] = json!("both"));
            world.red(Side::New, true);
        }),
        ("WaitingForNetwork", |world| {
            world.network(Side::Old).profile = "flannel".into();
        }),
    ];
    for (at, (reason, change)) in cases.into_iter().enumerate() {
        let mut world = World::new(Mode::Private);
        change(&mut world);
        let round = world.round(0);
        assert_eq!(round.reason, reason, "case {at}");
        assert!(!round.changes.contains(&CONF.to_owned()), "case {at}: {round:?}");
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
        |world| world.facts.node.dirs.installed = OwnConfFile::Absent,
        |world| world.facts.node.dirs.installed = OwnConfFile::Unreadable("torn".into()),
        |world| {
            let OwnConfFile::Ours(own) = &mut world.facts.node.dirs.installed else { panic!("none") };
            own.mode = 0o600;
        },
        |world| world.facts.node.dirs.installed = OwnConfFile::Foreign,
    ];
    let mut world = World::new(Mode::Shared);
    assert_eq!(world.round(0).happened, ["ConfRepaired", "NetworkReady"], "its absence has no known cause");
    for harm in harms {
        harm(&mut world);
        let round = world.round(100);
        assert_eq!(
            round,
            PassSummary {
                reason: "NetworkReady",
                changes: vec![CONF.into()],
                happened: vec!["ConfRepaired"]
            }
        );
        world.quiet("NetworkReady");
    }
    assert_eq!(world.memory.repairs, 5);
}

#[test]
fn shared_what_was_never_installed_or_is_taken_away_on_purpose_is_not_written() {
    let mut world = World::new(Mode::Shared);
    world.facts.node.name = Ok(None);
    assert_eq!(world.round(0).changes, [""; 0]);
    world.facts.node.name = Ok(Some("oldnet".into()));
    world.round(1);
    world.facts.leaving = true;
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    assert_eq!(world.round(1).changes, [""; 0]);
    world.facts.leaving = false;
    assert_eq!(world.round(1).changes, [CONF], "an uninstall that gave up");
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    world.facts.node.name = Ok(None);
    assert_eq!(world.round(1).changes, [""; 0], "one that did not, and had no round to itself");
}

#[test]
fn a_changed_capability_is_a_new_conf_and_no_repair() {
    for mode in [Mode::Private, Mode::Shared] {
        let mut world = World::new(mode);
        world.round(0);
        let repairs = world.memory.repairs;
        let conf = json!({"cniVersion": "1.0.0", "name": "newnet",
            "plugins": [{"type": "bandwidth", "capabilities": {"bandwidth": true}}]});
        let conf = Conflist::from_resolved(&to_raw(&conf)).expect("a conf");
        let missing = Vec::new();
        world.facts.cni.networks =
            vec![NetworkConf { side: Side::New, conf: Ok((conf, "/x".into())), missing }];
        assert_eq!(world.round(1).happened, ["ConfWritten"]);
        // The agent takes its conf away: what it declared stays.
        let OwnConfFile::Ours(own) = &mut world.facts.node.dirs.installed else { panic!("none") };
        own.capabilities.push("bandwidth".into());
        world.facts.cni.networks[0].conf = Err(LoadError::Absent(Vec::new()));
        world.quiet("NetworkReady");
        // Without a policy it is unknown which networks declare what.
        world.facts.cni.networks.clear();
        world.facts.node.policy = Err("torn".into());
        assert_eq!(world.round(1).changes, [""; 0]);
        assert_eq!(world.memory.repairs, repairs);
    }
}

#[test]
fn an_agent_that_takes_it_again_and_again_is_named_and_left_alone_until_a_calm() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    let ours = world.facts.node.dirs.installed.clone();
    let mut writes = 0;
    for _ in 0..1000 {
        world.facts.node.dirs.installed = OwnConfFile::Absent;
        let Ok(dir) = &mut world.facts.cni.confs else { panic!("none") };
        dir.taken_away = vec![format!("{CONF_FILE}.cilium_bak")];
        let round = world.round(1);
        writes += round.changes.len();
        if round.reason == "ConfContended" {
            break;
        }
    }
    assert_eq!(writes, 2);
    let decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.message.contains("cilium") && decision.report.message.contains("cni.exclusive"));
    assert!(decision.document.findings.iter().any(|finding| finding.contains(".cilium_bak")));
    for _ in 0..100 {
        assert_eq!(
            world.round(10),
            PassSummary { reason: "ConfContended", changes: vec![], happened: vec![] }
        );
    }
    assert_eq!(world.round(CALM.as_secs()).changes, [CONF], "one try");
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    assert_eq!(world.round(1).changes, [""; 0], "taken again");
    // The program that puts it back ends it.
    world.facts.node.dirs.installed = ours;
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn what_sorts_before_ours_is_named() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    world.listed("!.conf");
    let round = world.round(1);
    assert_eq!((round.reason, round.happened), ("ConfNotFirst", vec!["ConfNotFirst"]));
    world.quiet("ConfNotFirst");
}

#[test]
fn off_takes_our_conf_away_in_shared_mode_alone_and_only_ours() {
    for (mode, ours, removed) in
        [(Mode::Shared, true, true), (Mode::Shared, false, false), (Mode::Private, true, false)]
    {
        let mut world = World::new(mode);
        world.round(0);
        if !ours {
            world.facts.node.dirs.installed = OwnConfFile::Foreign;
        }
        world.facts.off_switch = Some(OffSwitch::File);
        let round = world.round(1);
        assert_eq!((round.reason, round.changes.len()), ("SwitchedOff", usize::from(removed)), "{round:?}");
        assert_eq!(world.facts.node.dirs.installed == OwnConfFile::Absent, removed);
    }
}
