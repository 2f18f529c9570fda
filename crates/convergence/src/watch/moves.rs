//! The networks that join and leave the running pods of a node whose phase changes: when a pass of `move-pods` runs, and how many pods it leaves to a
//! restart.
//!
//! Each policy has at least one pass, since a DEL that an earlier one owes is on no count. A pass that left something to do is repeated, and so is one
//! after which attachments of another phase came: an ADD may have begun before the flip.

use std::time::Duration;

use crate::node::attachments::last_pass::{Pass, PassResult};
use crate::watch::passes::Passes;

/// The passes, and the last one that left nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moves {
    /// Their schedule.
    pub passes: Passes,
    /// SHA-256 of the policy of the last pass.
    policy: Option<String>,
    last_settled: Option<SettledPass>,
}

/// A pass that left nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SettledPass {
    turn: u64,
    /// The least number of attachments of another phase since.
    others: u32,
}

impl Default for Moves {
    fn default() -> Self {
        Self { passes: Passes::from_pass(Pass::MovePods), policy: None, last_settled: None }
    }
}

/// The facts of a node that follows `crossfade/desired` and lets networks join and leave.
#[derive(Debug, Clone, Copy)]
pub struct MoveFacts<'a> {
    /// Time since `watch` began.
    pub now: Duration,
    /// SHA-256 of the policy's bytes, in hex.
    pub policy: &'a str,
    /// Whether all networks of the policy are ready.
    pub is_ready: bool,
    /// How many attachments are not known to be of the policy's phase; none if they could not be counted.
    pub others: Option<u32>,
    /// The result of the last pass in this boot.
    pub last_result: Option<&'a PassResult>,
}

/// What a round does about running pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveStep {
    /// A pass is due; its number.
    Begin(u64),
    /// A pass runs, or its time has not come.
    Wait,
    /// Nothing is left to do, but for so many pods that only a restart brings to their networks.
    Settled(u32),
}

impl Moves {
    /// The step of this round.
    pub fn step(&mut self, node: MoveFacts<'_>) -> MoveStep {
        let Some(others) = node.others else { return MoveStep::Wait };
        if let Some((turn, restarts)) = self.success(node) {
            let before = self.last_settled.filter(|settled| settled.turn == turn);
            let least = before.map_or(others, |settled| settled.others.min(others));
            self.last_settled = Some(SettledPass { turn, others: least });
            if others <= least {
                // Pods that were restarted since are not counted any more.
                return MoveStep::Settled(restarts.min(others));
            }
        }
        if !node.is_ready || self.passes.is_running(node.last_result, node.now) {
            return MoveStep::Wait;
        }
        if self.policy.as_deref() != Some(node.policy) {
            self.passes.due = node.now;
        }
        let Some(turn) = self.passes.begin(node.last_result, node.now) else { return MoveStep::Wait };
        self.policy = Some(node.policy.to_owned());
        MoveStep::Begin(turn)
    }

    /// The last pass, if it left nothing to do under this policy: its number, and the pods that wait for a restart.
    fn success(&self, node: MoveFacts<'_>) -> Option<(u64, u32)> {
        let last = node.last_result.filter(|last| self.passes.is_last(last) && last.failed.is_none())?;
        let pods = last.pods.as_ref().filter(|pods| pods.policy_sha256 == node.policy)?;
        Some((last.turn, pods.restarts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::status::NotMoved;

    use crate::node::attachments::last_pass::PodsResult;

    fn result(turn: u64, policy: &str, failed: Option<&str>) -> PassResult {
        let pods =
            Some(PodsResult { policy_sha256: policy.into(), restarts: 2, not_moved: NotMoved::default() });
        PassResult { version: 1, turn, boot_id: "b".into(), failed: failed.map(str::to_owned), pods }
    }

    fn node(secs: u64, policy: &'static str, others: u32) -> MoveFacts<'static> {
        let now = Duration::from_secs(secs);
        MoveFacts { now, policy, is_ready: true, others: Some(others), last_result: None }
    }

    #[test]
    fn each_policy_has_a_pass_and_what_it_left_to_do_another() {
        let mut moves = Moves::default();
        assert_eq!(moves.step(MoveFacts { is_ready: false, ..node(0, "p", 3) }), MoveStep::Wait);
        assert_eq!(moves.step(MoveFacts { others: None, ..node(0, "p", 3) }), MoveStep::Wait);
        assert_eq!(moves.step(node(1, "p", 3)), MoveStep::Begin(1));
        assert_eq!(moves.step(node(100, "p", 3)), MoveStep::Wait, "it runs");
        let failed = result(1, "p", Some("connections"));
        let after = |secs, others| MoveFacts { last_result: Some(&failed), ..node(secs, "p", others) };
        assert_eq!(moves.step(after(60, 1)), MoveStep::Wait, "a minute after the last one began");
        assert_eq!(moves.step(after(61, 1)), MoveStep::Begin(2));
        let done = result(2, "p", None);
        let after = |secs, others| MoveFacts { last_result: Some(&done), ..node(secs, "p", others) };
        assert_eq!(moves.step(after(62, 2)), MoveStep::Settled(2));
        let unready = MoveFacts { is_ready: false, ..after(63, 2) };
        assert_eq!(moves.step(unready), MoveStep::Settled(2), "a result stays true");
        // Of the two pods, one is restarted, and then an ADD ends that had begun before the flip.
        assert_eq!(moves.step(after(64, 1)), MoveStep::Settled(1));
        assert_eq!(moves.step(after(65, 2)), MoveStep::Wait);
        assert_eq!(moves.step(after(121, 2)), MoveStep::Begin(3));
    }

    #[test]
    fn a_flip_begins_at_once_unless_a_pass_runs() {
        let mut moves = Moves::default();
        assert_eq!(moves.step(node(1, "p", 0)), MoveStep::Begin(1), "also without others: a DEL may be owed");
        let done = result(1, "p", None);
        let after = |secs, policy| MoveFacts { last_result: Some(&done), ..node(secs, policy, 0) };
        assert_eq!(moves.step(node(2, "q", 0)), MoveStep::Wait);
        assert_eq!(moves.step(after(3, "p")), MoveStep::Settled(0));
        assert_eq!(moves.step(after(4, "q")), MoveStep::Begin(2));
        // It went by the policy before, and its result is not about this one.
        let other = result(2, "p", None);
        let after = MoveFacts { last_result: Some(&other), ..node(5, "q", 0) };
        assert_eq!(moves.step(after), MoveStep::Wait);
        assert_eq!(moves.step(MoveFacts { now: Duration::from_secs(64), ..after }), MoveStep::Begin(3));
    }

    #[test]
    fn a_watch_that_starts_believes_the_result_of_the_one_before() {
        let done = result(7, "p", None);
        let mut moves = Moves::default();
        let after = MoveFacts { last_result: Some(&done), ..node(0, "p", 2) };
        assert_eq!(moves.step(after), MoveStep::Settled(2));
        assert_eq!(moves.step(MoveFacts { policy: "q", ..after }), MoveStep::Begin(8));
    }
}
