//! Host routes on real namespaces: an agent that follows the Pod's status takes a pod's address away, and the pod answers on it all the same.

mod namespaces;

use std::fs::File;
use std::net::IpAddr;
use std::path::PathBuf;

use namespaces::{Space, ample, privileged, unique};
use nix::sched::{CloneFlags, setns};
use shim::attachment::hostroute::{self, RoutedInterface};
use shim::attachment::pod_interfaces;
use shim::attachment::route::{Budget, PodView, RouteError};
use shim::call::version::{AddResult, Version};
use shim::node::layout::Layout;
use types::attachment::HostRoute;

/// A node whose pod has a Calico-like second network; the thread of the test is on the node.
struct Node {
    host: Space,
    pod: Space,
    dir: PathBuf,
    home: File,
}

type Ways = fn(&RoutedInterface<'_>, Budget<'_>) -> Result<Vec<HostRoute>, RouteError>;

fn all(routes: &[HostRoute]) -> Vec<&HostRoute> {
    routes.iter().collect()
}

const ADDRESSES: [&str; 2] = ["10.1.0.2", "fd00:1::2"];

impl Node {
    /// None where namespaces cannot be made.
    fn new() -> Option<Self> {
        if !privileged() {
            return None;
        }
        let home = File::open("/proc/thread-self/ns/net").expect("own netns");
        let (host, pod) = (Space::new("cfh"), Space::new("cfp"));
        host.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        host.ip("address add 169.254.1.1/32 dev lo");
        setns(File::open(host.path()).expect("host"), CloneFlags::CLONE_NEWNET).expect("enter the host");
        let dir = std::env::temp_dir().join(unique("cfhostroute"));
        std::fs::create_dir(&dir).expect("directory");
        let node = Self { host, pod, dir, home };
        node.attach("cali1", "net1");
        Some(node)
    }

    /// What the second network's plugin does, its agent's own routes left out.
    fn attach(&self, cali: &str, ifname: &str) {
        self.host.ip(&format!("link add {cali} type veth peer name {ifname} netns {}", self.pod.name));
        self.host.run(&format!("sysctl -qw net.ipv4.conf.{cali}.rp_filter=1"));
        self.host.ip(&format!("link set {cali} up"));
        self.host.ip(&format!("address add fe80::1/64 dev {cali} nodad"));
        self.pod.ip(&format!("link set {ifname} up"));
        let [v4, v6] = ADDRESSES;
        self.pod.ip(&format!("address add {v4}/32 dev {ifname}"));
        self.pod.ip(&format!("address add {v6}/128 dev {ifname} nodad"));
        self.pod.ip(&format!("route add 169.254.1.1 dev {ifname} scope link"));
        self.pod.ip(&format!("route add default via 169.254.1.1 dev {ifname}"));
        self.pod.ip(&format!("-6 route add default via fe80::1 dev {ifname}"));
    }

    /// What an agent does that believes the Pod's status: to it, the pod's addresses are another network's, and its own are unused.
    fn pass_of_agent(&self) {
        self.host.ip("route replace 10.9.0.2/32 dev cali1 scope link");
        self.host.ip("route replace blackhole 10.1.0.0/24");
        self.host.ip("-6 route replace blackhole fd00:1::/64");
        for address in ADDRESSES {
            namespaces::attempt(&format!("ip -n {} route delete {address} dev cali1", self.host.name));
        }
    }

    fn layout(&self) -> Layout {
        Layout { state_dir: self.dir.join("state"), run_dir: self.dir.join("run"), policy: None }
    }

    fn attached(
        &self,
        ifname: &str,
        names: &[&str],
        addresses: &[&str],
    ) -> Result<Vec<HostRoute>, RouteError> {
        self.ways(hostroute::to_second, ifname, names, addresses)
    }

    fn ways(
        &self,
        ways: Ways,
        ifname: &str,
        names: &[&str],
        addresses: &[&str],
    ) -> Result<Vec<HostRoute>, RouteError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect(text)).collect();
        let netns = self.pod.open();
        ways(&RoutedInterface { netns: &netns, ifname, names: &names, addresses: &addresses }, ample())
    }

    fn host_routes(&self) -> Vec<HostRoute> {
        self.attached("net1", &["cali1", "net1"], &ADDRESSES).expect("found")
    }

    fn answers(&self) -> [bool; 2] {
        ADDRESSES.map(|address| self.host.pings_once(None, address))
    }

    /// Rules and routes of ours, both families.
    fn ours(&self) -> Vec<String> {
        let mut all = Vec::new();
        for family in ["-4", "-6"] {
            let rules = self.host.ip(&format!("{family} rule show"));
            all.extend(rules.lines().filter(|line| line.contains("1003")).map(str::to_owned));
            all.extend(self.host.routes(family, "1003"));
        }
        all
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("return");
        // A directory of `unique` is in no other test's way.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_pod_answers_on_its_second_addresses_whatever_the_agent_does() {
    let Some(node) = Node::new() else { return };
    node.pass_of_agent();
    assert_eq!(node.answers(), [false, false], "the agent took them away");
    let route = node.host_routes();
    hostroute::set(&node.layout(), &all(&route), ample()).expect("set");
    for _pass in 0..2 {
        node.pass_of_agent();
        for address in ADDRESSES {
            node.host.pings(None, address);
            node.pod.pings(Some(address), if address.contains(':') { "fe80::1%net1" } else { "169.254.1.1" });
        }
    }
    assert!(hostroute::missing_routes(&all(&route), ample()).expect("looked").is_empty());
    assert_eq!(node.ours().len(), 4, "{:?}", node.ours());
    hostroute::set(&node.layout(), &all(&route), ample()).expect("twice is once");
    assert_eq!(node.ours().len(), 4);
    hostroute::remove(&node.layout(), &all(&route), ample()).expect("removed");
    assert!(node.ours().is_empty(), "{:?}", node.ours());
    assert_eq!(node.answers(), [false, false]);
    assert_eq!(hostroute::missing_routes(&all(&route), ample()).expect("looked").len(), 4);
    hostroute::remove(&node.layout(), &all(&route), ample()).expect("twice is once");
}

#[test]
fn what_others_have_in_the_same_numbers_stays() {
    let Some(node) = Node::new() else { return };
    node.host.ip("route add 10.77.0.0/24 dev cali1 table 1003");
    node.host.ip("rule add from 10.77.0.0/24 lookup 1003 priority 1003");
    node.host.ip("rule add to 10.1.0.2 lookup 1004 priority 1003");
    let before = node.ours();
    let route = node.host_routes();
    hostroute::set(&node.layout(), &all(&route), ample()).expect("set");
    hostroute::remove(&node.layout(), &all(&route), ample()).expect("removed");
    hostroute::converge(&node.layout(), ample()).expect("converged");
    assert_eq!(node.ours(), before);
}

#[test]
fn an_address_that_went_to_the_next_pod_keeps_the_next_ones_rule() {
    let Some(node) = Node::new() else { return };
    let earlier = node.host_routes();
    hostroute::set(&node.layout(), &all(&earlier), ample()).expect("set");
    node.pod.ip("link delete net1");
    node.attach("cali1", "net1");
    let later = node.host_routes();
    assert_ne!(earlier[0].index, later[0].index);
    hostroute::set(&node.layout(), &all(&later), ample()).expect("set");
    hostroute::remove(&node.layout(), &all(&earlier), ample()).expect("nothing of it is there");
    assert_eq!(node.ours().len(), 4, "{:?}", node.ours());
    node.pass_of_agent();
    ADDRESSES.iter().for_each(|address| node.host.pings(None, address));
}

#[test]
fn what_no_record_knows_goes() {
    let Some(node) = Node::new() else { return };
    let route = node.host_routes();
    hostroute::set(&node.layout(), &all(&route), ample()).expect("set");
    let output = hostroute::unconverged_routes(&[], &[], ample()).expect("looked");
    assert_eq!(output.len(), 4, "{output:?}");
    assert_eq!(node.ours().len(), 4, "to look changes nothing");
    hostroute::converge(&node.layout(), ample()).expect("converged");
    assert!(node.ours().is_empty(), "{:?}", node.ours());
}

#[test]
fn an_interface_that_is_no_end_of_the_pods_is_not_taken() {
    let Some(node) = Node::new() else { return };
    node.host.ip("link add cali2 type veth peer name other");
    for names in [&[][..], &["cali2"], &["nowhere", "lo"]] {
        let why =
            node.attached("net1", names, &ADDRESSES).expect_err("none of them is its other end").to_string();
        assert!(why.contains("host's end of net1") && why.contains("expected a veth pair"), "{why}");
    }
    assert!(node.attached("net9", &["cali1"], &ADDRESSES).is_err());
}

/// The agent routes the primary's addresses to its own interface; the node goes on as it did before.
#[test]
fn a_primary_is_reached_as_before_whatever_the_agent_does() {
    let Some(node) = Node::new() else { return };
    // One by a bridge's subnet, one by a next hop.
    node.host.ip("link add br0 type bridge");
    node.host.ip("address add 10.9.0.1/24 dev br0");
    node.host.ip("link set br0 up");
    node.host.ip("link add veth0 type veth peer name eth0 netns POD".replace("POD", &node.pod.name).as_str());
    node.host.ip("link set veth0 master br0 up");
    node.pod.ip("link set eth0 up");
    node.pod.ip("address add 10.9.0.2/24 dev eth0");
    node.host.ip("route add 10.8.0.0/24 via 10.9.0.77 dev br0");
    let addresses = ["10.9.0.2", "10.8.0.2", "10.7.0.2"];
    let ways =
        node.ways(hostroute::to_primary, "eth0", &["br0", "veth0", "eth0"], &addresses).expect("found");
    let output: Vec<_> =
        ways.iter().map(|way| (way.interface.as_str(), way.via.map(|hop| hop.to_string()))).collect();
    assert_eq!(output, [("br0", None), ("br0", Some("10.9.0.77".to_owned()))], "nothing leads to 10.7.0.2");
    hostroute::set(&node.layout(), &all(&ways), ample()).expect("set");
    node.pass_of_agent();
    node.host.ip("route replace 10.8.0.2/32 dev cali1 scope link");
    node.host.pings(None, "10.9.0.2");
    for (address, way) in [("10.9.0.2", "dev br0 "), ("10.8.0.2", "via 10.9.0.77 dev br0 ")] {
        let taken = node.host.ip(&format!("route get {address}"));
        assert!(taken.contains(way) && taken.contains("table 1003"), "{taken}");
    }
    assert!(hostroute::missing_routes(&all(&ways), ample()).expect("looked").is_empty());
    // What an agent had routed to a pod that is gone is no way to this one.
    node.host.ip("route replace 10.9.0.3/32 dev cali1 scope link");
    let why = node.ways(hostroute::to_primary, "eth0", &["br0"], &["10.9.0.3"]).expect_err("another's");
    assert!(why.to_string().contains("cali1"), "{why}");
    hostroute::remove(&node.layout(), &all(&ways), ample()).expect("removed");
    assert!(node.ours().is_empty(), "{:?}", node.ours());
}

#[test]
fn what_an_add_left_is_looked_up_and_missed_when_it_goes() {
    let Some(node) = Node::new() else { return };
    let text = br#"{"cniVersion": "1.0.0", "interfaces": [{"name": "cali1"}, {"name": "net1", "sandbox": "/x"}, {"name": "none", "sandbox": "/x"},
        {"name": "alternative", "sandbox": "/x"}, {"name": "longer-than-a-name-can-be", "sandbox": "/x"}, {"name": "", "sandbox": "/x"}],
        "ips": [{"address": "10.1.0.2/32"}, {"address": "fd00:1::2/128"}, {"address": "10.1.0.9/32"}]}"#;
    let result = AddResult::parse(text, Version::V100).expect("a result");
    node.pod.ip("link property add dev net1 altname alternative");
    let now = || {
        let netns = node.pod.open();
        let read = pod_interfaces::read(&netns, "net1", &result, ample()).expect("looked");
        let pod = PodView::look(&netns, ample()).expect("seen");
        assert_eq!(
            pod_interfaces::from_seen(&pod, "net1", &result),
            read,
            "whichever way the pod is looked at"
        );
        read
    };
    let recorded = now();
    assert_eq!(recorded.len(), 1, "what is not there is not recorded: {recorded:?}");
    assert_eq!(recorded[0].addresses, ADDRESSES.map(|text| text.parse::<IpAddr>().expect(text)));
    assert!(pod_interfaces::missing_interfaces(&recorded, &now()).is_empty());
    node.pod.ip("address delete 10.1.0.2/32 dev net1");
    assert_eq!(pod_interfaces::missing_interfaces(&recorded, &now()), ["address 10.1.0.2 of net1"]);
    node.pod.ip("link delete net1");
    assert_eq!(pod_interfaces::missing_interfaces(&recorded, &now()), ["interface net1"]);
}
