//! Workloads that are less available than they were when the run began.

use super::view::View;
use super::wait::{Reason, Wait};
use super::world::{Availability, Owner};
use super::{gates, places};

/// A wait for each workload that has fewer ready pods than it wants, apart from those that were missing at the start.
#[must_use]
pub(super) fn short(view: &View<'_>) -> Vec<Wait> {
    let is_short = |(owner, now): &(&Owner, &Availability)| now.is_short_beyond(|| view.run.missing(owner));
    let wait = |(owner, now): (&Owner, &Availability)| {
        let object = owner.title();
        let what = format!("{} of {} pods are ready", now.ready, now.desired);
        let help = format!(
            "kubectl -n {} describe {} {}; not to wait for it: kubectl crossfade roll skip {object}",
            owner.namespace,
            owner.kind.to_lowercase(),
            owner.name
        );
        Wait::new(object, Reason::OwnersShort, what).help(help)
    };
    view.world.owners.iter().filter(is_short).map(wait).collect()
}

/// Why workloads stay short, where the waits say that something waits for them: pods that no node takes, and nodes that somebody else cordoned meanwhile.
///
/// If nothing moves any more, a person has to end these.
#[must_use]
pub(super) fn obstacles(view: &View<'_>, waits: &[Wait], is_moving: bool) -> Vec<Wait> {
    let is_for_pods = |wait: &Wait| {
        matches!(
            wait.reason,
            Reason::BudgetBlocks
                | Reason::DnsNeeded
                | Reason::OneAtATime
                | Reason::OwnersShort
                | Reason::OwnersTimeout
        )
    };
    if !waits.iter().any(is_for_pods) {
        return Vec::new();
    }
    let mut pending = gates::pending(view);
    if pending.is_empty() {
        return pending;
    }
    for wait in &mut pending {
        wait.is_held = !is_moving;
    }
    let cordoned = view.nodes().filter_map(|status| places::unfit(view, status.name, status.node));
    pending.extend(cordoned.filter(|wait| wait.reason == Reason::ForeignCordon));
    pending
}
