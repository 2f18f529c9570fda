//! The Node's annotation after a pass.

use types::api::node_keys::IMAGE;
use types::api::observed::AttachmentCounts;
use types::node::DesiredSource;
use types::policy::Side;
use types::status::NotMoved;

use crate::node::attachments::last_pass::{PassResult, PodsResult};

use crate::watch::decide::tests::*;

#[test]
fn the_annotation_is_made_of_the_policy_the_settings_and_the_last_count() {
    let mut world = World::new(Mode::Shared);
    world.facts.node.settings.desired = DesiredSource::NodeAnnotation;
    world.facts.node.settings.allowed = vec![Phase::New, Phase::Old, Phase::BothOld];
    let attached = AttachmentCounts { by_phase: [(Phase::Old, 3)].into(), ..AttachmentCounts::default() };
    world.memory.attached = Some(attached.clone());
    world.facts.node.settings.labels = [(IMAGE.to_owned(), "5f2c".to_owned())].into();
    let observed = |world: &World| decide(&world.facts, &world.memory, ME).report.observed;
    let before = observed(&world);
    let base = before.base.clone().expect("a base");
    assert_eq!((before.boot_id.as_str(), before.phase, &before.echo), ("boot", Some(Phase::Old), &None));
    assert_eq!((&before.attached, &before.mints), (&Some(attached), &vec![Phase::Old]));
    // A generic CNI has not been tried as the second network.
    assert_eq!(before.follows, [Phase::Old, Phase::New]);
    world.policy(|policy| policy["attach"] = json!("new"));
    let flipped = observed(&world);
    assert_eq!((flipped.base.as_ref(), &flipped.mints), (Some(&base), &vec![Phase::New]));
    world.policy(|policy| policy["rules"] = json!([{"namespace": "a", "attach": "new"}]));
    let ruled = observed(&world);
    assert!(ruled.base.is_some_and(|other| other != base));
    assert_eq!(ruled.mints, [Phase::Old, Phase::New]);
    world.facts.node.policy = Err("torn".into());
    world.memory.attached = None;
    let torn = observed(&world);
    let image = Some("5f2c".to_owned());
    assert_eq!(
        torn,
        types::api::observed::NodeObservation { boot_id: "boot".into(), image, ..Default::default() }
    );
}

/// A node in the desired phase `both-old`, with pods of phase `old`, whose networks can join pods that run.
fn joining() -> World {
    let mut world = World::new(Mode::Shared);
    world.policy(|policy| {
        policy["attach"] = json!("both");
        policy["both"] = json!({"primary": "old"});
        for side in ["old", "new"] {
            policy["networks"][side]["join"] = json!("works");
            policy["networks"][side]["secondary"] = json!("works");
        }
    });
    world.facts.node.settings.desired = DesiredSource::NodeAnnotation;
    world.facts.node.settings.allowed = Phase::ALL.into();
    world.facts.node.settings.join_pods = true;
    world.memory.is_led = true;
    world.memory.attached =
        Some(AttachmentCounts { by_phase: [(Phase::Old, 3)].into(), ..AttachmentCounts::default() });
    world
}

#[test]
fn a_node_that_follows_lets_networks_join_and_says_how_many_pods_wait_for_a_restart() {
    let mut world = joining();
    let report = |world: &World| decide(&world.facts, &world.memory, ME).report;
    let start = "start crossfade-move-pods".to_owned();
    assert!(world.round(0).changes.contains(&start));
    let observed = report(&world).observed;
    assert_eq!((observed.joins, observed.restarts), (Side::BOTH.to_vec(), None));

    let result = |failed: Option<&str>| PassResult {
        version: 1,
        turn: 1,
        boot_id: "boot".into(),
        failed: failed.map(str::to_owned),
        pods: Some(PodsResult {
            policy_sha256: "x".into(),
            restarts: 1,
            not_moved: NotMoved { connections: 1, failed: 2 },
        }),
    };
    world.facts.last_move = Some(result(Some("pods left: 1, the first: web/a (connections)")));
    let left = report(&world);
    assert!(left.ready && left.message.contains("web/a (connections); see journalctl"), "{left:?}");
    assert_eq!(left.observed.restarts, None);
    let not_moved = |world: &World| decide(&world.facts, &world.memory, ME).document.not_moved;
    assert_eq!(not_moved(&world), Some(NotMoved { connections: 1, failed: 2 }));
    let mut other_policy = result(None);
    other_policy.pods.as_mut().expect("pods").policy_sha256 = "y".into();
    world.facts.last_move = Some(other_policy);
    assert_eq!(not_moved(&world), None, "the pass went by another policy");
    world.facts.last_move = Some(result(None));
    world.memory.attached =
        Some(AttachmentCounts { by_phase: [(Phase::Old, 1)].into(), ..AttachmentCounts::default() });
    assert_eq!(report(&world).observed.restarts, Some(1));
    assert!(!world.round(999).changes.contains(&start), "nothing is left to do");

    for change in [
        |world: &mut World| world.memory.is_led = false,
        |world: &mut World| world.facts.node.settings.join_pods = false,
        |world: &mut World| world.facts.in_pod = true,
    ] {
        let mut other = joining();
        change(&mut other);
        assert!(!other.round(0).changes.contains(&start));
        other.facts.last_move = Some(result(None));
        assert_eq!((report(&other).observed.restarts, not_moved(&other)), (None, None));
    }
    world.facts.in_pod = true;
    assert!(report(&world).observed.joins.is_empty());
}
