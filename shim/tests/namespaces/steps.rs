//! The two steps of both-mode, each from a look at the pod of its own.

use shim::attachment::route::{PodView, RouteError, RouteSide};
use shim::host::netns::Netns;

use super::ample;

/// The step after the first network's ADD.
pub(crate) fn after_first(pod: &Netns, first: &RouteSide<'_>) -> Result<(), RouteError> {
    PodView::look(pod, ample())?.apply_after_first(first)
}

/// The step after the owner's ADD.
pub(crate) fn after_owner(
    pod: &Netns,
    first: &RouteSide<'_>,
    owner: &RouteSide<'_>,
) -> Result<(), RouteError> {
    PodView::look(pod, ample())?.apply_after_owner(pod, first, owner)
}
