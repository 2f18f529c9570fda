//! Decides which records to close although the runtime sent no DEL.
//!
//! A runtime may forget a sandbox after a crash, after a reboot, or when it gives up on a DEL. [`crate::call::serve::pass`] carries the decision
//! out.

use crate::attachment::owner::Owner;
use crate::host::boot::Age;

/// The state of one attachment in the runtime's list of sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStatus {
    /// The list has its sandbox, and the sandbox runs.
    Listed,
    /// The list has its sandbox, and the sandbox does not run.
    Stopped,
    /// The list covers its sandbox, and does not have it.
    Missing,
    /// The list does not cover its sandbox: another program than the listing runtime made it.
    OutOfScope,
}

/// The decision of GC or the sweep about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepVerdict {
    /// Nothing: the sandbox is listed, or may live although the list does not cover it, or its runtime still owes the DEL.
    Live,
    /// Nothing yet: the sandbox is not listed, but so young that the runtime may not know it yet.
    Young,
    /// Nothing now: its DELs are owed, but the networks that would serve them are not ready.
    Waiting,
    /// Close it: run the DELs that are owed.
    Close,
}

/// Decides about one attachment.
///
/// | the list | age | owner | verdict |
/// |---|---|---|---|
/// | has it | any | any | live |
/// | has it as stopped, or is not about it | in this boot | any | live |
/// | lacks it | below the grace, in this boot | any | young |
/// | lacks it | past the grace | not ready | waiting |
/// | lacks it | past the grace | ready, retired | close |
/// | lacks it, has it as stopped, or is not about it | of an earlier boot | not ready | waiting |
/// | lacks it, has it as stopped, or is not about it | of an earlier boot | ready, retired | close |
///
/// No sandbox outlives a boot. A runtime lists the remains of a sandbox until kubelet removes them, which may never happen, and its DEL may go
/// to another plugin that the runtime has loaded by then. As long as the boot of the sandbox lasts, its runtime still owes the DEL.
#[must_use]
pub fn decide(status: ListStatus, age: Age, grace_secs: u64, owner: Owner) -> SweepVerdict {
    match (status, age, owner) {
        (ListStatus::Listed, _, _) | (ListStatus::Stopped | ListStatus::OutOfScope, Age::ThisBoot(_), _) => {
            SweepVerdict::Live
        }
        (ListStatus::Missing, age, _) if !age.has_reached(grace_secs) => SweepVerdict::Young,
        (_, _, Owner::NotReady) => SweepVerdict::Waiting,
        (_, _, Owner::Ready | Owner::Retired) => SweepVerdict::Close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_truth_table() {
        let age = |secs| Age::ThisBoot(Duration::from_secs(secs));
        let owners = [Owner::Ready, Owner::Retired, Owner::NotReady];
        for (seen, age, verdicts) in [
            (ListStatus::Listed, age(9999), [SweepVerdict::Live; 3]),
            (ListStatus::Listed, Age::EarlierBoot, [SweepVerdict::Live; 3]),
            (ListStatus::Stopped, age(9999), [SweepVerdict::Live; 3]),
            (
                ListStatus::Stopped,
                Age::EarlierBoot,
                [SweepVerdict::Close, SweepVerdict::Close, SweepVerdict::Waiting],
            ),
            (ListStatus::OutOfScope, age(9999), [SweepVerdict::Live; 3]),
            (
                ListStatus::OutOfScope,
                Age::EarlierBoot,
                [SweepVerdict::Close, SweepVerdict::Close, SweepVerdict::Waiting],
            ),
            (ListStatus::Missing, age(599), [SweepVerdict::Young; 3]),
            (
                ListStatus::Missing,
                age(600),
                [SweepVerdict::Close, SweepVerdict::Close, SweepVerdict::Waiting],
            ),
            (
                ListStatus::Missing,
                Age::EarlierBoot,
                [SweepVerdict::Close, SweepVerdict::Close, SweepVerdict::Waiting],
            ),
        ] {
            for (owner, verdict) in owners.into_iter().zip(verdicts) {
                assert_eq!(decide(seen, age, 600, owner), verdict, "{seen:?} {age:?} {owner:?}");
            }
        }
        assert_eq!(decide(ListStatus::Missing, age(0), 0, Owner::Ready), SweepVerdict::Close, "no grace");
    }
}
