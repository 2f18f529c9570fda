//! LEAVE: detaches the second network of a pod that runs.
//!
//! It is the DEL of that network alone. The network's routes go first, then its interface; the primary keeps its interface, its routes and its
//! connections. Connections over an address of the network that leaves end: the caller looks for them before.

use super::Session;
use super::live::LivePod;
use crate::attachment::plan::PodChange;
use crate::call::reply::CniError;

pub(super) fn leave(session: &Session<'_>) -> Result<(), CniError> {
    let until = session.deadline(session.policy()?.deadlines.del_secs);
    let mut pod = LivePod::find(session, until)?;
    match pod.change()? {
        PodChange::Keep => Ok(()),
        PodChange::Leave => pod.detach_second(until),
        change @ (PodChange::Join(_) | PodChange::Restart(_)) => Err(pod.refuse(change)),
    }
}
