//! What a pass says for the Node's annotation.

use types::api::observed::Attached;
use types::node::Desired;

use crate::watch::decide::tests::*;

#[test]
fn the_annotation_is_made_of_the_policy_the_settings_and_the_last_count() {
    let mut world = World::new(Mode::Shared);
    world.facts.node.settings.desired = Desired::NodeAnnotation;
    world.facts.node.settings.allowed = vec![Phase::New, Phase::Old, Phase::BothOld];
    let attached = Attached { by_phase: [(Phase::Old, 3)].into(), ..Attached::default() };
    world.memory.attached = Some(attached.clone());
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
    assert_eq!(torn, types::api::observed::Observed { boot_id: "boot".into(), ..Default::default() });
}
