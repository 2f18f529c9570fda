//! Examples of Antrea's documentation with the verdicts that it gives in words, in the names of this town.

use netpol::engines::antrea::{enforcement, mentions};
use netpol::tier::Direction::{self, Egress, Ingress};
use serde_json::{Value, json};

use super::{AntreaObjects, policy};
use crate::town::{Question, town};

/// Whether a pod may receive this from, or send it to, a party with this name or address.
fn may(
    written: &AntreaObjects,
    direction: Direction,
    pod: &str,
    peer: &str,
    protocol: u8,
    port: u16,
) -> bool {
    let question = Question { direction, pod, peer, protocol, port };
    let answer = written.read(|input| {
        question.ask(&town(), &mentions(input).expect("selectors"), |world| {
            enforcement(input, world).expect("tiers")
        })
    });
    answer.expect("what the API accepts")
}

/// *Source*: "ACNP with stand alone selectors": two entries of `appliedTo`, two of `from`, and one range of ports and one port.
#[test]
fn the_first_example_of_the_documentation() {
    let written = AntreaObjects {
        policies: vec![policy(
            None,
            json!({
                "priority": 5,
                "tier": "securityops",
                "appliedTo": [{"podSelector": {"matchLabels": {"role": "db"}}}, {"namespaceSelector": {"matchLabels": {"team": "b"}}}],
                "ingress": [
                    {"action": "Allow", "name": "AllowFromFrontend", "enableLogging": false,
                        "from": [{"podSelector": {"matchLabels": {"role": "frontend"}}},
                            {"podSelector": {"matchLabels": {"app": "job"}}, "namespaceSelector": {"matchLabels": {"team": "b"}}}],
                        "ports": [{"protocol": "TCP", "port": 8080, "endPort": 9000}, {"protocol": "TCP", "port": 6379}]},
                    {"action": "Drop"}
                ],
                "egress": [{"action": "Drop", "to": [{"ipBlock": {"cidr": "10.0.10.0/24"}}], "ports": [{"protocol": "TCP", "port": 5978}]}]
            }),
        )],
        ..AntreaObjects::default()
    };
    let receives = |to: &str, from: &str, port: u16| may(&written, Ingress, to, from, 6, port);
    for to in ["shop/db", "office/web"] {
        assert!(
            receives(to, "guests/db", 8080) && receives(to, "shop/web", 9000),
            "role=frontend in any namespace"
        );
        assert!(receives(to, "office/job", 6379) && !receives(to, "office/job", 9001));
        assert!(!receives(to, "guests/bare", 6379));
    }
    assert!(receives("shop/web", "guests/bare", 6379), "a pod that it is not applied to");
    assert!(!may(&written, Egress, "shop/db", "10.0.10.0", 6, 5978));
    assert!(may(&written, Egress, "shop/db", "10.0.10.0", 6, 80), "there is no isolation by being selected");
}

/// *Source*: "ACNP for default Namespace isolation": in the baseline tier, so that a NetworkPolicy of Kubernetes can lift it.
#[test]
fn namespaces_are_apart_by_default() {
    let isolation = policy(
        None,
        json!({
            "priority": 2,
            "tier": "baseline",
            "appliedTo": [{"namespaceSelector": {}}],
            "ingress": [
                {"action": "Allow", "from": [{"namespaces": {"match": "Self"}}]},
                {"action": "Drop", "from": [{"namespaceSelector": {}}]}
            ]
        }),
    );
    let mut written = AntreaObjects { policies: vec![isolation], ..AntreaObjects::default() };
    let receives = |written: &AntreaObjects, from: &str| may(written, Ingress, "shop/db", from, 6, 80);
    assert!(receives(&written, "shop/web") && !receives(&written, "office/web"));
    assert!(receives(&written, "203.0.113.1"), "selectors of namespaces are about pods");
    let lifted = json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}]}]});
    written.kubernetes = vec![policy(Some("shop"), lifted)];
    assert!(receives(&written, "office/web"), "the developer's policy comes before the baseline tier");
    assert!(!receives(&written, "shop/web"), "and the baseline tier cannot undo that it isolates");
}

/// *Source*: "Rule enforcement based on priorities": ir3.1 > ir3.2 > ir1.1 > ir1.2 > ir2.1 > ir2.2.
#[test]
fn the_order_of_tiers_policies_and_rules() {
    let port = |port: u16| json!([{"protocol": "TCP", "port": port}]);
    let made = |namespace: Option<&str>, tier: &str, priority: f64, actions: [(&str, u16); 2]| {
        let rules: Vec<Value> =
            actions.iter().map(|(action, to)| json!({"action": action, "ports": port(*to)})).collect();
        policy(
            namespace,
            json!({"tier": tier, "priority": priority, "appliedTo": [{"podSelector": {}}], "ingress": rules}),
        )
    };
    let written = AntreaObjects {
        policies: vec![
            made(None, "application", 10.0, [("Drop", 1), ("Allow", 2)]),
            made(Some("shop"), "application", 15.0, [("Drop", 2), ("Drop", 3)]),
            made(None, "emergency", 20.0, [("Allow", 1), ("Drop", 1)]),
        ],
        ..AntreaObjects::default()
    };
    let receives = |port: u16| may(&written, Ingress, "shop/web", "guests/bare", 6, port);
    assert_eq!([1, 2, 3, 4].map(receives), [true, true, false, true]);
}

/// *Source*: `RuleActionPass`: what passes is judged by the policies of Kubernetes, and no more by those of Antrea before them.
#[test]
fn pass_skips_all_tiers_before_kubernetes() {
    let made = |tier: &str, action: &str| {
        policy(
            None,
            json!({"tier": tier, "priority": 1, "appliedTo": [{"podSelector": {}}], "ingress": [{"action": action}]}),
        )
    };
    let isolates = policy(Some("shop"), json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}));
    let receives = |kubernetes: Vec<Value>, baseline: &str, port: u16| {
        let policies =
            vec![made("emergency", "Pass"), made("application", "Drop"), made("baseline", baseline)];
        let written = AntreaObjects { policies, kubernetes, ..AntreaObjects::default() };
        may(&written, Ingress, "shop/web", "guests/bare", 6, port)
    };
    assert!(receives(vec![], "Allow", 80), "the application tier is skipped");
    assert!(!receives(vec![], "Drop", 80), "the baseline tier is not");
    assert!(receives(vec![isolates.clone()], "Drop", 80));
    assert!(!receives(vec![isolates], "Allow", 81));
}
