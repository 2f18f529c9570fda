//! Attachments, pods, and what stays behind.

use std::time::Duration;

use shim::attachment::owner::Owner;
use shim::host::boot::Age;
use shim::host::lock::RunningCall;
use shim::node::store::Key;
use shim::sweep::ListStatus;
use types::command::problem::Problem;

use crate::doctor::decide::tests::*;
use crate::doctor::journal::Entry;
use crate::node::attachments::leaks::{Leak, LeakKind};
use crate::node::attachments::sweep_candidates::{RecordLocation, SweepCandidate};
use crate::node::attachments::{DamagedRecord, Life, Line, Part};
use crate::publish::node_read::ObservedPod;
use crate::runtime::{Sandbox, State};

fn state(facts: &mut Facts) -> &mut AttachmentRecords {
    let Source::Read(state) = &mut facts.state else { panic!("read") };
    state
}

fn kernel(facts: &mut Facts) -> &mut Kernel {
    let Source::Read(kernel) = &mut facts.kernel else { panic!("read") };
    kernel
}

fn sandboxes(facts: &mut Facts) -> &mut Sandboxes {
    let Source::Read(sandboxes) = &mut facts.sandboxes else { panic!("read") };
    sandboxes
}

fn line(life: Life, age_secs: u64) -> Line {
    Line {
        container_id: "c1".into(),
        ifname: "eth0".into(),
        life,
        age_secs: Some(age_secs),
        earlier_boot: false,
        namespace: Some("web".into()),
        pod: Some("a".into()),
        uid: None,
        networks: vec![Part {
            name: "oldnet".into(),
            side: Some("old"),
            ifname: "eth0".into(),
            primary: true,
            owed: true,
            in_pod: Some(true),
        }],
        del_failing_secs: None,
        pod_networks: Vec::new(),
        addresses: Vec::new(),
        deleted_by: None,
    }
}

fn attached(facts: &mut Facts, line: Line) {
    state(facts).attached.attachments.push(line);
}

/// An attachment whose DEL has failed for so long.
fn failing(facts: &mut Facts, secs: u64) {
    attached(facts, Line { del_failing_secs: Some(secs), ..line(Life::Detaching, 9999) });
}

fn candidate(facts: &mut Facts, seen: ListStatus, secs: u64, owner: Owner) {
    let begun = Moment { boot_id: BOOT.into(), boottime_ms: 1, wall_secs: 0 };
    let candidate = SweepCandidate {
        key: Key::new("c1", "eth0"),
        networks: "oldnet".into(),
        location: RecordLocation::Record(begun),
        listed: seen,
        age: Age::ThisBoot(Duration::from_secs(secs)),
        owner,
        netns_lives: false,
    };
    state(facts).judged.push(candidate);
}

/// An ADD of this age, and whether its processes run.
fn adding(facts: &mut Facts, age_secs: u64, runs: bool) {
    attached(facts, line(Life::Attaching, age_secs));
    if runs {
        let call = RunningCall { verb: "ADD".into(), pids: vec![77, 78] };
        state(facts).running.insert(Key::new("c1", "eth0"), call);
    }
}

/// ADDs by how long ago they ended, in seconds, and whether they failed; the oldest first.
fn adds(all: &[(u64, bool)]) -> Source<Vec<Entry>> {
    let entry = |(secs_ago, failed): &(u64, bool)| Entry {
        micros: format!("{}", (NOW - secs_ago) * 1_000_000),
        message: if *failed { "failed" } else { "served" }.into(),
        cni_command: "ADD".into(),
        container_id: "c9".into(),
        error: if *failed { "network old: code 11".into() } else { String::new() },
        ..Entry::default()
    };
    Source::Read(all.iter().map(entry).collect())
}

fn pod(facts: &mut Facts, starting_secs: Option<u64>, overdue_secs: Option<u64>) {
    let Source::Read(looked) = &mut facts.server else { panic!("read") };
    let (namespace, name) = ("web".into(), "a".into());
    looked.pods.push(ObservedPod { namespace, name, starting_secs, overdue_secs, ..ObservedPod::default() });
}

/// A record whose netns is gone, and the state of its sandbox.
fn lost(facts: &mut Facts, listed: State) {
    attached(facts, line(Life::Attached, 60));
    kernel(facts).lost_netns.insert(Key::new("c1", "eth0"));
    sandboxes(facts).listed.insert("c1".into(), listed);
}

fn ledger_line() -> shim::node::ledger::Line {
    shim::node::ledger::Line {
        version: 1,
        wall_secs: NOW,
        container_id: "c1".into(),
        ifname: "eth0".into(),
        network: "oldnet".into(),
        addresses: vec!["10.1.0.5/32".parse().expect("an address")],
        reason: "code 100".into(),
        removed: Vec::new(),
        leftovers: Vec::new(),
        unknown: Vec::new(),
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = starting();
    all.extend(ending());
    all.extend(left());
    all
}

fn starting() -> Vec<Case> {
    vec![
        // An ADD that was killed is the runtime's, and one that is young may still end.
        case("add-hangs", |facts| adding(facts, 91, true), |facts| adding(facts, 91, false)),
        case(
            "adds-fail",
            |facts| facts.journal = adds(&[(90, false), (30, true)]),
            |facts| facts.journal = adds(&[(90, true), (30, false)]),
        ),
        case("pods-stuck-starting", |facts| pod(facts, Some(120), None), |facts| pod(facts, Some(119), None)),
        case(
            "pods-bypass",
            |facts| {
                let (id, namespace, name, uid) = ("c2".into(), "web".into(), "b".into(), "u".into());
                sandboxes(facts).past_us.push(Sandbox { id, namespace, name, uid, ..Sandbox::default() });
            },
            |facts| {
                sandboxes(facts).listed.insert("c2".into(), State::Ready);
            },
        ),
    ]
}

fn ending() -> Vec<Case> {
    vec![
        case("del-owed", |facts| failing(facts, 600), |facts| failing(facts, 599)),
        case("pods-stuck-ending", |facts| pod(facts, None, Some(120)), |facts| pod(facts, None, Some(119))),
        case(
            "record-damaged",
            |facts| {
                let reason = "its first line is torn".into();
                state(facts)
                    .attached
                    .damaged
                    .push(DamagedRecord { path: "/var/lib/crossfade/x".into(), reason });
            },
            |facts| attached(facts, line(Life::Attached, 9999)),
        ),
        case(
            "state-unreadable",
            |facts| {
                facts.state =
                    Source::Unread(Problem::new("records: not a directory").with_place("/var/lib/crossfade"))
            },
            |facts| facts.state = Source::Absent("there is none".into()),
        ),
        case("record-stale", |facts| lost(facts, State::Ready), |facts| lost(facts, State::NotReady)),
    ]
}

fn left() -> Vec<Case> {
    vec![
        case(
            "sandbox-forgotten",
            |facts| candidate(facts, ListStatus::Missing, 600, Owner::Ready),
            |facts| candidate(facts, ListStatus::Missing, 599, Owner::Ready),
        ),
        case(
            "sandbox-waits",
            |facts| candidate(facts, ListStatus::Missing, 600, Owner::NotReady),
            |facts| candidate(facts, ListStatus::Missing, 600, Owner::Retired),
        ),
        case(
            "lease-unknown",
            |facts| {
                kernel(facts).leases.push(Leak {
                    kind: LeakKind::Lease,
                    container_id: "c3".into(),
                    ifname: String::new(),
                    what: "address 10.1.0.9".into(),
                    waits: false,
                });
            },
            |facts| attached(facts, line(Life::Attached, 9999)),
        ),
        case("ledger", |facts| state(facts).ledger.push(ledger_line()), |_| {}),
        case(
            "host-routes",
            |facts| kernel(facts).routes = Some("add 10.1.0.5".into()),
            |facts| kernel(facts).routes = None,
        ),
    ]
}

#[test]
fn failed_adds_count_if_the_last_one_failed_or_if_they_are_many() {
    for (all, expected) in [
        (&[(30, true)][..], true),
        (&[(30, true), (20, false)], false),
        (&[(50, true), (40, true), (30, true), (20, false)], true),
        (&[(700, true)], false),
        (&[(700, true), (650, true), (620, true), (20, false)], false),
        (&[], false),
    ] {
        let mut facts = well();
        facts.journal = adds(all);
        let is_reported = decide(&facts).iter().any(|finding| finding.rule.code == "adds-fail");
        assert_eq!(is_reported, expected, "{all:?}");
    }
}

/// A sweep does not believe a runtime that lists nothing while a netns is alive, so its command would be refused.
#[test]
fn an_empty_list_that_a_netns_contradicts_needs_a_person_s_word() {
    for (netns_lives, lists_another, command) in
        [(true, false, "sweep --listed"), (true, true, "sweep --dry-run"), (false, false, "sweep --dry-run")]
    {
        let mut facts = well();
        candidate(&mut facts, ListStatus::Missing, 600, Owner::Ready);
        state(&mut facts).judged[0].netns_lives = netns_lives;
        if lists_another {
            sandboxes(&mut facts).listed.insert("c2".into(), State::Ready);
        }
        let all = decide(&facts);
        let is_reported = all[0].mend[0].command.as_deref().unwrap_or_default();
        assert!(is_reported.contains(command), "{netns_lives} {lists_another}: {is_reported}");
    }
}

#[test]
fn the_reason_why_a_del_is_owed_is_the_network_or_its_plugin() {
    for (owner, words) in
        [(Owner::NotReady, "is not ready"), (Owner::Ready, "own plugin refuses"), (Owner::Retired, "retired")]
    {
        let mut facts = well();
        failing(&mut facts, 700);
        candidate(&mut facts, ListStatus::Listed, 9999, owner);
        facts.journal = Source::Read(vec![Entry {
            message: "failed".into(),
            cni_command: "DEL".into(),
            container_id: "c1".into(),
            error: "network oldnet: code 100".into(),
            ..Entry::default()
        }]);
        let all = decide(&facts);
        let owed = all.iter().find(|finding| finding.rule.code == "del-owed").expect("found");
        assert!(owed.cause.contains(words), "{owner:?}: {}", owed.cause);
        assert!(owed.evidence.iter().any(|line| line.contains("code 100")), "{:?}", owed.evidence);
        assert_eq!(owed.objects, ["c1 eth0 (web/a)"]);
    }
}

#[test]
fn an_add_that_hangs_is_told_with_the_processes_to_end() {
    let all = decide_after(|facts| adding(facts, 91, true));
    let commands: Vec<_> = all[0].mend.iter().filter_map(|mend| mend.command.as_deref()).collect();
    assert_eq!(commands[1], "kill 77 78");
    assert!(
        !decide_after(|facts| adding(facts, 90, true)).iter().any(|finding| finding.rule.code == "add-hangs")
    );
}

#[test]
fn a_pod_of_the_nodes_own_network_is_not_stuck_for_want_of_a_network() {
    let all = decide_after(|facts| {
        pod(facts, Some(999), None);
        let Source::Read(looked) = &mut facts.server else { panic!("read") };
        looked.pods[0].host_network = true;
    });
    assert_eq!(all, []);
}
