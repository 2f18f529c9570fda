//! A small cluster as a person dumps it with kubectl, from the documents to packets.

use netpol::gather::{CLUSTER_KINDS, Engine, EnginePolicies, Policies, cluster};
use netpol::tier::Direction;
use netpol::traffic::TCP;
use serde_json::json;
use snapshot::Collector;
use snapshot::model::Kind;

use crate::gather::{names, unread_lines};
use crate::town::{Question, range};

/// What `kubectl get namespaces,nodes,pods,serviceaccounts,networkpolicies -A -o json` writes.
fn core() -> serde_json::Value {
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let pod = |namespace: &str, name: &str, app: &str, account: &str, address: &str| {
        let metadata =
            json!({"name": name, "namespace": namespace, "labels": {"app": app}, "managedFields": [{}]});
        let ports = json!([{"name": "http", "containerPort": 8080, "protocol": "TCP"}]);
        let spec = json!({"nodeName": "n1", "serviceAccount": account, "serviceAccountName": account,
            "restartPolicy": "Always", "containers": [{"name": "c", "image": "i", "ports": ports}]});
        let addresses = if address.is_empty() { json!([]) } else { json!([{"ip": address}]) };
        let status =
            json!({"phase": if address.is_empty() { "Pending" } else { "Running" }, "podIPs": addresses});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"tier": "front"}}, "secrets": [{"name": "web-token"}]});
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1", "annotations": {"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.0.1"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.1.1"}]}});
    let plain = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "db", "namespace": "shop", "uid": "4c9f4a0e-53c8-4f53-a6c5-2d2dbd0e2a11", "generation": 1},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "http"}]}]}});
    let items = json!([
        namespace("shop"),
        namespace("office"),
        node,
        account,
        pod("shop", "web-1", "web", "web", "10.244.1.2"),
        pod("shop", "db-1", "db", "default", "10.244.1.3"),
        pod("shop", "web-2", "web", "web", ""),
        pod("office", "job-1", "job", "default", "10.244.1.4"),
        plain
    ]);
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

/// What kubectl writes of Calico's resources where both groups are asked for.
fn calico() -> String {
    let spec = r#"{"tier": "default", "order": 10, "selector": "app == 'db'", "types": ["Ingress"],
        "ingress": [{"action": "Allow", "source": {"selector": "role == 'backup'"}},
            {"action": "Deny", "source": {"namespaceSelector": "projectcalico.org/name == 'office'"}},
            {"action": "Allow", "protocol": "TCP", "source": {"serviceAccounts": {"selector": "tier == 'front'"}}, "destination": {"ports": [9090]}}]}"#;
    let set = r#"{"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkSet", "metadata": {"name": "backup",
        "annotations": {"projectcalico.org/metadata": "{\"labels\":{\"role\":\"backup\"}}"}}, "spec": {"nets": ["198.51.100.7/32"]}}"#;
    let policy = |api: &str, name: &str, uid: &str| {
        format!(
            r#"{{"apiVersion": "{api}", "kind": "GlobalNetworkPolicy", "metadata": {{"name": "{name}", "uid": "{uid}", "generation": 3}}, "spec": {spec}}}"#
        )
    };
    let stored = policy("crd.projectcalico.org/v1", "default.db", "a1b2c3d4-e5f6-4711-8899-aabbccddeeff");
    let own = policy("projectcalico.org/v3", "db", "854dc32b-a76f-4788-8899-55dd33bb77ff");
    let tier = r#"{"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "default"}, "spec": {"order": 1000000, "defaultAction": "Deny"}}"#;
    let staged = r#"{"apiVersion": "projectcalico.org/v3", "kind": "StagedGlobalNetworkPolicy", "metadata": {"name": "later"},
        "spec": {"selector": "all()", "types": ["Ingress", "Egress"]}}"#;
    format!("{own}\n{stored}\n{tier}\n{set}\n{staged}\n")
}

#[test]
fn a_dump_says_what_its_policies_let_through() {
    let mut collector = Collector::new();
    for file in [calico(), core().to_string()] {
        snapshot::read(&mut collector, file.as_bytes()).expect("documents");
    }
    let snapshot = collector.finish(&[Kind::HOST_ENDPOINT]);
    assert!(CLUSTER_KINDS.iter().all(|kind| snapshot.knows(*kind)));
    assert!(!snapshot.knows(Kind::CALICO_NETWORK_POLICY), "not dumped");
    let (cluster, unread) = cluster(&snapshot, &[range("10.244.0.0/16")]);
    assert_eq!((unread_lines(&unread), cluster.pods.len(), cluster.nodes[0].addresses.len()), (vec![], 4, 2));
    let policies = Policies::gather(Engine::Calico, &snapshot);
    assert_eq!(unread_lines(&policies.unread), [""; 0]);
    assert_eq!(names(policies.staged_policies()), ["StagedGlobalNetworkPolicy later"]);
    let EnginePolicies::Calico(own) = &policies.engine_policies else { panic!("{policies:?}") };
    let rows: Vec<_> = own
        .policies
        .references
        .iter()
        .map(|reference| (&*reference.name, &*reference.uid, reference.generation))
        .collect();
    assert_eq!(rows, [("db", "854dc32b-a76f-4788-8899-55dd33bb77ff", 3)]);
    let mentions = policies.mentions().expect("selectors");
    for (peer, port, allowed) in [
        ("198.51.100.7", 1, true),
        ("office/job-1", 8080, false),
        ("shop/web-1", 9090, true),
        // The NetworkPolicy, by the name of a port; then what no policy allows.
        ("shop/web-1", 8080, true),
        ("shop/web-1", 1, false),
        ("192.168.1.1", 8080, false),
        ("10.244.0.1", 9090, false),
    ] {
        let question =
            Question { direction: Direction::Ingress, pod: "shop/db-1", peer, protocol: TCP, port };
        let expected = question.ask(&cluster, &mentions, |world| policies.enforcement(world).expect("tiers"));
        assert_eq!(expected, allowed, "{peer} {port}");
    }
}
