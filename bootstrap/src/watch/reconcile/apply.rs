//! The acts of a pass: changes through the executor, units that are started without a wait, and the Node's annotation.

use convergence::change::Act;
use convergence::node::attachments::last_pass::Pass;
use convergence::node::plugins::packaged_plugin;
use convergence::node::policy::roll;
use convergence::publish::report::{EventReason, NodeEvent};
use convergence::watch::decide::WatchDecision;
use convergence::watch::observation::Observation;
use convergence::watch::{desired, proof};
use tracing::{info, warn};
use types::command::exit::Exit;

use super::Watch;
use crate::change::outcome::Outcome;
use crate::host::events::WakeReason;
use crate::node::policy::flip;
use crate::watch::apply;

impl Watch<'_> {
    /// Carries out a decision; returns what failed, in words.
    pub(super) fn apply(&mut self, decision: &mut WatchDecision) -> Option<String> {
        let changes = std::mem::take(&mut decision.changes);
        let done = apply::apply(&self.scope.root, changes, |act| self.start(act));
        let mut failed = None;
        for done in &done {
            let change = &done.change;
            match &done.outcome {
                Some(Outcome::Failed(why)) => {
                    let why = format!("{} {}: {why}", change.act.word(), change.target);
                    if self.memory.failed.as_ref() != Some(&why) {
                        let message = why.clone();
                        decision.happened.push(NodeEvent {
                            reason: EventReason::Failed,
                            warning: true,
                            message,
                        });
                    }
                    failed = Some(why);
                }
                Some(_) => {
                    info!(event = "Changed", target = %change.target, "{}: {}", change.act.word(), change.reason)
                }
                None => {}
            }
        }
        // The next pass has to find what this pass wrote.
        if failed.is_none()
            && let Some(conf) = decision.conf.take()
        {
            decision.memory.settled_conf = Some(conf);
            decision.memory.was_there = true;
        }
        failed
    }

    pub(super) fn start(&self, act: &Act) {
        let Act::Start { unit, .. } = act else { return };
        let (global, act, unit, wake) =
            (self.scope.global.clone(), act.clone(), unit.clone(), self.wake.clone());
        // systemd may be slow, so a thread of its own waits for it.
        let started = std::thread::Builder::new().name("start".into()).spawn(move || {
            if let Err(why) = apply::start_unit(&global, &act) {
                // If the loop has ended, no pass needs the message.
                let _ = wake.send(WakeReason::NotStarted(unit, why));
            }
        });
        if let Err(error) = started {
            warn!(event = "Failed", "start a thread: {error}");
        }
    }

    pub(super) fn note_not_started(&mut self, unit: &str, why: String) {
        let now = self.started.elapsed();
        let is_proof_of = |side: &types::policy::Side| unit == proof::unit(*side);
        if unit == packaged_plugin::UNIT {
            let message = format!("Crossfade's plugin cannot be put back: {why}");
            self.pending.push(NodeEvent { reason: EventReason::Failed, warning: true, message });
        } else if let Some(standing) = self.memory.standing.iter_mut().find(|(side, _)| is_proof_of(side)) {
            standing.1.proofs.did_not_start(now, why);
        } else if unit == Pass::MovePods.unit() {
            self.memory.moves.passes.did_not_start(why);
        } else {
            self.memory.sweeps.did_not_start(why);
        }
    }

    /// Flips the policy to the phase that the Node's annotation asks for, where it is due; whether it was flipped.
    pub(super) fn follow_desired(&mut self, facts: &Observation) -> bool {
        let policy_file = facts.node.policy.as_ref().ok();
        let base = policy_file.map(|policy_file| roll::base(policy_file, &facts.node.profiles));
        let node = desired::Node {
            now: facts.now,
            phase: policy_file.map(|policy_file| policy_file.policy.phase()),
            policy: policy_file.map(|policy_file| policy_file.sha256.as_str()),
            base: base.as_deref(),
            follows: facts.node.settings.desired == types::node::DesiredSource::NodeAnnotation,
            allowed: &facts.node.settings.allowed,
            is_off: facts.off_switch.is_some(),
        };
        self.memory.is_led = self.desired.is_met(node.phase, node.base);
        let Some(phase) = self.desired.step(node) else { return false };
        match flip::set(&facts.node, phase, false, false) {
            Ok(_) => {
                // This very pass reports the new phase, and nothing that stood in its way.
                self.desired.note_met();
                self.memory.is_led = true;
                true
            }
            Err(failure) => {
                let is_no = failure.exit == Exit::No;
                let kind = if is_no { desired::DesiredKind::Refused } else { desired::DesiredKind::Failed };
                self.desired.note_failed(kind, &failure.lines().join("; "), node);
                false
            }
        }
    }
}
