//! Removes the shim's own routes before the DELs run. A delegate then finds the routes that it made itself, and no address belongs to another
//! pod yet.

use std::path::Path;

use types::attachment::{Attachment, Event, HostRoute};

use super::{Teardown, append};
use crate::attachment::hostroute;
use crate::attachment::route;
use crate::host::boot::boot_id;
use crate::host::netns::Netns;
use crate::node::store::OpenRecord;

impl Teardown<'_> {
    /// Undoes the route step if the netns still exists. The DELs remove the interfaces, but they need to find the routes that their ADDs made.
    /// This step has a small budget, because a pod can make any number of routes.
    pub(in crate::call::serve) fn undo_route(&self, attachment: &Attachment) {
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

    /// Removes the host routes of all networks whose DEL is owed. It comes before these DELs, because an address may be another pod's after its
    /// DEL. The next pass over all records removes what fails here.
    pub(in crate::call::serve) fn undo_host_routes(&self, open: &mut OpenRecord) {
        // A route, a rule and an interface's index end with their boot.
        if boot_id().is_ok_and(|now| now != open.attachment.intent.began_at.boot_id) {
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
