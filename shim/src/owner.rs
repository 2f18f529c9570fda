//! Who owns what a record names: which of the policy's networks a leg belongs to, and whether that one could serve a DEL.
//!
//! A record names networks by their own names, the policy by the sides of a migration; what is old to one policy may be new to the next.

use std::time::Instant;

use types::attachment::{Attachment, Leg};
use types::policy::{Network, Policy, Side};

use crate::conflist::Conflist;
use crate::inventory::Entry;
use crate::probe::{self, Depth};

/// The policy's networks with their own names, read once: a record is told by them, and there may be many records.
#[derive(Debug, Clone)]
pub struct Sides<'a>(Vec<(Side, &'a Network, Option<String>)>);

impl<'a> Sides<'a> {
    /// Reads the name of every network whose conf is there.
    #[must_use]
    pub fn read(policy: &'a Policy) -> Self {
        let name = |network: &Network| Conflist::load(&network.conf).ok().map(|(conf, _)| conf.name);
        Self(policy.networks().map(|(side, network)| (side, network, name(network))).collect())
    }

    /// Which of the policy's networks a recorded leg belongs to: by the network's own name where the confs are there, else by
    /// its profile unless that says nothing, else by the place its conf had.
    #[must_use]
    pub fn of(&self, leg: &Leg) -> Option<Side> {
        let by_name = self.0.iter().find(|(_, _, name)| name.as_ref() == Some(&leg.network));
        let nameless = || self.0.iter().filter(|(_, _, name)| name.is_none());
        let by_profile =
            || nameless().find(|(_, network, _)| leg.profile != "generic" && network.profile == leg.profile);
        let by_place = || {
            let path = leg.conf_path.as_deref()?;
            nameless().find(|(_, network, _)| network.conf.iter().any(|conf| conf.as_os_str() == path))
        };
        by_name.or_else(by_profile).or_else(by_place).map(|(side, _, _)| *side)
    }
}

/// Whether those who would have to serve the DELs can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Conf and probes of every network that is owed a DEL are there; or the policy does not know it, and only its DEL tells.
    Ready,
    /// The policy retires what is not ready: its attachments are cleaned locally when its DEL keeps failing.
    Retired,
    /// The conf of one is gone or a probe of it does not hold: its DEL would fail, or lie.
    NotReady,
}

/// The state of the policy's networks as owners, asked once.
#[derive(Debug, Clone)]
pub struct Owners<'a> {
    sides: Sides<'a>,
    old: Owner,
    new: Owner,
}

impl<'a> Owners<'a> {
    /// Asks conf and probes of every network; `deadline` bounds all of it.
    #[must_use]
    pub fn ask(policy: &'a Policy, deadline: Instant) -> Self {
        let sides = Sides::read(policy);
        let of = |side| match sides.0.iter().find(|(other, _, _)| *other == side) {
            None => Owner::Ready,
            Some((_, network, name)) => {
                let ready = name.is_some() && probe::all_hold(network.probes(), Depth::All, deadline).is_ok();
                match (ready, policy.retired(side)) {
                    (true, _) => Owner::Ready,
                    (false, Some(_)) => Owner::Retired,
                    (false, None) => Owner::NotReady,
                }
            }
        };
        Self { old: of(Side::Old), new: of(Side::New), sides }
    }

    /// The owner of what a record owes: the least ready of its networks, so that a DEL is not served by halves.
    #[must_use]
    pub fn of(&self, record: &Attachment) -> Owner {
        let owed = record.pending();
        let sides = owed.iter().filter_map(|leg| self.sides.of(&record.intent.legs[*leg]));
        let owners: Vec<Owner> = sides.map(|side| self.on(side)).collect();
        [Owner::NotReady, Owner::Retired]
            .into_iter()
            .find(|state| owners.contains(state))
            .unwrap_or(Owner::Ready)
    }

    /// The owner of an inventory entry.
    #[must_use]
    pub fn of_entry(&self, entry: &Entry) -> Owner {
        Side::parse(&entry.network).map_or(Owner::Ready, |side| self.on(side))
    }

    const fn on(&self, side: Side) -> Owner {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }
}
