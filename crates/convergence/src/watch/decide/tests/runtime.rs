//! The conf that the runtime uses, and nodes where it is not Crossfade's.

use crate::node::plugins::bin_dirs::{BinDir, PluginState};
use crate::node::plugins::packaged_plugin::Plugins;
use crate::runtime::answer::RuntimeAnswer as Runtime;
use crate::runtime::{CniSetup, Network};
use crate::watch::decide::tests::*;

fn loaded(network: &str, plugin: &str) -> Runtime {
    let network = Network { name: network.into(), types: vec![plugin.into()], conf: String::new() };
    Runtime::Setup(CniSetup {
        conf_dir: DIR.into(),
        bin_dirs: vec!["/opt/cni/bin".into()],
        max_confs: 1,
        networks: vec![network],
    })
}

fn ours() -> Runtime {
    loaded("oldnet", "crossfade")
}

fn other() -> Runtime {
    loaded("cilium", "cilium-cni")
}

/// A node whose runtime answers, and uses Crossfade's conf.
fn world() -> World {
    let mut world = World::new(Mode::Shared);
    world.facts.node.runtime.answer = ours();
    assert_eq!(world.round(0).reason, "WaitingForNetwork", "our conf is written in this round");
    assert_eq!(world.round(1).reason, "NetworkReady");
    world
}

#[test]
fn a_conf_that_lies_in_place_and_is_not_loaded_is_no_readiness_and_is_written_anew() {
    let mut world = world();
    world.facts.node.runtime.answer = other();
    // No program touched Crossfade's conf: its content is as it should be.
    let round = world.round(100);
    assert_eq!((round.reason, round.changes), ("ConfNotLoaded", vec![CONF.to_owned()]));
    assert!(round.happened.contains(&"ConfReloaded"), "{:?}", round.happened);
    let decision = decide(&world.facts, &world.memory, ME);
    assert!(!decision.report.ready && decision.report.message.contains("cilium (cilium-cni)"));
    assert_eq!(decision.document.conf.state, types::status::ConfState::NotLoaded);
    world.facts.node.runtime.answer = ours();
    assert_eq!(world.round(1).reason, "NetworkReady");
    assert_eq!(world.memory.guard, crate::watch::guard::Guard::default(), "no program has taken it");
}

#[test]
fn a_runtime_that_goes_on_with_another_conf_is_not_fought() {
    let mut world = world();
    world.facts.node.runtime.answer = other();
    let mut writes = 0;
    for _ in 0..3600 {
        let round = world.round(1);
        assert_eq!(round.reason, "ConfNotLoaded");
        writes += round.changes.len();
    }
    assert!((5..=12).contains(&writes), "{writes} writes in an hour");
    // Another conf keeps Crossfade's from being used: Crossfade's is right.
    world.listed("!.conf");
    for _ in 0..3600 {
        let round = world.round(1);
        assert_eq!((round.reason, round.changes.len()), ("ConfNotFirst", 0));
    }
}

#[test]
fn what_was_just_written_is_awaited_before_it_is_written_again() {
    let mut world = World::new(Mode::Private);
    world.facts.node.runtime.answer = loaded("none", "none");
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    let round = world.round(0);
    assert_eq!((round.reason, round.changes), ("WaitingForNetwork", vec![CONF.to_owned()]));
    for _ in 0..9 {
        assert_eq!(world.round(1).changes, [""; 0], "it may take its time");
    }
    let round = world.round(1);
    assert_eq!((round.reason, round.changes), ("ConfNotLoaded", vec![CONF.to_owned()]));
    world.facts.node.runtime.answer = ours();
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn a_runtime_that_does_not_tell_is_judged_by_its_directory() {
    let mut world = World::new(Mode::Shared);
    world.facts.node.runtime.answer = Runtime::Silent;
    assert_eq!(world.round(0).reason, "NetworkReady");
}

#[test]
fn no_runtime_is_no_readiness() {
    for answer in [Runtime::Unknown("name it".into()), Runtime::Absent("no socket".into())] {
        let mut world = World::new(Mode::Shared);
        world.facts.node.runtime.answer = answer;
        assert_eq!(world.round(0).reason, "RuntimeUnknown");
    }
}

#[test]
fn a_runtime_that_is_being_restarted_has_half_a_minute() {
    let mut world = world();
    world.facts.node.runtime.answer = Runtime::Absent("no socket".into());
    for _ in 0..30 {
        assert_eq!(world.round(1), PassSummary { reason: "NetworkReady", changes: vec![], happened: vec![] });
    }
    assert_eq!(world.round(1).reason, "RuntimeUnknown");
    world.facts.node.runtime.answer = ours();
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn a_plugin_that_is_gone_is_no_readiness_and_is_put_back() {
    let mut world = world();
    world.facts.cni.plugins.dirs[0].plugin = PluginState::Missing;
    let round = world.round(1);
    assert_eq!((round.reason, round.changes), ("PluginMissing", vec!["write crossfade".to_owned()]));
    // Where the unit of watch may not write, another unit does, once a minute.
    world.facts.cni.plugins.dirs[0].read_only = true;
    let mut starts = 0;
    for _ in 0..120 {
        starts += world.round(1).changes.len();
    }
    assert_eq!(starts, 2);
    world.facts.cni.plugins.dirs[0].plugin = PluginState::Sound;
    assert_eq!(world.round(1).reason, "NetworkReady");
}

#[test]
fn a_plugin_of_another_release_is_replaced() {
    let mut world = world();
    world.facts.cni.plugins.dirs[0].plugin = PluginState::OtherFile;
    let round = world.round(1);
    assert_eq!((round.reason, round.changes), ("PluginMissing", vec!["write crossfade".to_owned()]));
}

#[test]
fn what_is_taken_away_on_purpose_is_not_put_back() {
    let mut world = world();
    world.facts.cni.plugins.dirs[0].plugin = PluginState::Missing;
    world.facts.leaving = true;
    assert_eq!(world.round(1).changes, [""; 0]);
    world.facts.leaving = false;
    world.facts.off_switch = Some(OffSwitch::File);
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    assert_eq!(world.round(1).changes, [""; 0]);
}

/// The runtime's directories as a test has them.
pub(super) fn plugins() -> Plugins {
    let dir = BinDir {
        path: "/opt/cni/bin".into(),
        plugin: PluginState::Sound,
        other: None,
        read_only: false,
        distrust: None,
    };
    Plugins { dirs: vec![dir], packaged: Ok(b"plugin".to_vec()) }
}
