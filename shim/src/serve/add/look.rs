//! The last lines of the record of an ADD with one network: its result, and which of the pod's interfaces it names.
//!
//! A plugin that has written its result takes a while to end, and the shim looks at the pod meanwhile. What it has seen counts only if no change in the
//! pod has been told by the time the plugin has ended. Should the plugin add an IPv6 address without duplicate address detection at the very end, the kernel
//! may tell of it too late ([`Changes`]). A later CHECK then does not look for that address.

use std::time::Instant;

use types::attachment::{Event, PodInterface};

use super::gather::ReadyNetwork;
use crate::netns::Netns;
use crate::pod_interfaces;
use crate::reply::CniError;
use crate::route::{Budget, Changes};
use crate::serve::Session;
use crate::store::EventLines;
use crate::version::AddResult;

/// A look at the pod before the plugin has ended.
pub(super) struct EarlyLook {
    since: Changes,
    lines: EventLines,
}

impl EarlyLook {
    /// Looks at the pod after `result`, which the network's last plugin has written. None if the look failed: it is repeated once the plugin has
    /// ended. The plugin must end by `deadline`.
    pub(super) fn take(
        session: &Session<'_>,
        netns: &Netns,
        network: &ReadyNetwork<'_>,
        result: &AddResult,
        deadline: Instant,
    ) -> Option<Self> {
        // The shim must not miss the plugin's deadline over a pod that keeps it busy.
        let budget = Budget::share(deadline, session.signals);
        let since = Changes::from_now(netns).ok()?;
        let present = pod_interfaces::read(netns, &network.plan.ifname, result, budget).ok()?;
        let lines = attached(network, result, Some(present)).ok()?;
        Some(Self { since, lines })
    }

    /// The lines for the record, if they still tell what is in the pod. To be asked once the plugin has ended.
    pub(super) fn if_unchanged(self) -> Option<EventLines> {
        self.since.are_none().then_some(self.lines)
    }
}

/// Looks at the pod once the network's plugins have ended with `result`. If the look fails, the ADD still succeeds, and a later CHECK compares less.
///
/// # Errors
/// As [`AddResult::at`].
pub(super) fn late_look(
    netns: Option<&Netns>,
    network: &ReadyNetwork<'_>,
    result: &AddResult,
    budget: Budget<'_>,
) -> Result<EventLines, CniError> {
    let look = |netns| pod_interfaces::read(netns, &network.plan.ifname, result, budget);
    let present = netns.and_then(|netns| unless_failed(network, look(netns)));
    attached(network, result, present)
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

fn attached(
    network: &ReadyNetwork<'_>,
    result: &AddResult,
    present: Option<Vec<PodInterface>>,
) -> Result<EventLines, CniError> {
    let result = result.at(network.loaded.conf.version)?;
    Ok(EventLines::of(vec![Event::Added { leg: 0, result, present }, Event::Attached {}]))
}
