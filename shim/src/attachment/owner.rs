//! The owners of recorded attachments: which of the policy's networks a leg belongs to, and whether that network could serve a DEL.
//!
//! A record names networks by their own names, and the policy by the sides of a migration. A network that is old in one policy may be new in the
//! next.

use std::time::Instant;

use types::attachment::{Attachment, Leg};
use types::policy::{Network, Policy, Side};
use types::profile::GENERIC;

use crate::attachment::conflist::Conflist;
use crate::attachment::plan::PodNetwork;
use crate::node::inventory::Entry;
use crate::node::probe::{self, Depth};

/// The policy's networks with their own names. They are read once, because many records may be matched against them.
#[derive(Debug, Clone)]
pub struct Sides<'a>(Vec<(Side, &'a Network, Option<String>)>);

impl<'a> Sides<'a> {
    /// Reads the name of every network whose conf exists.
    #[must_use]
    pub fn read(policy: &'a Policy) -> Self {
        let name = |network: &Network| Conflist::load(&network.conf).ok().map(|(conf, _)| conf.name);
        Self(policy.networks().map(|(side, network)| (side, network, name(network))).collect())
    }

    /// The policy's network that a recorded leg belongs to: by the network's own name if the confs exist, else by its profile unless that is
    /// generic, else by the path of its conf.
    #[must_use]
    pub fn side_of(&self, leg: &Leg) -> Option<Side> {
        let by_name = self.0.iter().find(|(_, _, name)| name.as_ref() == Some(&leg.network));
        let nameless = || self.0.iter().filter(|(_, _, name)| name.is_none());
        let by_profile =
            || nameless().find(|(_, network, _)| leg.profile != GENERIC && network.profile == leg.profile);
        let by_place = || {
            let path = leg.conf_path.as_deref()?;
            nameless().find(|(_, network, _)| network.conf.iter().any(|conf| conf.as_os_str() == path))
        };
        by_name.or_else(by_profile).or_else(by_place).map(|(side, _, _)| *side)
    }

    /// The networks of a pod that runs, without those that are deleted.
    #[must_use]
    pub fn pod_networks(&self, record: &Attachment) -> Vec<PodNetwork> {
        let owner = record.intent.route.as_ref().map_or(&record.intent.ifname, |route| &route.owner);
        let network = |leg: usize| {
            let recorded = &record.intent.legs[leg];
            PodNetwork {
                side: self.side_of(recorded),
                primary: recorded.primary,
                attached: record.has(leg),
                default_route: recorded.ifname == *owner,
                host_route: recorded.host_route,
            }
        };
        record.pending().into_iter().map(network).collect()
    }
}

/// Whether the networks that owe DELs can serve them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Every such network has its conf, and its probes hold; or the policy does not know the network, and only a DEL can show.
    Ready,
    /// The policy retires the networks that are not ready. If a DEL keeps failing, the attachment is cleaned up locally.
    Retired,
    /// The conf of a network is gone, or one of its probes does not hold. Its DEL would fail, or succeed without releasing anything.
    NotReady,
}

/// The state of the policy's networks as owners, probed once.
#[derive(Debug, Clone)]
pub struct Owners<'a> {
    sides: Sides<'a>,
    old: Owner,
    new: Owner,
}

impl<'a> Owners<'a> {
    /// Reads the conf and runs the probes of every network, until `deadline` at most.
    #[must_use]
    pub fn ask(policy: &'a Policy, deadline: Instant) -> Self {
        let sides = Sides::read(policy);
        let owner_of = |side| match sides.0.iter().find(|(other, _, _)| *other == side) {
            None => Owner::Ready,
            Some((_, network, name)) => {
                let ready = name.is_some() && probe::all_hold(network.probes(), Depth::All, deadline).is_ok();
                match (ready, policy.retired_network(side)) {
                    (true, _) => Owner::Ready,
                    (false, Some(_)) => Owner::Retired,
                    (false, None) => Owner::NotReady,
                }
            }
        };
        Self { old: owner_of(Side::Old), new: owner_of(Side::New), sides }
    }

    /// The owner of the DELs that a record owes: the least ready of its networks, so that no DEL serves only half of them.
    #[must_use]
    pub fn side_of(&self, record: &Attachment) -> Owner {
        let owed = record.pending();
        let sides = owed.iter().filter_map(|leg| self.sides.side_of(&record.intent.legs[*leg]));
        let owners: Vec<Owner> = sides.map(|side| self.owner_of_side(side)).collect();
        [Owner::NotReady, Owner::Retired]
            .into_iter()
            .find(|state| owners.contains(state))
            .unwrap_or(Owner::Ready)
    }

    /// The owner of an inventory entry.
    #[must_use]
    pub fn owner_of_entry(&self, entry: &Entry) -> Owner {
        Side::parse(&entry.network).map_or(Owner::Ready, |side| self.owner_of_side(side))
    }

    const fn owner_of_side(&self, side: Side) -> Owner {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }
}
