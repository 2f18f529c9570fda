//! The changes of one pass of the sweep.

pub mod annotations;

use std::time::Duration;

use shim::attachment::owner::Owner;
use shim::host::boot::Age;
use shim::node::inventory::Deleter;
use shim::sweep::{ListStatus, SweepVerdict, decide as verdict};

use crate::change::{Act, Change};
use crate::node::attachments::age_text;
use crate::node::attachments::sweep_candidates::{RecordLocation, SweepCandidate};

/// Decides what the pass does. What lives is not mentioned.
#[must_use]
pub fn decide(judged: &[SweepCandidate], grace_secs: u64) -> Vec<Change> {
    let mut changes = Vec::new();
    for candidate in judged {
        let age = age_text(Some(candidate.age).filter(|age| *age != Age::ThisBoot(Duration::MAX)));
        let status_text = if candidate.listed == ListStatus::Stopped {
            "the sandbox ended with an earlier boot"
        } else {
            "the runtime does not list the sandbox"
        };
        let (act, reason) = match verdict(candidate.listed, candidate.age, grace_secs, candidate.owner) {
            SweepVerdict::Live => continue,
            SweepVerdict::Young => (
                Act::Wait,
                format!("{status_text}, but the grace period is not over: {age} of {grace_secs}s"),
            ),
            SweepVerdict::Waiting => {
                (Act::Wait, format!("{status_text}, but network {} is not ready", candidate.networks))
            }
            SweepVerdict::Close => {
                let key = candidate.key.clone();
                let more = match (&candidate.location, candidate.owner) {
                    (RecordLocation::Entry(Deleter::Runtime), _) => "; the runtime has sent its DEL itself",
                    (_, Owner::Retired) => ", which is retired",
                    (_, Owner::Ready | Owner::NotReady) => "",
                };
                let act = match &candidate.location {
                    RecordLocation::Record(begun) => Act::Close(key, Box::new(begun.clone())),
                    RecordLocation::Entry(_) => Act::CloseEntry(key),
                };
                (act, format!("{status_text}; age {age}; network {}{more}", candidate.networks))
            }
        };
        changes.push(Change::new(
            act,
            format!("{} {}", candidate.key.container_id, candidate.key.ifname),
            reason,
        ));
    }
    changes
}
