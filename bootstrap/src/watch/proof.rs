//! The result of a proof by attachment, and what follows from it: pure but for reading one file.
//!
//! *Shape* of `RUN/proof/NETWORK.json`: `{"version":1,"network":"new","name":"cilium","turn":2,"bootID":"..","failed":"ADD: .."}`, without
//! `failed` where the network attached, checked and detached. `turn` counts the lives of the network's agent, and the tries, in this boot.

pub mod said;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shim::file::read_bounded;
use shim::layout::Layout;
use shim::trust;
use types::policy::Side;

use crate::node::paths::PROOF;

/// How long one proof may take: the ADD, CHECK and DEL of a policy with the usual deadlines.
pub const WITHIN_SECS: u64 = 180;
/// First pause after a proof that failed; doubled each time, up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(10);
/// Longest pause after a proof that failed.
const LONGEST: Duration = Duration::from_secs(600);
/// How often the start of a unit is tried before readiness is by probes alone.
const STARTS: u32 = 3;
const MAX_BYTES: usize = 64 << 10;

/// The result of one proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofResult {
    /// Version of this shape; 1.
    pub version: u32,
    /// The side of the network: `old` or `new`.
    pub network: String,
    /// The network's name from its conf.
    pub name: String,
    /// The number of the proof.
    pub turn: u64,
    /// The kernel's id of the boot in which the proof ran.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Why the proof failed; `None` if it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// The directory with all files of one network's proof.
#[must_use]
pub fn directory(layout: &Layout, side: Side) -> PathBuf {
    layout.run_dir.join(PROOF).join(side.as_str())
}

/// What the plugins answered and wrote to stderr in the last proof of one network, for root alone.
#[must_use]
pub fn answers(layout: &Layout, side: Side) -> PathBuf {
    directory(layout, side).join("answers.log")
}

/// The path of the result of a proof of `side`.
#[must_use]
pub fn result(layout: &Layout, side: Side) -> PathBuf {
    layout.run_dir.join(PROOF).join(format!("{side}.json"))
}

/// Reads a result of this boot about the network `name`.
#[must_use]
pub fn read(path: &Path, name: &str, boot_id: &str) -> Option<ProofResult> {
    let bytes = read_bounded(&mut trust::open(path).ok()?, MAX_BYTES).ok()?;
    let kept: ProofResult = serde_json::from_slice(&bytes).ok()?;
    (kept.version == 1 && kept.name == name && kept.boot_id == boot_id).then_some(kept)
}

/// How far the proof of one network has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Progress {
    /// No proof has begun for this life of the agent.
    #[default]
    Nothing,
    /// The proof runs since this moment.
    Running(Duration),
    /// The proof failed at this moment, for this reason.
    Failed(Duration, String),
    /// The proof attached, checked and detached a scratch namespace.
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
    failures: u32,
    starts: u32,
}

/// The unit in which the network of this side is proven.
#[must_use]
pub fn unit(side: Side) -> String {
    format!("crossfade-prove-{side}")
}

impl Proofs {
    /// Takes over what an earlier `watch` of this boot has found.
    #[must_use]
    pub fn resume(kept: Option<&ProofResult>) -> Self {
        match kept {
            // A network that failed then may hold by now: it is asked anew.
            Some(kept) if kept.failed.is_some() => Self { turn: kept.turn, ..Self::default() },
            Some(kept) => {
                Self { turn: kept.turn, proven: true, progress: Progress::Passed, ..Self::default() }
            }
            None => Self::default(),
        }
    }

    /// Starts over: the network's agent has restarted.
    pub fn again(&mut self) {
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

    /// Goes on at `now`, with what lies there; whether a proof is to be started.
    pub fn step(&mut self, kept: Option<&ProofResult>, now: Duration) -> bool {
        if let Progress::Running(since) = self.progress {
            let done = kept.filter(|kept| kept.turn == self.turn);
            let late = now.saturating_sub(since) > Duration::from_secs(WITHIN_SECS + 30);
            match done.map(|kept| kept.failed.clone()) {
                Some(None) => {
                    *self =
                        Self { turn: self.turn, proven: true, progress: Progress::Passed, ..Self::default() };
                }
                Some(Some(why)) => self.failed(now, why),
                None if late => self.failed(now, "it did not end in time".into()),
                None => {}
            }
        }
        let start = match &self.progress {
            Progress::Nothing => true,
            Progress::Failed(at, _) => now.saturating_sub(*at) >= self.pause(),
            Progress::Running(_) | Progress::Passed | Progress::Unavailable(_) => false,
        };
        if start {
            self.turn += 1;
            self.progress = Progress::Running(now);
        }
        start
    }

    fn failed(&mut self, now: Duration, why: String) {
        self.failures += 1;
        self.progress = Progress::Failed(now, why);
    }

    fn pause(&self) -> Duration {
        (PAUSE * 2u32.saturating_pow(self.failures.saturating_sub(1).min(16))).min(LONGEST)
    }

    /// Whether pods may get the network of this side; else why not.
    ///
    /// # Errors
    /// In words.
    pub fn verdict(&self, side: Side) -> Result<(), String> {
        match &self.progress {
            Progress::Passed | Progress::Unavailable(_) => Ok(()),
            Progress::Nothing | Progress::Running(_) if self.proven => Ok(()),
            Progress::Nothing | Progress::Running(_) => {
                Err("its proof by an attachment is not done yet".into())
            }
            Progress::Failed(_, why) => {
                Err(format!("its proof by an attachment failed: {why}; see journalctl -u {}", unit(side)))
            }
        }
    }

    /// The progress as a word of status.json.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.progress {
            Progress::Nothing | Progress::Running(_) => "running",
            Progress::Failed(..) => "failed",
            Progress::Passed => "passed",
            Progress::Unavailable(_) => "unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(turn: u64, failed: Option<&str>) -> ProofResult {
        ProofResult {
            version: 1,
            network: "new".into(),
            name: "n".into(),
            turn,
            boot_id: "b".into(),
            failed: failed.map(str::to_owned),
        }
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn one_proof_per_life_of_the_agent_and_it_holds_nobody_up_twice() {
        let mut proofs = Proofs::resume(None);
        assert!(proofs.verdict(Side::New).is_err());
        assert!(proofs.step(None, at(0)) && !proofs.step(None, at(1)));
        assert!(!proofs.step(Some(&kept(9, None)), at(2)), "somebody else's result");
        assert!(proofs.verdict(Side::New).is_err());
        assert!(!proofs.step(Some(&kept(1, None)), at(3)));
        assert!(proofs.verdict(Side::New).is_ok() && !proofs.step(Some(&kept(1, None)), at(999)));
        proofs.again();
        assert!(proofs.verdict(Side::New).is_ok(), "proven once in this boot");
        assert!(proofs.step(Some(&kept(1, None)), at(1000)) && proofs.turn == 2);
        assert!(!proofs.step(Some(&kept(2, Some("no"))), at(1001)));
        assert!(
            proofs
                .verdict(Side::New)
                .is_err_and(|why| why.contains("failed: no; see journalctl -u crossfade-prove-new"))
        );
    }

    #[test]
    fn a_failed_proof_is_tried_again_later_and_later() {
        let mut proofs = Proofs::default();
        let (mut now, mut pauses) = (0, Vec::new());
        assert!(proofs.step(None, at(0)));
        for _ in 0..9 {
            let failed = kept(proofs.turn, Some("no"));
            assert!(!proofs.step(Some(&failed), at(now)));
            let began = now;
            while !proofs.step(Some(&failed), at(now)) {
                now += 1;
            }
            pauses.push(now - began);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert!(!proofs.step(None, at(now + WITHIN_SECS)) && proofs.word() == "running");
        assert!(!proofs.step(None, at(now + WITHIN_SECS + 31)) && proofs.word() == "failed");
    }

    #[test]
    fn what_cannot_be_started_is_by_probes_after_some_tries() {
        let mut proofs = Proofs::default();
        for _ in 0..STARTS {
            assert!(proofs.verdict(Side::New).is_err());
            assert!(proofs.step(None, at(1000)));
            proofs.did_not_start(at(0), "no systemd-run".into());
        }
        assert!(
            proofs.verdict(Side::New).is_ok()
                && !proofs.step(None, at(9000))
                && proofs.word() == "unavailable"
        );
    }

    #[test]
    fn an_earlier_watch_has_proven_it() {
        assert!(Proofs::resume(Some(&kept(4, None))).verdict(Side::New).is_ok());
        let mut failed = Proofs::resume(Some(&kept(4, Some("no"))));
        assert!(
            failed.verdict(Side::New).is_err()
                && failed.step(Some(&kept(4, Some("no"))), at(0))
                && failed.turn == 5
        );
    }
}
