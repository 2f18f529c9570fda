//! Policies rule by rule.

use netpol::engines::calico::{read_policy, read_rules};
use netpol::tier::Direction;
use serde_json::{Value, json};

fn policy(spec: &Value) -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

fn port(port: u16) -> Value {
    json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}})
}

#[test]
fn the_rules_that_can_be_read_stay_in_their_places() {
    let http = json!({"action": "Allow", "http": {"methods": ["GET"]}});
    let service = json!({"action": "Deny", "destination": {"services": {"name": "db"}}});
    let unknown = json!({"action": "Deny", "colour": "red"});
    let spec = json!({"selector": "app == 'web'",
        "ingress": [http, port(80), unknown, port(81), "none"], "egress": [service, port(443)]});
    let (read, refused) = read_rules(&policy(&spec)).expect("a policy");
    // What decides nothing keeps the place of a rule that cannot be read.
    let none = json!({"action": "Log"});
    let good = json!({"selector": "app == 'web'",
        "ingress": [none, port(80), none, port(81), none], "egress": [none, port(443)]});
    assert_eq!(read, read_policy(&policy(&good)).expect("a policy"));
    let lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let expected = [
        "spec.ingress[0]: http: requests, ",
        "spec.ingress[2]: unknown field `colour`",
        "spec.ingress[4]: invalid type: string",
        "spec.egress[0]: destination.services: ",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (text, expected) in lines.iter().zip(expected) {
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn a_policy_without_wrong_rules_is_read_as_ever() {
    for spec in [
        json!({}),
        json!({"ingress": [port(1), port(2)], "types": ["Ingress", "Egress"]}),
        json!({"ingress": null, "egress": [port(1)]}),
    ] {
        let object = policy(&spec);
        assert_eq!(read_rules(&object), read_policy(&object).map(|policy| (policy, Vec::new())), "{spec}");
    }
}

/// A policy is about the directions in which it has rules, also if none of them can be read: then it denies.
#[test]
fn the_directions_are_those_of_all_rules() {
    let refused = json!({"action": "Allow", "http": {}});
    let (policy, refused) = read_rules(&policy(&json!({"egress": [refused]}))).expect("a policy");
    assert_eq!((policy.types, policy.egress.len(), refused.len()), (vec![Direction::Egress], 1, 1));
}

#[test]
fn what_is_wrong_with_the_policy_itself_is_an_error() {
    for (spec, expected) in [
        (json!({"doNotTrack": true, "ingress": [port(1)]}), "spec.doNotTrack"),
        (json!({"preDNAT": true}), "spec.preDNAT"),
        (json!({"applyOnForward": true}), "spec.applyOnForward"),
        (json!({"selector": "app ="}), "spec.selector"),
        (json!({"colour": "red"}), "colour"),
        (json!({"ingress": {}}), "expected a sequence"),
    ] {
        let why = read_rules(&policy(&spec)).expect_err("refused");
        assert!(why.contains(expected), "{why}");
    }
}
