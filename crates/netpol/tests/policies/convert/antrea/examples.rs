//! Examples, with the objects and the verdicts that are to come of them.

use netpol::convert::report::Outcome;
use netpol::convert::writers::antrea::write;
use netpol::tier::Direction::{self, Egress, Ingress};
use serde_json::{Value, json};

use super::super::turned::{ConversionResult, left, network_policy, policy, tier, turned};
use super::{converted, read};
use crate::calico::CalicoObjects;
use crate::town::{Question, range, town};

/// Converts, and holds the result to what Calico did.
fn same(old: &CalicoObjects) -> ConversionResult {
    let turned = converted(old);
    assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    turned
}

/// What a pod may exchange with the other end by TCP, as Antrea decides.
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

/// Each object in a line: kind, name, tier and priority.
fn object_lines(turned: &ConversionResult) -> Vec<String> {
    let to_text = |object: &Value| {
        let spec = &object["spec"];
        let name = object["metadata"]["name"].as_str().expect("a name");
        let tier = spec["tier"].as_str().unwrap_or_default();
        format!("{} {name} {tier} {}", object["kind"].as_str().expect("a kind"), spec["priority"])
    };
    turned.objects.iter().map(to_text).collect()
}

fn global(name: &str, spec: Value) -> Value {
    policy(None, name, spec)
}

#[test]
fn the_end_of_every_tier_stays() {
    let web = json!({"tier": "security", "selector": "app == 'web'", "ingress": [{"action": "Allow", "source": {"selector": "role == 'db'"}}]});
    let old = CalicoObjects {
        tiers: vec![tier("security", 10), tier("late", 2_000_000)],
        policies: vec![
            global("security.web", web),
            policy(Some("shop"), "closed", json!({"selector": "role == 'db'", "types": ["Ingress"]})),
            global("silent", json!({"selector": "app == 'job'", "types": ["Egress"]})),
            global("late.bare", json!({"tier": "late", "selector": "!has(app)", "types": ["Egress"]})),
        ],
        ..CalicoObjects::default()
    };
    let turned = same(&old);
    assert_eq!(left(&turned), [""; 0]);
    let receives = |pod, peer| may(&old, &turned, Ingress, pod, peer, 80);
    assert!(!receives("shop/web", "guests/bare") && !receives("shop/web", "203.0.113.1"));
    assert!(receives("shop/web", "shop/db") && receives("guests/db", "203.0.113.1"));
    assert!(!receives("shop/db", "shop/web") && !receives("shop/db", "192.168.1.1"));
    let sends = |pod, peer| may(&old, &turned, Egress, pod, peer, 80);
    assert!(
        !sends("office/job", "203.0.113.1")
            && !sends("guests/bare", "shop/web")
            && sends("shop/web", "shop/db")
    );
    assert_eq!(
        object_lines(&turned),
        [
            "ClusterNetworkPolicy default-end-egress baseline 2",
            "ClusterNetworkPolicy default-end-ingress baseline 1",
            "ClusterNetworkPolicy late-end-egress baseline 3",
            "ClusterNetworkPolicy security-end-ingress security 2",
            "ClusterNetworkPolicy web security 1",
            "Tier security  222",
        ]
    );
}

/// The same denial at each place beside a NetworkPolicy that allows.
#[test]
fn a_policy_keeps_its_place_beside_network_policies() {
    let denied = |order: Value, namespaces: &[&str]| {
        let rule = json!({"action": "Deny", "protocol": "TCP", "destination": {"ports": [80]}});
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
    assert_eq!(denied(json!(1001), &["shop"]), (false, nothing.clone()));
    assert_eq!(denied(json!(null), &["shop"]), (false, nothing.clone()));
    // The names decide: default.p comes before shop/knp.default.k.
    assert_eq!(denied(json!(1000), &["shop"]), (true, nothing.clone()));
    // It is behind absent/knp.default.k, and between the two.
    assert_eq!(denied(json!(1000), &["absent"]), (true, nothing));
    assert_eq!(
        denied(json!(1000), &["absent", "shop"]),
        (false, vec!["p spec.ingress[0].action".to_owned()])
    );
}

#[test]
fn what_is_allowed_after_network_policies_stays_allowed() {
    let spec = |rules: Value| json!({"order": 2000, "selector": "role == 'db'", "ingress": rules});
    let port = |action: &str, port: u16| json!({"action": action, "protocol": "TCP", "destination": {"ports": [port]}});
    let from_web = json!({"action": "Deny", "source": {"selector": "app == 'web'"}});
    let old = |rules: Value, kubernetes: Vec<Value>| CalicoObjects {
        policies: vec![policy(Some("shop"), "p", spec(rules))],
        kubernetes,
        ..CalicoObjects::default()
    };
    let beside = || vec![network_policy("shop", "db", 80)];
    // Antrea evaluates nothing after a NetworkPolicy that selects the pod, so this one comes before it.
    let plain = old(json!([port("Allow", 443)]), beside());
    let turned = same(&plain);
    assert!(may(&plain, &turned, Ingress, "shop/db", "office/web", 443));
    assert_eq!(
        object_lines(&turned),
        [
            "ClusterNetworkPolicy default-end-ingress baseline 1",
            "NetworkPolicy p default 1",
            "Tier default  222"
        ]
    );
    // It cannot come before what denies some of the same packets.
    let tangled = old(json!([from_web, port("Allow", 443)]), beside());
    assert_eq!(left(&same(&tangled)), ["p spec.ingress[1]"]);
    let alone = old(json!([from_web, port("Allow", 443)]), Vec::new());
    let turned = same(&alone);
    assert_eq!(left(&turned), [""; 0]);
    assert!(turned.report.entries.iter().any(|entry| entry.outcome == Outcome::Snapshot));
    let receives = |peer| may(&alone, &turned, Ingress, "shop/db", peer, 443);
    assert!(!receives("shop/web") && receives("office/job"));
    // What has nothing in common with it can.
    let apart = old(json!([port("Deny", 80), port("Allow", 443)]), beside());
    assert_eq!(left(&same(&apart)), [""; 0]);
}

#[test]
fn pass_means_the_same_or_is_refused() {
    let from = |action: &str, selector: &str| json!({"action": action, "source": {"selector": selector}});
    let first = |rules: Value| global("security.p", json!({"tier": "security", "ingress": rules}));
    let open = || global("open", json!({"ingress": [from("Allow", "app == 'web'")]}));
    let old = |policies: Vec<Value>, kubernetes: Vec<Value>| CalicoObjects {
        tiers: vec![tier("security", 10)],
        policies,
        kubernetes,
        ..CalicoObjects::default()
    };
    // A tier that denies some packets and passes all others needs no Pass, and no end.
    let denies =
        old(vec![first(json!([from("Deny", "env == 'test'"), {"action": "Pass"}])), open()], Vec::new());
    let turned = same(&denies);
    assert_eq!(left(&turned), [""; 0]);
    let receives = |peer| may(&denies, &turned, Ingress, "shop/db", peer, 80);
    assert!(receives("office/web") && !receives("office/job") && !receives("203.0.113.1"));
    assert!(
        !object_lines(&turned).iter().any(|line| line.contains("security-end")),
        "{:?}",
        object_lines(&turned)
    );
    // Antrea's Pass would leave out the default tier, so what that decides stands before it.
    let chooses = old(vec![first(json!([from("Pass", "app == 'web'")])), open()], Vec::new());
    let turned = same(&chooses);
    assert_eq!(left(&turned), [""; 0]);
    let receives = |peer| may(&chooses, &turned, Ingress, "shop/db", peer, 80);
    assert!(receives("office/web") && !receives("office/job") && !receives("203.0.113.1"));
    // Two tiers on the way, of which the first has an end.
    let far = CalicoObjects {
        tiers: vec![tier("security", 10), tier("platform", 20)],
        policies: vec![
            first(json!([from("Pass", "app == 'web'")])),
            global(
                "platform.p",
                json!({"tier": "platform", "ingress": [from("Deny", "env == 'test'"), from("Pass", "app == 'web'")]}),
            ),
            open(),
        ],
        ..CalicoObjects::default()
    };
    let turned = same(&far);
    assert_eq!(left(&turned), [""; 0]);
    let receives = |peer| may(&far, &turned, Ingress, "shop/db", peer, 80);
    assert!(receives("office/web") && !receives("office/job"));
    // What a tier on the way neither decides nor passes, its end denies.
    let passes = json!({"action": "Pass", "protocol": "TCP", "source": {"selector": "app == 'web'"}, "destination": {"ports": [443]}});
    let platform = global("platform.p", json!({"tier": "platform", "ingress": [passes]}));
    let ends = CalicoObjects {
        policies: vec![first(json!([from("Pass", "app == 'web'")])), platform, open()],
        ..far.clone()
    };
    let turned = same(&ends);
    assert_eq!(left(&turned), [""; 0]);
    let receives = |port| may(&ends, &turned, Ingress, "shop/db", "office/web", port);
    assert!(receives(443) && !receives(80));
    // What number a port's name stands for is another matter in each pod.
    let rule = |action: &str, ports: Value| json!({"action": action, "protocol": "TCP", "destination": {"ports": ports}});
    let named = old(
        vec![
            first(json!([rule("Pass", json!(["http"]))])),
            global("open", json!({"ingress": [rule("Allow", json!([80]))]})),
        ],
        Vec::new(),
    );
    assert_eq!(left(&same(&named)), ["security.p spec.ingress[0].action"]);
    // Of a Pass in whose place not all can be said, nothing is written: the policies without it are the measure.
    let accounts = json!({"serviceAccounts": {"names": ["absent"]}});
    let half = old(
        vec![
            first(json!([from("Pass", "app == 'web'"), {"action": "Deny", "protocol": "SCTP"}])),
            global(
                "p",
                json!({"ingress": [{"action": "Allow", "protocol": "TCP", "source": accounts}, {"action": "Allow", "protocol": "UDP"}]}),
            ),
        ],
        Vec::new(),
    );
    assert_eq!(
        left(&same(&half)),
        ["security.p spec.ingress[0].action", "p spec.ingress[0].source.serviceAccounts"]
    );
    // There is none: NetworkPolicies decide.
    let beside = vec![network_policy("shop", "db", 80)];
    let hands_over = old(vec![first(json!([from("Pass", "app == 'web'")]))], beside);
    let turned = same(&hands_over);
    assert_eq!(left(&turned), [""; 0]);
    let receives = |peer, port| may(&hands_over, &turned, Ingress, "shop/db", peer, port);
    assert!(receives("office/web", 80) && !receives("office/web", 81) && !receives("office/job", 80));
    // After the last tier, packets are let through.
    let last = old(vec![global("open", json!({"ingress": [from("Pass", "app == 'web'")]}))], Vec::new());
    let turned = same(&last);
    assert_eq!(
        (left(&turned), turned.objects[1]["spec"]["ingress"][0]["action"].as_str()),
        (vec![], Some("Allow"))
    );
}

#[test]
fn names_are_legal_and_no_two_alike() {
    let rule = json!([{"action": "Allow", "protocol": "TCP"}]);
    let old = CalicoObjects {
        tiers: vec![tier("platform", 10), tier("security", 20)],
        policies: ["platform", "security"]
            .map(|name| global(&format!("{name}.web"), json!({"tier": name, "ingress": rule})))
            .to_vec(),
        ..CalicoObjects::default()
    };
    let lines = object_lines(&same(&old));
    let web: Vec<&String> = lines.iter().filter(|line| line.contains(" web-")).collect();
    assert!(web.len() == 2 && web[0] != web[1], "{lines:?}");
    assert!(
        lines.contains(&"Tier calico-platform  222".into()) && lines.contains(&"Tier security  224".into())
    );
    assert!(web.iter().any(|line| line.ends_with(" calico-platform 1")), "{lines:?}");
}

#[test]
fn what_antrea_has_no_room_for_is_said_otherwise_or_refused() {
    let rule = json!([{"action": "Deny", "protocol": "TCP"}, {"action": "Pass"}]);
    let names: Vec<String> = (10..40).map(|number| format!("t{number}")).collect();
    let old = CalicoObjects {
        tiers: names.iter().zip(10..).map(|(name, order)| tier(name, order)).collect(),
        policies: names
            .iter()
            .map(|name| global(&format!("{name}.p"), json!({"tier": name, "ingress": rule})))
            .collect(),
        ..CalicoObjects::default()
    };
    let turned = same(&old);
    assert_eq!(object_lines(&turned).iter().filter(|line| line.starts_with("Tier")).count(), 14);
    assert_eq!(left(&turned), [""; 0]);
    let pair = |port: u16| {
        let deny = json!({"action": "Deny", "source": {"selector": "app == 'web'"}, "protocol": "TCP", "destination": {"ports": [port]}});
        [deny, json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}})]
    };
    let rules = |count: u16| (1..=count).flat_map(pair).collect::<Vec<_>>();
    let after = |count| CalicoObjects {
        policies: vec![global("p", json!({"ingress": rules(count)}))],
        ..CalicoObjects::default()
    };
    assert_eq!(left(&same(&after(74))).len(), 0);
    assert_eq!(left(&same(&after(75))).len(), 75);
}

#[test]
fn messages_are_those_of_one_family() {
    let rules = |source: Value| {
        let rule =
            json!({"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}, "source": source});
        CalicoObjects {
            policies: vec![global("p", json!({"order": 1, "ingress": [rule]}))],
            ..CalicoObjects::default()
        }
    };
    let everybody = same(&rules(json!({})));
    let rule = &everybody.objects[1]["spec"]["ingress"][0];
    assert_eq!(rule["from"], json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}]));
    assert_eq!(rule["protocols"], json!([{"icmp": {"icmpType": 8, "icmpCode": 0}}]));
    let pods = rules(json!({"selector": "app == 'web'"}));
    assert_eq!(left(&same(&pods)), ["p spec.ingress[0].protocol"]);
    let mut town = town();
    town.pod_ranges = vec![range("10.244.0.0/16")];
    town.pods.iter_mut().for_each(|pod| pod.addresses.retain(|address| address.is_ipv4()));
    let turned = turned(&pods, &town, write, |objects| read(objects, &[]));
    assert!(turned.difference().is_none() && left(&turned).is_empty(), "{:?}", left(&turned));
}

#[test]
fn accounts_ports_and_ranges_are_said_as_every_release_says_them() {
    let account = json!({"action": "Allow", "source": {"serviceAccounts": {"names": ["web", "default"]}}});
    let ports = json!({"action": "Allow", "protocol": "UDP", "source": {"ports": ["1000:2000"]}, "destination": {"ports": [53, "0:9"]}});
    let range = json!({"action": "Deny", "source": {"nets": ["10.0.0.0/8"], "notNets": ["10.128.0.0/9"]}});
    let old = CalicoObjects {
        policies: vec![policy(Some("shop"), "p", json!({"order": 1, "ingress": [account, ports, range]}))],
        ..CalicoObjects::default()
    };
    let turned = same(&old);
    assert_eq!(left(&turned), [""; 0]);
    let object = &turned.objects[1];
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("ClusterNetworkPolicy"), &json!("p")));
    let rules = &object["spec"]["ingress"];
    let account = |name: &str| json!({"serviceAccount": {"name": name, "namespace": "shop"}});
    assert_eq!(rules[0]["from"], json!([account("web"), account("default")]));
    let from = |port: Value| {
        let mut port = port;
        port["protocol"] = json!("UDP");
        port["sourcePort"] = json!(1000);
        port["sourceEndPort"] = json!(2000);
        port
    };
    assert_eq!(rules[1]["ports"], json!([from(json!({"port": 1, "endPort": 9})), from(json!({"port": 53}))]));
    assert_eq!(rules[2]["from"], json!([{"ipBlock": {"cidr": "10.0.0.0/9"}}]));
}
