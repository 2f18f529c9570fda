//! The result of a proof, and the next step.

pub mod delegate_error;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::node::Proof;
use types::packets::{Outcome, PacketPath, PacketReason, Packets};
use types::policy::Side;
use types::status::ProofState;

use crate::node::agent::own_command::proof_within_secs;
use crate::watch::guard::backoff;

/// How long a network whose packets pass on this node waits for DNS servers and other nodes. They may wait for this very node: after an outage of
/// a whole cluster no DNS pod runs before the first node is ready.
const WAITS_FOR_OTHERS: Duration = Duration::from_secs(90);

/// What is added to a failure that counts for nothing on the way back.
const OTHER_NETWORK: &str = "; DNS is no evidence here, because its pods may live in the network new by now, on which a way back does not depend";

/// First pause after a proof that failed; doubled each time, up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(10);

/// Longest pause after a proof that failed.
const LONGEST: Duration = Duration::from_secs(600);

/// How often the start of a unit is tried before readiness is by probes alone.
const STARTS: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofResult {
    /// Version of this shape; 1.
    pub version: u32,
    pub network: Side,
    /// The network's name from its conf.
    pub name: String,
    /// The number of the proof.
    pub turn: u64,
    /// The kernel's id of the boot in which the proof ran.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// How the network was proven. Earlier releases, which do not say it, attached.
    #[serde(rename = "by", default = "attach")]
    pub proof: Proof,
    /// Why the proof failed; `None` if it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What the packets came to; `None` where none were exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<Packets>,
}

const fn attach() -> Proof {
    Proof::Attach
}

impl ProofResult {
    /// Whether the proof of the network to leave failed by DNS servers alone, in a policy with another network. The pods of DNS may live in that
    /// one, and a way back must not depend on its health: no DNS pod comes back before this node takes pods. Where other nodes are known and none
    /// answers, this network may itself be what fails.
    fn lacks_dns_alone(&self) -> bool {
        let Some(packets) = self.packets.as_ref().filter(|packets| packets.reason == PacketReason::Dns)
        else {
            return false;
        };
        let mut peers =
            packets.exchanges.iter().filter(|exchange| exchange.path == PacketPath::PodToPeer).peekable();
        let is_reached = peers.peek().is_none()
            || peers.any(|exchange| matches!(exchange.outcome, Outcome::Passed | Outcome::Refused));
        self.network == Side::Old && self.failed.is_some() && is_reached
    }

    /// Whether the proof failed by DNS servers or other nodes alone.
    fn lacks_others(&self) -> bool {
        self.failed.is_some() && self.packets.as_ref().is_some_and(|packets| packets.reason.is_of_others())
    }
}

/// How far the proof of one network has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Progress {
    /// No proof has begun for this life of the agent.
    #[default]
    NotStarted,
    /// The proof runs since this moment.
    Running(Duration),
    /// The proof failed at this moment, for this reason.
    Failed(Duration, String),
    Passed,
    /// No proof can run here, for this reason; probes alone decide readiness.
    Unavailable(String),
}

/// The proofs of one network since `watch` began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proofs {
    /// How far the current proof has come.
    pub progress: Progress,
    /// The number of the current proof.
    pub turn: u64,
    /// Whether a proof has passed in this boot: then a new proof keeps no pod waiting.
    pub proven: bool,
    /// Why the last proof failed, where that does not keep pods waiting: no DNS server, or no other node answers.
    degraded: Option<String>,
    /// Since when proofs fail by others alone.
    lacks_others: Option<Duration>,
    /// Whether the last proof failed by what the other network may have to answer for.
    depends_on_other: bool,
    failures: u32,
    starts: u32,
}

/// What a step goes by, beside the last result.
#[derive(Debug, Clone, Copy)]
pub struct ProofInputs {
    /// The strongest proof that profile and node.json allow.
    pub strongest_proof: Proof,
    /// Whether the network was ready earlier in this boot.
    pub was_ready: bool,
    /// Whether the policy has another network, in which the pods of DNS may live.
    pub has_other_network: bool,
    /// Time since `watch` began.
    pub now: Duration,
}

/// The unit in which the network of this side is proven.
#[must_use]
pub fn unit(side: Side) -> String {
    format!("crossfade-prove-{side}")
}

/// Whether this is the unit of a proof.
#[must_use]
pub fn is_unit(name: &str) -> bool {
    Side::BOTH.into_iter().any(|side| name == unit(side))
}

impl Proofs {
    /// Takes over what an earlier `watch` of this boot has found.
    #[must_use]
    pub fn resume(last_result: Option<&ProofResult>, strength: Proof, was_ready: bool) -> Self {
        match last_result {
            // A network that failed then may hold by now: it is asked anew.
            Some(last_result) if last_result.failed.is_some() => Self {
                turn: last_result.turn,
                proven: was_ready && last_result.lacks_others(),
                ..Self::default()
            },
            // A stronger proof is asked for now, and no pod waits for it.
            Some(last_result) if last_result.proof.min(strength) != strength => {
                Self { turn: last_result.turn, proven: true, ..Self::default() }
            }
            Some(last_result) => {
                Self { turn: last_result.turn, proven: true, progress: Progress::Passed, ..Self::default() }
            }
            None => Self::default(),
        }
    }

    /// Starts over: the network's agent has restarted.
    pub fn restart(&mut self) {
        // What runs was begun for the life before.
        *self = Self { turn: self.turn, proven: self.proven, ..Self::default() };
    }

    /// Notes that the proof's unit did not start.
    pub fn did_not_start(&mut self, now: Duration, why: String) {
        self.starts += 1;
        self.progress = if self.starts >= STARTS {
            Progress::Unavailable(why)
        } else {
            Progress::Failed(now, format!("its unit did not start: {why}"))
        };
    }

    /// Takes the result of the running proof, if there is one; returns whether to start the next.
    pub fn step(&mut self, last_result: Option<&ProofResult>, inputs: ProofInputs) -> bool {
        let ProofInputs { strongest_proof, was_ready, has_other_network, now } = inputs;
        if let Progress::Running(since) = self.progress {
            let result = last_result.filter(|last_result| last_result.turn == self.turn);
            let late =
                now.saturating_sub(since) > Duration::from_secs(proof_within_secs(strongest_proof) + 30);
            self.depends_on_other = has_other_network && result.is_some_and(ProofResult::lacks_dns_alone);
            match result.map(|last_result| (last_result.failed.clone(), last_result.lacks_others())) {
                Some((None, _)) => {
                    *self =
                        Self { turn: self.turn, proven: true, progress: Progress::Passed, ..Self::default() };
                }
                Some((Some(why), lacks_others)) => {
                    self.lacks_others = lacks_others.then(|| self.lacks_others.unwrap_or(now));
                    self.note_failed(now, why);
                }
                None if late => {
                    self.lacks_others = None;
                    self.note_failed(now, "it did not end in time".into());
                }
                None => {}
            }
        }
        self.accept_lost_packets(now, was_ready);
        let start = match &self.progress {
            Progress::NotStarted => true,
            Progress::Failed(failed_at, _) => now.saturating_sub(*failed_at) >= self.pause(),
            Progress::Running(_) | Progress::Passed | Progress::Unavailable(_) => false,
        };
        if start {
            self.turn += 1;
            self.progress = Progress::Running(now);
        }
        start
    }

    fn note_failed(&mut self, now: Duration, why: String) {
        self.failures += 1;
        self.degraded = None;
        self.progress = Progress::Failed(now, why);
    }

    /// Lets pods have a network whose packets pass on this node, once it has waited long enough for others; at once where what is missing may be the
    /// other network's.
    fn accept_lost_packets(&mut self, now: Duration, was_ready: bool) {
        if let (Progress::Failed(_, why), Some(since)) = (&self.progress, self.lacks_others)
            && (self.proven
                || was_ready
                || self.depends_on_other
                || now.saturating_sub(since) >= WAITS_FOR_OTHERS)
        {
            let other = if self.depends_on_other { OTHER_NETWORK } else { "" };
            self.degraded = Some(format!("{why}{other}"));
            self.proven = true;
        }
    }

    fn pause(&self) -> Duration {
        backoff(self.failures, (PAUSE, LONGEST))
    }

    /// Whether pods may get the network of this side; else why not.
    ///
    /// # Errors
    /// In words.
    pub fn verdict(&self, side: Side) -> Result<(), String> {
        match &self.progress {
            Progress::Passed | Progress::Unavailable(_) => Ok(()),
            Progress::Failed(..) if self.degraded.is_some() => Ok(()),
            Progress::NotStarted | Progress::Running(_) if self.proven => Ok(()),
            Progress::NotStarted | Progress::Running(_) => Err("its proof is not done yet".into()),
            Progress::Failed(_, why) => {
                Err(format!("its proof failed: {why}; see journalctl -u {}", unit(side)))
            }
        }
    }

    /// What the last proof did not find, where pods get the network all the same.
    #[must_use]
    pub fn degraded_reason(&self) -> Option<&str> {
        self.degraded.as_deref()
    }

    /// The progress as status.json has it.
    #[must_use]
    pub const fn state(&self) -> ProofState {
        match self.progress {
            Progress::Running(_) | Progress::Failed(..) if self.degraded.is_some() => ProofState::Degraded,
            Progress::NotStarted | Progress::Running(_) => ProofState::Running,
            Progress::Failed(..) => ProofState::Failed,
            Progress::Passed => ProofState::Passed,
            Progress::Unavailable(_) => ProofState::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
