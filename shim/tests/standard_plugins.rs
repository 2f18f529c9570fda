//! The route step between real plugins: `bridge` and `ptp` with `host-local` attach, CHECK and detach around it.

mod namespaces;

use namespaces::network::pod;
use namespaces::node::Node;
use namespaces::steps::{after_first, after_owner};
use namespaces::{ample, privileged};
use serde_json::{Value, json};
use shim::attachment::route::{RouteSide, undo};

fn address(conf: &Value, position: usize) -> String {
    let cidr = conf["prevResult"]["ips"][position]["address"].as_str().expect("an address");
    cidr.split('/').next().expect("an address").to_owned()
}

fn check_holds(plugins: [&str; 2], owner_routes: &[&str]) {
    if !privileged() {
        return;
    }
    let (node, pod) = (Node::new(), pod());
    let cidrs = |n: u8| {
        [format!("10.{n}.0.0/16"), format!("fd00:{n}::/32")].map(|cidr| cidr.parse().expect("a CIDR"))
    };
    let (first_cidrs, owner_cidrs) = (cidrs(1), cidrs(2));
    let first = RouteSide { ifname: "eth0", cidrs: &first_cidrs };
    let owner = RouteSide { ifname: "net1", cidrs: &owner_cidrs };

    let first_conf = node.add(&pod, "eth0", &node.conf(plugins[0], 1, &["0.0.0.0/0", "::/0"]));
    after_first(&pod.open(), &first).expect("after the first");
    let owner_conf = node.add(&pod, "net1", &node.conf(plugins[1], 2, owner_routes));
    after_owner(&pod.open(), &first, &owner).expect("after the owner");

    for family in ["-4", "-6"] {
        assert_eq!(pod.defaults(family).len(), 1, "{}", pod.routing());
    }
    node.must("CHECK", &pod, "eth0", &first_conf);
    node.must("CHECK", &pod, "net1", &owner_conf);
    for conf in [&first_conf, &owner_conf] {
        for (position, outside, default) in [(0, "198.51.100.9", "0.0.0.0/0"), (1, "2001:db8::9", "::/0")] {
            let address = address(conf, position);
            node.space.pings(None, &address);
            // A network that leads nowhere else is asked nothing else.
            if conf["ipam"]["routes"]
                .as_array()
                .is_some_and(|routes| routes.contains(&json!({ "dst": default })))
            {
                node.space.pings(Some(outside), &address);
                pod.pings(Some(&address), outside);
            }
        }
    }

    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    node.must("CHECK", &pod, "eth0", &first_conf);
    node.must("DEL", &pod, "net1", &owner_conf);
    node.must("CHECK", &pod, "eth0", &first_conf);
    node.must("DEL", &pod, "eth0", &first_conf);
    assert_eq!(pod.open().interface_names(ample()).expect("names"), ["lo"]);
    for table in ["main", "1001", "1002"] {
        for family in ["-4", "-6"] {
            assert_eq!(pod.routes(family, table), [""; 0], "{family} {table}");
        }
    }
}

#[test]
fn bridge_first_and_ptp_as_owner_pass_their_checks() {
    check_holds(["bridge", "ptp"], &["0.0.0.0/0", "::/0"]);
}

#[test]
fn ptp_first_and_bridge_as_owner_pass_their_checks() {
    check_holds(["ptp", "bridge"], &["0.0.0.0/0", "::/0"]);
}

#[test]
fn two_bridges_pass_their_checks() {
    check_holds(["bridge", "bridge"], &["0.0.0.0/0", "::/0"]);
}

#[test]
fn an_owner_without_ipv6_default_leaves_both_checks_whole() {
    check_holds(["bridge", "ptp"], &["0.0.0.0/0"]);
}

#[test]
fn an_owner_without_defaults_leaves_both_checks_whole() {
    check_holds(["bridge", "bridge"], &[]);
    check_holds(["ptp", "ptp"], &[]);
}
