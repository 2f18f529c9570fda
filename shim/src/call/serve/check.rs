//! CHECK: calls every network of the record with its own result, then inspects the pod itself. Reports the first error.

mod inspect;

use types::attachment::Attachment;
use types::policy::Deadlines;

use crate::attachment::conflist::Conflist;
use crate::attachment::delegate::Limits;
use crate::call::reply::{CniError, code};
use crate::host::lock::{Lock, Patience};
use crate::node::inventory;
use crate::node::store::StoredRecord;

use crate::call::serve::{Session, networks};

pub(super) fn check(session: &Session<'_>) -> Result<(), CniError> {
    let deadlines = session.policy().map_or_else(|_| Deadlines::default(), |policy| policy.deadlines);
    let until = session.deadline(deadlines.check_secs);
    let key = session.key();
    let patience = Patience { until, ask_from: None };
    let mut lock = Lock::take(session.layout(), &key, session.env.verb, patience, session.signals)
        .map_err(|why| session.lock_error(why))?;
    let limits = session.limits(until);
    let name = format!("attachment {} {}", key.container_id, key.ifname);
    let io = |e: std::io::Error| CniError::new(code::IO, format!("read the record of {name}: {e}"));
    match session.store.find(&key).map_err(io)? {
        StoredRecord::Sound(record) => check_record(session, &record, &mut lock, &limits),
        StoredRecord::Damaged(why) => {
            Err(CniError::new(code::UNKNOWN_CONTAINER, format!("{name} is unknown: its record is damaged"))
                .details(why))
        }
        StoredRecord::Absent => {
            let inventory = inventory::load(session.layout()).map_err(io)?;
            let entry = inventory.find(&key).ok_or_else(|| {
                CniError::new(code::UNKNOWN_CONTAINER, format!("{name} is unknown: no ADD came through here"))
            })?;
            let leg = session.leg_of_entry(entry)?;
            let conf = networks::recorded_conf(&leg)?;
            let result = session.result_of_entry(entry, &conf);
            let network = networks::recorded_network(session, &leg, &conf, session.scope());
            network.check(result.as_deref(), Some(&mut lock), &limits)
        }
    }
}

/// Whether the pod has to have this network: not if its DEL has succeeded, and not if it is a second one that did not join the pod or has begun to leave it.
fn is_kept(record: &Attachment, leg: usize) -> bool {
    !record.progress[leg].deleted && (record.intent.legs[leg].primary || !record.is_on_primary_alone())
}

fn check_record(
    session: &Session<'_>,
    record: &Attachment,
    lock: &mut Lock,
    limits: &Limits<'_>,
) -> Result<(), CniError> {
    if !record.attached && !record.is_on_primary_alone() {
        let intent = &record.intent;
        return Err(CniError::new(
            code::DELEGATE,
            format!("the ADD of attachment {} {} never finished", intent.container_id, intent.ifname),
        ));
    }
    let mut first = None;
    for leg in (0..record.intent.legs.len()).rev().filter(|leg| is_kept(record, *leg)) {
        let (leg, progress) = (&record.intent.legs[leg], &record.progress[leg]);
        // A tolerated secondary network that was left out cannot be checked.
        if progress.result.is_none() {
            continue;
        }
        let conf: Conflist = networks::recorded_conf(leg)?;
        let scope = session.scope_of(record, &session.env.netns);
        let network = networks::recorded_network(session, leg, &conf, scope);
        if let Err(error) = network.check(progress.result.as_deref(), Some(lock), limits) {
            first.get_or_insert(error);
        }
    }
    first.map_or_else(|| inspect::inspect(record, &session.env.netns, limits), Err)
}
