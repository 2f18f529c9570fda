//! Local cleaning of a retired attachment: what the real plugins made goes, everything else stays.

mod namespaces;

use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use namespaces::network::pod;
use namespaces::node::Node;
use namespaces::{Space, ample, privileged, unique, wait_until};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use shim::attachment::local_cleanup::{CleanupReport, CleanupTarget, DelReach, OtherClaims, clean};
use shim::host::netns::Netns;

/// A directory of leases without any plugin, gone with the test.
struct Leases {
    parent: PathBuf,
}

impl Leases {
    fn new() -> Self {
        let parent = std::env::temp_dir().join(unique("cfleases"));
        std::fs::create_dir_all(parent.join("oldnet")).expect("a lease directory");
        Self { parent }
    }

    fn put(&self, address: &str, text: &str) {
        std::fs::write(self.parent.join("oldnet").join(address), text).expect("a lease");
    }

    fn conf(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "oldnet",
            "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "dataDir": self.parent}}]
        })
    }

    fn held(&self) -> Vec<String> {
        files(&self.parent.join("oldnet"))
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.parent);
    }
}

/// Names in a directory, but for the lock.
fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
    names.sort();
    names
}

fn clean_record(
    container_id: &str,
    conf: &Value,
    result: Option<&Value>,
    netns: Option<&Netns>,
) -> CleanupReport {
    let conf = conf.to_string();
    let result = result.map(Value::to_string);
    let attached = CleanupTarget {
        container_id,
        ifname: "eth0",
        network: "oldnet",
        conf: conf.as_bytes(),
        result: result.as_ref().map(String::as_bytes),
        netns,
        reached: DelReach::NoPlugin,
    };
    clean(&attached, OtherClaims::default)
}

/// Leases are found in the order of their directory, which is any.
fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

fn networks(list: &[&str]) -> Vec<IpNetwork> {
    list.iter().map(|cidr| cidr.parse().expect("an address")).collect()
}

#[test]
fn what_bridge_and_host_local_made_for_the_pod_goes_and_only_that() {
    if !privileged() {
        return;
    }
    let (node, leaving, staying) = (Node::new(), pod(), pod());
    let conf = node.conf("bridge", 1, &["0.0.0.0/0", "::/0"]);
    let left = node.add(&leaving, "eth0", &conf);
    let stays = node.add(&staying, "eth0", &conf);
    let second = node.add(&leaving, "net1", &conf);
    let netns = leaving.open();
    let cleaned = node.inside(|| clean_record(&leaving.name, &conf, Some(&left["prevResult"]), Some(&netns)));

    let directory = node.leases.join("net1").display().to_string();
    assert_eq!(
        sorted(cleaned.removed),
        [
            "interface eth0 in the pod".to_owned(),
            format!("lease 10.1.0.2 in {directory}"),
            format!("lease fd00:1::2 in {directory}"),
        ]
    );
    assert_eq!(cleaned.leftovers, [""; 0]);
    assert_eq!(cleaned.addresses, networks(&["10.1.0.2/24", "fd00:1::2/64"]));

    let mut names = leaving.open().interface_names(ample()).expect("names");
    names.sort();
    assert_eq!(names, ["lo", "net1"]);
    let host = node.space.open().interface_names(ample()).expect("names");
    assert!(host.contains(&"cni1".to_owned()));
    assert_eq!(host.len(), 4, "lo, the bridge and the two ends that stay: {host:?}");
    node.must("CHECK", &staying, "eth0", &stays);
    node.must("CHECK", &leaving, "net1", &second);

    let again = node.inside(|| clean_record(&leaving.name, &conf, Some(&left["prevResult"]), Some(&netns)));
    assert_eq!(again.removed, [""; 0]);
    assert_eq!(again.leftovers, [""; 0]);
}

#[test]
fn a_host_end_goes_only_if_it_is_the_recorded_veth() {
    if !privileged() {
        return;
    }
    let (node, pod) = (Node::new(), pod());
    let elsewhere = Space::new("cfelse");
    for name in ["same", "other", "nomac"] {
        node.space.ip(&format!("link add {name} type veth peer name p{name} netns {}", elsewhere.name));
    }
    node.space.ip("link add br0 type bridge");
    node.space.ip("link set same address 02:00:00:00:00:0a");
    let conf = json!({"name": "oldnet", "type": "ptp"});
    let result = json!({"interfaces": [
        {"name": "same", "mac": "02:00:00:00:00:0A"},
        {"name": "other", "mac": "02:00:00:00:00:0b"},
        {"name": "other", "mac": "no address at all"},
        {"name": "br0", "sandbox": ""},
        {"name": "lo"},
        {"name": "nomac"},
        {"name": "absent"},
        {"name": "nomac", "sandbox": "/run/netns/x"},
    ]});
    let names = |node: &Node| {
        let mut names = node.space.open().interface_names(ample()).expect("names");
        names.sort();
        names
    };
    let cleaned = node.inside(|| clean_record("c1", &conf, Some(&result), None));
    assert_eq!(cleaned.removed, ["interface same on the host"]);
    assert_eq!(names(&node), ["br0", "lo", "nomac", "other"]);
    assert!(
        cleaned
            .leftovers
            .iter()
            .any(|left| left.starts_with("interface nomac on the host, if it is still there: "))
    );

    let netns = pod.open();
    let cleaned = node.inside(|| clean_record("c1", &conf, Some(&result), Some(&netns)));
    assert_eq!(cleaned.removed, ["interface nomac on the host"]);
    assert_eq!(names(&node), ["br0", "lo", "other"]);
    assert_eq!(cleaned.leftovers, [""; 0]);
}

#[test]
fn the_hosts_own_interface_is_never_taken_for_the_pods() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.space.ip("link add eth0 type veth peer name p0");
    let netns = node.space.open();
    let cleaned = node.inside(|| clean_record("c1", &json!({"type": "ptp"}), None, Some(&netns)));
    assert_eq!(cleaned.removed, [""; 0]);
    assert_eq!(cleaned.leftovers, ["interface eth0 in the pod: its netns is the host's own"]);
    assert!(node.space.open().interface_names(ample()).expect("names").contains(&"eth0".to_owned()));
}

#[test]
fn an_interface_that_cannot_be_removed_is_left_and_named() {
    if !privileged() {
        return;
    }
    let (node, pod) = (Node::new(), pod());
    let netns = pod.open();
    let cleaned = node.inside(|| {
        let attached = CleanupTarget {
            container_id: "c1",
            ifname: "lo",
            network: "oldnet",
            conf: br#"{"type":"ptp"}"#,
            result: None,
            netns: Some(&netns),
            reached: DelReach::NoPlugin,
        };
        clean(&attached, OtherClaims::default)
    });
    assert_eq!(cleaned.leftovers, ["interface lo in the pod: Operation not supported (os error 95)"]);
}

#[test]
fn leases_of_the_attachment_go_and_those_of_others_stay() {
    let leases = Leases::new();
    leases.put("10.1.0.2", "c1\r\neth0");
    leases.put("fd00:1::2", "c1\neth0\n");
    leases.put("10.1.0.3", "c1");
    leases.put("10.1.0.4", "c1\r\nnet1");
    leases.put("10.1.0.5", "c10\r\neth0");
    leases.put("10.1.0.6", "");
    leases.put("last_reserved_ip.0", "c1\r\neth0");
    let result = json!({"ips": [{"address": "10.1.0.2/24"}]});
    let cleaned = clean_record("c1", &leases.conf(), Some(&result), None);
    assert_eq!(leases.held(), ["10.1.0.4", "10.1.0.5", "10.1.0.6", "last_reserved_ip.0"]);
    assert_eq!(cleaned.removed.len(), 3);
    assert_eq!(sorted(cleaned.addresses), networks(&["10.1.0.2/24", "10.1.0.3/32", "fd00:1::2/128"]));
    assert_eq!(cleaned.leftovers, [""; 0]);
    assert_eq!(clean_record("c1", &leases.conf(), Some(&result), None).removed, [""; 0]);
    assert_eq!(clean_record("", &leases.conf(), None, None).removed, [""; 0]);
}

#[test]
fn a_lease_is_not_touched_while_host_local_holds_its_lock() {
    let leases = Leases::new();
    leases.put("10.1.0.2", "c1\r\neth0");
    let lock = std::fs::File::create(leases.parent.join("oldnet/lock")).expect("the lock file");
    let held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).expect("the lock");
    let cleaned = clean_record("c1", &leases.conf(), None, None);
    assert_eq!(leases.held(), ["10.1.0.2"]);
    assert_eq!(cleaned.removed, [""; 0]);
    let directory = leases.parent.join("oldnet").display().to_string();
    assert_eq!(cleaned.leftovers, [format!("leases in {directory}: locked by another process for 2 s")]);

    // It is waited for, and what was done under it is seen: one address is another pod's when the lock is free.
    leases.put("10.1.0.3", "c1\r\neth0");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| clean_record("c1", &leases.conf(), None, None));
        let parent = leases.parent.canonicalize().expect("the lease directory");
        let path = parent.join("oldnet/lock");
        wait_until("the lock is asked for", || openings(&path) == 2);
        leases.put("10.1.0.2", "c2\r\neth0");
        drop(held);
        let cleaned = waiting.join().expect("the waiting thread");
        assert_eq!(cleaned.removed, [format!("lease 10.1.0.3 in {directory}")]);
    });
    assert_eq!(leases.held(), ["10.1.0.2"]);
}

/// How often this process has a file open.
fn openings(path: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target == path).count()
}

#[test]
fn a_record_that_cannot_be_read_is_said_to_be_so() {
    let attached = CleanupTarget {
        container_id: "c1",
        ifname: "eth0",
        network: "oldnet",
        conf: b"{\"plugins\": [",
        result: Some(b"not JSON"),
        netns: None,
        reached: DelReach::NoPlugin,
    };
    let cleaned = clean(&attached, OtherClaims::default);
    assert_eq!(cleaned.removed, [""; 0]);
    assert_eq!(cleaned.leftovers.len(), 2, "{:?}", cleaned.leftovers);
    assert!(cleaned.leftovers[0].starts_with("interfaces and addresses: recorded result: "));
    assert!(cleaned.leftovers[1].starts_with("plugin state: recorded conf: "));
}

#[test]
fn without_a_data_directory_leases_are_where_host_local_puts_them() {
    if !privileged() {
        return;
    }
    let network = unique("cfnet");
    let leases = Leases { parent: Path::new("/var/lib/cni/networks").join(&network) };
    let directory = &leases.parent;
    std::fs::create_dir_all(directory).expect("the default directory");
    for plugin in [json!({"type": "bridge", "ipam": {"type": "host-local"}}), json!({"type": "flannel"})] {
        std::fs::write(directory.join("10.1.0.2"), "c1\r\neth0").expect("a lease");
        let conf = json!({"name": network, "plugins": [plugin]});
        let cleaned = clean_record("c1", &conf, None, None);
        let left_files = files(directory);
        assert_eq!(left_files, [""; 0], "{cleaned:?}");
    }
}
