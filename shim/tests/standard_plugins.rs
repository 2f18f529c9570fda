//! The route step between real plugins: `bridge` and `ptp` with `host-local` attach, CHECK and detach around it.

mod world;

use serde_json::{Value, json};
use shim::route::{Side, after_first, after_owner, undo};
<<<<<<< HEAD
use world::{Space, network::pod, privileged};

/// Where Debian's containernetworking-plugins puts them.
const PLUGINS: &str = "/usr/lib/cni";

/// A node with two networks, each of one standard plugin.
struct Node {
    space: Space,
    leases: String,
}

impl Node {
    fn new() -> Self {
        let space = Space::new("cfnode");
        for address in ["198.51.100.9/32", "2001:db8::9/128"] {
            space.ip(&format!("address add {address} dev lo"));
        }
        let leases = std::env::temp_dir().join(format!("{}-leases", space.name)).display().to_string();
        Self { space, leases }
    }

    /// The conf of network `n`, giving pods the defaults named in `routes`.
    fn conf(&self, plugin: &str, n: u8, routes: &[&str]) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": format!("net{n}"),
            "type": plugin,
            "bridge": format!("cni{n}"),
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": self.leases,
                "ranges": [[{"subnet": format!("10.{n}.0.0/24")}], [{"subnet": format!("fd00:{n}::/64")}]],
                "routes": routes.iter().map(|dst| json!({"dst": dst})).collect::<Vec<_>>(),
            }
        })
    }

    fn call(&self, verb: &str, pod: &Space, ifname: &str, conf: &Value) -> Output {
        let plugin = conf["type"].as_str().expect("a type");
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.space.name))
            .arg(format!("{PLUGINS}/{plugin}"))
            .envs([("CNI_COMMAND", verb), ("CNI_IFNAME", ifname), ("CNI_PATH", PLUGINS)])
            .env("CNI_CONTAINERID", &pod.name)
            .env("CNI_NETNS", pod.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a standard plugin");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(conf.to_string().as_bytes()).expect("write the conf");
        drop(stdin);
        child.wait_with_output().expect("a standard plugin's answer")
    }

    /// As [`Node::call`]; fails with the plugin's own words.
    fn must(&self, verb: &str, pod: &Space, ifname: &str, conf: &Value) -> Vec<u8> {
        let output = self.call(verb, pod, ifname, conf);
        assert!(output.status.success(), "{verb} {ifname}: {}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    }

    fn add(&self, pod: &Space, ifname: &str, conf: &Value) -> Value {
        let result = self.must("ADD", pod, ifname, conf);
        let mut with_result = conf.clone();
        with_result["prevResult"] = serde_json::from_slice(&result).expect("a CNI result");
        with_result
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Absent if the test failed before the first ADD.
        let _ = std::fs::remove_dir_all(&self.leases);
    }
}
=======
use world::network::pod;
use world::node::Node;
use world::privileged;
>>>>>>> w/route

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
    let first = Side { ifname: "eth0", cidrs: &first_cidrs };
    let owner = Side { ifname: "net1", cidrs: &owner_cidrs };

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

    undo(&pod.open(), "eth0", "net1").expect("undo");
    node.must("CHECK", &pod, "eth0", &first_conf);
    node.must("DEL", &pod, "net1", &owner_conf);
    node.must("CHECK", &pod, "eth0", &first_conf);
    node.must("DEL", &pod, "eth0", &first_conf);
    assert_eq!(pod.open().interface_names().expect("names"), ["lo"]);
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
