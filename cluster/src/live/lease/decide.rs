//! What to do about a Lease as it is seen. Pure.

use std::time::Duration;

use super::LASTS;
use super::object::Seen;

/// Who holds a Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// `user@host:pid:random`.
    pub name: String,
    /// Since when, by the holder's clock, in RFC 3339.
    pub since: String,
    /// When it renewed the Lease last, by its own clock, in RFC 3339.
    pub renewed: String,
    /// How long it may still hold the Lease if it does not renew it.
    pub left: Duration,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// There is no Lease: create it.
    Create,
    /// Nobody holds it any more, or it is to be taken by force: take it, with this epoch.
    Take(u64),
    /// It is this holder's own already, with this epoch.
    Held(u64),
    /// Somebody else holds it.
    Wait(Holder),
}

/// Watches a Lease for a change: the same holder, epoch and time of renewal for [`LASTS`] mean that its holder is gone.
#[derive(Debug, Default)]
pub(super) struct Observer {
    /// What was seen, and when it was seen first.
    seen: Option<((String, u64, String), Duration)>,
}

impl Observer {
    /// Takes up how the Lease is now, and decides.
    pub(super) fn decide(
        &mut self,
        lease: Option<&Seen>,
        own: &str,
        is_forced: bool,
        now: Duration,
    ) -> Decision {
        let Some(lease) = lease else {
            self.seen = None;
            return Decision::Create;
        };
        let what = (lease.holder.clone(), lease.epoch, lease.renewed.clone());
        let first = match &self.seen {
            Some((seen, first)) if *seen == what => *first,
            _ => now,
        };
        self.seen = Some((what, first));
        let left = LASTS.saturating_sub(now.saturating_sub(first));
        if lease.holder == own {
            Decision::Held(lease.epoch)
        } else if lease.holder.is_empty() || is_forced || left.is_zero() {
            Decision::Take(lease.epoch + 1)
        } else {
            let Seen { holder, acquired, renewed, .. } = lease.clone();
            Decision::Wait(Holder { name: holder, since: acquired, renewed, left })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, epoch: u64, renewed: &str) -> Seen {
        Seen { holder: holder.into(), epoch, renewed: renewed.into(), ..Seen::default() }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Each row: the Lease, whether by force, and what is done at first sight.
    #[test]
    fn a_free_lease_is_taken_and_that_of_another_is_not() {
        let wait = |left| {
            Decision::Wait(Holder { name: "bob".into(), renewed: "12:00".into(), left, ..Holder::default() })
        };
        for (seen, forced, decision) in [
            (None, false, Decision::Create),
            (None, true, Decision::Create),
            (Some(lease("", 4, "12:00")), false, Decision::Take(5)),
            (Some(lease("alice", 4, "12:00")), false, Decision::Held(4)),
            (Some(lease("alice", 4, "12:00")), true, Decision::Held(4)),
            (Some(lease("bob", 4, "12:00")), false, wait(secs(60))),
            (Some(lease("bob", 4, "12:00")), true, Decision::Take(5)),
        ] {
            let decided = Observer::default().decide(seen.as_ref(), "alice", forced, secs(1000));
            assert_eq!(decided, decision, "{seen:?} {forced}");
        }
    }

    /// Whatever its times say, only what is seen counts: a clock may be wrong by years.
    #[test]
    fn a_lease_that_does_not_change_for_a_minute_is_free() {
        let mut observer = Observer::default();
        let mut look = |lease: &Seen, at| observer.decide(Some(lease), "alice", false, secs(at));
        let bob = lease("bob", 4, "1999-01-01T00:00:00.000000Z");
        assert!(matches!(look(&bob, 1000), Decision::Wait(_)));
        assert!(matches!(look(&bob, 1059), Decision::Wait(holder) if holder.left == secs(1)));
        assert_eq!(look(&bob, 1060), Decision::Take(5));
    }

    #[test]
    fn each_change_of_holder_epoch_or_renewal_begins_anew() {
        for changed in [lease("bob", 4, "12:01"), lease("bob", 5, "12:00"), lease("carol", 4, "12:00")] {
            let mut observer = Observer::default();
            observer.decide(Some(&lease("bob", 4, "12:00")), "alice", false, secs(1000));
            let decided = observer.decide(Some(&changed), "alice", false, secs(1060));
            assert!(matches!(decided, Decision::Wait(holder) if holder.left == secs(60)), "{changed:?}");
        }
    }
}
