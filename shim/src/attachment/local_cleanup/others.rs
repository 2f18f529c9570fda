//! The objects of other attachments, which the clean-up of one attachment must not remove.
//!
//! The name of a host interface does not identify an attachment. Calico derives names from namespace and pod, so a re-created pod has the
//! interface name of its predecessor, and all hardware addresses are the same. Nor does a path identify a netns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use types::attachment::{Attachment, NetnsId};

use super::recorded::RecordedState;
use crate::node::store::Key;

/// The objects of all attachments except the one that is cleaned up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherClaims {
    /// The interfaces on the host by name, and their owners.
    hosts: BTreeMap<String, String>,
    /// The addresses, with the network's own name.
    addresses: BTreeSet<(String, IpAddr)>,
    /// The interfaces in pods.
    inside: Vec<(NetnsId, String)>,
    /// The reasons why other attachments may have further interfaces on the host.
    doubts: Vec<String>,
}

impl OtherClaims {
    /// Adds the objects of all records, except for leg `leg` of the record of `own`: those of every attachment whose DEL is owed or not yet due.
    ///
    /// A leg of the same network without a result is an ADD that still runs or was killed. The interface that it made is unknown.
    pub fn take_records(&mut self, own: &Key, leg: usize, records: &[Attachment]) {
        let network = records
            .iter()
            .find(|record| is_of(record, own))
            .and_then(|record| Some(record.intent.legs.get(leg)?.network.clone()));
        for record in records {
            let intent = &record.intent;
            let who = format!("attachment {} {}", intent.container_id, intent.ifname);
            for (index, (other_leg, progress)) in intent.legs.iter().zip(&record.progress).enumerate() {
                let is_own = is_of(record, own) && index == leg;
                if is_own || !progress.started || progress.deleted {
                    continue;
                }
                self.inside.extend(intent.netns_id.map(|netns| (netns, other_leg.ifname.clone())));
                match progress.result.as_ref().map(|raw| raw.get()) {
                    Some(result) => self.take_result(&who, &other_leg.network, result),
                    None if network.as_ref() == Some(&other_leg.network) => {
                        self.doubts.push(format!("{who} has no result yet"));
                    }
                    None => {}
                }
            }
        }
    }

    /// Adds the objects that an attachment has by its result. `who` names the attachment.
    pub fn take_result(&mut self, who: &str, network: &str, result: &str) {
        let Ok(result) = serde_json::from_slice::<Value>(result.as_bytes()) else {
            return self.doubts.push(format!("the result of {who} cannot be read"));
        };
        let recorded = RecordedState::from_result(&result);
        self.addresses.extend(recorded.addresses.iter().map(|ip| (network.to_owned(), ip.ip())));
        self.hosts.extend(recorded.host_interfaces.into_iter().map(|host| (host.name, who.to_owned())));
    }

    /// Notes that there are attachments whose objects are unknown.
    pub fn extend_unknown(&mut self, why: impl IntoIterator<Item = String>) {
        self.doubts.extend(why);
    }

    /// Why the host interface `name` must stay; none if it belongs to no other attachment.
    pub(super) fn claim_of_host(&self, name: &str) -> Option<String> {
        match (self.hosts.get(name), self.doubts.first()) {
            (Some(who), _) => Some(format!("{who} has it as well")),
            (None, Some(doubt)) => Some(format!("it may be another's: {doubt}")),
            (None, None) => None,
        }
    }

    /// Whether another attachment has `ifname` in this netns.
    pub(super) fn has_inside(&self, netns: NetnsId, ifname: &str) -> bool {
        self.inside.iter().any(|(other, name)| *other == netns && name == ifname)
    }

    /// Whether another attachment of the network has this address.
    pub(super) fn has_address(&self, network: &str, address: IpAddr) -> bool {
        self.addresses.contains(&(network.to_owned(), address))
    }
}

fn is_of(record: &Attachment, key: &Key) -> bool {
    record.intent.container_id == key.container_id && record.intent.ifname == key.ifname
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::boot::Moment;
    use serde_json::json;
    use types::attachment::{Event, FORMAT, Intent, Leg};
    use types::json::raw::to_raw;

    const NETNS: NetnsId = NetnsId { dev: 4, ino: 77 };

    fn record(id: &str, network: &str) -> Attachment {
        let leg = Leg {
            network: network.to_owned(),
            profile: "calico".to_owned(),
            conf_path: None,
            ifname: "eth0".to_owned(),
            primary: true,
            tolerated: false,
            host_route: false,
            conf: to_raw(&json!({"name": network, "plugins": [{"type": "calico"}]})),
            runtime_config: None,
        };
        Attachment::begin(Intent {
            version: FORMAT,
            container_id: id.to_owned(),
            ifname: "eth0".to_owned(),
            began_at: Moment { boot_id: "b".to_owned(), boottime_ms: 1, wall_secs: 1 },
            netns: "/run/netns/p".to_owned(),
            netns_id: Some(NETNS),
            netns_cookie: None,
            cni_args: None,
            cni_path: None,
            route: None,
            legs: vec![leg],
        })
    }

    fn added(id: &str, network: &str) -> Attachment {
        let mut record = record(id, network);
        let result = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "cali1", "mac": "ee:ee:ee:ee:ee:ee"}, {"name": "eth0", "sandbox": "/run/netns/p"}],
            "ips": [{"address": "10.1.0.5/32"}]
        });
        record.apply(Event::Added { leg: 0, result: to_raw(&result), present: None });
        record
    }

    fn gather_claims(records: &[Attachment]) -> OtherClaims {
        let mut others = OtherClaims::default();
        others.take_records(&Key::new("own", "eth0"), 0, records);
        others
    }

    #[test]
    fn what_another_live_record_names_is_held_and_what_is_ours_is_not() {
        let address: IpAddr = [10, 1, 0, 5].into();
        let alone = gather_claims(&[added("own", "oldnet")]);
        assert_eq!(alone, OtherClaims::default());
        let both = gather_claims(&[added("own", "oldnet"), added("other", "oldnet")]);
        assert_eq!(both.claim_of_host("cali1").as_deref(), Some("attachment other eth0 has it as well"));
        assert_eq!(both.claim_of_host("cali2"), None);
        assert!(both.has_inside(NETNS, "eth0") && !both.has_inside(NETNS, "net1"));
        assert!(both.has_address("oldnet", address) && !both.has_address("newnet", address));
        let mut closed = added("other", "oldnet");
        closed.apply(Event::Deleted { leg: 0 });
        assert_eq!(gather_claims(&[added("own", "oldnet"), closed]), OtherClaims::default());
    }

    #[test]
    fn who_has_no_result_yet_may_have_any_interface_of_its_network() {
        let doubt =
            gather_claims(&[added("own", "oldnet"), record("other", "oldnet")]).claim_of_host("cali1");
        assert_eq!(doubt.as_deref(), Some("it may be another's: attachment other eth0 has no result yet"));
        let elsewhere = gather_claims(&[added("own", "oldnet"), record("other", "newnet")]);
        assert_eq!(elsewhere.claim_of_host("cali1"), None);
    }
}
