//! Pods that move one after the other: those of a StatefulSet, and those that answer DNS queries.

use std::collections::BTreeSet;
use std::time::Duration;

use super::act::Act;
use super::dns;
use super::view::View;
use super::wait::{Reason, Wait};
use super::world::{Owner, Pod, Trait};

/// For so long after an eviction no other pod of the same workload moves: the status of the workload may not tell of it yet.
const APART: Duration = Duration::from_secs(30);

/// Why a pod waits for others of its workload; none if it is its turn.
#[must_use]
pub(super) fn turn(view: &View<'_>, pod: &Pod) -> Option<Wait> {
    let object = format!("Pod/{}", pod.title());
    if let Some(owner) = pod.owner.as_ref().filter(|_| is_in_turn(pod)) {
        let what =
            format!("another pod of {} {}/{} is not ready yet", owner.kind, owner.namespace, owner.name);
        let reason = if pod.is(Trait::Dns) { Reason::DnsNeeded } else { Reason::OneAtATime };
        if is_moving(view, pod, owner) || (pod.is(Trait::Ready) && is_short(view, pod, owner)) {
            return Some(Wait::new(object, reason, what));
        }
    }
    let why = dns::needed(view, pod)?;
    let wait = Wait::new(object, Reason::DnsNeeded, why);
    Some(match &pod.owner {
        Some(Owner { kind, namespace, name }) => {
            let kind = kind.to_lowercase();
            wait.help(format!("wait for the others; if there is no other: kubectl -n {namespace} scale {kind} {name} --replicas=2"))
        }
        None => wait,
    })
}

/// Whether pods of its workload move one after the other.
fn is_in_turn(pod: &Pod) -> bool {
    pod.is(Trait::Dns) || pod.owner.as_ref().is_some_and(|owner| &*owner.kind == "StatefulSet")
}

/// Another pod of the workload is on its way.
fn is_moving(view: &View<'_>, pod: &Pod, owner: &Owner) -> bool {
    let others =
        view.world.pods.values().filter(|other| other.uid != pod.uid && other.owner.as_ref() == Some(owner));
    let is_recent =
        |(uid, time): &(snapshot::model::Text, Duration)| *uid != pod.uid && view.ago(*time) < APART;
    view.memory.moved(owner).is_some_and(is_recent) || others.into_iter().any(|other| view.is_leaving(other))
}

/// Another pod of the workload is missing. Its own readiness does not matter: it is evicted in any case.
fn is_short(view: &View<'_>, pod: &Pod, owner: &Owner) -> bool {
    let short = view.run.missing(owner);
    let Some(now) = view.world.owners.get(owner) else { return !pod.is(Trait::Dns) };
    // All pods that answer DNS queries are known, and what their workload says of them may be older.
    let seen = view.ready_dns().filter(|other| other.owner.as_ref() == Some(owner)).count();
    let seen = u32::try_from(seen).unwrap_or(u32::MAX);
    let ready = if pod.is(Trait::Dns) { now.ready.min(seen) } else { now.ready };
    ready + short < now.desired
}

/// Of the pods of one such workload the first goes; several nodes may have decided at once that it is their pod's turn.
pub(super) fn retain_one_per_owner(view: &View<'_>, acts: &mut Vec<Act>) {
    let mut seen: BTreeSet<Option<&Owner>> = BTreeSet::new();
    acts.retain(|act| {
        let (Act::Evict(id) | Act::Delete(id)) = act else { return true };
        let Some(pod) = view.world.pods.get(&id.uid).filter(|pod| is_in_turn(pod)) else { return true };
        // All DNS pods take turns, whatever makes them.
        seen.insert(if pod.is(Trait::Dns) { None } else { pod.owner.as_ref() })
    });
}
