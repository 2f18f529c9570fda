//! The Lease `crossfade-run`: who holds the run, so that two never act at once.
//!
//! A holder that acquires it raises `leaseTransitions`, the *epoch*, which every step on a Node bears. A holder renews every ten seconds. It may act only while
//! its last renewal is younger than forty seconds; others take the Lease once they have seen it unchanged for sixty. Both times are measured by the clock
//! of the process that measures, which goes on while the machine sleeps: no two clocks are compared. Every write names the `resourceVersion` that it was made on.

mod acquire;
mod decide;
mod held_lease;
mod identity;
mod object;

pub use acquire::{AcquireError, Patience};
pub(super) use acquire::{current_holder, take};
pub(super) use held_lease::{HeldLease, Standing};
pub(super) use identity::{Identity, person, random};

use std::time::Duration;

/// The name of the Lease.
pub(super) const NAME: &str = "crossfade-run";
/// How long a Lease counts without a renewal.
pub(super) const LASTS: Duration = Duration::from_mins(1);
/// The greatest epoch that a Lease can have. *Source*: `LeaseSpec` in k8s.io/api/coordination/v1: `leaseTransitions` is an int32.
pub(super) const MAX_EPOCH: u64 = i32::MAX as u64;
/// The greatest epoch on a Node that raises the next holder's: a writer of a Node's annotations must not use up the epochs of the Lease.
pub(super) const MAX_SEEN_EPOCH: u64 = 1 << 30;
/// How often its holder renews it.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// How old a renewal may be for an act to be under way. What is left of [`LASTS`] is for the way to the API server.
const ACTS_WITHIN: Duration = Duration::from_secs(55);
/// How old a renewal may be for its holder to act. What is left of [`LASTS`] is for an act that is under way.
pub(super) const FRESH: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests;
