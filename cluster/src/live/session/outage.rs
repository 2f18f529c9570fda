//! The report of a holder while it cannot see the cluster: nothing is decided then, so no wait of the run says why.

use std::time::Duration;

use migration::roll::wait::{Reason, Subject, Wait};

use crate::live::lease::Standing;
use crate::live::session::health::BlindSpot;

/// A cluster that is seen again sooner is no news: a first look takes some seconds.
const PASSING: Duration = Duration::from_secs(10);

/// Since when the cluster cannot be seen, and what was reported of it.
#[derive(Debug, Default)]
pub(in crate::live) struct Outage {
    since: Option<Duration>,
    reported: Vec<Reason>,
}

impl Outage {
    /// The wait to tell now, each once until the cluster is seen again.
    pub(in crate::live) fn next_wait(
        &mut self,
        blind: &BlindSpot,
        standing: Option<&Standing>,
        now: Duration,
    ) -> Option<Wait> {
        let since = *self.since.get_or_insert(now);
        let wait = if let Some(Standing::Stale(age)) = standing {
            let what = format!(
                "the Lease was renewed {} s ago, and nothing is done until it is renewed; {blind}",
                age.as_secs()
            );
            Wait::new("Lease/crossfade/crossfade-run", Reason::LeaseStale, what)
        } else {
            if blind.since.is_none() && now.saturating_sub(since) < PASSING {
                return None;
            }
            let what = format!("nothing is decided until the cluster is seen; {blind}");
            Wait::new(Subject::Run, Reason::Unwatched, what)
        };
        if self.reported.contains(&wait.reason) {
            return None;
        }
        self.reported.push(wait.reason);
        Some(wait.help("kubectl get nodes,pods must work with the same flags"))
    }

    /// The cluster is seen.
    pub(in crate::live) fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blind(since: Option<u64>) -> BlindSpot {
        BlindSpot { what: "Nodes".into(), why: "no answer".into(), since: since.map(Duration::from_secs) }
    }

    fn reason(unseen: &mut Outage, blind: &BlindSpot, stale: Option<u64>, second: u64) -> Option<Reason> {
        let standing = stale.map_or(Standing::Fresh, |age| Standing::Stale(Duration::from_secs(age)));
        unseen.next_wait(blind, Some(&standing), Duration::from_secs(second)).map(|wait| wait.reason)
    }

    #[test]
    fn an_outage_is_told_once_and_once_more_when_the_lease_is_stale() {
        let mut unseen = Outage::default();
        assert_eq!(reason(&mut unseen, &blind(Some(31)), None, 100), Some(Reason::Unwatched));
        assert_eq!(reason(&mut unseen, &blind(Some(33)), None, 102), None);
        assert_eq!(reason(&mut unseen, &blind(Some(41)), Some(41), 110), Some(Reason::LeaseStale));
        assert_eq!(reason(&mut unseen, &blind(Some(43)), Some(43), 112), None);
        // The Lease is renewed, and the watches are not there yet.
        assert_eq!(reason(&mut unseen, &blind(Some(45)), None, 114), None);
        unseen.end();
        assert_eq!(reason(&mut unseen, &blind(Some(31)), None, 200), Some(Reason::Unwatched), "another one");
    }

    #[test]
    fn a_first_look_has_ten_seconds() {
        let mut unseen = Outage::default();
        assert_eq!(reason(&mut unseen, &blind(None), None, 100), None);
        assert_eq!(reason(&mut unseen, &blind(None), None, 109), None);
        assert_eq!(reason(&mut unseen, &blind(None), None, 110), Some(Reason::Unwatched));
    }

    #[test]
    fn the_words_name_what_is_not_seen_and_for_how_long() {
        let stale = Standing::Stale(Duration::from_secs(41));
        let wait =
            Outage::default().next_wait(&blind(Some(41)), Some(&stale), Duration::ZERO).expect("a wait");
        assert_eq!(
            wait.what,
            "the Lease was renewed 41 s ago, and nothing is done until it is renewed; Nodes cannot be watched for 41 s: no answer"
        );
    }
}
