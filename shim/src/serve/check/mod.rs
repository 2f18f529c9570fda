//! CHECK: every network of the record is asked with its own result, and what was attached is looked at; the first error is reported.

mod look;

use types::policy::Deadlines;

use crate::attachment::Attachment;
use crate::conflist::Conflist;
use crate::delegate::Limits;
use crate::inventory;
use crate::lock::{Lock, Patience};
use crate::reply::{CniError, code};
use crate::store::Found;

use crate::serve::{Request, networks};

pub(super) fn check(request: &Request<'_>) -> Result<(), CniError> {
    let policy = request.policy();
    let deadlines = policy.as_ref().map_or_else(|_| Deadlines::default(), |policy| policy.deadlines);
    let until = request.until(deadlines.check_secs);
    let key = request.key();
    let patience = Patience { until, ask_from: None };
    let mut lock = Lock::take(request.layout(), &key, request.env.verb, patience, request.signals)
        .map_err(|why| request.no_lock(why))?;
    let limits = Limits { deadline: until, signals: request.signals };
    let name = format!("attachment {} {}", key.container_id, key.ifname);
    let io = |e: std::io::Error| CniError::new(code::IO, format!("read the record of {name}: {e}"));
    match request.store.find(&key).map_err(io)? {
        Found::Record(record) => check_record(request, &record, &mut lock, &limits),
        Found::Damaged(why) => {
            Err(CniError::new(code::UNKNOWN_CONTAINER, format!("{name} is unknown: its record is damaged"))
                .details(why))
        }
        Found::Nothing => {
            let inventory = inventory::load(request.layout()).map_err(io)?;
            let entry = inventory.find(&key).ok_or_else(|| {
                CniError::new(code::UNKNOWN_CONTAINER, format!("{name} is unknown: no ADD came through here"))
            })?;
            let adopt = request.adopt(&policy)?;
            let leg = adopt.leg(entry)?;
            let conf = networks::recorded_conf(&leg)?;
            let result = adopt.result(entry, &conf);
            let network = networks::recorded(&leg, &conf, request.scope());
            network.check(result.as_deref(), Some(&mut lock), &limits)
        }
    }
}

fn check_record(
    request: &Request<'_>,
    record: &Attachment,
    lock: &mut Lock,
    limits: &Limits<'_>,
) -> Result<(), CniError> {
    if !record.attached {
        let intent = &record.intent;
        return Err(CniError::new(
            code::DELEGATE,
            format!("the ADD of attachment {} {} never finished", intent.container_id, intent.ifname),
        ));
    }
    let mut first = None;
    for (leg, progress) in record.intent.legs.iter().zip(&record.progress).rev() {
        // A tolerated secondary that was left out is not there to be checked.
        if progress.deleted || progress.result.is_none() {
            continue;
        }
        let conf: Conflist = networks::recorded_conf(leg)?;
        let scope = networks::scope(record, &request.env.netns, request.env.path.as_deref());
        let network = networks::recorded(leg, &conf, scope);
        if let Err(error) = network.check(progress.result.as_deref(), Some(lock), limits) {
            first.get_or_insert(error);
        }
    }
    first.map_or_else(|| look::look(record, &request.env.netns, limits), Err)
}
