//! A pod that runs, as JOIN and LEAVE find it.
//!
//! Both verbs are Crossfade's own: `crossfade-bootstrap` calls the plugin with them for a pod whose networks the policy names differently by now. They work
//! on the attachment's own record and under its lock. A record beside it would not be closed by the runtime's DEL, and would be lost to a GC.

use std::io;
use std::time::Instant;

use types::attachment::{Attachment, Event, Intent};
use types::policy::Policy;

use super::add::choose;
use super::teardown::Teardown;
use super::{Session, networks};
use crate::attachment::owner::Sides;
use crate::attachment::plan::{PodChange, decide_change};
use crate::attachment::pod_interfaces;
use crate::attachment::route::{self, Budget};
use crate::call::reply::{CniError, code};
use crate::call::version::AddResult;
use crate::host::lock::{Lock, LockError};
use crate::host::netns::Netns;
use crate::node::inventory::{self, Deleter};
use crate::node::store::{OpenRecord, StoredRecord};

/// A pod that runs, with the lock of its attachment.
#[derive(Debug)]
pub(super) struct LivePod<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) policy: &'a Policy,
    pub(super) sides: Sides<'a>,
    pub(super) netns: &'a Netns,
    /// What the pod has, by its record, or by its inventory entry if it has no record.
    pub(super) attachment: Attachment,
    pub(super) lock: Lock,
}

impl<'a> LivePod<'a> {
    /// Takes the lock of the attachment, and finds its record and its netns.
    ///
    /// # Errors
    /// Code 11 while another call holds the lock, 3 for an attachment that is unknown, 4 for a netns or pod that is not the attachment's own, 107 for one of
    /// which too little is known. Nothing was changed.
    pub(super) fn find(session: &'a Session<'a>, until: Instant) -> Result<Self, CniError> {
        let policy = session.policy()?;
        let key = session.key();
        let record_lock =
            Lock::take_unattended(session.layout(), &key, session.env.verb, until, session.signals);
        let lock = record_lock.map_err(|e| session.lock_error(LockError::Io(e)))?.ok_or_else(|| {
            CniError::new(
                code::TRY_LATER,
                format!("{} is busy: another call holds its lock", name_pod(session)),
            )
        })?;
        let netns = session.netns().map_err(|e| {
            let path = &session.env.netns;
            CniError::new(code::ENVIRONMENT, format!("CNI_NETNS {path:?} cannot be entered: {e}"))
        })?;
        let attachment = read_record(session, netns, until)?;
        refuse_another_pod(session, netns, &attachment.intent)?;
        Ok(Self { session, policy, sides: Sides::read(policy), netns, attachment, lock })
    }

    /// What the policy asks for.
    ///
    /// # Errors
    /// Code 6 if `runtimeConfig`, which has the pod's annotations, is no object.
    pub(super) fn change(&self) -> Result<PodChange, CniError> {
        let attach = choose(self.session, self.policy, &self.session.conf.runtime_config()?);
        Ok(decide_change(&self.sides.pod_networks(&self.attachment), attach, &self.policy.both))
    }

    /// The error for a call that the policy does not ask for.
    pub(super) fn refuse(&self, change: PodChange) -> CniError {
        let name = name_pod(self.session);
        match change {
            PodChange::Restart(reason) => restart(self.session, reason.as_str()),
            PodChange::Keep | PodChange::Join(_) | PodChange::Leave => {
                let what = if change == PodChange::Leave {
                    "its second network leaves"
                } else {
                    "another network joins"
                };
                CniError::new(
                    code::CONFIG,
                    format!("{}: by the policy, {what} {name}", self.session.env.verb.as_str()),
                )
                .details("the policy has changed since the call was decided")
            }
        }
    }

    /// Ends what an earlier JOIN or LEAVE has left half done: detaches the second network, or drops one that is detached from the record.
    ///
    /// # Errors
    /// As [`Self::detach_second`].
    pub(super) fn settle(&mut self, until: Instant) -> Result<(), CniError> {
        match self.attachment.second_leg() {
            Some(leg) if !self.attachment.has(leg) => self.detach_second(until),
            None if self.attachment.intent.legs.len() > 1 => self.shorten(),
            _ => Ok(()),
        }
    }

    /// Drops the networks whose DEL has succeeded from the record: their interface names are free.
    fn shorten(&mut self) -> Result<(), CniError> {
        let (intent, events) = self.attachment.without_deleted();
        self.attachment = self.write(intent, &events)?.attachment;
        Ok(())
    }

    /// Detaches the second network and shortens the record by it. The primary keeps its interface and routes.
    ///
    /// # Errors
    /// Its routes were not removed, or its DEL failed. The record says that the DEL is owed; the next call resumes it.
    pub(super) fn detach_second(&mut self, until: Instant) -> Result<(), CniError> {
        let Some(leg) = self.attachment.second_leg() else { return Ok(()) };
        let recorded = self.attachment.intent.legs[leg].clone();
        let last = networks::recorded_conf(&recorded)?.plugins.len() - 1;
        let resumed = self.attachment.progress[leg].resume_at.unwrap_or(last);
        let mut open = self.session.store.open(self.attachment.clone());
        // From here on the network counts as leaving, and a later call does not take it for attached. The pod goes on with its primary.
        let begun = [Event::Stopped { leg, plugin: resumed }, Event::Attached {}];
        open.append(&begun).map_err(|e| self.write_error(&e))?;
        if !open.is_kept() {
            return Err(self.write_error(&io::Error::other("it cannot be opened for writing")));
        }
        let budget = Budget::new(until, Some(self.session.signals));
        let primary = &self.attachment.intent.ifname;
        route::leave(self.netns, &recorded.ifname, primary, budget)
            .map_err(|e| CniError::new(code::ROUTE, format!("routes of {}: {e}", name_pod(self.session))))?;
        let teardown = Teardown::new(self.session, &self.session.env.netns, until);
        let failed = teardown.detach(&mut open, &[leg], Some(&mut self.lock)).pop();
        self.attachment = open.attachment;
        if let Some(failed) = failed {
            return Err(failed.error.details(format!("the DEL of network {:?} is owed", recorded.network)));
        }
        if self.netns.remove_interface(&recorded.ifname, budget).is_ok_and(|was_there| was_there) {
            tracing::warn!(
                network = recorded.network,
                ifname = recorded.ifname,
                "its DEL left the interface; removed"
            );
        }
        self.shorten()
    }

    /// Writes another record in the place of the attachment's.
    ///
    /// # Errors
    /// Code 5; the record is as it was.
    pub(super) fn write(&self, intent: Intent, events: &[Event]) -> Result<OpenRecord, CniError> {
        self.session.store.begin(intent, events).map_err(|e| self.write_error(&e))
    }

    fn write_error(&self, error: &io::Error) -> CniError {
        CniError::new(code::IO, format!("write the record of {}: {error}", name_pod(self.session)))
    }
}

/// The attachment of the call, for messages.
pub(super) fn name_pod(session: &Session<'_>) -> String {
    format!("attachment {} {}", session.env.container_id, session.env.ifname)
}

/// The error for a pod that only a restart brings to its networks.
pub(super) fn restart(session: &Session<'_>, why: &str) -> CniError {
    CniError::new(code::RESTART, format!("{} needs a restart: {why}", name_pod(session)))
}

/// The attachment's record; else one made of its inventory entry, which is not written yet.
fn read_record(session: &Session<'_>, netns: &Netns, until: Instant) -> Result<Attachment, CniError> {
    let key = session.key();
    let io = |e: io::Error| CniError::new(code::IO, format!("read the record of {}: {e}", name_pod(session)));
    let unknown = || CniError::new(code::UNKNOWN_CONTAINER, format!("{} is unknown", name_pod(session)));
    match session.store.find(&key).map_err(io)? {
        StoredRecord::Sound(record) if !record.torn => return Ok(*record),
        StoredRecord::Sound(_) => return Err(restart(session, "a line of its record cannot be read")),
        StoredRecord::Damaged(why) => {
            return Err(restart(session, &format!("its record is damaged ({why})")));
        }
        StoredRecord::Absent => {}
    }
    let inventory = inventory::load(session.layout()).map_err(io)?;
    let entry = inventory.find(&key).ok_or_else(unknown)?;
    if entry.deleted_by != Deleter::Crossfade {
        return Err(restart(session, "its runtime sends the DEL to its network itself, past Crossfade"));
    }
    let leg = session.leg_of_entry(entry)?;
    let conf = networks::recorded_conf(&leg)?;
    let result = session.result_of_entry(entry, &conf).ok_or_else(|| {
        restart(session, "neither the inventory nor the runtime's cache has the result of its ADD")
    })?;
    let present = AddResult::parse(result.get().as_bytes(), conf.version).ok().and_then(|parsed| {
        pod_interfaces::read(netns, &key.ifname, &parsed, Budget::share(until, session.signals)).ok()
    });
    let intent = Intent {
        cni_args: session.env.args.clone().or_else(|| entry.cni_args.clone()),
        netns_id: Some(netns.id()),
        netns_cookie: netns.cookie(),
        ..session.intent(vec![leg])?
    };
    let mut attachment = Attachment::begin(intent);
    attachment.apply(Event::Added { leg: 0, result, present });
    attachment.apply(Event::Attached {});
    Ok(attachment)
}

/// Refuses a netns or pod arguments that are not those of the attachment's ADD.
fn refuse_another_pod(session: &Session<'_>, netns: &Netns, intent: &Intent) -> Result<(), CniError> {
    let env = session.env;
    let is_its = networks::is_its(intent, netns).unwrap_or(intent.netns == env.netns);
    if !is_its {
        let what = format!("the netns at {:?} is not that of {}", env.netns, name_pod(session));
        return Err(CniError::new(code::ENVIRONMENT, what)
            .details(format!("expected the one of its ADD, {:?}", intent.netns)));
    }
    match (&intent.cni_args, &env.args) {
        (Some(then), now) if now.as_ref() != Some(then) => {
            let what = format!("CNI_ARGS are not those of the ADD of {}", name_pod(session));
            Err(CniError::new(code::ENVIRONMENT, what).details(format!("expected {then:?}")))
        }
        _ => Ok(()),
    }
}
