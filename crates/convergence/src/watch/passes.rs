//! The schedule of the passes that `watch` starts as units, and what the last one came to.

use std::time::Duration;

use crate::node::attachments::last_pass::{LIMIT_SECS, Pass, PassResult};

/// Pause between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// First sweep, after `watch` began: by then the runtime and the agents of a booting node have come up.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
/// Pause between two passes of `move-pods` of which the first left something to do.
const MOVE_EVERY: Duration = Duration::from_secs(60);
/// What a pass may need beside its limit: systemd starts and ends it.
const SPARE: Duration = Duration::from_secs(30);

/// The passes of one kind since `watch` began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passes {
    pass: Pass,
    /// The moment of the next pass.
    pub due: Duration,
    /// Which one was started last; none of this `watch` yet is 0.
    turn: u64,
    /// The moment at which the last pass started.
    started: Duration,
    /// Why the unit of the last pass did not start.
    not_started: Option<String>,
}

impl Default for Passes {
    fn default() -> Self {
        Self::from_pass(Pass::Sweep)
    }
}

impl Passes {
    /// The schedule of a `watch` that starts.
    #[must_use]
    pub const fn from_pass(pass: Pass) -> Self {
        let due = match pass {
            Pass::Sweep => FIRST_SWEEP,
            Pass::MovePods => Duration::ZERO,
        };
        Self { pass, due, turn: 0, started: Duration::ZERO, not_started: None }
    }

    /// A schedule without any pass, for `watch --once`.
    #[must_use]
    pub fn never(pass: Pass) -> Self {
        Self { due: Duration::MAX, ..Self::from_pass(pass) }
    }

    /// Begins the pass that is due, if one is; its number. `last_result` is of this boot.
    pub fn begin(&mut self, last_result: Option<&PassResult>, now: Duration) -> Option<u64> {
        if now < self.due {
            return None;
        }
        let last = last_result.map_or(0, |last_result| last_result.turn).max(self.turn);
        let due = now + if self.pass == Pass::Sweep { SWEEP_EVERY } else { MOVE_EVERY };
        *self = Self { pass: self.pass, due, turn: last + 1, started: now, not_started: None };
        Some(self.turn)
    }

    /// Notes that the unit of the last pass did not start.
    pub fn did_not_start(&mut self, why: String) {
        self.not_started = Some(why);
    }

    /// Whether this is the result of the last pass, or of one before this `watch` began.
    #[must_use]
    pub const fn is_last(&self, result: &PassResult) -> bool {
        result.turn >= self.turn
    }

    /// Whether the last pass may still run.
    #[must_use]
    pub fn is_running(&self, last_result: Option<&PassResult>, now: Duration) -> bool {
        let is_done = last_result.is_some_and(|last_result| self.is_last(last_result));
        let limit = Duration::from_secs(LIMIT_SECS) + SPARE;
        self.turn > 0 && !is_done && self.not_started.is_none() && now.saturating_sub(self.started) <= limit
    }

    /// The finding about the last pass, if it failed or ended without a result.
    #[must_use]
    pub fn finding(&self, last_result: Option<&PassResult>, now: Duration) -> Option<String> {
        let (nothing, failed) = match self.pass {
            Pass::Sweep => ("nothing is swept", "the last sweep failed"),
            Pass::MovePods => {
                ("no network joins or leaves pods", "networks have not joined or left all pods")
            }
        };
        if let Some(why) = &self.not_started {
            return Some(format!("{nothing}: {why}"));
        }
        let hint = format!("see journalctl -u {}", self.pass.unit());
        let is_done = last_result.is_some_and(|last_result| self.is_last(last_result));
        if self.turn > 0 && !is_done && !self.is_running(last_result, now) {
            return Some(format!("{nothing}: the last pass has ended without a result; {hint}"));
        }
        // While one runs, what the one before came to still counts.
        let why = last_result?.failed.as_ref()?;
        Some(format!("{failed}: {why}; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(turn: u64, failed: Option<&str>) -> PassResult {
        PassResult { version: 1, turn, boot_id: "b".into(), failed: failed.map(str::to_owned), pods: None }
    }

    fn seconds(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_pass_is_begun_a_minute_after_the_start_and_then_every_ten() {
        let mut sweeps = Passes::from_pass(Pass::Sweep);
        let begin_secs: Vec<u64> =
            (0..1300).filter(|secs| sweeps.begin(None, seconds(*secs)).is_some()).collect();
        assert_eq!(begin_secs, [60, 660, 1260]);
        let mut later = Passes::from_pass(Pass::Sweep);
        assert_eq!(
            later.begin(Some(&result(7, None)), seconds(60)),
            Some(8),
            "after those of an earlier watch"
        );
        assert_eq!(Passes::never(Pass::Sweep).begin(None, seconds(999_999)), None);
    }

    #[test]
    fn a_pass_that_failed_or_died_is_a_finding_until_one_succeeds() {
        let mut sweeps = Passes::from_pass(Pass::Sweep);
        assert_eq!(sweeps.finding(None, seconds(59)), None);
        assert_eq!(Passes::never(Pass::Sweep).finding(None, seconds(99_999)), None, "none was begun");
        let finding_at = |sweeps: &Passes, last_result: Option<&PassResult>, secs| {
            sweeps.finding(last_result, seconds(secs)).unwrap_or_default()
        };
        assert_eq!(sweeps.begin(None, seconds(60)), Some(1));
        assert_eq!(finding_at(&sweeps, None, 61), "");
        let failed = result(1, Some("no answer"));
        let finding = finding_at(&sweeps, Some(&failed), 62);
        assert!(
            finding.contains("no answer") && finding.contains("journalctl -u crossfade-sweep"),
            "{finding}"
        );
        assert_eq!(sweeps.begin(Some(&failed), seconds(660)), Some(2));
        assert!(finding_at(&sweeps, Some(&failed), 661).contains("no answer"), "while the next one runs");
        assert!(finding_at(&sweeps, Some(&failed), 660 + LIMIT_SECS + 31).contains("without a result"));
        assert_eq!(finding_at(&sweeps, Some(&result(2, None)), 9999), "");
        assert_eq!(sweeps.begin(Some(&result(2, None)), seconds(1260)), Some(3));
        sweeps.did_not_start("no systemd-run".into());
        assert!(finding_at(&sweeps, Some(&result(2, None)), 1261).contains("no systemd-run"));
        assert_eq!(sweeps.begin(Some(&result(2, None)), seconds(1860)), Some(4));
        assert_eq!(finding_at(&sweeps, Some(&result(2, None)), 1861), "");
    }

    #[test]
    fn what_an_earlier_watch_has_seen_fail_is_said_at_once() {
        assert!(Passes::from_pass(Pass::Sweep).finding(Some(&result(3, Some("x"))), seconds(0)).is_some());
    }
}
