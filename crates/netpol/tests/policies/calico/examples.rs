//! Examples of Calico's documentation with the verdicts that it gives in words, in the names of this town.

use netpol::engines::calico::{enforcement, mentions};
use netpol::tier::Direction::{self, Egress, Ingress};
use serde_json::{Value, json};

use super::CalicoObjects;
use crate::town::{Question, town};

/// Whether a pod may receive this from, or send it to, a party with this name or address.
fn may(
    written: &CalicoObjects,
    direction: Direction,
    pod: &str,
    peer: &str,
    protocol: u8,
    port: u16,
) -> bool {
    let town = town();
    let question = Question { direction, pod, peer, protocol, port };
    let answer = written.read(&town, |input| {
        question.ask(&town, &mentions(input).expect("selectors"), |world| {
            enforcement(input, world).expect("tiers")
        })
    });
    answer.expect("what the API accepts")
}

fn global(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

fn namespaced(namespace: &str, name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn policies(policies: Vec<Value>) -> CalicoObjects {
    CalicoObjects { policies, ..CalicoObjects::default() }
}

/// *Source*: "Network policy", sample: frontend pods may reach port 6379 of database pods, and nothing else may.
#[test]
fn the_sample_of_the_resource() {
    let written = policies(vec![namespaced(
        "shop",
        "allow-tcp-6379",
        json!({
            "selector": "role == 'db'",
            "types": ["Ingress", "Egress"],
            "ingress": [{"action": "Allow", "metadata": {"annotations": {"from": "frontend"}}, "protocol": "TCP",
                "source": {"selector": "role == 'frontend'"}, "destination": {"ports": [6379]}}],
            "egress": [{"action": "Allow"}]
        }),
    )]);
    let receives = |from: &str, port: u16| may(&written, Ingress, "shop/db", from, 6, port);
    assert!(receives("shop/web", 6379) && !receives("shop/web", 6380) && !receives("shop/bare", 6379));
    assert!(!receives("guests/db", 6379), "role=frontend in another namespace");
    assert!(may(&written, Egress, "shop/db", "guests/bare", 17, 53), "all egress is allowed");
    assert!(may(&written, Ingress, "shop/web", "guests/bare", 6, 80), "a pod that no policy selects");
}

/// *Source*: "Enable a default deny policy for Kubernetes pods": a policy with types and without rules.
#[test]
fn types_without_rules_deny() {
    let written = policies(vec![global(
        "deny-app-policy",
        json!({
            "namespaceSelector": "kubernetes.io/metadata.name != 'office'",
            "types": ["Ingress", "Egress"],
            "egress": [{"action": "Allow", "protocol": "UDP", "destination": {"selector": "app == 'db'", "ports": [53]}}]
        }),
    )]);
    assert!(may(&written, Egress, "shop/web", "guests/db", 17, 53), "DNS, as in the guide");
    assert!(!may(&written, Egress, "shop/web", "guests/db", 6, 53));
    assert!(!may(&written, Ingress, "shop/web", "shop/db", 6, 80));
    assert!(may(&written, Ingress, "office/web", "shop/db", 6, 80), "the namespace that is left out");
}

/// *Source*: "Get started with policy tiers": the default action of a tier, and what Pass does.
#[test]
fn a_tier_denies_at_its_end_unless_a_rule_passes() {
    let tier = |action: Value| json!({"metadata": {"name": "security"}, "spec": {"order": 100, "defaultAction": action}});
    let pass = |rules: Value| {
        global(
            "security.pass",
            json!({"tier": "security", "selector": "app == 'web'", "types": ["Ingress"], "ingress": rules}),
        )
    };
    let allow = namespaced("shop", "allow", json!({"selector": "all()", "ingress": [{"action": "Allow"}]}));
    let receives = |action: &str, rules: Value, to: &str| {
        let written = CalicoObjects {
            tiers: vec![tier(json!(action))],
            policies: vec![pass(rules), allow.clone()],
            ..CalicoObjects::default()
        };
        may(&written, Ingress, to, "shop/db", 6, 80)
    };
    assert!(
        !receives("Deny", json!([]), "shop/web"),
        "the implicit deny of a tier comes before the next one"
    );
    assert!(receives("Deny", json!([]), "shop/bare"), "a pod of which the tier has no policy");
    assert!(receives("Pass", json!([]), "shop/web"));
    assert!(receives("Deny", json!([{"action": "Pass"}]), "shop/web"));
    assert!(!receives("Deny", json!([{"action": "Log"}]), "shop/web"), "Log decides nothing");
    assert!(
        receives("Deny", json!([{"action": "Pass"}]), "office/web"),
        "after the last tier the profile allows"
    );
}

/// *Source*: "Get started with Calico network policy", "Use namespace rules in policy" and "Use service accounts rules in policy".
#[test]
fn selectors_of_namespaces_and_accounts() {
    for (source, shop_web, office_web, office_job, outside) in [
        (json!({"namespaceSelector": "team == 'b'"}), false, true, true, false),
        (json!({"namespaceSelector": "team == 'b'", "selector": "app == 'web'"}), false, true, false, false),
        (json!({"selector": "app == 'web'"}), true, false, false, false),
        (json!({"serviceAccounts": {"names": ["web"]}}), true, false, false, false),
        (
            json!({"serviceAccounts": {"selector": "tier == 'web'"}, "namespaceSelector": "all()"}),
            true,
            true,
            false,
            false,
        ),
        (json!({"namespaceSelector": "global()"}), false, false, false, false),
        (json!({"nets": ["203.0.113.0/24"]}), false, false, false, true),
        (json!({}), true, true, true, true),
    ] {
        let spec = json!({"ingress": [{"action": "Allow", "source": source}]});
        let written = policies(vec![namespaced("shop", "p", spec)]);
        let receives = |from: &str| may(&written, Ingress, "shop/db", from, 6, 80);
        assert_eq!(
            (receives("shop/web"), receives("office/web"), receives("office/job"), receives("203.0.113.1")),
            (shop_web, office_web, office_job, outside),
            "{source}"
        );
    }
}

/// *Source*: "Use external IPs or networks rules in policy": a network set by its labels, in the policy of one namespace by `global()`.
#[test]
fn network_sets_are_selected_by_their_labels() {
    let spec = |namespaces: Value| {
        json!({"types": ["Egress"], "egress": [{"action": "Deny", "destination": {"selector": "role == 'bad'", "namespaceSelector": namespaces}},
            {"action": "Allow"}]})
    };
    for (policy, denied) in [
        (global("p", spec(json!(""))), true),
        (namespaced("shop", "p", spec(json!(""))), false),
        (namespaced("shop", "p", spec(json!("global()"))), true),
    ] {
        let set = json!({"metadata": {"name": "bad", "labels": {"role": "bad"}}, "spec": {"nets": ["198.51.100.0/28"]}});
        let written =
            CalicoObjects { policies: vec![policy.clone()], sets: vec![set], ..CalicoObjects::default() };
        assert_eq!(!may(&written, Egress, "shop/web", "198.51.100.0", 6, 443), denied, "{policy}");
        assert!(may(&written, Egress, "shop/web", "203.0.113.1", 6, 443), "beside the set");
    }
}

/// *Source*: "Kubernetes policy, advanced": policies of Kubernetes have the order 1000 in the default tier, and the tier ends with one deny for both.
#[test]
fn policies_of_kubernetes_stand_at_1000() {
    let isolated = json!({"metadata": {"name": "k", "namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}});
    let with = |order: Value, action: &str| {
        let spec =
            json!({"order": order, "types": ["Ingress"], "ingress": [{"action": action, "protocol": "TCP"}]});
        let written = CalicoObjects {
            policies: vec![global("p", spec)],
            kubernetes: vec![isolated.clone()],
            ..CalicoObjects::default()
        };
        let receives = |from: &str| may(&written, Ingress, "shop/db", from, 6, 80);
        (receives("shop/web"), receives("guests/bare"))
    };
    assert_eq!(with(json!(999), "Deny"), (false, false), "before them");
    assert_eq!(with(json!(1001), "Deny"), (true, false), "after them");
    assert_eq!(with(json!(1001), "Allow"), (true, true), "what they do not allow goes on to the next policy");
    assert_eq!(with(json!(null), "Deny"), (true, false), "without an order: last");
}

/// *Source*: "Network set": the policies of other namespaces find it by a selector of namespaces.
#[test]
fn a_network_set_has_the_labels_of_its_namespace() {
    let set = json!({"metadata": {"name": "bad", "namespace": "office", "labels": {"role": "bad"}}, "spec": {"nets": ["198.51.100.0/28"]}});
    for (source, allowed) in [
        (json!({"selector": "role == 'bad'"}), false),
        (json!({"selector": "role == 'bad'", "namespaceSelector": "team == 'b'"}), true),
        (json!({"selector": "role == 'bad'", "namespaceSelector": "team == 'a'"}), false),
        (json!({"namespaceSelector": "projectcalico.org/name == 'office'"}), true),
    ] {
        let spec = json!({"ingress": [{"action": "Allow", "source": source}]});
        let written = CalicoObjects {
            policies: vec![namespaced("shop", "p", spec)],
            sets: vec![set.clone()],
            ..CalicoObjects::default()
        };
        assert_eq!(may(&written, Ingress, "shop/db", "198.51.100.0", 6, 443), allowed, "{source}");
    }
}

/// *Source*: "Network policy", "Ports": a name is the port of the endpoint that has it, beside numbers and ranges, and what is left out is left out.
#[test]
fn ports_have_names() {
    for (ports, not_ports, expected) in [
        (json!(["http"]), json!([]), [false, true, false]),
        (json!(["http", "79:80", 81]), json!([]), [true, true, true]),
        (json!(["http", "absent"]), json!(["8080"]), [false, false, false]),
        (json!([]), json!(["http"]), [true, false, true]),
        (json!(["1:65535"]), json!(["http", 81]), [true, false, false]),
    ] {
        let to = json!({"ports": ports, "notPorts": not_ports});
        let rules = json!([{"action": "Allow", "protocol": "TCP", "destination": to}]);
        let written = policies(vec![global("p", json!({"ingress": rules, "egress": rules}))]);
        // The database has its `http` at 8080.
        let receives = |port: u16| may(&written, Ingress, "shop/db", "guests/bare", 6, port);
        assert_eq!([80, 8080, 81].map(receives), expected, "{to}");
        let sends = |port: u16| may(&written, Egress, "guests/bare", "shop/db", 6, port);
        assert_eq!([80, 8080, 81].map(sends), expected, "{to}");
    }
}
