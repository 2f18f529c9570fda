//! The last lines of the record of an ADD with one network: its result, and which of the pod's interfaces it names.

use types::attachment::{Event, PodInterface};

use super::gather::ReadyNetwork;
use crate::attachment::pod_interfaces;
use crate::attachment::route::Budget;
use crate::call::reply::CniError;
use crate::call::version::AddResult;
use crate::host::netns::Netns;

/// Looks at the pod once the network's plugins have ended with `result`. If the look fails, the ADD still succeeds, and a later CHECK compares less.
///
/// # Errors
/// As [`AddResult::to_version`].
pub(super) fn attached_events(
    netns: Option<&Netns>,
    network: &ReadyNetwork<'_>,
    result: &AddResult,
    budget: Budget<'_>,
) -> Result<[Event; 2], CniError> {
    let look = |netns| pod_interfaces::read(netns, &network.plan.ifname, result, budget);
    let present = netns.and_then(|netns| unless_failed(network, look(netns)));
    let result = result.to_version(network.loaded.conf.version)?;
    Ok([Event::Added { leg: 0, result, present }, Event::Attached {}])
}

/// What was read of a network's interfaces, and nothing if that failed.
pub(super) fn unless_failed(
    network: &ReadyNetwork<'_>,
    looked: Result<Vec<PodInterface>, impl ToString>,
) -> Option<Vec<PodInterface>> {
    looked
        .map_err(|error| {
            let network = &network.loaded.conf.name;
            tracing::debug!(network, error = error.to_string(), "interfaces not recorded for CHECK");
        })
        .ok()
}
