//! Policies that the parser takes and refuses, and its messages.

use super::*;
use serde_json::{Value, json};

fn parse(policy: &Value) -> Result<Policy, String> {
    Policy::parse(policy.to_string().as_bytes())
}

/// A policy with both networks and `extra` keys over it.
fn with(extra: Value) -> Value {
    let mut policy = json!({"version":1,"attach":"old","networks":{
        "old":{"conf":["/o.conflist"]},"new":{"conf":["/n.conflist"]}}});
    let (Value::Object(all), Value::Object(extra)) = (&mut policy, extra) else { unreachable!() };
    all.extend(extra);
    policy
}

#[test]
fn defaults_are_the_documented_ones() {
    let policy = parse(&with(json!({}))).expect("valid");
    assert_eq!(policy.deadlines, Deadlines::default());
    assert_eq!(policy.gc, Gc { grace_secs: 600, forward: true });
    assert_eq!(policy.both.primary(), Side::Old);
    assert_eq!(policy.both.default_route(), Side::Old);
    assert_eq!(policy.both.secondary_ifname, "net1");
    assert_eq!(policy.networks.old.expect("old").profile, "generic");
    let primary_new = parse(&with(json!({"both":{"primary":"new"}}))).expect("valid");
    assert_eq!(primary_new.both.default_route(), Side::New, "the primary's unless named");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    for (extra, hint) in [
        (json!({"atach":"old"}), "\"attach\""),
        (json!({"both":{"secondryFailure":"fail"}}), "\"secondaryFailure\""),
        (json!({"deadlines":{"addSecs":1}}), "\"addSeconds\""),
        (json!({"rules":[{"podd":"x","attach":"old"}]}), "\"pod\""),
        (json!({"zebra":1}), "expected one of"),
    ] {
        let error = parse(&with(extra.clone())).expect_err("unknown key");
        assert!(error.contains("unknown key") && error.contains(hint), "{extra}: {error}");
    }
}

#[test]
fn a_key_that_names_an_absent_network_is_an_error_but_a_default_is_not() {
    let single = |extra: Value| {
        let mut policy = json!({"version":1,"attach":"new","networks":{"new":{"conf":["/n.conflist"]}}});
        let (Value::Object(all), Value::Object(extra)) = (&mut policy, extra) else { unreachable!() };
        all.extend(extra);
        parse(&policy)
    };
    single(json!({})).expect("defaults never count as written");
    for (extra, key) in [
        (json!({"attach":"old"}), "attach"),
        (json!({"attach":"both"}), "attach"),
        (json!({"rules":[{"attach":"old"}]}), "rules[0].attach"),
        (json!({"both":{"primary":"old"}}), "both.primary"),
        (json!({"both":{"primary":"new","defaultRoute":"old"}}), "both.defaultRoute"),
        (json!({"podAnnotation":{"key":"k","allow":["both"]}}), "podAnnotation.allow"),
        (json!({"unrecorded":"old"}), "unrecorded"),
        (json!({"retired":[{"network":"old","forceAfterSeconds":1}]}), "retired[0].network"),
    ] {
        let error = single(extra.clone()).expect_err("absent network");
        assert!(error.starts_with(key), "{extra}: {error}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_its_key() {
    for (policy, key) in [
        (json!([]), "expected a JSON object"),
        (json!({}), "version"),
        (with(json!({"version":2})), "version"),
        (with(json!({"attach":null})), "attach"),
        (with(json!({"attach":"older"})), "attach"),
        (json!({"version":1,"attach":"old","networks":{}}), "networks"),
        (json!({"version":1,"attach":"old","networks":{"old":{"conf":[]}}}), "networks.old.conf"),
        (json!({"version":1,"attach":"old","networks":{"old":{"conf":["rel"]}}}), "networks.old.conf"),
        (
            json!({"version":1,"attach":"old","networks":{"old":{"conf":["/x"],"cidrs":["10.0.0.1/8"]}}}),
            "networks.old.cidrs",
        ),
        (
            json!({"version":1,"attach":"old","networks":{"old":{"conf":["/x"],"cidrs":["10.0.0.0"]}}}),
            "networks.old.cidrs",
        ),
        (
            json!({"version":1,"attach":"old","networks":{"old":{"conf":["/x"],"ready":[{}]}}}),
            "networks.old.ready[0]",
        ),
        (
            json!({"version":1,"attach":"old","networks":{"old":{"conf":["/x"],"ready":[{"unix":"/s","file":"/f"}]}}}),
            "networks.old.ready[0]",
        ),
        (
            json!({"version":1,"attach":"old","networks":{"old":{"conf":["/x"],"ready":[{"http":"x"}]}}}),
            "networks.old.ready[0].http",
        ),
        (
            with(json!({"both":{"primary":"old","defaultRoute":"new","secondaryFailure":"tolerate"}})),
            "both.secondaryFailure",
        ),
        (with(json!({"both":{"secondaryIfname":"a/b"}})), "both.secondaryIfname"),
        (with(json!({"rules":[{"namespace":"x"}]})), "rules[0].attach"),
        (with(json!({"retired":[{"network":"old"}]})), "retired[0].forceAfterSeconds"),
        (with(json!({"deadlines":{"addSeconds":0}})), "deadlines.addSeconds"),
        (with(json!({"gc":{"graceSeconds":-1}})), "gc.graceSeconds"),
    ] {
        let error = parse(&policy).expect_err("refused");
        assert!(error.starts_with(key), "{policy}: {error}");
    }
}

#[test]
fn a_key_written_twice_is_an_error() {
    let twice = br#"{"version":1,"attach":"old","attach":"new","networks":{"old":{"conf":["/x"]}}}"#;
    assert!(Policy::parse(twice).expect_err("twice").contains("written twice"));
}

#[test]
fn limits_are_within() {
    for (key, most) in [
        ("addSeconds", 3600),
        ("delSeconds", 3600),
        ("checkSeconds", 3600),
        ("gcSeconds", 3600),
        ("statusMillis", 3_600_000),
    ] {
        for value in [1, most] {
            parse(&with(json!({"deadlines": {key: value}}))).expect("a limit is allowed");
        }
        for value in [0, most + 1] {
            let error = parse(&with(json!({"deadlines": {key: value}}))).expect_err("beyond a limit");
            let expected =
                format!("deadlines.{key}: expected a whole number from 1 to {most}, found {value}");
            assert_eq!(error, expected);
        }
    }
    let year = 366 * 24 * 60 * 60;
    let policy = parse(&with(json!({"gc": {"graceSeconds": year}}))).expect("a year");
    assert_eq!(policy.gc.grace_secs, year);
    parse(&with(json!({"gc": {"graceSeconds": year + 1}}))).expect_err("more than a year");
    let policy = parse(&with(json!({"deadlines": {"addSeconds": 7, "statusMillis": 9}}))).expect("valid");
    assert_eq!((policy.deadlines.add_secs, policy.deadlines.status_millis), (7, 9));
}

#[test]
fn a_policy_is_read_to_its_largest_size() {
    let mut policy = with(json!({})).to_string().into_bytes();
    policy.resize(MAX_BYTES, b' ');
    assert_eq!(policy.len(), 1_048_576);
    Policy::parse(&policy).expect("spaces count, and are allowed");
}

#[test]
fn a_probe_is_exactly_one_of_three() {
    let probes = |ready: Value| {
        let networks = json!({"old": {"conf": ["/o"], "ready": ready}, "new": {"conf": ["/n"]}});
        parse(&with(json!({"networks": networks})))
            .map(|policy| policy.networks.old.expect("old").ready.expect("ready"))
    };
    let headers = json!({"http": "127.0.0.1:9879/healthz", "headers": {"brief": "true"}});
    assert_eq!(
        probes(json!([{"unix": "/s"}, {"file": "/f"}, headers])).expect("valid"),
        [
            Probe::Unix("/s".into()),
            Probe::File("/f".into()),
            Probe::Http {
                target: "127.0.0.1:9879/healthz".into(),
                headers: vec![("brief".into(), "true".into())]
            }
        ]
    );
    for (probe, says) in [
        (json!({"unix": "s"}), ".unix: expected an absolute path, found \"s\""),
        (json!({"file": "f/g"}), ".file: expected an absolute path, found \"f/g\""),
        (json!({"unix": "/s", "headers": {}}), ".headers: belongs to an http probe only"),
        (json!({"unix": "/s", "http": "h:1/"}), ": expected exactly one of unix, file, http"),
        (json!({}), ": expected exactly one of unix, file, http"),
    ] {
        let error = probes(json!([probe])).expect_err("refused");
        assert_eq!(error, format!("networks.old.ready[0]{says}"));
    }
}

#[test]
fn a_header_that_would_smuggle_in_another_is_refused() {
    let header = |key: &str, value: &str| {
        let ready = json!([{"http": "127.0.0.1:1/", "headers": {key: value}}]);
        let networks = json!({"old": {"conf": ["/o"], "ready": ready}, "new": {"conf": ["/n"]}});
        parse(&with(json!({"networks": networks}))).map(drop)
    };
    assert_eq!(header("brief", "true, with blanks: and colons"), Ok(()));
    for (key, value) in [
        ("", "x"),
        ("a:b", "x"),
        ("a b", "x"),
        ("a\u{7f}b", "x"),
        ("brief", "x\r\nhost: y"),
        ("brief", "x\u{0}"),
    ] {
        let error = header(key, value).expect_err("refused");
        assert!(error.ends_with("expected a header name and a value of one line"), "{key:?}: {error}");
    }
}

#[test]
fn each_network_is_retired_once_at_most() {
    let retired = |networks: [&str; 2]| {
        let entries = networks.map(|network| json!({"network": network, "forceAfterSeconds": 1}));
        parse(&with(json!({"retired": entries}))).map(|policy| policy.retired.len())
    };
    assert_eq!(retired(["old", "new"]), Ok(2));
    assert!(retired(["new", "new"]).expect_err("twice").contains("retired[1].network: new is retired twice"));
}

#[test]
fn of_a_wrong_value_only_the_harmless_is_quoted() {
    for (extra, error) in [
        (json!({"unrecorded": 5}), "unrecorded: expected old or new, found 5"),
        (
            json!({"gc": {"forward": {"token": "canary"}}}),
            "gc.forward: expected true or false, found an object",
        ),
        (json!({"gc": {"forward": ["canary"]}}), "gc.forward: expected true or false, found a list"),
        (
            json!({"networks": {"old": {"conf": ["/o"], "ready": [{"http": "h:1/", "headers": "canary"}]}}}),
            "networks.old.ready[0].headers: expected an object of strings, found something else",
        ),
    ] {
        assert_eq!(parse(&with(extra)).expect_err("wrong"), error);
    }
}

#[test]
fn a_key_is_near_when_a_third_of_it_and_one_more_is_wrong() {
    for (key, near) in [("rulxx", true), ("ruxxx", false), ("unrecordxxxx", true), ("unrecorxxxxx", false)] {
        let error = parse(&with(json!({key: 1}))).expect_err("unknown key");
        assert_eq!(error.contains("did you mean"), near, "{error}");
    }
}

#[test]
fn a_network_and_its_retirement_are_found_by_their_side() {
    let policy =
        parse(&with(json!({"retired": [{"network": "new", "forceAfterSeconds": 7}]}))).expect("valid");
    let confs: Vec<_> =
        policy.networks().map(|(side, network)| (side.to_string(), network.conf[0].clone())).collect();
    assert_eq!(confs, [("old".to_owned(), "/o.conflist".into()), ("new".to_owned(), "/n.conflist".into())]);
    assert!(policy.retired_network(Side::Old).is_none());
    assert_eq!(policy.retired_network(Side::New).map(|retired| retired.force_after_secs), Some(7));
}
