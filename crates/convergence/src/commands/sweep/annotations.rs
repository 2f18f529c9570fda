//! The annotations of Pods that name a sandbox which is gone.

use std::collections::BTreeSet;

use types::profile::PodAnnotations;
use types::text::names::is_name;

use crate::change::{Act, Change, StaleAnnotations};
use crate::publish::pods::BoundPod;

/// The longest container id that is taken for one, in bytes; those of containerd and CRI-O have 64. Who writes Pods can write their annotations.
const LONGEST_ID: usize = 128;

/// Why nothing is decided while a record is damaged.
pub const DAMAGED: &str = "they stay while a record is damaged, because it may be about their sandbox";

/// What the decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub node: &'a str,
    /// What the plugins of this node's networks write on Pods.
    pub annotations: &'a BTreeSet<PodAnnotations>,
    pub pods: &'a [BoundPod],
    /// The container ids of all sandboxes that are not certainly gone: on the runtime's list, in a record, in the inventory.
    pub sandboxes: &'a BTreeSet<String>,
    /// A record is damaged, and its sandbox is not known.
    pub damaged: bool,
}

/// The annotations to remove: those of a sandbox that is certainly gone, whose address the plugin's own DEL has not released.
///
/// A Pod that is being deleted needs no mending. One with an empty address needs none either: the CNI takes that for a released address, and a Pod without
/// the annotation for one whose address is in its status.
///
/// The changes are in the order of their Pods' names, since the API server's cache has the Pods in any order.
///
/// # Errors
/// [`DAMAGED`].
pub fn decide(facts: Facts<'_>) -> Result<Vec<Change>, &'static str> {
    if facts.damaged {
        return Err(DAMAGED);
    }
    let is_ours = |pod: &&BoundPod| pod.node == facts.node && !pod.is_leaving && !pod.host_network;
    let pods = facts.pods.iter().filter(is_ours);
    let each = |pod| facts.annotations.iter().filter_map(move |written| decide_pod(facts, pod, written));
    let mut changes: Vec<Change> = pods.flat_map(each).collect();
    changes.sort_by(|change, other| change.target.cmp(&other.target));
    Ok(changes)
}

fn decide_pod(facts: Facts<'_>, pod: &BoundPod, written: &PodAnnotations) -> Option<Change> {
    let value = |key: &String| pod.annotations.get(key).filter(|value| !value.is_empty()).cloned();
    let address = value(&written.address)?;
    let sandbox = value(&written.sandbox).filter(|id| is_name(id) && id.len() <= LONGEST_ID)?;
    if facts.sandboxes.contains(&sandbox) {
        return None;
    }
    let keys = written.keys().filter(|key| pod.annotations.contains_key(*key)).map(str::to_owned);
    let keys: Vec<String> = keys.collect();
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    let target = format!("annotations {} of Pod {namespace}/{name}", keys.join(", "));
    let reason = format!("they are of sandbox {sandbox}, which is gone");
    let stale = StaleAnnotations {
        namespace,
        pod: name,
        uid: pod.uid.clone(),
        sandbox: (written.sandbox.clone(), sandbox),
        address: (written.address.clone(), address),
        keys,
    };
    Some(Change::new(Act::Unannotate(Box::new(stale)), target, reason))
}

#[cfg(test)]
mod tests;
