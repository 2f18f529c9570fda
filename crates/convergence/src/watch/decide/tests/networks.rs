//! Proofs, markers, and the condition that says that a network is unavailable.

use crate::watch::decide::tests::*;

#[test]
fn a_network_that_can_be_proven_is_proven_first() {
    let mut world = World::new(Mode::Private);
    world.network(Side::Old).profile = "flannel".into();
    world.network(Side::New).profile = "flannel".into();
    let round = world.round(0);
    assert_eq!(
        (round.reason, round.changes),
        ("WaitingForNetwork", vec!["start crossfade-prove-old".to_owned()])
    );
    let kept = |turn| ProofResult {
        version: 1,
        network: Side::Old,
        name: "oldnet".into(),
        turn,
        boot_id: "boot".into(),
        proof: types::node::Proof::Packet,
        failed: None,
        packets: None,
    };
    world.network(Side::Old).proof = Some(kept(1));
    assert_eq!(world.round(1).changes, [CONF]);
    // The agent restarts: a proof runs again, and no pod waits for it.
    world.red(Side::Old, true);
    world.round(1);
    world.red(Side::Old, false);
    let round = world.round(1);
    assert_eq!((round.reason, round.changes), ("NetworkReady", vec!["start crossfade-prove-old".to_owned()]));
    world.network(Side::Old).proof = Some(ProofResult { failed: Some("no".into()), ..kept(2) });
    assert_eq!(world.round(1).reason, "WaitingForNetwork");
    world.facts.node.settings.proof = types::node::Proof::Probe;
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
        world.network(Side::Old).probe_answers.marker = ours.clone();
        world.facts.probed.1 = there.then_some(Side::Old).into_iter().collect();
        assert_eq!(world.round(1).changes, expected, "{ours:?} {there}");
    }
    // `install` has written it, and the policy that waits for it comes in a moment.
    world.network(Side::Old).profile = "calico".into();
    world.network(Side::Old).probe_answers.marker = None;
    world.facts.probed.1 = [Side::Old].into();
    assert!(world.round(1).changes.is_empty());
}

#[test]
fn network_unavailable_is_ours_to_clear_only_where_no_cni_does() {
    for (old, new, attach, clears) in [
        ("calico", "antrea", "new", true),
        ("calico", "antrea", "old", false),
        ("calico", "cilium", "new", false),
        ("calico", "generic", "new", false),
        ("antrea", "aws-vpc", "new", false),
        ("calico", "aws-vpc", "both", false),
    ] {
        let mut world = World::new(Mode::Shared);
        world.facts.node.settings.proof = types::node::Proof::Probe;
        world.policy(|policy| policy["attach"] = json!(attach));
        world.network(Side::Old).profile = old.into();
        world.network(Side::New).profile = new.into();
        world.round(0);
        let decision = decide(&world.facts, &world.memory, ME);
        assert!(decision.report.ready);
        assert_eq!(decision.report.clears_network_unavailable, clears, "{old} {new} {attach}");
        world.red(if attach == "old" { Side::Old } else { Side::New }, true);
        assert!(!decide(&world.facts, &world.memory, ME).report.clears_network_unavailable);
    }
}
