//! Leaks of attachments that ended: records and inventory entries whose sandboxes are gone, and leases of unknown containers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shim::attachment::local_cleanup::Lease;
use shim::host::boot::Age;
use shim::sweep::{ListStatus, SweepVerdict, decide as verdict};

use crate::node::attachments::sweep_candidates::{RecordLocation, SweepCandidate};
use crate::runtime::State;

/// One thing that stayed behind.
///
/// *Shape*: `{"kind":"record","containerID":"..","ifname":"eth0","what":"..","waits":false}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leak {
    /// What kind of thing it is.
    pub kind: LeakKind,
    /// The container that had it.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface that the runtime asked for; empty if it is not known.
    pub ifname: String,
    /// What is left, and why it is known to be.
    pub what: String,
    /// Whether a sweep could not close it now, because the network that owes the DEL is not ready.
    pub waits: bool,
}

/// The kinds of things that stay behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LeakKind {
    /// An attachment that Crossfade recorded.
    Record,
    /// An attachment from before Crossfade, of the inventory.
    Inventory,
    /// An address that host-local has given away.
    Lease,
}

/// A lease, and the network that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// The network's own name.
    pub network: String,
    pub lease: Lease,
}

/// Attachments whose sandbox is gone for longer than the grace. Without an answer of the runtime these are the ones of earlier boots.
/// An attachment whose netns is gone although the runtime lists its sandbox is none: the DEL is still to come.
#[must_use]
pub fn leaked_attachments(judged: &[SweepCandidate], grace_secs: u64) -> Vec<Leak> {
    let leak = |candidate: &SweepCandidate| {
        let waits = match verdict(candidate.listed, candidate.age, grace_secs, candidate.owner) {
            SweepVerdict::Live | SweepVerdict::Young => return None,
            SweepVerdict::Waiting => true,
            SweepVerdict::Close => false,
        };
        let why = match (candidate.listed, candidate.age) {
            (ListStatus::Missing, _) => "the runtime does not list its sandbox",
            (_, Age::EarlierBoot) => "its sandbox ended with an earlier boot",
            (_, Age::ThisBoot(_)) => "its sandbox has ended",
        };
        let kind = match candidate.location {
            RecordLocation::Record(_) => LeakKind::Record,
            RecordLocation::Entry(_) => LeakKind::Inventory,
        };
        Some(Leak {
            kind,
            container_id: candidate.key.container_id.clone(),
            ifname: candidate.key.ifname.clone(),
            what: format!("an attachment of network {}, and {why}", candidate.networks),
            waits,
        })
    };
    judged.iter().filter_map(leak).collect()
}

/// Leases of unknown containers: those have neither a record nor an inventory entry, and the runtime does not list them.
#[must_use]
pub fn leaked_leases(
    held_leases: &[HeldLease],
    attached: &BTreeSet<String>,
    listed: &BTreeMap<String, State>,
) -> Vec<Leak> {
    let is_unknown = |held_lease: &&HeldLease| {
        let id = &held_lease.lease.container_id;
        !attached.contains(id) && !listed.contains_key(id)
    };
    let leak = |held_lease: &HeldLease| Leak {
        kind: LeakKind::Lease,
        container_id: held_lease.lease.container_id.clone(),
        ifname: held_lease.lease.ifname.clone(),
        what: format!(
            "address {} of network {}: the lease {} names an unknown container",
            held_lease.lease.address,
            held_lease.network,
            held_lease.lease.path.display()
        ),
        waits: false,
    };
    held_leases.iter().filter(is_unknown).map(leak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shim::attachment::owner::Owner;
    use shim::host::boot::Moment;
    use shim::node::inventory::Deleter;
    use shim::node::store::Key;
    use std::time::Duration;

    fn candidate(seen: ListStatus, secs: u64, owner: Owner) -> SweepCandidate {
        let begun = Moment { boot_id: "b".into(), boottime_ms: 1, wall_secs: 0 };
        SweepCandidate {
            key: Key::new("c1", "eth0"),
            networks: "oldnet".into(),
            location: RecordLocation::Record(begun),
            listed: seen,
            age: Age::ThisBoot(Duration::from_secs(secs)),
            owner,
            netns_lives: false,
        }
    }

    #[test]
    fn what_the_runtime_forgot_is_left_once_the_grace_is_over() {
        for (seen, secs, owner, expected) in [
            (ListStatus::Missing, 600, Owner::Ready, Some(false)),
            (ListStatus::Missing, 600, Owner::NotReady, Some(true)),
            (ListStatus::Missing, 599, Owner::Ready, None),
            (ListStatus::Listed, 9999, Owner::Ready, None),
            (ListStatus::OutOfScope, 9999, Owner::Ready, None),
        ] {
            let leaks = leaked_attachments(&[candidate(seen, secs, owner)], 600);
            assert_eq!(leaks.first().map(|leak| leak.waits), expected, "{seen:?} {secs} {owner:?}");
        }
        let entry = SweepCandidate {
            location: RecordLocation::Entry(Deleter::Crossfade),
            age: Age::EarlierBoot,
            ..candidate(ListStatus::OutOfScope, 0, Owner::Ready)
        };
        let leaks = leaked_attachments(&[entry], 600);
        assert_eq!(leaks[0].kind, LeakKind::Inventory);
        assert!(leaks[0].what.contains("an earlier boot"), "{leaks:?}");
    }

    #[test]
    fn a_lease_is_left_if_neither_crossfade_nor_the_runtime_knows_its_container() {
        let held = |id: &str| HeldLease {
            network: "oldnet".into(),
            lease: Lease {
                address: [10, 1, 0, 5].into(),
                path: "/var/lib/cni/networks/oldnet/10.1.0.5".into(),
                container_id: id.into(),
                ifname: "eth0".into(),
            },
        };
        let all = [held("recorded"), held("listed"), held("lost")];
        let listed = [("listed".to_owned(), State::Ready)].into();
        let leaks = leaked_leases(&all, &["recorded".to_owned()].into(), &listed);
        let ids: Vec<_> = leaks.iter().map(|leak| leak.container_id.as_str()).collect();
        assert_eq!(ids, ["lost"]);
        assert!(leaks[0].what.contains("10.1.0.5") && leaks[0].what.contains("oldnet"), "{leaks:?}");
    }
}
