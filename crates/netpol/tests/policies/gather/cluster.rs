//! The cluster of a snapshot.

use std::net::IpAddr;

use netpol::gather::cluster;
use netpol::world::{Cluster, Namespace, Pod, Port};
use serde_json::{Value, json};

use super::{snapshot, unread_lines};
use crate::town::{labels, range};

fn pod(name: &str, spec: &Value, status: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "shop", "labels": {"app": name}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
}

fn account(namespace: &str, name: &str, labels: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "secrets": [{"name": "token"}]})
}

fn read(objects: &[Value]) -> Cluster {
    let (cluster, unread) = cluster(&snapshot(objects), &[range("10.0.0.0/16")]);
    assert_eq!(unread_lines(&unread), [""; 0]);
    cluster
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

#[test]
fn pods_with_a_network_of_their_own_are_in_it() {
    let running = json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}]});
    let named = |name: &str, number: u16| json!({"name": name, "containerPort": number});
    let spec = json!({
        "serviceAccountName": "web",
        "containers": [
            {"name": "a", "ports": [named("http", 8080), {"containerPort": 9}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
            {"name": "b", "ports": [named("http", 8080), named("http", 8081)]},
        ],
        "initContainers": [
            {"name": "proxy", "restartPolicy": "Always", "ports": [named("metrics", 9090)]},
            {"name": "prepare", "ports": [named("never", 1)]},
        ],
    });
    let cluster = read(&[
        pod("web", &spec, &running),
        pod("pending", &json!({"containers": []}), &json!({"phase": "Pending"})),
        pod("host", &json!({"hostNetwork": true}), &running),
        pod("done", &json!({}), &json!({"phase": "Succeeded", "podIPs": [{"ip": "10.0.0.6"}]})),
        pod("failed", &json!({}), &json!({"phase": "Failed"})),
        account("shop", "web", &json!({"tier": "front"})),
        account("office", "default", &json!({"tier": "other"})),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}}),
    ]);
    let port = |protocol: u8, name: &str, number: u16| Port { protocol, name: name.into(), number };
    let web = Pod {
        namespace: "shop".into(),
        name: "web".into(),
        labels: labels(&[("app", "web")]),
        account: "web".into(),
        account_labels: labels(&[("tier", "front")]),
        addresses: addresses(&["10.0.0.5", "fd00::5"]),
        ports: vec![
            port(6, "http", 8080),
            port(6, "http", 8081),
            port(6, "metrics", 9090),
            port(17, "dns", 53),
        ],
        ..Pod::default()
    };
    // The labels of an account of this name in another namespace are not its own.
    let pending = Pod {
        namespace: "shop".into(),
        name: "pending".into(),
        labels: labels(&[("app", "pending")]),
        account: "default".into(),
        ..Pod::default()
    };
    assert_eq!(cluster.pods, [pending, web]);
    assert_eq!(cluster.namespaces, [Namespace { name: "shop".into(), labels: labels(&[("team", "a")]) }]);
    assert_eq!(cluster.pod_ranges, [range("10.0.0.0/16")]);
}

fn node(name: &str, rest: &Value) -> Value {
    let status = json!({"addresses": [{"type": "InternalIP", "address": "192.168.0.1"},
        {"type": "ExternalIP", "address": "203.0.113.9"}, {"type": "Hostname", "address": "n1"}]});
    let spec = json!({"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.1.0/24", "fd00:1::/64"]});
    let metadata = json!({"name": name, "annotations": rest});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status})
}

#[test]
fn a_node_has_the_addresses_of_its_tunnels() {
    let own = ["192.168.0.1", "203.0.113.9"];
    for (annotations, more) in [
        (json!({}), &[][..]),
        (
            json!({"projectcalico.org/IPv4Address": "192.168.7.1/24", "projectcalico.org/IPv4VXLANTunnelAddr": "10.0.9.1",
                "projectcalico.org/IPv6VXLANTunnelAddr": "fd00:9::1", "projectcalico.org/IPv4IPIPTunnelAddr": ""}),
            &["192.168.7.1", "10.0.9.1", "fd00:9::1"],
        ),
        (
            json!({"node.antrea.io/mac-address": "aa:bb", "node.antrea.io/transport-addresses": "192.168.7.1,fd02::1"}),
            &["192.168.7.1", "fd02::1", "10.0.1.1", "fd00:1::1"],
        ),
        (
            json!({"flannel.alpha.coreos.com/backend-type": "vxlan", "flannel.alpha.coreos.com/public-ip": "192.168.0.1"}),
            &["10.0.1.0", "fd00:1::"],
        ),
        (json!({"flannel.alpha.coreos.com/backend-type": "host-gw"}), &[]),
    ] {
        let cluster = read(&[node("n1", &annotations)]);
        let mut expected = addresses(&[&own, more].concat());
        expected.sort_unstable();
        assert_eq!(cluster.nodes[0].addresses, expected, "{annotations}");
    }
    let addresses_of_cilium =
        json!([{"type": "InternalIP", "ip": "192.168.0.1"}, {"type": "CiliumInternalIP", "ip": "10.0.1.7"}]);
    let cilium = |name: &str| json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": name}, "spec": {"addresses": addresses_of_cilium}});
    let cluster = read(&[node("n1", &json!({})), node("n2", &json!({})), cilium("n1")]);
    let all: Vec<usize> = cluster.nodes.iter().map(|node| node.addresses.len()).collect();
    assert_eq!((all, &cluster.nodes[0].addresses[0]), (vec![3, 2], &addresses(&["10.0.1.7"])[0]));
}

#[test]
fn an_address_of_a_node_that_is_none_is_told_and_the_others_count() {
    let wrong = node("n1", &json!({"projectcalico.org/IPv4VXLANTunnelAddr": "10.0.9"}));
    let (gathered, unread) = cluster(&snapshot(&[wrong]), &[]);
    assert_eq!(gathered.nodes[0].addresses, addresses(&["192.168.0.1", "203.0.113.9"]));
    assert_eq!(unread_lines(&unread), ["Node n1: \"10.0.9\" is no address: invalid IP address syntax"]);
}
