//! The decision about a Lease as it is read: take, renew, wait or give up.

use std::time::Duration;

use jiff::Timestamp;
use migration::drive::status::Holder;

use super::object::LeaseRecord;
use super::{LASTS, MAX_EPOCH};

/// Whether a holder seems to be at work, since its last renewal is less than [`LASTS`] away from this moment by the clocks of both machines.
///
/// The clocks may differ, so this decides only who is refused at once and who goes on looking; it never decides that a Lease is taken.
pub(super) fn seems_alive(holder: &Holder, wall: Timestamp) -> bool {
    let renewed = holder.renewed_at.parse::<Timestamp>();
    renewed.is_ok_and(|renewed| wall.duration_since(renewed).unsigned_abs() < LASTS)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// There is no Lease: create it, with this epoch.
    Create(u64),
    /// It has no holder any more, or it is to be taken by force: take it, with this epoch.
    Take(u64),
    /// It is this holder's own already, with this epoch.
    Held(u64),
    /// Another holder has it, and may have it for so long if it does not renew it.
    Wait(Holder, Duration),
    /// No epoch is left above this one.
    Exhausted(u64),
}

/// Watches a Lease for a change: the same holder, epoch and time of renewal for [`LASTS`] mean that its holder is gone.
#[derive(Debug, Default)]
pub(super) struct Observer {
    /// What was seen, and when it was seen first.
    last_seen: Option<((String, u64, String), Duration)>,
}

impl Observer {
    /// Takes up how the Lease is now, and decides. A new epoch is above `floor`, which is the greatest one that a Node bears.
    pub(super) fn decide(
        &mut self,
        lease: Option<&LeaseRecord>,
        own: &str,
        is_forced: bool,
        floor: u64,
        now: Duration,
    ) -> Decision {
        let Some(lease) = lease else {
            self.last_seen = None;
            return raise_epoch(floor, Decision::Create);
        };
        let what = (lease.holder.clone(), lease.epoch, lease.renewed_at.clone());
        let first = match &self.last_seen {
            Some((version, first)) if *version == what => *first,
            _ => now,
        };
        self.last_seen = Some((what, first));
        let remaining = LASTS.saturating_sub(now.saturating_sub(first));
        if lease.holder == own {
            Decision::Held(lease.epoch)
        } else if lease.holder.is_empty() || is_forced || remaining.is_zero() {
            raise_epoch(lease.epoch.max(floor), Decision::Take)
        } else {
            let LeaseRecord { holder, acquired, renewed_at: renewed, .. } = lease.clone();
            Decision::Wait(Holder { name: holder, since: acquired, renewed_at: renewed }, remaining)
        }
    }
}

/// What is done with the epoch after this one.
fn raise_epoch(epoch: u64, decision: impl FnOnce(u64) -> Decision) -> Decision {
    let next = epoch.checked_add(1).filter(|next| *next <= MAX_EPOCH);
    next.map_or(Decision::Exhausted(epoch), decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, epoch: u64, renewed: &str) -> LeaseRecord {
        LeaseRecord { holder: holder.into(), epoch, renewed_at: renewed.into(), ..LeaseRecord::default() }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Each row: the Lease, whether by force, and what is done at first sight.
    #[test]
    fn a_free_lease_is_taken_and_that_of_another_is_not() {
        let wait = |left| {
            let holder = Holder { name: "bob".into(), renewed_at: "12:00".into(), ..Holder::default() };
            Decision::Wait(holder, left)
        };
        for (seen, forced, decision) in [
            (None, false, Decision::Create(1)),
            (None, true, Decision::Create(1)),
            (Some(lease("", 4, "12:00")), false, Decision::Take(5)),
            (Some(lease("alice", 4, "12:00")), false, Decision::Held(4)),
            (Some(lease("alice", 4, "12:00")), true, Decision::Held(4)),
            (Some(lease("bob", 4, "12:00")), false, wait(secs(60))),
            (Some(lease("bob", 4, "12:00")), true, Decision::Take(5)),
        ] {
            let decided = Observer::default().decide(seen.as_ref(), "alice", forced, 0, secs(1000));
            assert_eq!(decided, decision, "{seen:?} {forced}");
        }
    }

    /// Whatever its times say, only what is seen counts: a clock may be wrong by years.
    #[test]
    fn a_lease_that_does_not_change_for_a_minute_is_free() {
        let mut observer = Observer::default();
        let mut look =
            |lease: &LeaseRecord, time| observer.decide(Some(lease), "alice", false, 0, secs(time));
        let bob = lease("bob", 4, "1999-01-01T00:00:00.000000Z");
        assert!(matches!(look(&bob, 1000), Decision::Wait(..)));
        assert!(matches!(look(&bob, 1059), Decision::Wait(_, left) if left == secs(1)));
        assert_eq!(look(&bob, 1060), Decision::Take(5));
    }

    #[test]
    fn each_change_of_holder_epoch_or_renewal_begins_anew() {
        for changed in [lease("bob", 4, "12:01"), lease("bob", 5, "12:00"), lease("carol", 4, "12:00")] {
            let mut observer = Observer::default();
            observer.decide(Some(&lease("bob", 4, "12:00")), "alice", false, 0, secs(1000));
            let decided = observer.decide(Some(&changed), "alice", false, 0, secs(1060));
            assert!(matches!(decided, Decision::Wait(_, left) if left == secs(60)), "{changed:?}");
        }
    }

    /// Each row: the Lease's epoch, the greatest one that a Node bears, and what is done.
    #[test]
    fn a_new_epoch_is_above_those_of_the_lease_and_of_every_node() {
        let most = MAX_EPOCH;
        for (lease_has, floor, decision) in [
            (None, 0, Decision::Create(1)),
            (None, 5, Decision::Create(6)),
            (Some(1), 5, Decision::Take(6)),
            (Some(9), 5, Decision::Take(10)),
            (Some(most - 1), 5, Decision::Take(most)),
            (Some(most), 5, Decision::Exhausted(most)),
            (Some(u64::MAX), 5, Decision::Exhausted(u64::MAX)),
        ] {
            let seen = lease_has.map(|epoch| lease("", epoch, "12:00"));
            let decided = Observer::default().decide(seen.as_ref(), "alice", false, floor, secs(1000));
            assert_eq!(decided, decision, "{lease_has:?} {floor}");
        }
    }

    /// Each row: when the Lease was renewed last by its holder's clock, and whether the holder seems to be at work at noon.
    #[test]
    fn a_holder_seems_alive_within_a_minute_of_its_renewal_whichever_clock_is_ahead() {
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        for (renewed, is_alive) in [
            ("2026-01-01T12:00:00.000000Z", true),
            ("2026-01-01T11:59:01Z", true),
            ("2026-01-01T11:59:00Z", false),
            ("2026-01-01T12:00:59Z", true),
            ("2026-01-01T12:01:00Z", false),
            ("9999-12-30T00:00:00Z", false),
            ("-009999-01-01T00:00:00Z", false),
            ("", false),
            ("yesterday", false),
        ] {
            let holder = Holder { renewed_at: renewed.into(), ..Holder::default() };
            assert_eq!(seems_alive(&holder, noon), is_alive, "{renewed}");
        }
    }
}
