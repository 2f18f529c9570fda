//! Each verdict has its line, and an empty answer is believed only where nothing contradicts it.

use convergence::commands::sweep::decide;
use convergence::node::attachments::sweep_candidates::RecordLocation;
use shim::attachment::owner::Owner;
use shim::host::boot::{Age, Moment};
use shim::node::inventory::Deleter;
use shim::node::store::Key;
use shim::sweep::ListStatus;

use super::*;

fn candidate(seen: ListStatus, secs: u64, owner: Owner, entry: Option<Deleter>) -> SweepCandidate {
    let begun = Moment { boot_id: "b".into(), boottime_ms: 1, wall_secs: 0 };
    SweepCandidate {
        key: Key::new("c1", "eth0"),
        networks: "oldnet".into(),
        location: entry.map_or(RecordLocation::Record(begun), RecordLocation::Entry),
        listed: seen,
        age: Age::ThisBoot(Duration::from_secs(secs)),
        owner,
        netns_lives: true,
    }
}

#[test]
fn every_verdict_has_its_line() {
    for (judged, line) in [
        (candidate(ListStatus::Listed, 900, Owner::Ready, None), None),
        (candidate(ListStatus::OutOfScope, 900, Owner::Ready, None), None),
        (
            candidate(ListStatus::Missing, 3, Owner::Ready, None),
            Some(
                "wait     c1 eth0  (the runtime does not list the sandbox, but the grace period is not over: 3s of 600s)",
            ),
        ),
        (
            candidate(ListStatus::Missing, 900, Owner::NotReady, Some(Deleter::Crossfade)),
            Some(
                "wait     c1 eth0  (the runtime does not list the sandbox, but network oldnet is not ready)",
            ),
        ),
        (
            candidate(ListStatus::Missing, 900, Owner::Ready, None),
            Some("close    c1 eth0  (the runtime does not list the sandbox; age 15m; network oldnet)"),
        ),
        (
            candidate(ListStatus::Missing, 900, Owner::Retired, Some(Deleter::Crossfade)),
            Some(
                "close    c1 eth0  (the runtime does not list the sandbox; age 15m; network oldnet, which is retired)",
            ),
        ),
        (
            candidate(ListStatus::Missing, 900, Owner::Ready, Some(Deleter::Runtime)),
            Some(
                "close    c1 eth0  (the runtime does not list the sandbox; age 15m; network oldnet; the runtime has sent its DEL itself)",
            ),
        ),
        (candidate(ListStatus::Listed, 900, Owner::Ready, Some(Deleter::Runtime)), None),
    ] {
        let is_entry = matches!(judged.location, RecordLocation::Entry(_));
        let changes = decide(&[judged], 600);
        assert_eq!(changes.first().map(ToString::to_string).as_deref(), line);
        let closes_entry = changes.iter().any(|change| matches!(change.act, Act::CloseEntry(_)));
        let closes_record = changes.iter().any(|change| matches!(change.act, Act::Close(..)));
        assert!(if is_entry { !closes_record } else { !closes_entry });
    }
}

#[test]
fn an_empty_answer_is_contradicted_by_a_living_netns_of_this_boot() {
    let mut judged = candidate(ListStatus::Missing, 900, Owner::Ready, None);
    assert!(believe(std::slice::from_ref(&judged)).is_err_and(|why| why.exit == Exit::TryLater));
    judged.netns_lives = false;
    assert!(believe(std::slice::from_ref(&judged)).is_ok());
    judged.netns_lives = true;
    judged.listed = ListStatus::OutOfScope;
    assert!(believe(&[judged]).is_ok(), "it need not be in that list");
}
