use types::policy::{Phase, Side};
use types::status::Reason;

use crate::publish::decide::*;
use crate::publish::node_object::Condition;
use crate::publish::registered::RegisteredLabels;
use crate::publish::report::FinalReason;

const BOOT: &str = "1c8d1f5e-5a43-4f1e-9a55-0c3c3f0d9b11";

fn now() -> Timestamp {
    "2026-11-20T15:00:00.9Z".parse().expect("a time")
}

fn report() -> NodeReport {
    NodeReport {
        ready: true,
        reason: Reason::NetworkReady,
        message: "old is ready".into(),
        observed: NodeObservation {
            phase: Some(Phase::Old),
            policy_sha256: Some("ab".into()),
            boot_id: BOOT.into(),
            ..NodeObservation::default()
        },
        clears_network_unavailable: false,
        registered: RegisteredLabels::default(),
    }
}

fn node(text: &str) -> NodeObject {
    serde_json::from_str(text).expect("a Node")
}

/// A Node on which `report()` was published before.
fn published() -> NodeObject {
    let observed = observed_annotation(&NodeObject::default(), &report()).replace('"', "\\\"");
    node(&format!(
        r#"{{"metadata":{{"labels":{{"crossfade/phase":"old","other":"x"}},"annotations":{{"crossfade/observed":"{observed}"}}}},
        "status":{{"conditions":[{{"type":"CrossfadeReady","status":"True","reason":"NetworkReady",
        "message":"old is ready (boot {BOOT})","lastTransitionTime":"2026-01-01T00:00:00Z"}},
        {{"type":"NetworkUnavailable","status":"True","reason":"NoRouteCreated"}}]}}}}"#
    ))
}

fn conditions(writes: &[Write]) -> Vec<Value> {
    let status = writes.iter().find_map(|write| match write {
        Write::Status(body) => Some(body["status"]["conditions"].as_array().expect("a list").clone()),
        Write::Metadata(_) => None,
    });
    status.unwrap_or_default()
}

#[test]
fn who_leaves_takes_label_and_annotation_away_and_says_a_last_word_once() {
    let word = FinalCondition { status: "Unknown", reason: FinalReason::Removed, message: "gone".into() };
    let gone = json!({ "metadata": { "labels": { PHASE: null }, "annotations": { OBSERVED: null } } });
    let mut seen = published();
    for (key, value) in [(DESIRED, "new"), (STEP, "no step"), ("other", "x")] {
        seen.metadata.annotations.insert(key.into(), value.into());
    }
    let writes = retract(&seen, &word, "B", now());
    let condition = &conditions(&writes)[0];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("Unknown"), &json!("Removed")));
    assert_eq!(condition["lastTransitionTime"], "2026-11-20T15:00:00Z");
    assert!(
        condition["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("gone (since 2026-11-20T15:00:00Z)"))
    );
    let all = Map::from_iter(node_keys::ANNOTATIONS.map(|key| (key.to_owned(), Value::Null)));
    let all = json!({ "metadata": { "labels": { PHASE: null }, "annotations": all } });
    assert_eq!(writes.last(), Some(&Write::Metadata(all.clone())));
    // So does a node that begins, and reports nothing.
    assert_eq!(begin(&seen), [Write::Metadata(all)]);
    assert_eq!(begin(&node(r#"{"metadata":{"annotations":{"other":"x"}}}"#)), []);
    // A node that is switched off will do what others want of it when it is switched on.
    let pause = FinalCondition { status: "False", reason: FinalReason::SwitchedOff, message: "off".into() };
    assert_eq!(retract(&seen, &pause, "B", now()).last(), Some(&Write::Metadata(gone.clone())));
    // Switched off, watch takes them away itself.
    let off = NodeReport { ready: false, reason: Reason::SwitchedOff, ..report() };
    assert_eq!(decide(&published(), &off, None, now())[0], Write::Metadata(gone.clone()));
    assert_eq!(conditions(&decide(&published(), &off, None, now()))[0]["reason"], "SwitchedOff");
    for (text, expected) in [
        (r#"{"metadata":{}}"#, 0),
        (r#"{"metadata":{"labels":{"other":"x"}}}"#, 0),
        (r#"{"metadata":{"annotations":{"crossfade/desired":"old"}}}"#, 2),
        (
            r#"{"metadata":{},"status":{"conditions":[{"type":"CrossfadeReady","status":"Unknown","reason":"Removed"}]}}"#,
            0,
        ),
        (
            r#"{"metadata":{},"status":{"conditions":[{"type":"CrossfadeReady","status":"True","reason":"NetworkReady"}]}}"#,
            1,
        ),
        (r#"{"metadata":{"labels":{"crossfade/phase":"old"}}}"#, 2),
    ] {
        assert_eq!(retract(&node(text), &word, "B", now()).len(), expected, "{text}");
    }
}

/// Whose cordon the node bears is written nowhere else.
#[test]
fn a_step_that_is_not_done_outlives_who_leaves() {
    for (state, goes) in [("done", true), ("moving", false), ("held", false), ("claimed", false)] {
        let step = format!(
            r#"{{"run":"r","plan":"4b","epoch":7,"claim":"c-17","to":"old","state":"{state}","cordon":"ours"}}"#
        );
        let mut seen = NodeObject::default();
        seen.metadata.annotations.insert(STEP.into(), step);
        assert_eq!(!begin(&seen).is_empty(), goes, "{state}");
    }
}

/// Leaving a Node removes the conditions of a run as well, but for those of a step that stays. So does a report once the step is gone: a run that is never resumed
/// removes them no more.
#[test]
fn conditions_of_a_run_go_with_its_step() {
    let word = FinalCondition { status: "Unknown", reason: FinalReason::Removed, message: "gone".into() };
    let pause = FinalCondition { status: "False", reason: FinalReason::SwitchedOff, message: "off".into() };
    let lifecycle = |kind: &str, reason: &str| Condition {
        kind: kind.into(),
        status: "True".into(),
        reason: reason.into(),
        ..Condition::default()
    };
    let removed = |writes: &[Write]| -> Vec<String> {
        let all = conditions(writes);
        let removed = all.iter().filter(|condition| condition["$patch"] == "delete");
        removed.map(|condition| condition["type"].as_str().expect("a type").to_owned()).collect()
    };
    let all: Vec<&str> = LIFECYCLE.into_iter().filter(|kind| *kind != "Drained").collect();
    for (state, by_leaving, by_report) in [
        (None, &all[..], &all[..]),
        (Some("done"), &all, &[]),
        (Some("waiting"), &all, &[]),
        (Some("moving"), &[], &[]),
        (Some("held"), &[], &[]),
    ] {
        let mut seen = published();
        seen.status.conditions.extend(all.iter().map(|kind| lifecycle(kind, "CrossfadeRoll")));
        seen.status.conditions.push(lifecycle("Drained", "OfAnotherProgram"));
        if let Some(state) = state {
            let step =
                format!(r#"{{"run":"r","plan":"4b","epoch":7,"claim":"c-17","to":"old","state":"{state}"}}"#);
            seen.metadata.annotations.insert(STEP.into(), step);
        }
        let writes = retract(&seen, &word, "B", now());
        assert_eq!(removed(&writes), by_leaving, "{state:?}");
        // What a dry run names.
        let names: Vec<String> = writes.iter().flat_map(Write::removed).collect();
        for key in LIFECYCLE.into_iter().chain([STEP]) {
            let goes = by_leaving.contains(&key) || key == STEP && state.is_some() && !by_leaving.is_empty();
            assert_eq!(names.iter().any(|name| name == key), goes, "{state:?}: {key} of {names:?}");
        }
        assert_eq!(removed(&begin(&seen)), by_leaving, "{state:?}");
        assert_eq!(removed(&decide(&seen, &report(), None, now())), by_report, "{state:?}");
        assert_eq!(
            removed(&retract(&seen, &pause, "B", now())),
            Vec::<String>::new(),
            "it will be switched on"
        );
    }
    // Its last condition is there already.
    let mut seen = node(
        r#"{"metadata":{},"status":{"conditions":[{"type":"CrossfadeReady","status":"Unknown","reason":"Removed"}]}}"#,
    );
    seen.status.conditions.push(lifecycle("DrainInProgress", "CrossfadeRoll"));
    assert_eq!(
        retract(&seen, &word, "B", now()),
        [Write::Status(
            json!({ "status": { "conditions": [{ "type": "DrainInProgress", "$patch": "delete" }] } })
        )]
    );
}

/// Karpenter would keep a node for ever otherwise: nothing but the step says that the annotation is the run's.
#[test]
fn what_keeps_karpenter_away_goes_with_the_step_that_says_whose_it_is() {
    for (state, undisturbed, goes) in
        [("waiting", true, true), ("done", true, true), ("waiting", false, false), ("permitted", true, false)]
    {
        let step = format!(
            r#"{{"run":"r","plan":"4b","epoch":7,"claim":"c-17","to":"old","state":"{state}","undisturbed":{undisturbed}}}"#
        );
        let mut seen = published();
        seen.metadata.annotations.insert(STEP.into(), step);
        seen.metadata.annotations.insert(UNDISTURBED.into(), "true".into());
        let writes = begin(&seen);
        let names: Vec<String> = writes.iter().flat_map(Write::removed).collect();
        assert_eq!(names.contains(&UNDISTURBED.to_owned()), goes, "a dry run names it: {names:?}");
        let Some(Write::Metadata(body)) = writes.last() else { panic!("nothing goes") };
        let annotations = body["metadata"]["annotations"].as_object().expect("annotations");
        assert_eq!(annotations.contains_key(UNDISTURBED), goes, "{state} {undisturbed}");
    }
}

/// A Node that asks for a phase and bears this report.
fn asking(value: &str, observed: Option<&str>) -> NodeObject {
    let mut seen = node(r#"{"metadata":{"resourceVersion":"7"}}"#);
    seen.metadata.annotations.insert(DESIRED.into(), value.into());
    if let Some(base) = observed {
        let observed =
            NodeObservation { base: (!base.is_empty()).then(|| base.to_owned()), ..report().observed };
        seen.metadata.annotations.insert(OBSERVED.into(), observed.to_text());
    }
    seen
}

#[test]
fn a_phase_is_asked_of_the_policy_that_the_node_reported() {
    let base = |base: &str| DesiredScope::Base(base.into());
    let before = Some(DesiredPhase { value: "new".into(), policy: base("b1") });
    for (value, observed, before, policy) in [
        ("new", Some("b1"), None, base("b1")),
        ("new", Some("b2"), before.as_ref(), base("b2")),
        // While the policy is torn, what was known before counts, if it is the same value.
        ("new", Some(""), before.as_ref(), base("b1")),
        ("old", Some(""), before.as_ref(), DesiredScope::Any),
        ("new", Some(""), None, DesiredScope::Any),
        ("new", None, None, DesiredScope::Any),
    ] {
        let desired_phase = parse_desired(&asking(value, observed), before).expect("asked");
        assert_eq!((desired_phase.value.as_str(), &desired_phase.policy), (value, &policy), "{observed:?}");
    }
    assert_eq!(parse_desired(&published(), before.as_ref()), None);
    let condition = |reason: &str| {
        format!(r#"{{"type":"CrossfadeReady","status":"Unknown","reason":"{reason}","message":""}}"#)
    };
    for (reason, policy) in [
        ("Removed", DesiredScope::Earlier),
        ("FinalImage", DesiredScope::Earlier),
        ("SwitchedOff", DesiredScope::Any),
    ] {
        let mut seen = asking("new", None);
        seen.status.conditions = vec![serde_json::from_str(&condition(reason)).expect("a condition")];
        assert_eq!(
            parse_desired(&seen, None).map(|desired_phase| desired_phase.policy),
            Some(policy),
            "{reason}"
        );
    }
    let long = asking(&"x".repeat(300), None);
    assert_eq!(
        parse_desired(&long, None).map(|desired_phase| desired_phase.value.len()),
        Some(MAX_DESIRED_BYTES)
    );
}

#[test]
fn what_was_asked_of_another_policy_goes_with_the_report_of_this_one() {
    let of_base = |base: Option<&str>| {
        let observed = NodeObservation { base: base.map(str::to_owned), ..report().observed };
        NodeReport { observed, ..report() }
    };
    for (observed, own, goes) in [
        (Some("b1"), Some("b2"), true),
        (Some("b1"), Some("b1"), false),
        (Some("b1"), None, false),
        (None, Some("b2"), false),
    ] {
        let (seen, report) = (asking("new", observed), of_base(own));
        let desired_phase = parse_desired(&seen, None);
        let writes = decide(&seen, &report, desired_phase.as_ref(), now());
        let Some(Write::Metadata(body)) = writes.first() else { panic!("{writes:?}") };
        let annotations = body["metadata"]["annotations"].as_object().expect("annotations");
        assert_eq!(annotations.contains_key(DESIRED), goes, "{observed:?} {own:?}");
        assert_eq!(body["metadata"]["resourceVersion"] == "7", goes, "{observed:?} {own:?}");
        assert!(annotations[OBSERVED].is_string(), "in the same patch");
    }
    let left = Some(DesiredPhase { value: "new".into(), policy: DesiredScope::Earlier });
    let writes = decide(&asking("new", None), &of_base(None), left.as_ref(), now());
    let Some(Write::Metadata(body)) = writes.first() else { panic!("{writes:?}") };
    assert!(body["metadata"]["annotations"][DESIRED].is_null());
    let off = NodeReport { reason: Reason::SwitchedOff, ..of_base(Some("b2")) };
    let seen = asking("new", Some("b1"));
    let writes = decide(&seen, &off, parse_desired(&seen, None).as_ref(), now());
    let gone = json!({ "metadata": { "labels": {}, "annotations": { OBSERVED: null } } });
    assert_eq!(writes[0], Write::Metadata(gone), "it is followed again when the node is switched on");
}

#[test]
fn a_new_node_gets_all_of_it_and_nothing_else() {
    let writes = decide(&NodeObject::default(), &report(), None, now());
    let observed = format!(
        r#"{{"bootId":"{BOOT}","phase":"old","policySha256":"ab","base":null,"mints":[],"follows":[],"attached":null,"joins":[],"restarts":null,"echo":null}}"#
    );
    assert_eq!(
        writes,
        [
            Write::Metadata(json!({ "metadata": {
                "labels": { "crossfade/phase": "old" }, "annotations": { "crossfade/observed": observed },
            }})),
            Write::Status(json!({ "status": { "conditions": [{
                "type": "CrossfadeReady", "status": "True", "reason": "NetworkReady",
                "message": format!("old is ready (boot {BOOT})"),
                "lastHeartbeatTime": "2026-11-20T15:00:00Z", "lastTransitionTime": "2026-11-20T15:00:00Z",
            }]}})),
        ]
    );
}

#[test]
fn what_stands_is_not_written_again() {
    assert_eq!(decide(&published(), &report(), None, now()), []);
}

#[test]
fn the_transition_s_time_moves_with_the_status_alone() {
    let waiting = NodeReport { reason: Reason::RuntimeRestartNeeded, ..report() };
    let written = conditions(&decide(&published(), &waiting, None, now()));
    assert_eq!(written[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    assert_eq!(written[0]["lastHeartbeatTime"], "2026-11-20T15:00:00Z");
    let lost = NodeReport { ready: false, reason: Reason::ConfContended, ..report() };
    let written = conditions(&decide(&published(), &lost, None, now()));
    assert_eq!((written.len(), &written[0]["status"]), (1, &json!("False")));
    assert_eq!(written[0]["lastTransitionTime"], "2026-11-20T15:00:00Z");
}

#[test]
fn an_unknown_phase_leaves_the_label_and_says_so() {
    let observed = NodeObservation { phase: None, policy_sha256: None, ..report().observed };
    let torn = NodeReport { observed: observed.clone(), ..report() };
    let writes = decide(&published(), &torn, None, now());
    let text = observed.to_text();
    assert!(text.contains(r#""phase":null"#), "{text}");
    assert_eq!(
        writes,
        [Write::Metadata(json!({ "metadata": { "annotations": { "crossfade/observed": text } } }))]
    );
}

/// What the only patch of the metadata writes into the annotation.
fn written(writes: &[Write]) -> NodeObservation {
    let [Write::Metadata(body)] = writes else { panic!("{writes:?}") };
    let text = body["metadata"]["annotations"][OBSERVED].as_str().expect("a text");
    NodeObservation::parse(text).expect("valid")
}

#[test]
fn the_claim_of_the_step_is_repeated_and_taken_back_with_it() {
    let mut seen = published();
    let step = |claim: &str| format!(r#"{{"run":"r","claim":"{claim}"}}"#);
    for (step, echo) in [
        (step("c-1"), Some("c-1")),
        (step("c-2"), Some("c-2")),
        ("no step".to_owned(), None),
        (step("c-2"), Some("c-2")),
        (step(&"c".repeat(65)), None),
    ] {
        seen.metadata.annotations.insert(STEP.into(), step);
        let now_on_it = written(&decide(&seen, &report(), None, now()));
        assert_eq!(now_on_it.echo.as_deref(), echo);
        assert_eq!(NodeObservation { echo: None, ..now_on_it.clone() }, report().observed);
        seen.metadata.annotations.insert(OBSERVED.into(), now_on_it.to_text());
        assert_eq!(decide(&seen, &report(), None, now()), [], "repeated once");
        // So that the next row has something to write.
        seen.metadata.annotations.insert(OBSERVED.into(), String::new());
    }
}

#[test]
fn the_image_s_label_goes_with_the_installation_that_reported_it() {
    let removes = |label: &str, reported: Option<&str>, reason| {
        let mut seen = published();
        let observed = NodeObservation { image: reported.map(str::to_owned), ..report().observed };
        seen.metadata.annotations.insert(OBSERVED.into(), observed.to_text());
        seen.metadata.labels.insert(IMAGE.into(), label.into());
        let word = FinalCondition { status: "Unknown", reason, message: "it ends".into() };
        let writes = retract(&seen, &word, BOOT, now());
        let metadata = writes.iter().find_map(|write| match write {
            Write::Metadata(body) => Some(body["metadata"]["labels"].clone()),
            Write::Status(_) => None,
        });
        metadata.is_some_and(|labels| labels.as_object().is_some_and(|labels| labels.contains_key(IMAGE)))
    };
    assert!(removes("5f2c", Some("5f2c"), FinalReason::FinalImage));
    assert!(removes("5f2c", Some("5f2c"), FinalReason::Removed));
    assert!(!removes("later", Some("5f2c"), FinalReason::FinalImage), "the final image registered its own");
    assert!(!removes("5f2c", None, FinalReason::FinalImage), "no report of it");
    assert!(!removes("5f2c", Some("5f2c"), FinalReason::SwitchedOff), "it is the node's still");
}

#[test]
fn whatever_the_report_says_of_a_roll_is_written_when_it_changes() {
    let attached = |count| types::api::observed::AttachmentCounts {
        by_phase: [(Phase::Old, count)].into(),
        ..types::api::observed::AttachmentCounts::default()
    };
    let condition = report().observed;
    for observed in [
        NodeObservation { attached: Some(attached(1)), ..condition.clone() },
        NodeObservation { attached: Some(attached(2)), ..condition.clone() },
        NodeObservation { base: Some("cd".into()), ..condition.clone() },
        NodeObservation { mints: vec![Phase::Old], ..condition.clone() },
        NodeObservation { follows: vec![Phase::Old], ..condition.clone() },
        NodeObservation { joins: vec![Side::New], ..condition.clone() },
        NodeObservation { restarts: Some(0), ..condition.clone() },
        NodeObservation { image: Some("5f2c".into()), ..condition.clone() },
        NodeObservation { boot_id: "another".into(), ..condition },
    ] {
        let changed = NodeReport { observed: observed.clone(), ..report() };
        let writes: Vec<Write> = decide(&published(), &changed, None, now());
        assert_eq!(written(&writes[..1]), observed);
    }
}

#[test]
fn another_clients_label_is_put_right() {
    let mut seen = published();
    seen.metadata.labels.insert(PHASE.into(), "new".into());
    assert_eq!(decide(&seen, &report(), None, now()).len(), 1);
    seen.metadata.labels.remove(PHASE);
    assert_eq!(decide(&seen, &report(), None, now()).len(), 1);
}

#[test]
fn network_unavailable_is_cleared_only_where_allowed_and_only_when_true() {
    let allowed = NodeReport { clears_network_unavailable: true, ..report() };
    let written = conditions(&decide(&published(), &allowed, None, now()));
    assert_eq!(written.len(), 1);
    assert_eq!((&written[0]["type"], &written[0]["status"]), (&json!("NetworkUnavailable"), &json!("False")));
    assert_eq!(written[0]["reason"], "CrossfadeNetworkReady");
    for status in ["False", "Unknown"] {
        let mut seen = published();
        seen.status.conditions[1].status = status.into();
        assert_eq!(decide(&seen, &allowed, None, now()), [], "{status}");
    }
    let mut seen = published();
    seen.status.conditions.truncate(1);
    assert_eq!(decide(&seen, &allowed, None, now()), []);
}

#[test]
fn a_long_message_is_cut_and_keeps_the_boot() {
    let long = NodeReport { message: "ä".repeat(300), ..report() };
    let message = message(&long.message, &long.observed.boot_id);
    assert!(message.len() <= MAX_MESSAGE_BYTES && message.len() > MAX_MESSAGE_BYTES - 2);
    assert!(message.ends_with(&format!("ä (boot {BOOT})")));
}

#[test]
fn no_message_says_anything_to_the_terminal_of_its_reader() {
    let condition = message("conf \u{1b}[2J\u{9b}\u{202e}10-x.conflist", BOOT);
    assert_eq!(condition, format!(r"conf \u{{1b}}[2J\u{{9b}}\u{{202e}}10-x.conflist (boot {BOOT})"));
}

#[test]
fn a_condition_that_was_true_goes_before_the_report_of_another_boot() {
    let of_this_boot = |ready| {
        let (reason, message) =
            if ready { (Reason::NetworkReady, "new") } else { (Reason::BootFailed, "no") };
        let observed = NodeObservation { boot_id: "another".into(), ..report().observed };
        NodeReport { ready, reason, message: message.into(), observed, ..report() }
    };
    let order = |ready| {
        let writes = decide(&published(), &of_this_boot(ready), None, now());
        writes.iter().map(|write| matches!(write, Write::Status(_))).collect::<Vec<_>>()
    };
    assert_eq!(order(false), [true, false], "the condition is false first");
    assert_eq!(order(true), [false, true], "who waits for it finds the annotation");
    let left = DesiredPhase { value: "new".into(), policy: DesiredScope::Earlier };
    let writes = decide(&published(), &of_this_boot(false), Some(&left), now());
    assert!(
        matches!(writes[..], [Write::Status(_), Write::Metadata(_)]),
        "also beside an obsolete phase: {writes:?}"
    );
}
