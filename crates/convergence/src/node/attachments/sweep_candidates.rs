//! The candidates of a sweep: each attachment with the evidence of the runtime's list, its networks and its netns. The verdict itself is the shim's
//! ([`shim::sweep::decide`]).

use shim::attachment::owner::Owner;
use shim::host::boot::{Age, Moment};
use shim::node::inventory::Deleter;
use shim::node::store::Key;
use shim::sweep::ListStatus;

/// Where Crossfade keeps an attachment.
#[derive(Debug, Clone)]
pub enum RecordLocation {
    /// In a record that was begun then, which tells it from a later one of the same container and ifname.
    Record(Moment),
    /// Only in the inventory, with the sender of its DEL.
    Entry(Deleter),
}

/// The facts about one attachment.
#[derive(Debug)]
pub struct SweepCandidate {
    /// Container id and ifname of the attachment.
    pub key: Key,
    /// The names of its networks, as people read them.
    pub networks: String,
    /// Where Crossfade keeps the attachment.
    pub location: RecordLocation,
    /// What the runtime's list says about the sandbox.
    pub listed: ListStatus,
    /// Its age; an entry that does not tell is past every grace.
    pub age: Age,
    /// Whether the networks can serve the DELs.
    pub owner: Owner,
    /// Whether the network namespace still exists.
    pub netns_lives: bool,
}

/// An attachment that contradicts a runtime which lists no sandbox at all: it would have to be listed, and its netns is alive.
#[must_use]
pub fn contradiction(judged: &[SweepCandidate]) -> Option<&SweepCandidate> {
    let contradicts = |candidate: &&SweepCandidate| {
        candidate.listed == ListStatus::Missing && candidate.netns_lives && candidate.age != Age::EarlierBoot
    };
    judged.iter().find(contradicts)
}
