//! The shim's own part of CHECK. A delegate's CHECK may do nothing, or its conf may be too old to have CHECK at all.

use std::path::Path;

use types::attachment::{Attachment, PodInterface};

use super::is_kept;

use crate::attachment::delegate::Limits;
use crate::attachment::hostroute;
use crate::attachment::pod_interfaces;
use crate::attachment::route::{self, Budget};
use crate::call::reply::{CniError, code};
use crate::call::serve::networks;
use crate::host::netns::Netns;

/// Compares the record of an attachment with the node: its netns, the interfaces and addresses of every network, and both parts of the route step.
///
/// # Errors
/// Code 106 names everything that is missing, code 5 what could not be looked at.
pub(super) fn inspect(record: &Attachment, path: &str, limits: &Limits<'_>) -> Result<(), CniError> {
    let intent = &record.intent;
    let name = format!("attachment {} {}", intent.container_id, intent.ifname);
    // Without a recorded netns there is nothing to compare with.
    let Some(then) = intent.netns_id else { return Ok(()) };
    let gone = |why: String| CniError::new(code::MISSING, format!("{name} is not as it was attached: {why}"));
    let netns = Netns::open(Path::new(path)).map_err(|e| gone(format!("its netns {path:?}: {e}")))?;
    if networks::is_its(intent, &netns) == Some(false) {
        let why = format!("the netns at {path:?} is another one than at its ADD (inode {})", then.ino);
        return Err(gone(why));
    }
    let unread = |e: std::io::Error| CniError::new(code::IO, format!("look at {name}: {e}"));
    let budget = Budget::new(limits.deadline, Some(limits.signals));
    let missing = missing_parts(record, &netns, budget).map_err(unread)?;
    if missing.is_empty() { Ok(()) } else { Err(gone(format!("missing are {}", missing.join(", ")))) }
}

fn missing_parts(record: &Attachment, netns: &Netns, budget: Budget<'_>) -> std::io::Result<Vec<String>> {
    let living =
        || (0..record.progress.len()).filter(|leg| is_kept(record, *leg)).map(|leg| &record.progress[leg]);
    let recorded: Vec<PodInterface> =
        living().filter_map(|progress| progress.present.clone()).flatten().collect();
    let mut missing = Vec::new();
    if !recorded.is_empty() {
        let names: Vec<&str> = recorded.iter().map(|interface| interface.name.as_str()).collect();
        missing.extend(pod_interfaces::missing_interfaces(
            &recorded,
            &route::interfaces(netns, &names, budget)?,
        ));
    }
    if let Some(step) = &record.intent.route {
        let find = |ifname: &String| recorded.iter().find(|interface| interface.name == *ifname);
        // The route step is for two networks; if one was left out, there was none.
        if living().count() == record.intent.legs.len() {
            missing.extend(route::missing_routes(netns, find(&step.first), find(&step.owner), budget)?);
        }
    }
    let routes: Vec<_> = living().flat_map(|progress| &progress.host_routes).collect();
    if !routes.is_empty() {
        missing.extend(
            hostroute::missing_routes(&routes, budget)?.iter().map(|lost| format!("the host's {lost}")),
        );
    }
    Ok(missing)
}
