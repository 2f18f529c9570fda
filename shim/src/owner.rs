//! Who owns what a record names: which of the policy's networks a leg belongs to, and whether that one could serve a DEL.
//!
//! A record names networks by their own names, the policy by the sides of a migration; what is old to one policy may be new to the next.

use std::time::Instant;

use crate::attachment::{Attachment, Leg};
use crate::conflist::Conflist;
use crate::inventory::Entry;
use crate::policy::{Policy, Side};
use crate::probe::{self, Depth};

/// Which of the policy's networks a recorded leg belongs to: by the network's own name where the confs are there, else by
/// its profile unless that says nothing, else by the place its conf had.
#[must_use]
pub fn side_of(policy: &Policy, leg: &Leg) -> Option<Side> {
    let mut without_conf = Vec::new();
    for (side, network) in policy.networks() {
        match Conflist::load(&network.conf) {
            Ok((conf, _)) if conf.name == leg.network => return Some(side),
            Ok(_) => {}
            Err(_) => without_conf.push((side, network)),
        }
    }
    let by_profile =
        without_conf.iter().find(|(_, network)| leg.profile != "generic" && network.profile == leg.profile);
    let by_place = || {
        let path = leg.conf_path.as_deref()?;
        without_conf.iter().find(|(_, network)| network.conf.iter().any(|conf| conf.as_os_str() == path))
    };
    by_profile.or_else(by_place).map(|(side, _)| *side)
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
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    policy: &'a Policy,
    old: Owner,
    new: Owner,
}

impl<'a> Owners<'a> {
    /// Asks conf and probes of every network; `deadline` bounds all of it.
    #[must_use]
    pub fn ask(policy: &'a Policy, deadline: Instant) -> Self {
        let of = |side| {
            policy.network(side).map_or(Owner::Ready, |network| {
                let ready = Conflist::load(&network.conf).is_ok()
                    && probe::all_hold(&network.ready, Depth::All, deadline).is_ok();
                match (ready, policy.retired(side)) {
                    (true, _) => Owner::Ready,
                    (false, Some(_)) => Owner::Retired,
                    (false, None) => Owner::NotReady,
                }
            })
        };
        Self { policy, old: of(Side::Old), new: of(Side::New) }
    }

    /// The owner of what a record owes: the least ready of its networks, so that a DEL is not served by halves.
    #[must_use]
    pub fn of(&self, record: &Attachment) -> Owner {
        let owed = record.pending();
        let sides = owed.iter().filter_map(|leg| side_of(self.policy, &record.intent.legs[*leg]));
        let owners: Vec<Owner> = sides.map(|side| self.on(side)).collect();
        [Owner::NotReady, Owner::Retired]
            .into_iter()
            .find(|state| owners.contains(state))
            .unwrap_or(Owner::Ready)
    }

    /// The owner of an inventory entry.
    #[must_use]
    pub fn of_entry(&self, entry: &Entry) -> Owner {
        let side = Side::BOTH.into_iter().find(|side| side.as_str() == entry.network);
        side.map_or(Owner::Ready, |side| self.on(side))
    }

    const fn on(&self, side: Side) -> Owner {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }
}
