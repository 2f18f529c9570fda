//! Closing an attachment: the DELs that are owed, what is retired, the record. DEL, GC, the sweep and a failed ADD share it.

use std::path::Path;
use std::time::Instant;

use crate::attachment::{Attachment, Event};
use crate::boot::Moment;
use crate::delegate::{Del, Limits, Network, Stopped, del_all};
use crate::forced;
use crate::inventory::Inventory;
use crate::layout::Layout;
use crate::ledger;
use crate::lock::Lock;
use crate::netns::Netns;
use crate::owner::Sides;
use crate::policy::Policy;
use crate::reply::CniError;
use crate::route;
use crate::signal::Signals;
use crate::store::{Key, Open, Store};

use super::networks;

/// What closing works with.
#[derive(Debug)]
pub struct Closing<'a> {
    /// Where state lies.
    pub layout: &'a Layout,
    /// The records.
    pub store: &'a Store,
    /// Which networks are retired; without a policy none is.
    pub policy: Option<&'a Policy>,
    /// `CNI_NETNS` for the delegates; may be empty.
    pub netns: &'a str,
    /// `CNI_PATH` of the caller; the recorded one follows.
    pub search: Option<&'a str>,
    /// Everything ends then.
    pub deadline: Instant,
    /// Stops it early.
    pub signals: &'a Signals,
}

impl Closing<'_> {
    /// Runs the DELs that are owed, last network first, and removes the record when none is left.
    ///
    /// # Errors
    /// The first network's error, the others' in its details; what failed stays on record and only that is tried again.
    pub fn close(&self, mut open: Open, lock: Option<&mut Lock>) -> Result<(), CniError> {
        let key = Key::new(&open.attachment.intent.container_id, &open.attachment.intent.ifname);
        undo_route(&open.attachment, self.netns);
        let limits = Limits { deadline: self.deadline, signals: self.signals };
        let pending = open.attachment.pending();
        let mut failures = detach(&mut open, &pending, self.netns, self.search, lock, &limits);
        if !failures.is_empty() {
            self.note_first_failure(&mut open);
            self.force_retired(&mut open, &mut failures);
        }
        let mut failures = failures.into_iter();
        let Some((_, first)) = failures.next() else {
            self.forget(&key);
            return Ok(());
        };
        Err(failures.fold(first, |first, (_, other)| first.details(other.to_string())))
    }

    /// Removes what says that the attachment exists. What cannot be removed is found again by the next DEL or the sweep,
    /// whose DELs then have nothing to do; so it is no reason to call this one failed.
    fn forget(&self, key: &Key) {
        if let Err(error) = self.store.remove(key) {
            tracing::warn!(container_id = key.container_id, error = error.to_string(), "record not removed");
        }
        let listed = Inventory::load(self.layout).is_ok_and(|inventory| inventory.find(key).is_some());
        if listed && let Err(error) = Inventory::strike_out(self.layout, key) {
            tracing::warn!(
                container_id = key.container_id,
                error = error.to_string(),
                "inventory entry not struck out"
            );
        }
    }

    fn note_first_failure(&self, open: &mut Open) {
        if open.attachment.del_failed.is_none()
            && let Ok(at) = Moment::now()
        {
            append(open, Event::DelFailed { at });
        }
    }

    /// Cleans the attachments of retired networks by ourselves, once their DEL has failed for long enough.
    fn force_retired(&self, open: &mut Open, failures: &mut Vec<(String, CniError)>) {
        let (Some(policy), Some(since), Ok(now)) =
            (self.policy, open.attachment.del_failed.clone(), Moment::now())
        else {
            return;
        };
        let sides = Sides::read(policy);
        for leg in open.attachment.pending() {
            let network = open.attachment.intent.legs[leg].network.clone();
            let due = sides
                .of(&open.attachment.intent.legs[leg])
                .and_then(|side| policy.retired(side))
                .is_some_and(|retired| since.age(&now).reached(retired.force_after_secs));
            let Some(at) = failures.iter().position(|(name, _)| due && *name == network) else {
                continue;
            };
            match self.force(&open.attachment, leg, &failures[at].1, &now) {
                Ok(()) => {
                    append(open, Event::Deleted { leg });
                    failures.remove(at);
                }
                Err(error) => {
                    let failure = failures[at].1.clone();
                    failures[at].1 = failure.details(format!("forced DEL: {error}"));
                }
            }
        }
    }

    fn force(
        &self,
        attachment: &Attachment,
        leg: usize,
        error: &CniError,
        now: &Moment,
    ) -> std::io::Result<()> {
        let intent = &attachment.intent;
        let (progress, leg) = (&attachment.progress[leg], &intent.legs[leg]);
        let netns = Netns::open(Path::new(self.netns)).ok();
        let cleaned = forced::clean(&forced::Attached {
            container_id: &intent.container_id,
            ifname: &leg.ifname,
            network: &leg.network,
            conf: leg.conf.get().as_bytes(),
            result: progress.result.as_deref().map(|raw| raw.get().as_bytes()),
            netns: netns.as_ref(),
        });
        tracing::warn!(
            container_id = intent.container_id,
            network = leg.network,
            "forced DEL of a retired network"
        );
        ledger::append(
            self.layout,
            &ledger::Line {
                version: 1,
                wall_secs: now.wall_secs,
                container_id: intent.container_id.clone(),
                ifname: leg.ifname.clone(),
                network: leg.network.clone(),
                addresses: cleaned.addresses,
                reason: format!("code {}: {}", error.code, error.log),
                removed: cleaned.removed,
                left: cleaned.left,
            },
        )
    }
}

/// Runs the DELs of `legs` in the order given; what failed, by network name. The record takes every outcome in.
#[must_use]
pub fn detach(
    open: &mut Open,
    legs: &[usize],
    netns: &str,
    search: Option<&str>,
    lock: Option<&mut Lock>,
    limits: &Limits<'_>,
) -> Vec<(String, CniError)> {
    let attachment = open.attachment.clone();
    let mut failures = Vec::new();
    let mut confs = Vec::new();
    for index in legs {
        let leg = &attachment.intent.legs[*index];
        match networks::recorded_conf(leg) {
            Ok(conf) => confs.push((*index, conf)),
            Err(error) => failures.push((leg.network.clone(), error)),
        }
    }
    let called: Vec<(usize, Network<'_>)> = confs
        .iter()
        .map(|(index, conf)| {
            let scope = networks::scope(&attachment, netns, search);
            (*index, networks::recorded(&attachment.intent.legs[*index], conf, scope))
        })
        .collect();
    let dels = called
        .iter()
        .map(|(index, network)| {
            let progress = &attachment.progress[*index];
            Del::new(network, progress.result.as_deref(), progress.resume_at)
        })
        .collect();
    // Should we be killed in mid-chain, whoever has done its part must not be asked again: by then the address that it
    // would release may be another pod's.
    let outcomes = del_all(dels, lock, limits, |del, plugin| {
        append(open, Event::Stopped { leg: called[del].0, plugin });
    });
    for ((index, network), outcome) in called.iter().zip(outcomes) {
        match outcome {
            Ok(()) => append(open, Event::Deleted { leg: *index }),
            Err(Stopped { plugin, error }) => {
                append(open, Event::Stopped { leg: *index, plugin });
                failures.push((network.conf.name.clone(), error));
            }
        }
    }
    failures
}

/// Undoes the route step where the netns is still there. The interfaces go with their networks' DELs; what this saves is
/// their finding the routes they made.
pub fn undo_route(attachment: &Attachment, netns: &str) {
    let Some(step) = &attachment.intent.route else {
        return;
    };
    let Ok(netns) = Netns::open(Path::new(netns)) else {
        return;
    };
    if let Err(error) = route::undo(&netns, &step.first, &step.owner) {
        tracing::warn!(
            container_id = attachment.intent.container_id,
            error = error.to_string(),
            "route step not undone; it goes with the netns"
        );
    }
}

/// Appends one event. What cannot be written down is done again by the next DEL, which is harmless; and a DEL must not
/// need space on a full disk.
fn append(open: &mut Open, event: Event) {
    if let Err(error) = open.append(&[event]) {
        let container_id = &open.attachment.intent.container_id;
        tracing::warn!(container_id, error = error.to_string(), "progress of DEL not recorded");
    }
}
