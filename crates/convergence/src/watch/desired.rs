//! The phase that the Node's annotation `crossfade/desired` asks for, and the tries to reach it.
//!
//! It is compared with the policy in every round, until the policy is in that phase or the annotation is taken back. So a flip that met a
//! full disk, a held lock, a policy that could not be used, or a node.json that did not allow it is made as soon as it can be. What
//! stands in the way is an event once, and in the condition and status.json for as long as it does. Only a flip that was tried and failed is
//! tried again at a time of its own; whatever else stands in the way ends by a change on the node, and that is a pass.

use std::time::Duration;

use types::policy::Phase;

use crate::node::policy::desired_phase::DesiredPhase;
use crate::publish::report::EventReason;
use crate::watch::guard::backoff;

/// The pause after a try that failed; doubled each time, up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a try that failed.
const LONGEST: Duration = Duration::from_secs(60);

/// What the annotation asks for, and how far that is.
#[derive(Debug, Clone, Default)]
pub struct DesiredProgress {
    requested: Option<DesiredPhase>,
    tried: Option<FailedFlip>,
    unmet: Option<PhaseMismatch>,
}

/// The last try that failed.
#[derive(Debug, Clone)]
struct FailedFlip {
    tried_at: Duration,
    /// The policy that it was made on: another one is another case.
    policy: Option<String>,
    failures: u32,
}

/// Why the node is not in the desired phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseMismatch {
    /// Whether a person has to act.
    pub kind: DesiredKind,
    /// One sentence that names the phase.
    pub message: String,
}

/// What kind of obstacle it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredKind {
    /// The settings do not allow the phase.
    Refused,
    /// The flip failed, and `watch` tries again.
    Failed,
}

impl From<DesiredKind> for EventReason {
    fn from(kind: DesiredKind) -> Self {
        match kind {
            DesiredKind::Refused => Self::FlipRefused,
            DesiredKind::Failed => Self::FlipFailed,
        }
    }
}

/// The facts of the node that the desired phase is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Time since `watch` began.
    pub now: Duration,
    /// The policy's phase; none while the policy cannot be used.
    pub phase: Option<Phase>,
    /// SHA-256 of the policy's bytes, in hex.
    pub policy: Option<&'a str>,
    /// The policy's digest, without its phase ([`types::api::observed::NodeObservation::base`]).
    pub base: Option<&'a str>,
    /// Whether node.json lets the node follow the annotation.
    pub follows: bool,
    /// The phases that node.json allows.
    pub allowed: &'a [Phase],
    /// Whether Crossfade is switched off.
    pub is_off: bool,
}

impl DesiredProgress {
    /// The annotation asks for this now; none is none.
    pub fn set(&mut self, desired: Option<DesiredPhase>) {
        if self.requested != desired {
            *self = Self { requested: desired, ..Self::default() };
        }
    }

    /// The phase that `watch` flips to in this pass, if any.
    pub fn step(&mut self, node: Node<'_>) -> Option<Phase> {
        let Some(desired) = self.requested.clone().filter(|_| !node.is_off) else {
            (self.tried, self.unmet) = (None, None);
            return None;
        };
        let phase = Phase::parse(&desired.value);
        if phase.is_some() && phase == node.phase {
            self.note_met();
            return None;
        }
        let phase = match phase {
            None => {
                let phases = Phase::ALL.map(Phase::as_str).join(", ");
                return self.set_unmet(DesiredKind::Refused, &format!("expected one of {phases}"));
            }
            Some(_) if !desired.is_for(node.base) => {
                return self.set_unmet(
                    DesiredKind::Refused,
                    "it was set for another policy than this node's; set it again",
                );
            }
            Some(_) if !node.follows => {
                return self
                    .set_unmet(DesiredKind::Refused, "node.json does not follow the annotation (desired)");
            }
            Some(phase) if !node.allowed.contains(&phase) => {
                return self.set_unmet(DesiredKind::Refused, "node.json does not allow it (allowed)");
            }
            Some(_) if node.phase.is_none() => {
                return self.set_unmet(
                    DesiredKind::Failed,
                    "the policy cannot be used; it is followed as soon as that is mended",
                );
            }
            Some(phase) => phase,
        };
        let is_due = self.tried.as_ref().is_none_or(|tried| {
            tried.policy.as_deref() != node.policy || node.now.saturating_sub(tried.tried_at) >= tried.pause()
        });
        is_due.then_some(phase)
    }

    /// Whether the annotation asks for this phase, of a policy with this digest.
    #[must_use]
    pub fn is_met(&self, phase: Option<Phase>, base: Option<&str>) -> bool {
        let is_met = |desired: &DesiredPhase| Phase::parse(&desired.value) == phase && desired.is_for(base);
        phase.is_some() && self.requested.as_ref().is_some_and(is_met)
    }

    /// Notes that the policy is in the desired phase. The next pass compares again: the policy may not stay there.
    pub fn note_met(&mut self) {
        (self.tried, self.unmet) = (None, None);
    }

    /// Notes that a flip was refused or failed.
    pub fn note_failed(&mut self, kind: DesiredKind, why: &str, node: Node<'_>) {
        let policy = node.policy.map(str::to_owned);
        let before =
            self.tried.as_ref().filter(|tried| tried.policy == policy).map_or(0, |tried| tried.failures);
        self.set_unmet(kind, why);
        self.tried = Some(FailedFlip { tried_at: node.now, policy, failures: before.saturating_add(1) });
    }

    /// What keeps the node from the desired phase.
    #[must_use]
    pub const fn unmet_phase(&self) -> Option<&PhaseMismatch> {
        self.unmet.as_ref()
    }

    /// How long until the next try is due; none where no try is awaited.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        let tried = self.tried.as_ref()?;
        Some((tried.tried_at + tried.pause()).saturating_sub(now))
    }

    /// Notes what is in the way. No try is awaited then, so that [`DesiredProgress::wait`] does not wake the loop for one that would not be made.
    fn set_unmet(&mut self, kind: DesiredKind, why: &str) -> Option<Phase> {
        self.tried = None;
        let value = self.requested.as_ref().map_or("", |desired| desired.value.as_str());
        self.unmet = Some(PhaseMismatch {
            kind,
            message: format!("crossfade/desired asks for phase {value:?}: {why}"),
        });
        None
    }
}

impl FailedFlip {
    fn pause(&self) -> Duration {
        backoff(self.failures, (PAUSE, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::policy::desired_phase::DesiredScope;

    const ALL: &[Phase] = &Phase::ALL;

    fn node(now: u64, phase: Option<Phase>, allowed: &'static [Phase]) -> Node<'static> {
        let now = Duration::from_secs(now);
        let policy = phase.map(Phase::as_str);
        Node { now, phase, policy, base: phase.map(|_| "b1"), follows: true, allowed, is_off: false }
    }

    fn parse_phase(value: &str, policy: DesiredScope) -> Option<DesiredPhase> {
        Some(DesiredPhase { value: value.into(), policy })
    }

    fn desired(value: &str) -> DesiredProgress {
        let mut desired = DesiredProgress::default();
        desired.set(parse_phase(value, DesiredScope::Any));
        desired
    }

    fn kind(desired: &DesiredProgress) -> Option<DesiredKind> {
        desired.unmet_phase().map(|unmet| unmet.kind)
    }

    #[test]
    fn what_stood_in_the_way_is_asked_again_in_every_round() {
        let mut desired = desired("new");
        let old = Some(Phase::Old);
        assert_eq!((desired.step(node(0, old, &[])), kind(&desired)), (None, Some(DesiredKind::Refused)));
        assert!(desired.unmet_phase().is_some_and(|unmet| unmet.message.contains("\"new\"")));
        let unfollowed = Node { follows: false, ..node(0, old, ALL) };
        assert_eq!((desired.step(unfollowed), kind(&desired)), (None, Some(DesiredKind::Refused)));
        assert_eq!((desired.step(node(1, None, ALL)), kind(&desired)), (None, Some(DesiredKind::Failed)));
        assert_eq!(desired.step(node(2, old, ALL)), Some(Phase::New));
        assert_eq!((desired.step(node(3, Some(Phase::New), ALL)), kind(&desired)), (None, None));
        // The operator flips it back, and the annotation still asks for it.
        assert_eq!(desired.step(node(4, old, ALL)), Some(Phase::New));
    }

    #[test]
    fn a_try_that_fails_is_made_again_later_and_later_and_at_once_on_another_policy() {
        let mut desired = desired("new");
        let old = Some(Phase::Old);
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..9 {
            let began = now;
            while desired.step(node(now, old, ALL)).is_none() {
                now += 1;
            }
            pauses.push(now - began);
            desired.note_failed(DesiredKind::Failed, "no space", node(now, old, ALL));
            assert!(desired.wait(Duration::from_secs(now)).is_some_and(|wait| wait <= LONGEST));
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((desired.step(node(now, old, ALL)), kind(&desired)), (None, Some(DesiredKind::Failed)));
        assert_eq!(desired.step(node(now, Some(Phase::BothOld), ALL)), Some(Phase::New));
    }

    #[test]
    fn the_last_value_counts_and_none_is_forgotten() {
        let mut desired = desired("nonsense");
        assert_eq!(
            (desired.step(node(0, Some(Phase::Old), ALL)), kind(&desired)),
            (None, Some(DesiredKind::Refused))
        );
        desired.set(parse_phase("both-old", DesiredScope::Any));
        assert_eq!(desired.step(node(0, Some(Phase::Old), ALL)), Some(Phase::BothOld));
        desired.note_failed(DesiredKind::Failed, "x", node(0, Some(Phase::Old), ALL));
        desired.set(None);
        assert_eq!(desired.step(node(0, Some(Phase::Old), ALL)), None);
        assert_eq!((kind(&desired), desired.wait(Duration::ZERO)), (None, None));
        desired.set(Some(DesiredPhase { value: "new".into(), policy: DesiredScope::Any }));
        assert_eq!(desired.step(Node { is_off: true, ..node(0, Some(Phase::Old), ALL) }), None);
    }

    #[test]
    fn a_phase_that_was_asked_of_another_policy_is_not_followed() {
        let old = node(0, Some(Phase::Old), ALL);
        for (policy, expected) in [
            (DesiredScope::Any, Some(Phase::New)),
            (DesiredScope::Base("b1".into()), Some(Phase::New)),
            (DesiredScope::Base("b0".into()), None),
            (DesiredScope::Earlier, None),
        ] {
            let mut desired = DesiredProgress::default();
            desired.set(parse_phase("new", policy.clone()));
            assert_eq!(desired.step(old), expected, "{policy:?}");
            let refused = expected.is_none().then_some(DesiredKind::Refused);
            assert_eq!(kind(&desired), refused, "{policy:?}");
            // The policy is changed under a phase that it was in.
            desired.step(Node { base: Some("b2"), ..old });
            let still =
                matches!(policy, DesiredScope::Any).then_some(None).unwrap_or(Some(DesiredKind::Refused));
            assert_eq!(kind(&desired), still, "{policy:?}");
            assert_eq!(desired.step(Node { base: Some("b2"), ..node(1, Some(Phase::New), ALL) }), None);
            assert_eq!(kind(&desired), None, "the policy is in that phase anyway");
        }
    }

    #[test]
    fn it_is_met_by_its_phase_of_its_policy() {
        let mut desired = desired("new");
        assert!(desired.is_met(Some(Phase::New), Some("b1")));
        assert!(!desired.is_met(Some(Phase::Old), Some("b1")) && !desired.is_met(None, None));
        desired.set(parse_phase("new", DesiredScope::Base("b0".into())));
        assert!(!desired.is_met(Some(Phase::New), Some("b1")));
        desired.set(None);
        assert!(!desired.is_met(Some(Phase::New), Some("b1")));
    }

    /// After a try that failed, something else comes to stand in the way: no try would be made, and none may be waited for, or the loop would
    /// never sleep again.
    #[test]
    fn only_a_try_is_waited_for() {
        let old = Some(Phase::Old);
        let unfollowed = Node { follows: false, ..node(9, old, ALL) };
        let off = Node { is_off: true, ..node(9, old, ALL) };
        for (what, then) in [
            ("not allowed", node(9, old, &[])),
            ("not followed", unfollowed),
            ("no policy", node(9, None, ALL)),
            ("switched off", off),
            ("met", node(9, Some(Phase::New), ALL)),
        ] {
            let mut desired = desired("new");
            assert_eq!(desired.step(node(0, old, ALL)), Some(Phase::New));
            desired.note_failed(DesiredKind::Failed, "no space", node(0, old, ALL));
            assert_eq!(desired.wait(Duration::ZERO), Some(PAUSE));
            assert_eq!((desired.step(then), desired.wait(Duration::from_secs(9))), (None, None), "{what}");
            // As soon as it is out of the way, the next pass tries.
            assert_eq!(desired.step(node(9, old, ALL)), Some(Phase::New), "{what}");
        }
    }

    #[test]
    fn what_stood_in_the_way_of_a_flip_that_is_made_is_said_no_more() {
        let mut desired = desired("new");
        let old = node(0, Some(Phase::Old), ALL);
        desired.note_failed(DesiredKind::Failed, "no space", old);
        assert!(desired.unmet_phase().is_some());
        desired.note_met();
        assert_eq!((desired.unmet_phase(), desired.wait(Duration::ZERO)), (None, None));
        assert_eq!(desired.step(old), Some(Phase::New), "and it is compared again");
    }
}
