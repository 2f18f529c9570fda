//! Workloads that are less available than they were when the run began. Pure.

use super::view::View;
use super::wait::{Reason, Wait};
use super::world::{Available, Owner};

/// A wait for each workload that has fewer ready pods than it wants, apart from those that were missing at the start.
#[must_use]
pub(super) fn short(view: &View<'_>) -> Vec<Wait> {
    let is_short = |(owner, now): &(&Owner, &Available)| now.is_short(view.run.missing(owner));
    let wait = |(owner, now): (&Owner, &Available)| {
        let object = owner.title();
        let what = format!("{} of {} pods are ready", now.ready, now.wanted);
        let help =
            format!("kubectl -n {} describe {} {}", owner.namespace, owner.kind.to_lowercase(), owner.name);
        Wait::new(object, Reason::OwnersShort, what).help(help)
    };
    view.world.owners.iter().filter(is_short).map(wait).collect()
}
