use types::policy::Phase;

use super::*;
use crate::publish::report::Reason;

const BOOT: &str = "1c8d1f5e-5a43-4f1e-9a55-0c3c3f0d9b11";

fn now() -> Timestamp {
    "2026-11-20T15:00:00.9Z".parse().expect("a time")
}

fn report() -> NodeReport {
    NodeReport {
        ready: true,
        reason: Reason::NetworkReady,
        message: "old is ready".into(),
        observed: Observed {
            phase: Some(Phase::Old),
            policy_sha256: Some("ab".into()),
            boot_id: BOOT.into(),
            ..Observed::default()
        },
        clears_network_unavailable: false,
    }
}

fn node(text: &str) -> NodeObject {
    serde_json::from_str(text).expect("a Node")
}

/// A Node on which `report()` was published before.
fn published() -> NodeObject {
    let observed = observed(&NodeObject::default(), &report()).replace('"', "\\\"");
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
    let word = LastWord { status: "Unknown", reason: Reason::Removed, message: "gone".into() };
    let gone = json!({ "metadata": { "labels": { PHASE: null }, "annotations": { OBSERVED: null } } });
    let writes = retract(&published(), &word, now());
    let said = &conditions(&writes)[0];
    assert_eq!((&said["status"], &said["reason"]), (&json!("Unknown"), &json!("Removed")));
    assert_eq!(said["lastTransitionTime"], "2026-11-20T15:00:00Z");
    assert!(
        said["message"].as_str().is_some_and(|text| text.starts_with("gone (since 2026-11-20T15:00:00Z)"))
    );
    assert_eq!(writes.last(), Some(&Write::Metadata(gone.clone())));
    // Switched off, watch takes them away itself.
    let off = NodeReport { ready: false, reason: Reason::SwitchedOff, ..report() };
    assert_eq!(decide(&published(), &off, now())[0], Write::Metadata(gone.clone()));
    assert_eq!(conditions(&decide(&published(), &off, now()))[0]["reason"], "SwitchedOff");
    for (text, expected) in [
        (r#"{"metadata":{}}"#, 0),
        (r#"{"metadata":{"labels":{"other":"x"}}}"#, 0),
        (r#"{"metadata":{"annotations":{"crossfade/desired":"old"}}}"#, 0),
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
        assert_eq!(retract(&node(text), &word, now()).len(), expected, "{text}");
    }
}

#[test]
fn a_new_node_gets_all_of_it_and_nothing_else() {
    let writes = decide(&NodeObject::default(), &report(), now());
    let observed = format!(
        r#"{{"bootId":"{BOOT}","phase":"old","policySha256":"ab","base":null,"mints":[],"follows":[],"attached":null,"echo":null}}"#
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
    assert_eq!(decide(&published(), &report(), now()), []);
}

#[test]
fn the_transition_s_time_moves_with_the_status_alone() {
    let waiting = NodeReport { reason: Reason::RuntimeRestartNeeded, ..report() };
    let written = conditions(&decide(&published(), &waiting, now()));
    assert_eq!(written[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    assert_eq!(written[0]["lastHeartbeatTime"], "2026-11-20T15:00:00Z");
    let lost = NodeReport { ready: false, reason: Reason::ConfContended, ..report() };
    let written = conditions(&decide(&published(), &lost, now()));
    assert_eq!((written.len(), &written[0]["status"]), (1, &json!("False")));
    assert_eq!(written[0]["lastTransitionTime"], "2026-11-20T15:00:00Z");
}

#[test]
fn an_unknown_phase_leaves_the_label_and_says_so() {
    let observed = Observed { phase: None, policy_sha256: None, ..report().observed };
    let torn = NodeReport { observed: observed.clone(), ..report() };
    let writes = decide(&published(), &torn, now());
    let text = observed.to_text();
    assert!(text.contains(r#""phase":null"#), "{text}");
    assert_eq!(
        writes,
        [Write::Metadata(json!({ "metadata": { "annotations": { "crossfade/observed": text } } }))]
    );
}

/// What the only patch of the metadata writes into the annotation.
fn written(writes: &[Write]) -> Observed {
    let [Write::Metadata(body)] = writes else { panic!("{writes:?}") };
    let text = body["metadata"]["annotations"][OBSERVED].as_str().expect("a text");
    Observed::parse(text).expect("valid")
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
        let now_on_it = written(&decide(&seen, &report(), now()));
        assert_eq!(now_on_it.echo.as_deref(), echo);
        assert_eq!(Observed { echo: None, ..now_on_it.clone() }, report().observed);
        seen.metadata.annotations.insert(OBSERVED.into(), now_on_it.to_text());
        assert_eq!(decide(&seen, &report(), now()), [], "repeated once");
        // So that the next row has something to write.
        seen.metadata.annotations.insert(OBSERVED.into(), String::new());
    }
}

#[test]
fn whatever_the_report_says_of_a_roll_is_written_when_it_changes() {
    let attached = |count| types::observed::Attached {
        by_phase: [(Phase::Old, count)].into(),
        ..types::observed::Attached::default()
    };
    let said = report().observed;
    for observed in [
        Observed { attached: Some(attached(1)), ..said.clone() },
        Observed { attached: Some(attached(2)), ..said.clone() },
        Observed { base: Some("cd".into()), ..said.clone() },
        Observed { mints: vec![Phase::Old], ..said.clone() },
        Observed { follows: vec![Phase::Old], ..said.clone() },
        Observed { boot_id: "another".into(), ..said },
    ] {
        let changed = NodeReport { observed: observed.clone(), ..report() };
        let writes: Vec<Write> = decide(&published(), &changed, now());
        assert_eq!(written(&writes[..1]), observed);
    }
}

#[test]
fn somebody_else_s_label_is_put_right() {
    let mut seen = published();
    seen.metadata.labels.insert(PHASE.into(), "new".into());
    assert_eq!(decide(&seen, &report(), now()).len(), 1);
    seen.metadata.labels.remove(PHASE);
    assert_eq!(decide(&seen, &report(), now()).len(), 1);
}

#[test]
fn network_unavailable_is_cleared_only_where_allowed_and_only_when_true() {
    let allowed = NodeReport { clears_network_unavailable: true, ..report() };
    let written = conditions(&decide(&published(), &allowed, now()));
    assert_eq!(written.len(), 1);
    assert_eq!((&written[0]["type"], &written[0]["status"]), (&json!("NetworkUnavailable"), &json!("False")));
    assert_eq!(written[0]["reason"], "CrossfadeNetworkReady");
    for status in ["False", "Unknown"] {
        let mut seen = published();
        seen.status.conditions[1].status = status.into();
        assert_eq!(decide(&seen, &allowed, now()), [], "{status}");
    }
    let mut seen = published();
    seen.status.conditions.truncate(1);
    assert_eq!(decide(&seen, &allowed, now()), []);
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
    let said = message("conf \u{1b}[2J\u{9b}\u{202e}10-x.conflist", BOOT);
    assert_eq!(said, format!(r"conf \u{{1b}}[2J\u{{9b}}\u{{202e}}10-x.conflist (boot {BOOT})"));
}
