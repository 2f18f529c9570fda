//! The end of an ADD of one network as the record has it: the result, and which of the pod's interfaces it has.
//!
//! A plugin that has written its result takes a while to end, and the look at the pod happens meanwhile. It counts only if nothing in the pod has
//! changed until the plugin had ended.

use std::time::Instant;

use types::attachment::{Event, PodInterface};

use super::gather::ReadyNetwork;
use crate::netns::Netns;
use crate::pod_interfaces;
use crate::reply::CniError;
use crate::route::{Budget, Watch};
use crate::serve::Session;
use crate::store::EventLines;
use crate::version::AddResult;

/// The end of an ADD whose plugin has not ended yet.
pub(super) struct EarlyEnd {
    pod: Watch,
    lines: EventLines,
}

impl EarlyEnd {
    /// Looks at the pod after `result`, which the network's last plugin has written. None if the look failed: it is repeated once the plugin has
    /// ended. The plugin must end by `deadline`.
    pub(super) fn look(
        session: &Session<'_>,
        netns: &Netns,
        network: &ReadyNetwork<'_>,
        result: &AddResult,
        deadline: Instant,
    ) -> Option<Self> {
        // The shim must not miss the plugin's deadline over a pod that keeps it busy.
        let budget = Budget::share(deadline, session.signals);
        let pod = Watch::begin(netns).ok()?;
        let present = pod_interfaces::read(netns, &network.plan.ifname, result, budget).ok()?;
        let lines = end(network, result, Some(present)).ok()?;
        Some(Self { pod, lines })
    }

    /// The lines for the record, if they still tell what is in the pod. To be asked once the plugin has ended.
    pub(super) fn if_unchanged(self) -> Option<EventLines> {
        self.pod.is_quiet().then_some(self.lines)
    }
}

/// Looks at the pod once the network's plugins have ended with `result`. If the look fails, the ADD still succeeds, and a later CHECK compares less.
///
/// # Errors
/// As [`AddResult::at`].
pub(super) fn late_end(
    netns: Option<&Netns>,
    network: &ReadyNetwork<'_>,
    result: &AddResult,
    budget: Budget<'_>,
) -> Result<EventLines, CniError> {
    let look = |netns| pod_interfaces::read(netns, &network.plan.ifname, result, budget);
    let present = netns.and_then(|netns| unless_failed(network, look(netns)));
    end(network, result, present)
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

fn end(
    network: &ReadyNetwork<'_>,
    result: &AddResult,
    present: Option<Vec<PodInterface>>,
) -> Result<EventLines, CniError> {
    let result = result.at(network.loaded.conf.version)?;
    Ok(EventLines::of(vec![Event::Added { leg: 0, result, present }, Event::Attached {}]))
}
