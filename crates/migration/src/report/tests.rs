use std::collections::BTreeMap;

use serde_json::{Value, json};
use types::api::eviction::Answer;
use types::api::step::State as NodeState;
use types::policy::Phase;

use super::journal::Piece;
use super::measure::Measurements;
use super::redact::redacted;
use super::{ClassReport, Report, Sources, report};
use crate::drive::Outcome;
use crate::drive::event::CallResult;
use crate::plan::Plan;
use crate::roll::run::{Run, UnenforcedPolicies};
use crate::roll::wait::Reason;

fn plan() -> Plan {
    let node =
        |name: &str| json!({"name": name, "uid": format!("u-{name}"), "why": "the first of pool blue"});
    let wave = |name: &str, kind: &str, nodes: &[&str]| json!({"name": name, "kind": kind, "atOnce": 1, "soakSeconds": 0, "nodes": nodes.iter().map(|name| node(name)).collect::<Vec<_>>()});
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old", "both-new"], "ways": ["join", "restart"],
        "waves": [wave("scouts", "scouts", &["a"]), wave("zone eu-1", "zone", &["b", "c"])],
        "leftOut": [{"name": "d", "uid": "u-d", "why": "its pods use the node's network"}], "pools": [], "limits": {}, "pods": {},
        "gates": [{"name": "smoke", "source": {"command": ["./smoke", "--token=hunter2"]}, "everySeconds": 30, "freshSeconds": 60}],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [],
        "unenforced": ["NetworkPolicy"], "waivers": [{"finding": "cidr-overlap", "object": "Node/a", "reason": "as Bob says"}],
    }))
    .expect("a plan")
}

/// A line at this second.
fn line(second: u32, event: &Value) -> String {
    let mut line = event.clone();
    line["at"] = format!("2026-11-20T10:{:02}:{:02}.5Z", second / 60, second % 60).into();
    format!("{line}\n")
}

fn step(second: u32, node: &str, state: &str) -> String {
    let act = json!({"act": "patch", "node": node, "state": state, "to": "both-old", "desired": (state == "flipped").then_some("both-old")});
    line(second, &json!({"event": "acted", "act": act, "outcome": "Done"}))
}

fn evict(second: u32, pod: &str, outcome: &str) -> String {
    let act = json!({"act": "evict", "pod": pod, "uid": format!("u-{second}"), "node": "a", "owner": "StatefulSet/shop/db"});
    line(second, &json!({"event": "acted", "act": act, "outcome": outcome}))
}

fn holds(second: u32, approved: bool) -> String {
    line(
        second,
        &json!({"event": "holds", "by": "alice@laptop:12:00ff", "plan": "4be1", "approved": approved, "program": "0.1.0"}),
    )
}

fn counted(second: u32, pass: u32, attached: &Value) -> String {
    line(
        second,
        &json!({"event": "counted", "count": {"pass": pass, "to": "both-new", "attached": attached, "silent": 0}}),
    )
}

/// A count with what the agents of gates measured: who asked, who answered, how many probes were sent and lost, and the longest gap.
fn measured(second: u32, classes: &[(&str, &str, u64, u64, u64)]) -> String {
    let class = |(from, to, sent, lost, gap): &(&str, &str, u64, u64, u64)| json!({"from": from, "to": to, "sent": sent, "lost": lost, "longestGapMillis": gap});
    let classes: Vec<Value> = classes.iter().map(class).collect();
    line(
        second,
        &json!({"event": "counted", "count": {"pass": 1, "to": "both-old", "attached": {}, "silent": 0, "measured": classes}}),
    )
}

fn waits(second: u32, object: &str, reason: &str, is_held: bool) -> String {
    let wait = json!({"object": object, "reason": reason, "what": "of Bob's", "help": "", "isHeld": is_held});
    line(second, &json!({"event": "waits", "wait": wait}))
}

fn over(second: u32, object: &str, reason: &str) -> String {
    line(second, &json!({"event": "over", "object": object, "reason": reason}))
}

fn sources(pieces: &[(Option<u32>, String)]) -> Sources {
    let plan = plan();
    Sources {
        id: "r-1".into(),
        run: Some(Run::new("r-1", "4be1", &plan)),
        plan: Some(("4be1".into(), plan)),
        journal: pieces
            .iter()
            .map(|(number, lines)| Piece { number: *number, lines: lines.clone() })
            .collect(),
        ..Sources::default()
    }
}

fn report_of_lines(lines: &[String]) -> Report {
    report(sources(&[(Some(1), lines.concat())]))
}

fn at(second: u32) -> Option<String> {
    Some(format!("2026-11-20T10:{:02}:{:02}Z", second / 60, second % 60))
}

#[test]
fn each_node_is_a_lane_with_the_time_of_each_state() {
    let report = report_of_lines(&[
        holds(0, true),
        step(1, "a", "claimed"),
        step(3, "a", "flipped"),
        step(10, "a", "moving"),
        // A patch that another client was faster than changed nothing.
        line(
            11,
            &json!({"event": "acted", "act": {"act": "patch", "node": "a", "state": "proving"}, "outcome": "Conflict"}),
        ),
        step(40, "a", "settling"),
        step(50, "a", "done"),
        step(60, "z", "claimed"),
    ]);
    let lane = |name: &str| report.nodes.iter().find(|lane| lane.node == name).expect("a lane");
    let spans: Vec<(NodeState, Option<u64>)> =
        lane("a").spans.iter().map(|span| (span.state, span.seconds)).collect();
    use NodeState::{Claimed, Done, Flipped, Moving, Settling};
    let expected =
        [(Claimed, Some(2)), (Flipped, Some(7)), (Moving, Some(30)), (Settling, Some(10)), (Done, None)];
    assert_eq!(spans, expected);
    assert_eq!(lane("a").wave.as_deref(), Some("scouts"));
    assert_eq!(lane("a").spans[0].to, Some(Phase::BothOld));
    assert!(lane("b").spans.is_empty(), "a node that was not touched");
    assert_eq!(lane("z").wave, None, "a node that the plan does not have");
    let names: Vec<&str> = report.nodes.iter().map(|lane| lane.node.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "z"]);
    let times = report.times.expect("a move");
    assert_eq!((times.moves, times.seconds.median, times.seconds.most), (1, 49, 49));
    assert_eq!((times.beyond_moving.median, times.held), (19, 0));
    assert_eq!((report.since, report.until), (at(0), at(60)));
}

#[test]
fn a_node_that_waited_for_a_person_is_no_measure() {
    let report = report_of_lines(&[
        step(1, "a", "claimed"),
        step(3, "a", "held"),
        step(900, "a", "flipped"),
        step(910, "a", "done"),
        step(920, "b", "claimed"),
        step(930, "b", "done"),
    ]);
    let times = report.times.expect("a move");
    assert_eq!((times.moves, times.seconds.most, times.held), (1, 10, 1));
    assert_eq!(report_of_lines(&[step(1, "a", "claimed")]).times, None, "no node came to its phase");
}

/// The plan with its nodes replaced by Karpenter.
fn rotation() -> Plan {
    let mut rotation = serde_json::to_value(plan()).expect("JSON");
    for (key, value) in [
        ("strategy", json!("rotation")),
        ("passes", json!(["new"])),
        ("ways", json!(["replace"])),
        ("image", json!("new")),
        ("pools", json!([{"name": "main", "nodes": 3, "zones": [], "method": "karpenter"}])),
    ] {
        rotation[key] = value;
    }
    serde_json::from_value(rotation).expect("a plan")
}

fn report_of_rotation(lines: &[String]) -> Report {
    let pieces = [(Some(1), lines.concat())];
    let pieces = if lines.is_empty() { &[] } else { &pieces[..] };
    report(Sources { plan: Some(("4be1".into(), rotation())), ..sources(pieces) })
}

/// Counts, and seconds in the middle and at most.
type ReplacementFigures = (Option<usize>, Option<usize>, Option<(u64, u64)>);

fn replaced(report: &Report) -> Option<ReplacementFigures> {
    let replaced = report.replaced.as_ref()?;
    let seconds = replaced.seconds.map(|seconds| (seconds.median, seconds.most));
    Some((replaced.permitted, replaced.proven, seconds))
}

#[test]
fn nodes_that_a_pipeline_replaces_are_counted_by_turns_and_proofs() {
    let report = report_of_rotation(&[
        holds(0, true),
        // An autoscaler's node: none has had its turn.
        step(1, "early", "done"),
        step(2, "a", "waiting"),
        step(2, "b", "waiting"),
        step(3, "a", "permitted"),
        step(4, "b", "permitted"),
        step(5, "c", "permitted"),
        step(11, "new-1", "done"),
        // Two pipelines give their turns back, and one of them asks again later.
        step(12, "b", "waiting"),
        step(12, "c", "waiting"),
        step(20, "b", "permitted"),
        line(
            21,
            &json!({"event": "acted", "act": {"act": "patch", "node": "c", "state": "permitted"}, "outcome": "Conflict"}),
        ),
        step(50, "new-2", "done"),
        // Written once more by another holder.
        step(51, "new-2", "done"),
        counted(52, 1, &json!({"new": 8})),
    ]);
    assert_eq!(replaced(&report), Some((Some(2), Some(3), Some((8, 30)))));
    assert_eq!(report.times, None, "none moved in place");
    let sums = report.evictions.expect("lines");
    assert_eq!((sums.evicted, sums.restarts_per_pod), (0, None), "the pipeline restarts pods");
}

/// A Node may outlive its machine; and in a rotation, some pools move in place.
#[test]
fn a_node_that_comes_back_by_its_name_is_replaced_and_one_that_moves_in_place_is_a_move() {
    let report = report_of_rotation(&[
        step(1, "a", "waiting"),
        step(5, "a", "permitted"),
        step(45, "a", "done"),
        step(50, "b", "waiting"),
        // The run was turned, and the node moves in place.
        step(60, "b", "claimed"),
        step(63, "b", "moving"),
        step(70, "b", "done"),
    ]);
    assert_eq!(replaced(&report), Some((Some(1), Some(1), Some((40, 40)))));
    let times = report.times.expect("a move");
    assert_eq!((times.moves, times.seconds.most, times.beyond_moving.most), (1, 10, 3));
}

#[test]
fn without_its_plan_the_journal_says_that_nodes_were_replaced() {
    let report_without_plan = |pieces: &[(Option<u32>, String)]| {
        let report = report(Sources { plan: None, ..sources(pieces) });
        replaced(&report)
    };
    let (turn, proof) = (step(1, "a", "permitted"), step(9, "new-1", "done"));
    for (pieces, expected) in [
        (vec![(Some(1), format!("{turn}{proof}"))], Some((Some(1), Some(1), Some((8, 8))))),
        (vec![(Some(1), proof.clone())], Some((Some(0), Some(1), None))),
        // A node that moved in place has its earlier states in the part that is missing.
        (vec![(Some(2), proof.clone())], None),
        (vec![(Some(1), turn), (Some(3), proof)], Some((Some(1), Some(1), None))),
        (vec![(Some(1), format!("{}{}", step(1, "a", "claimed"), step(9, "a", "done")))], None),
    ] {
        assert_eq!(report_without_plan(&pieces), expected, "{pieces:?}");
    }
}

#[test]
fn without_its_journal_no_figure_is_zero() {
    let rotation = report_of_rotation(&[]);
    assert_eq!(replaced(&rotation), Some((None, None, None)));
    let in_place = report(sources(&[]));
    assert_eq!(replaced(&in_place), None);
    for report in [rotation, in_place] {
        assert_eq!((report.times, report.evictions), (None, None));
    }
}

#[test]
fn evictions_are_counted_by_what_became_of_them_and_by_owner_and_pass() {
    let report = report_of_lines(&[
        evict(1, "shop/db-0", "Answered(Budget(Some(10)))"),
        evict(2, "shop/db-0", "Answered(Accepted)"),
        evict(3, "shop/db-1", "Answered(Gone)"),
        evict(4, "shop/db-1", "Answered(Busy(None))"),
        evict(5, "shop/db-1", "Answered(Failed(\"no\"))"),
        counted(6, 2, &json!({"both-old": 3, "both-new": 1})),
        evict(7, "shop/db-0", "Answered(Accepted)"),
        line(
            8,
            &json!({"event": "acted", "act": {"act": "delete", "pod": "shop/bare", "uid": "u", "node": "a"}, "outcome": "Answered(Accepted)"}),
        ),
    ]);
    let sums = report.evictions.expect("lines");
    assert_eq!((sums.evicted, sums.deleted, sums.refused_by_budgets), (2, 1, 1));
    assert_eq!((sums.refused_as_busy, sums.failed), (1, 1));
    assert_eq!(sums.restarts_per_pod, Some(0.75));
    let db = &sums.workloads[0];
    assert_eq!((db.owner.as_str(), db.restarts, db.most_of_one_pod), ("StatefulSet/shop/db", 2, 2));
    assert_eq!((db.refused_by_budgets, &db.passes), (1, &BTreeMap::from([(1, 1), (2, 1)])));
    assert_eq!(sums.workloads[1].owner, "Pod/shop/bare");
    assert_eq!(
        report_of_lines(&[evict(1, "shop/db-0", "Answered(Accepted)")])
            .evictions
            .map(|sums| (sums.evicted, sums.restarts_per_pod)),
        Some((1, None)),
        "not counted"
    );
}

#[test]
fn every_outcome_of_the_journal_is_read() {
    for (outcome, expected) in [
        (Outcome::Done, CallResult::Accepted),
        (Outcome::Conflict, CallResult::Gone),
        (Outcome::Answered(Answer::Accepted), CallResult::Accepted),
        (Outcome::Answered(Answer::Gone), CallResult::Gone),
        (Outcome::Answered(Answer::Budget(Some(10))), CallResult::Budget),
        (Outcome::Answered(Answer::Budget(None)), CallResult::Budget),
        (Outcome::Answered(Answer::TwoBudgets), CallResult::Budget),
        (Outcome::Answered(Answer::Busy(Some(1))), CallResult::Busy),
        (Outcome::Answered(Answer::NamespaceGoes), CallResult::Failed),
        (Outcome::Answered(Answer::Failed("Answered(Accepted)".into())), CallResult::Failed),
        (Outcome::Failed("x".into()), CallResult::Failed),
    ] {
        assert_eq!(CallResult::parse(&outcome.to_string()), expected, "{outcome}");
    }
}

#[test]
fn a_wait_ends_when_the_journal_says_so_and_not_otherwise() {
    let report = report_of_lines(&[
        holds(0, true),
        waits(1, "Pod/shop/db-0", "BudgetBlocks", false),
        waits(2, "Node/a", "MoveTimeout", true),
        over(31, "Pod/shop/db-0", "BudgetBlocks"),
        waits(40, "Pod/shop/db-0", "BudgetBlocks", false),
        // The next holder knows nothing of what this one waited for.
        holds(50, false),
        over(60, "Pod/shop/db-0", "BudgetBlocks"),
    ]);
    let spans: Vec<(&str, Option<u64>, bool)> =
        report.waits.iter().map(|span| (span.object.as_str(), span.seconds, span.is_held)).collect();
    let expected =
        [("Pod/shop/db-0", Some(30), false), ("Node/a", None, true), ("Pod/shop/db-0", None, false)];
    assert_eq!(spans, expected);
    let blocked = &report.reasons[0];
    assert_eq!(
        (blocked.reason, blocked.waits, blocked.held, blocked.longest),
        (Reason::BudgetBlocks, 2, 0, Some(30))
    );
    assert_eq!((report.reasons[1].held, report.reasons[1].longest), (1, None));
}

#[test]
fn a_journal_that_lacks_lines_says_which_span_is_missing() {
    let whole = [holds(0, true), step(1, "a", "claimed"), step(9, "a", "done")];
    let missing = |pieces: &[(Option<u32>, String)]| -> Vec<(Option<String>, Option<String>, String)> {
        let missing = report(sources(pieces)).missing;
        missing.into_iter().map(|span| (span.after, span.before, span.why)).collect()
    };
    let [first, second, third] = whole.clone();
    let later = line(5, &json!({"event": "later", "key": 1}));
    for (pieces, expected) in [
        (vec![(Some(1), whole.concat())], vec![]),
        (
            vec![(Some(3), third.clone()), (Some(1), first.clone())],
            vec![(at(0), at(9), "part 2 of the journal")],
        ),
        (vec![(Some(4), third.clone())], vec![(None, at(9), "parts 1 to 3 of the journal")]),
        (vec![], vec![(None, None, "the journal")]),
        (
            vec![(Some(1), format!("{first}{{\"at\":\n\u{0}\n{third}"))],
            vec![(at(0), at(9), "2 lines that cannot be read")],
        ),
        (
            vec![(Some(1), format!("{first}{second}{}", &third[..20]))],
            vec![(at(1), None, "a line that cannot be read")],
        ),
        (
            vec![(Some(1), format!("{first}{later}{third}"))],
            vec![(at(0), at(9), "a line with events of another version")],
        ),
        (
            vec![(Some(1), first.clone()), (Some(3), format!("x\n{third}"))],
            vec![(at(0), at(9), "part 2 of the journal, a line that cannot be read")],
        ),
        // The operator's own file has what the cluster lacks.
        (vec![(Some(1), first.clone()), (Some(3), third.clone()), (None, whole.concat())], vec![]),
        (
            vec![(Some(1), first.clone()), (Some(3), third.clone()), (None, format!("{first}{second}"))],
            vec![(at(0), at(9), "part 2 of the journal")],
        ),
    ] {
        let expected: Vec<_> =
            expected.into_iter().map(|(after, before, why)| (after, before, why.to_owned())).collect();
        assert_eq!(missing(&pieces), expected, "{pieces:?}");
    }
}

#[test]
fn lines_that_two_pieces_have_count_once() {
    let lines =
        [evict(1, "shop/db-0", "Answered(Accepted)"), evict(2, "shop/db-1", "Answered(Accepted)")].concat();
    let report = report(sources(&[(Some(1), lines.clone()), (None, lines)]));
    assert_eq!(report.evictions.map(|sums| sums.evicted), Some(2));
}

#[test]
fn the_approval_is_of_the_holder_whose_command_line_named_the_plan() {
    let report = report_of_lines(&[holds(0, true), holds(9, false)]);
    let approved: Vec<bool> = report.holders.iter().map(|holder| holder.is_approved).collect();
    assert_eq!(approved, [true, false]);
    assert_eq!(report.holders[0].holder, "alice@laptop:12:00ff");
    assert!(report.versions.programs.contains("0.1.0"));
}

#[test]
fn policies_are_open_from_the_first_flip_to_the_end_of_the_last_pass() {
    let ends = |second| {
        line(
            second,
            &json!({"event": "acted", "act": {"act": "record", "pass": 3, "to": null}, "outcome": "Done"}),
        )
    };
    let window = |lines: &[String]| {
        let window = report_of_lines(lines).unenforced.remove(0);
        assert_eq!(window.kind, "NetworkPolicy");
        (window.since, window.until)
    };
    assert_eq!(window(&[step(1, "a", "claimed")]), (None, None));
    assert_eq!(window(&[step(1, "a", "claimed"), step(2, "a", "flipped")]), (at(2), None));
    assert_eq!(window(&[step(2, "a", "flipped"), ends(9)]), (at(2), at(9)));
    assert_eq!(
        window(&[step(2, "a", "flipped"), ends(9), step(12, "a", "flipped")]),
        (at(2), None),
        "it goes back"
    );
}

#[test]
fn policies_that_came_after_the_plan_are_named_until_they_are_redacted() {
    let titles = (0..14).map(|index| format!("NetworkPolicy/shop/deny-{index:02}"));
    let mut sources = sources(&[(Some(1), step(2, "a", "flipped"))]);
    let later = UnenforcedPolicies::new("NetworkPolicy", vec!["both-old"], titles);
    sources.run.as_mut().expect("a run").unenforced = vec![later];
    let windows = report(sources.clone()).unenforced;
    assert_eq!(windows.len(), 2, "the plan accepts the kind");
    let policies = windows[1].policies.as_deref().expect("policies");
    assert!(policies.starts_with("NetworkPolicy/shop/deny-00, "), "{policies}");
    assert!(policies.ends_with("NetworkPolicy/shop/deny-11 and 2 more"), "{policies}");
    assert_eq!((windows[0].policies.as_ref(), &windows[1].since), (None, &at(2)));
    let (sources, left_out) = redacted(sources);
    assert!(left_out.is_empty(), "{left_out:?}");
    let policies = report(sources).unenforced.remove(1).policies.expect("policies");
    assert!(!policies.contains("shop") && !policies.contains("deny"), "{policies}");
}

#[test]
fn what_no_probe_measured_is_no_zero() {
    let file = |text: &str| Measurements::parse(text.as_bytes());
    let measured = file(
        r#"{"version":1,"classes":[{"from":"old","to":"both-old","sent":100,"lost":2,"longestGapMillis":1500},
           {"from":"old","to":"both-old","sent":10,"lost":0,"longestGapMillis":20},{"from":"both-old","to":"old","sent":0,"lost":0},
           {"from":"node","to":"service","sent":5,"lost":0}]}"#,
    )
    .expect("a file");
    let report = report(Sources { measured: vec![measured], ..sources(&[]) });
    let all: Vec<(String, Option<_>)> = report
        .probes
        .iter()
        .map(|class| {
            let figures =
                class.measured.map(|figures| (figures.sent, figures.lost, figures.longest_gap_millis));
            (format!("{} {}", class.from, class.to), figures)
        })
        .collect();
    let expected = [
        ("both-new both-old", None),
        ("both-old both-new", None),
        ("both-old old", None),
        ("node service", Some((5, 0, None))),
        ("old both-old", Some((110, 2, Some(1500)))),
    ];
    assert_eq!(all, expected.map(|(name, figures)| (name.to_owned(), figures)));
    for (text, why) in [
        (r#"{"version":2,"classes":[]}"#, "version: expected 1, found 2"),
        (r#"{"version":1,"classes":[{"from":"a","to":"b","sent":1,"lost":2}]}"#, "at most 1 lost"),
        (r#"{"version":1,"classes":[{"from":"","to":"b","sent":1,"lost":0}]}"#, "1 to 64 bytes"),
        (r#"{"version":1,"classes":[{"from":"a","to":"b","sent":1,"lost":0,"late":1}]}"#, "late"),
    ] {
        let problem = file(text).expect_err(text);
        assert!(problem.contains(why), "{problem}");
    }
}

/// What gates measured of each class: sent, lost and the longest gap.
fn gates(report: &Report) -> BTreeMap<String, Option<(u64, u64, Option<u64>)>> {
    let class = |class: &ClassReport| {
        let figures = class.gates.map(|figures| (figures.sent, figures.lost, figures.longest_gap_millis));
        (format!("{} {}", class.from, class.to), figures)
    };
    report.probes.iter().map(class).collect()
}

#[test]
fn what_gates_measured_is_added_up_by_class_and_never_with_a_file() {
    let lines = [
        counted(1, 1, &json!({"old": 4})),
        measured(2, &[("old", "both-old", 100, 2, 1500), ("node", "service", 5, 0, 0)]),
        // The run is taken up by another holder.
        holds(3, false),
        measured(
            4,
            &[("old", "both-old", 50, 1, 900), ("both-old", "old", 0, 0, 0), ("old", "dns", 7, 0, 0)],
        ),
        // Others may write into a journal, too.
        measured(5, &[("old", "bob", 9, 0, 0), ("carol", "old", 9, 0, 0), ("node", "dns", 1, 2, 0)]),
    ];
    let without = report_of_lines(&lines);
    let expected = [
        ("both-new both-old", None),
        ("both-old both-new", None),
        ("both-old old", None),
        ("node service", Some((5, 0, Some(0)))),
        ("old both-old", Some((150, 3, Some(1500)))),
        ("old dns", Some((7, 0, Some(0)))),
    ];
    assert_eq!(gates(&without), expected.map(|(name, figures)| (name.to_owned(), figures)).into());
    assert!(without.missing.is_empty() && without.probes.iter().all(|class| class.measured.is_none()));
    // It may have the same probes.
    let file = r#"{"version":1,"classes":[{"from":"old","to":"both-old","sent":90,"lost":0},{"from":"pod","to":"pod","sent":3,"lost":0}]}"#;
    let measured = vec![Measurements::parse(file.as_bytes()).expect("a file")];
    let with = report(Sources { measured, ..sources(&[(Some(1), lines.concat())]) });
    assert_eq!(gates(&with), {
        let mut all = gates(&without);
        all.insert("pod pod".into(), None);
        all
    });
    let by_files: Vec<(&str, u64)> =
        with.probes.iter().filter_map(|class| Some((&*class.to, class.measured?.sent))).collect();
    assert_eq!(by_files, [("both-old", 90), ("pod", 3)]);
}

#[test]
fn what_gates_measured_counts_once_and_is_too_little_where_the_journal_lacks_lines() {
    let pass = [("old", "both-old", 100, 1, 0)];
    let lines = [measured(1, &pass), measured(2, &pass), measured(3, &pass)];
    let sent = |pieces: &[(Option<u32>, String)]| {
        let report = report(sources(pieces));
        let figures = gates(&report)["old both-old"];
        (figures.map(|(sent, lost, _)| (sent, lost)), report.missing.len())
    };
    let all = lines.concat();
    assert_eq!(sent(&[(Some(1), all.clone()), (None, all)]), (Some((300, 3)), 0));
    let [first, _, third] = lines;
    assert_eq!(sent(&[(Some(1), first), (Some(3), third)]), (Some((200, 2)), 1));
    assert_eq!(sent(&[]), (None, 1));
}

#[test]
fn lists_are_bounded_and_what_is_beyond_is_counted() {
    let lines: String = (0..super::LISTED as u32 + 5)
        .map(|index| step(index % 3000, &format!("n{index}"), "claimed"))
        .collect();
    let report = report(sources(&[(Some(1), lines)]));
    assert_eq!((report.nodes.len(), report.not_listed), (super::LISTED, 8));
    let long = report_of_lines(&[waits(1, &format!("Node/{}", "x".repeat(9_000)), "Flipping", false)]);
    assert!(long.waits[0].object.len() < 2_100, "{}", long.waits[0].object.len());
    let counts: String = (0..5_000).map(|index| counted(index % 3000, index, &json!({"old": 1}))).collect();
    assert!(super::report(sources(&[(Some(1), counts)])).attached.len() <= 2_000);
}

#[test]
fn pseudonyms_are_the_same_everywhere_and_texts_of_people_are_gone() {
    let wish = json!({"seq": 1, "by": "bob@desk", "reason": "Carol is away", "what": {"skip": "Deployment/shop/web"}});
    let lines = [
        holds(0, true),
        step(1, "a", "claimed"),
        evict(2, "shop/db-0", "Answered(Failed(\"webhook of corp.example\"))"),
        waits(3, "Node/a", "MoveTimeout", true),
        line(4, &json!({"event": "wished", "wish": wish, "refused": null})),
        "torn { line of Bob\n".to_owned(),
    ]
    .concat();
    let sources = sources(&[(Some(1), lines.clone())]);
    let (sources, left_out) = redacted(sources);
    assert!(left_out.is_empty(), "{left_out:?}");
    let plan = serde_json::to_value(&sources.plan.as_ref().expect("a plan").1).expect("JSON");
    let journal = sources.journal[0].lines.clone();
    let made = serde_json::to_value(report(sources)).expect("JSON");
    let all = format!("{plan}{made}{journal}");
    for name in [
        "alice",
        "laptop",
        "bob",
        "Bob",
        "Carol",
        "shop",
        "db-0",
        "hunter2",
        "corp.example",
        "smoke",
        "eu-1",
        "blue",
        "\"a\"",
    ] {
        assert!(!all.contains(name), "{name}: {all}");
    }
    assert_eq!(plan["waves"][0]["nodes"][0]["name"], "node-1");
    assert_eq!(
        (&plan["passes"][0], &plan["start"], &plan["from"]),
        (&"both-old".into(), &"old".into(), &"calico".into())
    );
    assert_eq!(
        (&made["nodes"][0]["node"], &made["nodes"][0]["spans"][0]["state"]),
        (&"node-1".into(), &"claimed".into())
    );
    assert_eq!(made["holders"][0]["by"], "person-1:12:00ff");
    let lines: Vec<&str> = journal.lines().collect();
    assert!(lines[2].contains("Answered(Failed(\\\"[removed]\\\"))"), "{}", lines[2]);
    assert!(lines[3].contains("Node/node-1") && lines[3].contains("MoveTimeout"), "{}", lines[3]);
    assert_eq!(lines[5], super::redact::REMOVED);
    // What is left is a journal like the one before.
    let count = |key: &str| made[key].as_array().map(Vec::len);
    assert_eq!((count("waits"), count("wishes"), count("missing")), (Some(1), Some(1), Some(1)));
}

/// A node may have the name of a phase, of a key or of a state.
#[test]
fn names_that_are_words_of_a_report_leave_its_words_alone() {
    let lines =
        [step(1, "old", "claimed"), step(2, "state", "claimed"), counted(3, 1, &json!({"old": 4}))].concat();
    let nodes = ["measured", "sent", "lost", "from", "to"].map(|name| step(4, name, "claimed")).concat();
    let measured = measured(5, &[("old", "both-old", 100, 2, 1500), ("node", "service", 5, 0, 0)]);
    let sources = sources(&[(Some(1), [lines, nodes, measured].concat())]);
    let figures = gates(&report(sources.clone()));
    let harmless = report(redacted(sources).0);
    assert_eq!(gates(&harmless), figures);
    assert_eq!(figures["old both-old"], Some((100, 2, Some(1500))));
    let made = serde_json::to_value(harmless).expect("JSON");
    assert_eq!(made["attached"][0]["attached"]["old"], 4);
    assert_eq!((&made["plan"]["passes"][0]["from"], &made["state"]), (&"old".into(), &"running".into()));
    assert!(
        made["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|lane| lane["node"] != "old" && lane["node"] != "state")
    );
}
