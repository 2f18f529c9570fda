//! Examples, with the objects and the verdicts that are to come of them.

use netpol::convert::report::Outcome;
use netpol::tier::Direction::{self, Egress, Ingress};
use serde_json::{Value, json};

use super::super::turned::{ConversionResult, left, network_policy, policy, rules, tier};
use super::{converted, read};
use crate::calico::CalicoObjects;
use crate::town::{Question, town};

/// Converts, and holds the result to what Calico did.
fn same(old: &CalicoObjects) -> ConversionResult {
    let turned = converted(old);
    assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    turned
}

/// What a pod may exchange with the other end by TCP.
fn may(
    old: &CalicoObjects,
    turned: &ConversionResult,
    direction: Direction,
    pod: &str,
    peer: &str,
    port: u16,
) -> bool {
    let (mentions, evaluate) = read(&turned.objects, &old.kubernetes);
    Question { direction, pod, peer, protocol: 6, port }.ask(&town(), &mentions, evaluate)
}

/// Each object in a line: kind, namespace, name, tier and priority.
fn object_lines(turned: &ConversionResult) -> Vec<String> {
    let to_text = |object: &Value| {
        let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str());
        let (kind, name) = (kind.expect("a kind"), name.expect("a name"));
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!(
                "{kind} {name} {} {}",
                object["spec"]["tier"].as_str().expect("a tier"),
                object["spec"]["priority"]
            ),
        }
    };
    turned.objects.iter().map(to_text).collect()
}

fn global(name: &str, spec: Value) -> Value {
    policy(None, name, spec)
}

fn is_snapshot(turned: &ConversionResult) -> bool {
    turned.report.entries.iter().any(|entry| entry.outcome == Outcome::Snapshot)
}

#[test]
fn a_policy_of_a_namespace_that_needs_no_order_is_a_network_policy() {
    let rules = json!([
        {"action": "Allow", "protocol": "TCP", "source": {"nets": ["203.0.113.0/24"]}, "destination": {"ports": [80]}},
        {"action": "Deny", "source": {"selector": "app == 'web'"}}
    ]);
    let old = CalicoObjects {
        policies: vec![
            policy(Some("shop"), "web", json!({"selector": "role == 'db'", "ingress": rules})),
            policy(
                Some("shop"),
                "closed",
                json!({"selector": "app == 'web'", "types": ["Ingress", "Egress"]}),
            ),
        ],
        ..CalicoObjects::default()
    };
    let turned = same(&old);
    assert_eq!(object_lines(&turned), ["NetworkPolicy shop/closed", "NetworkPolicy shop/web"]);
    assert!(left(&turned).is_empty() && !is_snapshot(&turned), "{:?}", turned.report);
    let receives = |pod, peer| may(&old, &turned, Ingress, pod, peer, 80);
    assert!(
        receives("shop/db", "203.0.113.1")
            && !receives("shop/db", "shop/bare")
            && !receives("shop/web", "203.0.113.1")
    );
    assert!(!may(&old, &turned, Egress, "shop/web", "203.0.113.1", 80));
}

#[test]
fn the_end_of_the_default_tier_is_for_everybody_outside_too() {
    let sends = json!({"selector": "app == 'job'", "egress": [{"action": "Allow", "destination": {"nets": ["10.244.0.0/16"], "notNets": ["10.244.128.0/17"]}}]});
    let old = CalicoObjects {
        policies: vec![
            global("sends", sends),
            global("quiet", json!({"selector": "app == 'web'", "types": ["Ingress"]})),
        ],
        ..CalicoObjects::default()
    };
    let turned = same(&old);
    assert_eq!(
        object_lines(&turned),
        [
            "ClusterNetworkPolicy sends Admin 0",
            "ClusterNetworkPolicy sends-end-2 Baseline 0",
            "NetworkPolicy guests/quiet",
            "NetworkPolicy office/quiet",
            "NetworkPolicy shop/quiet",
        ]
    );
    // Only in the namespaces that are there.
    assert!(is_snapshot(&turned));
    assert_eq!(turned.objects[0]["spec"]["egress"][0]["to"], json!([{"networks": ["10.244.0.0/17"]}]));
    assert!(!may(&old, &turned, Ingress, "office/web", "203.0.113.1", 80));
    let sends = |peer| may(&old, &turned, Egress, "office/job", peer, 80);
    assert!(sends("shop/db") && !sends("203.0.113.1") && !sends("192.168.1.1"));
}

/// The same denial at each place beside a NetworkPolicy that allows.
#[test]
fn a_policy_keeps_its_place_beside_network_policies() {
    let denied = |order: Value, namespaces: &[&str]| {
        let rule = json!({"action": "Deny", "source": {"selector": "app == 'web'"}});
        let old = CalicoObjects {
            policies: vec![global(
                "p",
                json!({"order": order, "selector": "role == 'db'", "ingress": [rule]}),
            )],
            kubernetes: namespaces.iter().map(|name| network_policy(name, "db", 80)).collect(),
            ..CalicoObjects::default()
        };
        let turned = same(&old);
        (!may(&old, &turned, Ingress, "shop/db", "office/web", 80), left(&turned))
    };
    let nothing: Vec<String> = Vec::new();
    assert_eq!(denied(json!(999), &["shop"]), (true, nothing.clone()));
    assert_eq!(denied(json!(1000), &["shop"]), (true, nothing.clone()));
    assert_eq!(denied(json!(1001), &["shop"]), (false, nothing));
    assert_eq!(
        denied(json!(1000), &["absent", "shop"]),
        (false, vec!["p spec.ingress[0].action".to_owned()])
    );
}

#[test]
fn what_is_allowed_after_a_denial_keeps_its_place_or_is_refused() {
    let from = |action: &str, selector: &str| json!({"action": action, "source": {"selector": selector}});
    let old = |order: Value, rules: Value, kubernetes: Vec<Value>| CalicoObjects {
        policies: vec![policy(
            Some("shop"),
            "p",
            json!({"order": order, "selector": "role == 'db'", "ingress": rules}),
        )],
        kubernetes,
        ..CalicoObjects::default()
    };
    let beside = || vec![network_policy("shop", "db", 80)];
    let rules = || json!([from("Deny", "app == 'web'"), {"action": "Allow", "protocol": "TCP"}]);
    let before = same(&old(json!(1), rules(), beside()));
    assert_eq!(object_lines(&before), ["ClusterNetworkPolicy p Admin 0", "NetworkPolicy shop/p"]);
    assert!(left(&before).is_empty() && !is_snapshot(&before));
    assert_eq!(left(&same(&old(json!(2000), rules(), beside()))), ["p spec.ingress[1]"]);
    let after = same(&old(json!(2000), rules(), Vec::new()));
    assert!(left(&after).is_empty() && is_snapshot(&after));
    // A denial of senders outside cannot be said.
    let outside = || json!([{"action": "Deny", "source": {"nets": ["203.0.113.0/24"]}}, {"action": "Allow", "protocol": "TCP"}]);
    assert_eq!(left(&same(&old(json!(1), outside(), Vec::new()))), ["p spec.ingress[0].source"]);
    assert_eq!(left(&same(&old(json!(2000), outside(), Vec::new()))), ["p spec.ingress[1]"]);
    // What comes before a denial stands before it.
    let first =
        json!([from("Allow", "env == 'prod'"), from("Deny", "app == 'web'"), from("Allow", "has(app)")]);
    let turned = same(&old(json!(1), first, beside()));
    let actions: Vec<_> = turned.objects[0]["spec"]["ingress"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|rule| &rule["action"])
        .collect();
    assert_eq!(actions, ["Accept", "Deny"]);
    assert_eq!(rules_of(&turned, "NetworkPolicy"), 1);
}

fn rules_of(turned: &ConversionResult, kind: &str) -> usize {
    let own: Vec<Value> = turned.objects.iter().filter(|object| object["kind"] == kind).cloned().collect();
    rules(&own)
}

#[test]
fn tiers_before_the_default_one_end_for_what_pods_send() {
    let to = |action: &str| json!({"action": action, "destination": {"selector": "app == 'db'"}});
    let old = |spec: Value| {
        let mut spec = spec;
        spec["tier"] = json!("security");
        let rest = global("rest", json!({"egress": [{"action": "Allow"}], "ingress": [{"action": "Allow"}]}));
        CalicoObjects {
            tiers: vec![tier("security", 10)],
            policies: vec![global("security.p", spec), rest],
            ..CalicoObjects::default()
        }
    };
    let sends = old(json!({"selector": "app == 'job'", "egress": [to("Allow")]}));
    let turned = same(&sends);
    assert_eq!(left(&turned), [""; 0]);
    let may = |peer| may(&sends, &turned, Egress, "office/job", peer, 80);
    assert!(may("shop/db") && !may("shop/web") && !may("203.0.113.1"));
    let names = object_lines(&turned);
    assert_eq!(
        names[..4],
        [
            "ClusterNetworkPolicy p Admin 0",
            "ClusterNetworkPolicy p-end-2 Admin 1",
            "ClusterNetworkPolicy rest Admin 2",
            "ClusterNetworkPolicy rest-end-2 Baseline 0"
        ]
    );
    // Nothing that knows senders by their labels drops what comes from outside.
    let received = old(
        json!({"selector": "app == 'job'", "ingress": [{"action": "Allow", "source": {"selector": "app == 'web'"}}]}),
    );
    assert_eq!(left(&same(&received)), ["security.p spec.tier"]);
    let passes = old(
        json!({"ingress": [{"action": "Deny", "source": {"selector": "app == 'web'"}}, {"action": "Pass"}]}),
    );
    assert_eq!(left(&same(&passes)), [""; 0]);
    let mut late = sends.clone();
    late.tiers[0]["spec"]["order"] = json!(2_000_000);
    assert_eq!(left(&same(&late)), ["security.p spec.tier"]);
}

#[test]
fn lists_that_would_be_too_long_become_several() {
    let deny =
        |number: u32| json!({"action": "Deny", "destination": {"selector": format!("app == 'a{number}'")}});
    let nets: Vec<String> = (0..60).map(|number| format!("198.51.100.{number}/32")).collect();
    let mut all: Vec<Value> = (0..60).map(deny).collect();
    all.push(json!({"action": "Allow", "destination": {"nets": nets}}));
    all.push(json!({"action": "Deny", "destination": {"selector": "app == 'z'"}}));
    let ports: Vec<u16> = (1..60).step_by(2).collect();
    all.push(json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": ports}}));
    let old = CalicoObjects {
        policies: vec![global("p", json!({"order": 1, "egress": all}))],
        ..CalicoObjects::default()
    };
    let turned = same(&old);
    assert_eq!(left(&turned), [""; 0]);
    for object in &turned.objects {
        let rules = object["spec"]["egress"].as_array().expect("rules");
        assert!(rules.len() <= 25);
        for rule in rules {
            let count_of = |key: &str| rule[key].as_array().map_or(0, Vec::len);
            let networks = rule["to"]
                .as_array()
                .expect("peers")
                .iter()
                .map(|peer| peer["networks"].as_array().map_or(0, Vec::len));
            assert!(
                count_of("to") <= 25 && count_of("protocols") <= 25 && networks.max() <= Some(25),
                "{rule}"
            );
        }
    }
    // 60 denials, one rule for the ranges, one denial and two rules for the ports.
    assert_eq!(rules_of(&turned, "ClusterNetworkPolicy"), 64);
    let many = (0..1002).map(|number| {
        let rule = json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}});
        global(
            &format!("p{number:04}"),
            json!({"order": number, "selector": "app == 'web'", "egress": [rule]}),
        )
    });
    let turned = converted(&CalicoObjects { policies: many.collect(), ..CalicoObjects::default() });
    assert!(left(&turned).contains(&"p1001 spec.order".to_owned()), "{:?}", left(&turned));
    let highest =
        turned.objects.iter().map(|value| value["spec"]["priority"].as_u64().expect("a priority")).max();
    assert_eq!(highest, Some(1000));
}

#[test]
fn names_are_no_two_alike() {
    let rule = json!([{"action": "Deny", "source": {"selector": "app == 'web'"}}, {"action": "Pass"}]);
    let old = CalicoObjects {
        tiers: vec![tier("platform", 10), tier("security", 20)],
        policies: ["platform", "security"]
            .map(|name| global(&format!("{name}.web"), json!({"tier": name, "ingress": rule})))
            .to_vec(),
        ..CalicoObjects::default()
    };
    let lines = object_lines(&same(&old));
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.starts_with("ClusterNetworkPolicy web-")),
        "{lines:?}"
    );
    let mut beside = CalicoObjects {
        policies: vec![policy(
            Some("shop"),
            "k",
            json!({"ingress": [{"action": "Allow", "protocol": "TCP"}]}),
        )],
        kubernetes: vec![network_policy("shop", "db", 80)],
        ..CalicoObjects::default()
    };
    let taken = same(&beside).objects.remove(0);
    assert_ne!(taken["metadata"]["name"], "k", "that of a NetworkPolicy which is there");
    beside.kubernetes.clear();
    assert_eq!(same(&beside).objects[0]["metadata"]["name"], "k");
}
