//! The teardown of one attachment: run the DELs that are owed, clean up after retired networks, and remove the record.
//!
//! DEL, GC and the sweep close attachments with it. A failed ADD undoes its part with it.

mod account;
mod retired;
mod routes;

use std::time::Instant;

use types::attachment::Event;

use crate::attachment::delegate::{Del, DelEvent, FailedStep, Limits, Network, StoppedDel, del_all};
use crate::call::reply::CniError;
use crate::host::lock::Lock;
use crate::node::first_failure;
use crate::node::inventory;
use crate::node::store::{Key, OpenRecord};

use super::networks;
use super::session::Session;

/// One teardown: its session, and what its delegates receive.
#[derive(Debug)]
pub(super) struct Teardown<'a> {
    session: &'a Session<'a>,
    /// `CNI_NETNS` for the delegates; may be empty.
    netns: &'a str,
    /// The deadline of the whole teardown.
    limits: Limits<'a>,
}

impl<'a> Teardown<'a> {
    /// A teardown whose delegates receive `netns` and end at `deadline`.
    pub(super) const fn new(session: &'a Session<'a>, netns: &'a str, deadline: Instant) -> Self {
        Self { session, netns, limits: session.limits(deadline) }
    }

    /// Runs the DELs that are owed, last network first, and removes the record when none is left.
    ///
    /// # Errors
    /// The first network's error, the others' in its details; what failed stays on record and only that is tried again.
    pub(super) fn close(&self, mut open: OpenRecord, lock: Option<&mut Lock>) -> Result<(), CniError> {
        let key = Key::new(&open.attachment.intent.container_id, &open.attachment.intent.ifname);
        self.undo_route(&open.attachment);
        self.undo_host_routes(&mut open);
        let before = open.attachment.clone();
        let pending = before.pending();
        let DelResults { deleted, mut failures, outlived } = self.dels(&mut open, &pending, true, lock);
        // If nothing failed, the record is removed at once, which says the same.
        let mut unwritten = deleted;
        if !failures.is_empty() || !outlived.is_empty() {
            unwritten.drain(..).for_each(|event| append(&mut open, event));
        }
        for leg in &outlived {
            self.account_for_missing_netns(&open.attachment, leg);
        }
        if !failures.is_empty() {
            self.give_up_retired(&before, &mut open, &mut failures);
        }
        let mut failures = failures.into_iter().map(|failed| failed.error);
        let Some(first) = failures.next() else {
            self.forget(&key, open, unwritten);
            return Ok(());
        };
        Err(failures.fold(first, |first, other| first.details(other.to_string())))
    }

    /// Removes the record and the inventory entry. If one cannot be removed, the next DEL or the sweep finds it again and its DELs have nothing
    /// to do. So the DEL that is ending here counts as done. `unwritten` are DELs that only a record that stays has to name.
    fn forget(&self, key: &Key, mut open: OpenRecord, unwritten: Vec<Event>) {
        first_failure::forget(self.session.layout(), key);
        if let Err(error) = self.session.store.remove(key) {
            tracing::warn!(container_id = key.container_id, error = error.to_string(), "record not removed");
            unwritten.into_iter().for_each(|event| append(&mut open, event));
        }
        let layout = self.session.layout();
        let listed = inventory::load(layout).is_ok_and(|inventory| inventory.find(key).is_some());
        if listed && let Err(error) = inventory::strike_out(layout, key) {
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
pub(super) struct FailedDel {
    /// Counted from 0 in the record.
    pub(super) leg: usize,
    /// The plugin's error.
    pub(super) error: CniError,
    /// Whether the plugin that failed was started at all.
    was_started: bool,
}

/// A plugin whose DEL counts as done: it failed on nothing but a netns that is gone.
#[derive(Debug)]
struct DelWithoutNetns {
    leg: usize,
    plugin: usize,
    before: FailedStep,
    error: CniError,
}

/// The results of several DELs.
#[derive(Debug, Default)]
struct DelResults {
    /// The DELs that succeeded, which the record does not name yet.
    deleted: Vec<Event>,
    failures: Vec<FailedDel>,
    outlived: Vec<DelWithoutNetns>,
}

impl Teardown<'_> {
    /// Undoes part of an ADD: runs the DELs of `legs` in this order, and records each outcome. Returns the DELs that failed, also those that
    /// failed on a missing netns, because the runtime's own DEL follows.
    #[must_use]
    pub(super) fn detach(
        &self,
        open: &mut OpenRecord,
        legs: &[usize],
        lock: Option<&mut Lock>,
    ) -> Vec<FailedDel> {
        let DelResults { deleted, failures, .. } = self.dels(open, legs, false, lock);
        deleted.into_iter().for_each(|event| append(open, event));
        failures
    }

    /// Runs the DELs of `legs`. With `may_outlive_netns`, a failure about nothing but a netns that is gone counts as none.
    fn dels(
        &self,
        open: &mut OpenRecord,
        legs: &[usize],
        may_outlive_netns: bool,
        lock: Option<&mut Lock>,
    ) -> DelResults {
        let attachment = open.attachment.clone();
        let mut done = DelResults::default();
        let mut confs = Vec::new();
        for index in legs {
            match networks::recorded_conf(&attachment.intent.legs[*index]) {
                Ok(conf) => confs.push((*index, conf)),
                Err(error) => done.failures.push(FailedDel { leg: *index, error, was_started: false }),
            }
        }
        let called: Vec<(usize, Network<'_>)> = confs
            .iter()
            .map(|(index, conf)| {
                let scope = self.session.scope_of(&attachment, self.netns);
                (
                    *index,
                    networks::recorded_network(self.session, &attachment.intent.legs[*index], conf, scope),
                )
            })
            .collect();
        let prepared = called
            .iter()
            .map(|(index, network)| {
                let progress = &attachment.progress[*index];
                let del = Del::new(network, progress.result.as_deref(), progress.resume_at);
                let profile = &attachment.intent.legs[*index].profile;
                if may_outlive_netns { del.outliving_its_netns(profile) } else { del }
            })
            .collect();
        let outcomes = del_all(prepared, lock, &self.limits, |del, event| match event {
            // If this process is killed in the middle of a chain, the next DEL must not call a plugin that has done its part: the address
            // that the plugin would release may be another pod's by then.
            DelEvent::GoesOn(plugin) => append(open, Event::Stopped { leg: called[del].0, plugin }),
            DelEvent::NetnsGone { plugin, before, error } => {
                done.outlived.push(DelWithoutNetns { leg: called[del].0, plugin, before, error });
            }
        });
        for ((index, _), outcome) in called.iter().zip(outcomes) {
            match outcome {
                Ok(()) => done.deleted.push(Event::Deleted { leg: *index }),
                Err(StoppedDel { plugin, error, was_started }) => {
                    append(open, Event::Stopped { leg: *index, plugin });
                    done.failures.push(FailedDel { leg: *index, error, was_started });
                }
            }
        }
        done
    }
}

/// Appends one event to the record. If that fails, the next DEL repeats the step, which is harmless. A DEL must not need space on a full disk.
fn append(open: &mut OpenRecord, event: Event) {
    if let Err(error) = open.append(&[event]) {
        let container_id = &open.attachment.intent.container_id;
        tracing::warn!(container_id, error = error.to_string(), "progress of DEL not recorded");
    }
}
