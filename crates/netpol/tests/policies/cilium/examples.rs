//! Examples of Cilium's documentation with the verdicts that it gives, in the names of this town.

use netpol::engines::cilium::{enforcement, mentions};
use netpol::tier::Direction::{self, Egress, Ingress};
use serde_json::{Value, json};

use super::{CiliumObjects, SETTINGS};
use crate::town::{Question, town};

/// Whether a pod may receive this from, or send it to, a party with this name or address.
fn may(
    written: &CiliumObjects,
    direction: Direction,
    pod: &str,
    peer: &str,
    protocol: u8,
    port: u16,
) -> bool {
    let question = Question { direction, pod, peer, protocol, port };
    let answer = written.read(SETTINGS, |input| {
        question.ask(&town(), &mentions(input).expect("selectors"), |world| {
            enforcement(input, world).expect("a tier")
        })
    });
    answer.expect("what the API accepts")
}

fn policies(namespace: Option<&str>, spec: Value) -> CiliumObjects {
    let mut policy = json!({"metadata": {"name": "p"}, "spec": spec});
    if let Some(namespace) = namespace {
        policy["metadata"]["namespace"] = json!(namespace);
    }
    CiliumObjects { policies: vec![policy], ..CiliumObjects::default() }
}

/// *Source*: "Deny Policies", the table: allow and deny policies of a server, and what becomes of a client's port 81, port 80 and ping.
#[test]
fn the_table_of_deny_policies() {
    let port = |port: &str| json!({"toPorts": [{"ports": [{"port": port, "protocol": "TCP"}]}]});
    let client = json!({"fromEndpoints": [{"matchLabels": {"app": "web"}}]});
    let all = [port("80"), port("81"), client.clone()];
    let (port, client) = (vec![port("80")], vec![client]);
    for (allow, deny, expected) in [
        (&all[..], vec![], [true, true, true]),
        (&all[..], port.clone(), [true, false, true]),
        (&all[..], client.clone(), [false; 3]),
        (&all[..], [port.clone(), client].concat(), [false; 3]),
        (&[][..], port, [false; 3]),
    ] {
        let spec = json!({"endpointSelector": {"matchLabels": {"app": "db"}}, "ingress": allow, "ingressDeny": deny});
        let written = policies(Some("shop"), spec);
        let receives =
            |protocol: u8, port: u16| may(&written, Ingress, "shop/db", "shop/web", protocol, port);
        let echo = 8 * 256;
        assert_eq!([receives(6, 81), receives(6, 80), receives(1, echo)], expected, "{allow:?} {deny:?}");
    }
}

/// *Source*: "Layer 3 Policies": "Simple Ingress Allow", "Ingress Allow All Endpoints" and "Ingress/Egress Default Deny".
#[test]
fn an_empty_selector_and_an_empty_rule() {
    for (rule, shop_web, office_web, outside) in [
        (json!({"fromEndpoints": [{"matchLabels": {"role": "frontend"}}]}), true, false, false),
        (json!({"fromEndpoints": [{}]}), true, false, false),
        (json!({"fromEndpoints": []}), false, false, false),
        (json!({}), false, false, false),
        (json!({"fromEntities": ["all"]}), true, true, true),
        (json!({"toPorts": [{"ports": [{"port": "80"}]}]}), true, true, true),
    ] {
        let spec = json!({"endpointSelector": {"matchLabels": {"role": "db"}}, "ingress": [rule]});
        let written = policies(Some("shop"), spec);
        let receives = |from: &str| may(&written, Ingress, "shop/db", from, 6, 80);
        assert_eq!(
            (receives("shop/web"), receives("office/web"), receives("203.0.113.1")),
            (shop_web, office_web, outside),
            "{rule}"
        );
        assert!(
            may(&written, Egress, "shop/db", "office/web", 6, 80),
            "the other direction is not restricted"
        );
    }
}

/// *Source*: "Using Kubernetes Constructs in Policy": "Expose pods across namespaces", and "Allow all ingress to kube-dns" of a policy of the cluster.
#[test]
fn selectors_in_a_namespace_and_in_the_cluster() {
    let across = json!({"endpointSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"fromEndpoints": [
        {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "office", "app": "web"}}]}]});
    let written = policies(Some("shop"), across);
    let receives = |written: &CiliumObjects, from: &str| may(written, Ingress, "shop/db", from, 17, 53);
    assert!(receives(&written, "office/web") && !receives(&written, "office/job"));
    assert!(!receives(&written, "shop/web"));
    let everywhere = json!({"endpointSelector": {"matchLabels": {"io.kubernetes.pod.namespace": "shop", "app": "db"}},
        "ingress": [{"fromEndpoints": [{}], "toPorts": [{"ports": [{"port": "53", "protocol": "UDP"}]}]}]});
    let written = policies(None, everywhere);
    assert!(receives(&written, "guests/bare") && receives(&written, "shop/web"));
    assert!(
        !receives(&written, "203.0.113.1") && !receives(&written, "192.168.1.1"),
        "managed endpoints alone"
    );
    assert!(may(&written, Ingress, "guests/db", "203.0.113.1", 17, 53), "app=db in another namespace");
}

/// *Source*: "CIDR based": ranges match no pods, and nodes only if Cilium is set so.
#[test]
fn ranges_are_for_those_outside() {
    let spec = json!({"endpointSelector": {}, "egress": [
        {"toCIDR": ["20.1.1.1/32"]}, {"toCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["10.96.0.0/12"]}, {"cidr": "192.168.0.0/16"}]}]});
    let written = policies(Some("shop"), spec);
    let sends = |to: &str| may(&written, Egress, "shop/web", to, 6, 80);
    assert!(sends("20.1.1.1") && sends("10.0.0.0") && !sends("10.96.0.0"));
    assert!(!sends("shop/db"), "10.244.2.2 is a pod's");
    assert!(!sends("192.168.1.1"), "a node");
    assert!(!sends("203.0.113.1"));
}

/// *Source*: "Endpoint default policy": rules with `enableDefaultDeny` disabled restrict nothing by themselves, and what they deny they deny.
#[test]
fn a_policy_without_default_deny() {
    let spec = json!({"endpointSelector": {}, "enableDefaultDeny": {"ingress": false},
        "ingress": [{"toPorts": [{"ports": [{"port": "53", "protocol": "UDP"}]}]}],
        "ingressDeny": [{"fromEntities": ["world"]}]});
    let mut written = policies(None, spec);
    let receives = |written: &CiliumObjects, from: &str, protocol: u8, port: u16| {
        may(written, Ingress, "shop/db", from, protocol, port)
    };
    assert!(receives(&written, "shop/web", 6, 80) && !receives(&written, "203.0.113.1", 17, 53));
    written.kubernetes =
        vec![json!({"metadata": {"name": "k", "namespace": "shop"}, "spec": {"podSelector": {}}})];
    assert!(!receives(&written, "shop/web", 6, 80), "another policy restricts");
    assert!(receives(&written, "shop/web", 17, 53), "and then counts what this one allows");
}

/// *Source*: cilium/cilium, issue 46949: a selector of nothing but negations selects nodes and everybody outside as well.
#[test]
fn negations_select_peers_without_labels() {
    let not =
        |key: &str| json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": ["guests"]}]});
    let rule = json!({"fromEndpoints": [not("io.kubernetes.pod.namespace")]});
    let cilium = policies(Some("shop"), json!({"endpointSelector": {}, "ingress": [rule]}));
    let spec = json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": not("team")}]}]});
    let kubernetes = CiliumObjects {
        kubernetes: vec![json!({"metadata": {"name": "k", "namespace": "shop"}, "spec": spec})],
        ..CiliumObjects::default()
    };
    for written in [&cilium, &kubernetes] {
        let receives = |from: &str| may(written, Ingress, "shop/db", from, 6, 80);
        assert!(receives("office/web") && receives("203.0.113.1") && receives("192.168.1.1"), "{written:?}");
    }
    assert!(!may(&cilium, Ingress, "shop/db", "guests/db", 6, 80));
}

/// *Source*: cilium/cilium, `Endpoint.GetNamedPort`: pods of this town have `dns` at one number, and `http` at two.
#[test]
fn a_name_of_a_port_is_the_receivers_or_the_clusters() {
    let named = |name: &str| json!([{"toPorts": [{"ports": [{"port": name, "protocol": "ANY"}]}]}]);
    for (name, protocol, port, receives, sends) in
        [("dns", 17, 53, true, true), ("http", 6, 8080, true, false), ("http", 6, 80, false, false)]
    {
        let written =
            policies(None, json!({"endpointSelector": {}, "ingress": named(name), "egress": named(name)}));
        let may =
            |direction: Direction, peer: &str| may(&written, direction, "shop/db", peer, protocol, port);
        assert_eq!(may(Ingress, "203.0.113.1"), receives, "{name} {port}");
        assert_eq!(may(Egress, "203.0.113.1"), sends, "{name} {port}: a sender without a container");
    }
}
