//! Which records are to be closed although no DEL came: a pure decision.
//!
//! Runtimes forget: after a crash, a reboot, a DEL they gave up on. [`crate::serve::pass`] carries the decision out.

use crate::boot::Age;
use crate::owner::Owner;

/// What a list of living sandboxes says about one attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStatus {
    /// Its sandbox is in it.
    Listed,
    /// Its sandbox is in it as one that does not run.
    Stopped,
    /// Its sandbox would be in it, and is not.
    Missing,
    /// The list is not about it: somebody else than the lister made its sandbox.
    OutOfScope,
}

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepVerdict {
    /// Its sandbox is listed, or may well live though the list is not about it, or its runtime still owes the DEL.
    Live,
    /// Not listed, but so young that the runtime may not know it yet.
    Young,
    /// Its DELs are owed, but nobody could serve them now.
    Waiting,
    /// Its DELs are owed.
    Close,
}

/// Decides one attachment.
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
/// No sandbox outlives a boot. A runtime goes on listing what is left of one until kubelet removes it, which may be never, and
/// its DEL may go to whatever plugin the runtime has loaded by then. In the boot of the sandbox its runtime still owes the DEL.
#[must_use]
pub fn decide(seen: ListStatus, age: Age, grace_secs: u64, owner: Owner) -> SweepVerdict {
    match (seen, age, owner) {
        (ListStatus::Listed, _, _) | (ListStatus::Stopped | ListStatus::OutOfScope, Age::ThisBoot(_), _) => {
            SweepVerdict::Live
        }
        (ListStatus::Missing, age, _) if !age.reached(grace_secs) => SweepVerdict::Young,
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
