//! The shim's own routing is undone before the DELs: a delegate then finds the routes that it made, and no address is another pod's yet.

use std::path::Path;

use super::{Teardown, append};
use crate::attachment::{Attachment, Event};
use crate::boot::boot_id;
use crate::hostroute::{self, HostRoute};
use crate::netns::Netns;
use crate::route;
use crate::store::OpenRecord;

impl Teardown<'_> {
    /// Undoes the route step where the netns is still there. The interfaces go with their networks' DELs; what this saves is
    /// their finding the routes they made. It may take its small part of the time and no more: a pod decides how much there is.
    pub(in crate::serve) fn undo_route(&self, attachment: &Attachment) {
        let Some(step) = &attachment.intent.route else {
            return;
        };
        let Ok(netns) = Netns::open(Path::new(self.netns)) else {
            return;
        };
        let budget = route::Budget::share(self.limits.deadline, self.limits.signals);
        if let Err(error) = route::undo(&netns, &step.first, &step.owner, budget) {
            tracing::warn!(
                container_id = attachment.intent.container_id,
                error = error.to_string(),
                "the route step was not undone, or in part; what is left of it goes with the netns"
            );
        }
    }

    /// Takes back the host routes of all legs whose DEL is owed, before any of these: after it the address may be another pod's. What
    /// cannot be taken back now goes with the next pass over all records.
    pub(in crate::serve) fn undo_host_routes(&self, open: &mut OpenRecord) {
        // A route, a rule and an interface's index end with their boot.
        if boot_id().is_ok_and(|now| now != open.attachment.intent.begun.boot_id) {
            return;
        }
        let progress = open.attachment.progress.iter().enumerate();
        let routed: Vec<(usize, Vec<HostRoute>)> = progress
            .filter(|(_, progress)| !progress.deleted && !progress.host_routes.is_empty())
            .map(|(leg, progress)| (leg, progress.host_routes.clone()))
            .collect();
        if routed.is_empty() {
            return;
        }
        for (leg, _) in &routed {
            append(open, Event::HostUnrouted { leg: *leg });
        }
        let budget = route::Budget::share(self.limits.deadline, self.limits.signals);
        let all: Vec<_> = routed.iter().flat_map(|(_, routes)| routes).collect();
        if let Err(error) = hostroute::remove(self.session.layout(), &all, budget) {
            tracing::warn!(
                container_id = open.attachment.intent.container_id,
                error = error.to_string(),
                "host routes were not taken back, or in part; the sweep takes what is left"
            );
        }
    }
}
