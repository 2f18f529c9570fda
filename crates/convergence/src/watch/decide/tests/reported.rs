//! Reports of acts that a pass cannot do.

use crate::watch::decide::tests::*;
use crate::watch::desired::{DesiredKind, PhaseMismatch};

#[test]
fn an_unmet_desired_phase_is_one_event_and_in_the_condition_as_long_as_it_stands() {
    let mut world = World::new(Mode::Private);
    assert_eq!(world.round(0).reason, "NetworkReady");
    world.memory.unmet =
        Some(PhaseMismatch { kind: DesiredKind::Refused, message: "asks for \"new\": no".into() });
    assert_eq!(world.round(1).happened, ["FlipRefused"]);
    let decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.ready && decision.report.message.contains("asks for \"new\""));
    assert!(decision.document.findings.iter().any(|finding| finding.contains("asks for \"new\"")));
    world.quiet("NetworkReady");
    world.memory.unmet =
        Some(PhaseMismatch { kind: DesiredKind::Failed, message: "asks for \"new\": no space".into() });
    assert_eq!(world.round(1).happened, ["FlipFailed"]);
    world.quiet("NetworkReady");
    world.memory.unmet = None;
    world.quiet("NetworkReady");
    assert!(!decide(&world.facts, &world.memory, ME).report.message.contains("asks for"));
}

#[test]
fn metrics_that_are_not_written_are_a_finding() {
    let mut world = World::new(Mode::Private);
    assert_eq!(world.round(0).reason, "NetworkReady");
    world.memory.unmeasured = Some("/x/y.prom: it is no regular file".into());
    assert_eq!(world.round(1).happened, ["Finding"]);
    let decision = decide(&world.facts, &world.memory, ME);
    assert!(decision.report.ready, "no pod's network depends on it");
    assert!(decision.document.findings.iter().any(|finding| finding.contains("/x/y.prom")));
    world.quiet("NetworkReady");
}
