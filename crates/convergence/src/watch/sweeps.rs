//! The schedule of the sweep, and the result of its last pass: pure.

use std::time::Duration;

use crate::node::attachments::last_sweep::{LIMIT_SECS, SweepResult};

/// The name of the unit in which a pass of `sweep` runs.
pub const UNIT: &str = "crossfade-sweep";
/// Pause between two passes.
const EVERY: Duration = Duration::from_secs(600);
/// First pass, after `watch` began: by then the runtime and the agents of a booting node have come up.
const FIRST: Duration = Duration::from_secs(60);
/// What a pass may need beside its limit: systemd starts and ends it.
const SPARE: Duration = Duration::from_secs(30);

/// The passes since `watch` began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweeps {
    /// The moment of the next pass.
    pub due: Duration,
    /// Which one was started last; none of this `watch` yet is 0.
    turn: u64,
    /// The moment at which the last pass started.
    started: Duration,
    /// Why the unit of the last pass did not start.
    not_started: Option<String>,
}

impl Default for Sweeps {
    fn default() -> Self {
        Self { due: FIRST, turn: 0, started: Duration::ZERO, not_started: None }
    }
}

impl Sweeps {
    /// A schedule without any pass, for `watch --once`.
    #[must_use]
    pub fn never() -> Self {
        Self { due: Duration::MAX, ..Self::default() }
    }

    /// Begins the pass that is due, if one is; its number. `kept` is the last result of this boot.
    pub fn begin(&mut self, last_result: Option<&SweepResult>, now: Duration) -> Option<u64> {
        if now < self.due {
            return None;
        }
        let last = last_result.map_or(0, |last_result| last_result.turn).max(self.turn);
        *self = Self { due: now + EVERY, turn: last + 1, started: now, not_started: None };
        Some(self.turn)
    }

    /// Notes that the unit of the last pass did not start.
    pub fn did_not_start(&mut self, why: String) {
        self.not_started = Some(why);
    }

    /// The finding about the last pass, if it failed or ended without a result.
    #[must_use]
    pub fn finding(&self, last_result: Option<&SweepResult>, now: Duration) -> Option<String> {
        if let Some(why) = &self.not_started {
            return Some(format!("nothing is swept: {why}"));
        }
        let hint = format!("see journalctl -u {UNIT}");
        let is_done = last_result.is_some_and(|last_result| last_result.turn >= self.turn);
        let limit = Duration::from_secs(LIMIT_SECS) + SPARE;
        if self.turn > 0 && !is_done && now.saturating_sub(self.started) > limit {
            return Some(format!("nothing is swept: the last sweep has ended without a result; {hint}"));
        }
        // While one runs, what the one before came to still counts.
        let why = last_result?.failed.as_ref()?;
        Some(format!("the last sweep failed: {why}; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(turn: u64, failed: Option<&str>) -> SweepResult {
        SweepResult { version: 1, turn, boot_id: "b".into(), failed: failed.map(str::to_owned) }
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_pass_is_begun_a_minute_after_the_start_and_then_every_ten() {
        let mut sweeps = Sweeps::default();
        let begun: Vec<u64> = (0..1300).filter(|secs| sweeps.begin(None, at(*secs)).is_some()).collect();
        assert_eq!(begun, [60, 660, 1260]);
        let mut later = Sweeps::default();
        assert_eq!(later.begin(Some(&result(7, None)), at(60)), Some(8), "after those of an earlier watch");
        assert_eq!(Sweeps::never().begin(None, at(999_999)), None);
    }

    #[test]
    fn a_pass_that_failed_or_died_is_a_finding_until_one_succeeds() {
        let mut sweeps = Sweeps::default();
        assert_eq!(sweeps.finding(None, at(59)), None);
        assert_eq!(Sweeps::never().finding(None, at(99_999)), None, "none was begun");
        let finding_at = |sweeps: &Sweeps, last_result: Option<&SweepResult>, secs| {
            sweeps.finding(last_result, at(secs)).unwrap_or_default()
        };
        assert_eq!(sweeps.begin(None, at(60)), Some(1));
        assert_eq!(finding_at(&sweeps, None, 61), "");
        let failed = result(1, Some("no answer"));
        let finding = finding_at(&sweeps, Some(&failed), 62);
        assert!(
            finding.contains("no answer") && finding.contains("journalctl -u crossfade-sweep"),
            "{finding}"
        );
        assert_eq!(sweeps.begin(Some(&failed), at(660)), Some(2));
        assert!(finding_at(&sweeps, Some(&failed), 661).contains("no answer"), "while the next one runs");
        assert!(finding_at(&sweeps, Some(&failed), 660 + LIMIT_SECS + 31).contains("without a result"));
        assert_eq!(finding_at(&sweeps, Some(&result(2, None)), 9999), "");
        assert_eq!(sweeps.begin(Some(&result(2, None)), at(1260)), Some(3));
        sweeps.did_not_start("no systemd-run".into());
        assert!(finding_at(&sweeps, Some(&result(2, None)), 1261).contains("no systemd-run"));
        assert_eq!(sweeps.begin(Some(&result(2, None)), at(1860)), Some(4));
        assert_eq!(finding_at(&sweeps, Some(&result(2, None)), 1861), "");
    }

    #[test]
    fn what_an_earlier_watch_has_seen_fail_is_said_at_once() {
        assert!(Sweeps::default().finding(Some(&result(3, Some("x"))), at(0)).is_some());
    }
}
