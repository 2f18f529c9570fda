//! Closing an attachment: the DELs that are owed, what is retired, the record. DEL, GC, the sweep and a failed ADD share it.

mod account;
mod retired;

use std::path::Path;
use std::time::Instant;

use types::policy::Policy;

use crate::attachment::{Attachment, Event};
use crate::boot::boot_id;
use crate::delegate::{Before, Del, Heard, Limits, Network, Stopped, del_all};
use crate::failing;
use crate::hostroute::{self, HostRoute};
use crate::inventory;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::netns::Netns;
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
        let limits = Limits { deadline: self.deadline, signals: self.signals };
        undo_route(&open.attachment, self.netns, &limits);
        undo_host_routes(self.layout, &mut open, &limits);
        let before = open.attachment.clone();
        let pending = before.pending();
        let call = DelCall { netns: self.netns, search: self.search, outliving_netns: true };
        let Detached { mut failures, outlived } = dels(&mut open, &pending, &call, lock, &limits);
        for leg in &outlived {
            self.account_for_missing_netns(&open.attachment, leg);
        }
        if !failures.is_empty() {
            self.give_up_retired(&before, &mut open, &mut failures);
        }
        let mut failures = failures.into_iter().map(|failed| failed.error);
        let Some(first) = failures.next() else {
            self.forget(&key);
            return Ok(());
        };
        Err(failures.fold(first, |first, other| first.details(other.to_string())))
    }

    /// Removes what says that the attachment exists. What cannot be removed is found again by the next DEL or the sweep,
    /// whose DELs then have nothing to do; so it is no reason to call this one failed.
    fn forget(&self, key: &Key) {
        failing::forget(self.layout, key);
        if let Err(error) = self.store.remove(key) {
            tracing::warn!(container_id = key.container_id, error = error.to_string(), "record not removed");
        }
        let listed = inventory::load(self.layout).is_ok_and(|inventory| inventory.find(key).is_some());
        if listed && let Err(error) = inventory::strike_out(self.layout, key) {
            tracing::warn!(
                container_id = key.container_id,
                error = error.to_string(),
                "inventory entry not struck out"
            );
        }
    }
}

/// The DEL of one leg that failed.
#[derive(Debug)]
pub struct Failed {
    /// Counted from 0 in the record.
    pub leg: usize,
    /// What it said.
    pub error: CniError,
    /// Whether the plugin that failed was started at all.
    begun: bool,
}

/// A plugin whose DEL counts as done: it failed on nothing but a netns that is gone.
#[derive(Debug)]
struct Outlived {
    leg: usize,
    plugin: usize,
    before: Before,
    error: CniError,
}

/// What came of several DELs.
#[derive(Debug, Default)]
struct Detached {
    failures: Vec<Failed>,
    outlived: Vec<Outlived>,
}

/// What DELs are called with.
#[derive(Debug, Clone, Copy)]
struct DelCall<'a> {
    netns: &'a str,
    search: Option<&'a str>,
    /// Whether a failure counts as none if it is about nothing but a netns that is gone.
    outliving_netns: bool,
}

/// Undoes part of an ADD: runs the DELs of `legs` in the order given. The record takes every outcome in; what failed is
/// returned, a missing netns included: the runtime's own DEL follows.
#[must_use]
pub fn detach(
    open: &mut Open,
    legs: &[usize],
    netns: &str,
    search: Option<&str>,
    lock: Option<&mut Lock>,
    limits: &Limits<'_>,
) -> Vec<Failed> {
    dels(open, legs, &DelCall { netns, search, outliving_netns: false }, lock, limits).failures
}

fn dels(
    open: &mut Open,
    legs: &[usize],
    call: &DelCall<'_>,
    lock: Option<&mut Lock>,
    limits: &Limits<'_>,
) -> Detached {
    let attachment = open.attachment.clone();
    let mut done = Detached::default();
    let mut confs = Vec::new();
    for index in legs {
        match networks::recorded_conf(&attachment.intent.legs[*index]) {
            Ok(conf) => confs.push((*index, conf)),
            Err(error) => done.failures.push(Failed { leg: *index, error, begun: false }),
        }
    }
    let called: Vec<(usize, Network<'_>)> = confs
        .iter()
        .map(|(index, conf)| {
            let scope = networks::scope(&attachment, call.netns, call.search);
            (*index, networks::recorded(&attachment.intent.legs[*index], conf, scope))
        })
        .collect();
    let prepared = called
        .iter()
        .map(|(index, network)| {
            let progress = &attachment.progress[*index];
            let del = Del::new(network, progress.result.as_deref(), progress.resume_at);
            let profile = &attachment.intent.legs[*index].profile;
            if call.outliving_netns { del.outliving_its_netns(profile) } else { del }
        })
        .collect();
    let outcomes = del_all(prepared, lock, limits, |del, heard| match heard {
        // Should we be killed in mid-chain, whoever has done its part must not be asked again: by then the address that
        // it would release may be another pod's.
        Heard::GoesOn(plugin) => append(open, Event::Stopped { leg: called[del].0, plugin }),
        Heard::NetnsGone { plugin, before, error } => {
            done.outlived.push(Outlived { leg: called[del].0, plugin, before, error });
        }
    });
    for ((index, _), outcome) in called.iter().zip(outcomes) {
        match outcome {
            Ok(()) => append(open, Event::Deleted { leg: *index }),
            Err(Stopped { plugin, error, begun }) => {
                append(open, Event::Stopped { leg: *index, plugin });
                done.failures.push(Failed { leg: *index, error, begun });
            }
        }
    }
    done
}

/// Undoes the route step where the netns is still there. The interfaces go with their networks' DELs; what this saves is
/// their finding the routes they made. It may take its small part of the time and no more: a pod decides how much there is.
pub fn undo_route(attachment: &Attachment, netns: &str, limits: &Limits<'_>) {
    let Some(step) = &attachment.intent.route else {
        return;
    };
    let Ok(netns) = Netns::open(Path::new(netns)) else {
        return;
    };
    let budget = route::Budget::share(limits.deadline, limits.signals);
    if let Err(error) = route::undo(&netns, &step.first, &step.owner, budget) {
        tracing::warn!(
            container_id = attachment.intent.container_id,
            error = error.to_string(),
            "the route step was not undone, or in part; what is left of it goes with the netns"
        );
    }
}

/// Takes back the host routes of all legs whose DEL is owed, before any of these: after it the address may be another pod's. What
/// cannot be taken back now goes with the next pass over all records.
pub fn undo_host_routes(layout: &Layout, open: &mut Open, limits: &Limits<'_>) {
    // A route, a rule and an interface's index end with their boot.
    if boot_id().is_ok_and(|now| now != open.attachment.intent.begun.boot_id) {
        return;
    }
    let progress = open.attachment.progress.iter().enumerate();
    let routed: Vec<(usize, Vec<HostRoute>)> = progress
        .filter(|(_, progress)| !progress.deleted && !progress.host_routes.is_empty())
        .map(|(leg, progress)| (leg, progress.host_routes.clone()))
        .collect();
    if routed.is_empty() {
        return;
    }
    for (leg, _) in &routed {
        append(open, Event::HostUnrouted { leg: *leg });
    }
    let budget = route::Budget::share(limits.deadline, limits.signals);
    let all: Vec<_> = routed.iter().flat_map(|(_, routes)| routes).collect();
    if let Err(error) = hostroute::remove(layout, &all, budget) {
        tracing::warn!(
            container_id = open.attachment.intent.container_id,
            error = error.to_string(),
            "host routes were not taken back, or in part; the sweep takes what is left"
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
