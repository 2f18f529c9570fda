//! The possessions of an attachment by its record: addresses, host interfaces, leases, and objects that only its network can remove.
//!
//! Confs and results are JSON of other programs. Keys match in any case, as in Go, and a value of an unexpected type counts as absent.

use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde_json::Value;
use types::json::raw::same_key;

use super::CleanupTarget;

/// The directory of host-local's leases, unless `ipam.dataDir` names another one.
const HOST_LOCAL_DIRECTORY: &str = "/var/lib/cni/networks";

/// The directories in which host-local keeps the leases of a network, by the network's conf (JSON); none where another program gives the
/// addresses.
#[must_use]
pub fn lease_directories(conf: &str) -> Vec<PathBuf> {
    let mut recorded = RecordedState::default();
    if let Ok(conf) = serde_json::from_str::<Value>(conf) {
        recorded.read_conf(&conf, "");
    }
    recorded.lease_directories
}

/// An interface of the result that is not in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostInterface {
    pub(super) name: String,
    pub(super) mac: Option<Vec<u8>>,
}

/// An object of a plugin that the local clean-up cannot remove.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PluginLeftover {
    /// The plugin, counted from 0 in the order of ADD.
    pub(super) plugin: usize,
    /// The object, as text.
    pub(super) what: String,
}

/// The parts of a record that the clean-up uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RecordedState {
    /// The name that the conf gives its network.
    pub(super) network: Option<String>,
    pub(super) addresses: Vec<IpNetwork>,
    pub(super) host_interfaces: Vec<HostInterface>,
    pub(super) lease_directories: Vec<PathBuf>,
    /// The objects of plugins that the local clean-up cannot remove.
    pub(super) stays_behind: Vec<PluginLeftover>,
    /// Parts of the record that could not be read.
    pub(super) unreadable: Vec<String>,
}

impl RecordedState {
    pub(super) fn read(attached: &CleanupTarget) -> Self {
        let mut recorded = Self::default();
        match attached.result.map(serde_json::from_slice::<Value>) {
            Some(Ok(result)) => recorded.read_result(&result),
            Some(Err(error)) => {
                recorded.unreadable.push(format!("interfaces and addresses: recorded result: {error}"))
            }
            None => {}
        }
        recorded.take_conf(attached.conf, attached.network);
        recorded
    }

    /// Reads a result alone.
    pub(super) fn from_result(result: &Value) -> Self {
        let mut recorded = Self::default();
        recorded.read_result(result);
        recorded
    }

    /// Reads a conf alone.
    pub(super) fn from_conf(conf: &[u8], network: &str) -> Self {
        let mut recorded = Self::default();
        recorded.take_conf(conf, network);
        recorded
    }

    fn take_conf(&mut self, conf: &[u8], network: &str) {
        match serde_json::from_slice::<Value>(conf) {
            Ok(conf) => self.read_conf(&conf, network),
            Err(error) => {
                let what = format!("plugin state: recorded conf: {error}");
                self.unreadable.push(what);
                self.add_lease_directory(Path::new(HOST_LOCAL_DIRECTORY), network);
            }
        }
    }

    fn read_result(&mut self, result: &Value) {
        let old = [field(result, "ip4"), field(result, "ip6")].map(|ip| ip.and_then(|ip| text(ip, "ip")));
        let new = list(result, "ips").iter().map(|ip| text(ip, "address"));
        self.addresses =
            old.into_iter().chain(new).flatten().filter_map(|address| address.parse().ok()).collect();
        self.host_interfaces = list(result, "interfaces")
            .iter()
            .filter(|interface| text(interface, "sandbox").is_none_or(str::is_empty))
            .filter_map(|interface| {
                let mac = text(interface, "mac").filter(|mac| !mac.is_empty());
                // An address that cannot be parsed must not count as absent.
                let mac = mac.map(|mac| parse_mac(mac).unwrap_or_default());
                Some(HostInterface { name: text(interface, "name")?.to_owned(), mac })
            })
            .collect();
    }

    fn read_conf(&mut self, conf: &Value, network: &str) {
        self.network = text(conf, "name").map(str::to_owned);
        let network = text(conf, "name").unwrap_or(network);
        let plugins = match field(conf, "plugins").and_then(Value::as_array) {
            Some(plugins) => plugins.as_slice(),
            None => std::slice::from_ref(conf),
        };
        for (index, plugin) in plugins.iter().enumerate() {
            let kind = text(plugin, "type").unwrap_or_default();
            let delegate = field(plugin, "delegate");
            let ipams = [Some(plugin), delegate].into_iter().flatten().filter_map(|conf| field(conf, "ipam"));
            for ipam in ipams {
                self.read_ipam(ipam, network, index);
            }
            if kind == "flannel" {
                // flannel writes the conf of a bridge with host-local for each pod.
                self.add_lease_directory(Path::new(HOST_LOCAL_DIRECTORY), network);
            }
            let masquerades = field(plugin, "ipMasq").and_then(Value::as_bool) == Some(true);
            let rules = masquerades.then(|| format!("masquerading rules of {kind} for the pod's addresses"));
            let remainders = rules.into_iter().chain(objects_kept_by(kind));
            self.stays_behind.extend(remainders.map(|what| PluginLeftover { plugin: index, what }));
        }
    }

    fn read_ipam(&mut self, ipam: &Value, network: &str, plugin: usize) {
        match text(ipam, "type") {
            Some("host-local") => {
                let directory = text(ipam, "dataDir").filter(|directory| !directory.is_empty());
                self.add_lease_directory(Path::new(directory.unwrap_or(HOST_LOCAL_DIRECTORY)), network);
            }
            // Addresses in the conf need no release.
            None | Some("" | "static") => {}
            Some(other) => {
                let what = format!("addresses that IPAM {other} holds for the pod");
                self.stays_behind.push(PluginLeftover { plugin, what });
            }
        }
    }

    /// Adds the network's directory of leases. A name that is not one plain component would lead elsewhere; the specification forbids it (section
    /// "Network configuration").
    fn add_lease_directory(&mut self, parent: &Path, network: &str) {
        let is_plain = !network.is_empty() && !network.contains('/') && ![".", ".."].contains(&network);
        let directory = parent.join(network);
        if is_plain && !self.lease_directories.contains(&directory) {
            self.lease_directories.push(directory);
        }
    }
}

/// The object that a plugin keeps outside of the pod's netns and that this clean-up does not remove.
fn objects_kept_by(kind: &str) -> Option<String> {
    match kind {
        "bridge" | "ptp" | "macvlan" | "ipvlan" | "vlan" | "loopback" | "static" | "sbr" | "vrf"
        | "host-local" => None,
        "flannel" => Some("the pod's conf in /var/lib/cni/flannel".to_owned()),
        "portmap" => Some("host port rules of portmap".to_owned()),
        "firewall" => Some("forwarding rules of firewall".to_owned()),
        "bandwidth" => Some("traffic shaping device of bandwidth".to_owned()),
        "tuning" => Some("saved settings of tuning".to_owned()),
        "host-device" => Some("the name that host-device gave the device".to_owned()),
        other => Some(format!("what {other} keeps about the pod (endpoint, address, network policy)")),
    }
}

fn field<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    let object = object.as_object()?;
    object.get(key).or_else(|| object.iter().find(|(name, _)| same_key(name, key)).map(|(_, value)| value))
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    field(object, key)?.as_str()
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    field(object, key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn parse_mac(text: &str) -> Option<Vec<u8>> {
    text.split([':', '-']).map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(conf: &Value, result: &Value) -> RecordedState {
        let (conf, result) = (conf.to_string(), result.to_string());
        RecordedState::read(&CleanupTarget {
            container_id: "c1",
            ifname: "eth0",
            network: "recorded",
            conf: conf.as_bytes(),
            result: Some(result.as_bytes()),
            netns: None,
            reached: super::super::DelReach::NoPlugin,
        })
    }

    fn directories(conf: &Value) -> Vec<String> {
        let recorded = read(conf, &json!({}));
        recorded.lease_directories.iter().map(|directory| directory.display().to_string()).collect()
    }

    #[test]
    fn leases_are_looked_for_where_each_plugin_keeps_them() {
        let host_local = json!({"type": "host-local", "dataDir": "/run/leases"});
        for (conf, expected) in [
            (json!({"name": "n", "type": "bridge", "ipam": host_local}), &["/run/leases/n"][..]),
            (json!({"type": "bridge", "ipam": host_local}), &["/run/leases/recorded"]),
            (
                json!({"name": "n", "plugins": [{"type": "ptp", "ipam": {"type": "host-local"}}]}),
                &["/var/lib/cni/networks/n"],
            ),
            (
                json!({"name": "n", "plugins": [{"type": "calico", "IPAM": {"Type": "host-local", "DataDir": ""}}]}),
                &["/var/lib/cni/networks/n"],
            ),
            (
                json!({"name": "n", "plugins": [{"type": "flannel", "delegate": {"ipam": host_local}}]}),
                &["/run/leases/n", "/var/lib/cni/networks/n"],
            ),
            (
                json!({"name": "n", "plugins": [{"ipam": host_local}, {"ipam": host_local}]}),
                &["/run/leases/n"],
            ),
            (json!({"name": "n", "plugins": [{"type": "x", "ipam": {"type": "dhcp"}}]}), &[]),
            (json!({"name": "../n", "type": "bridge", "ipam": host_local}), &[]),
            (json!({"name": "..", "type": "bridge", "ipam": host_local}), &[]),
            (json!({"name": "", "type": "bridge", "ipam": host_local}), &[]),
            (json!({"name": 7, "plugins": "none", "ipam": []}), &[]),
            (json!(null), &[]),
        ] {
            assert_eq!(directories(&conf), expected, "{conf}");
        }
    }

    #[test]
    fn the_leases_of_a_conf_are_those_of_host_local_alone() {
        let directories_of = |ipam: &str| {
            lease_directories(&format!(
                r#"{{"name": "n", "plugins": [{{"type": "bridge", "ipam": {ipam}}}]}}"#
            ))
        };
        assert_eq!(directories_of(r#"{"type": "host-local"}"#), [Path::new("/var/lib/cni/networks/n")]);
        assert_eq!(directories_of(r#"{"type": "host-local", "dataDir": "/d"}"#), [Path::new("/d/n")]);
        assert!(directories_of(r#"{"type": "calico-ipam"}"#).is_empty());
        assert!(lease_directories("{").is_empty());
    }

    #[test]
    fn addresses_and_host_interfaces_are_read_from_results_of_any_version() {
        let old = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.2/24"}, "ip6": {"ip": "fd00::2/64"}});
        assert_eq!(read(&json!({}), &old).addresses.len(), 2);
        let new = json!({
            "cniVersion": "0.4.0",
            "ips": [{"version": "4", "address": "10.1.0.2/24"}, {"address": 7}, {"address": "none"}],
            "interfaces": [
                {"name": "veth1", "mac": "02:00:00:00:00:01"},
                {"name": "br0", "mac": "", "sandbox": ""},
                {"name": "eth0", "sandbox": "/run/netns/p"},
                {"mac": "02:00:00:00:00:02"},
            ]
        });
        let recorded = read(&json!({}), &new);
        assert_eq!(recorded.addresses, ["10.1.0.2/24".parse::<IpNetwork>().expect("an address")]);
        let host = |name: &str, mac: Option<Vec<u8>>| HostInterface { name: name.to_owned(), mac };
        assert_eq!(
            recorded.host_interfaces,
            [host("veth1", Some(vec![2, 0, 0, 0, 0, 1])), host("br0", None)]
        );
    }

    #[test]
    fn what_only_the_network_could_undo_is_named() {
        for (plugin, expected) in [
            (json!({"type": "bridge", "ipam": {"type": "host-local"}}), &[][..]),
            (
                json!({"type": "bridge", "ipMasq": true}),
                &["masquerading rules of bridge for the pod's addresses"],
            ),
            (json!({"type": "portmap"}), &["host port rules of portmap"]),
            (
                json!({"type": "calico", "ipam": {"type": "calico-ipam"}}),
                &[
                    "addresses that IPAM calico-ipam holds for the pod",
                    "what calico keeps about the pod (endpoint, address, network policy)",
                ],
            ),
            (json!({"type": "macvlan", "ipam": {"type": "static"}}), &[]),
        ] {
            let conf = json!({"plugins": [{"type": "static"}, plugin]});
            let kept = read(&conf, &json!({})).stays_behind;
            assert!(kept.iter().all(|kept| kept.plugin == 1), "{kept:?}");
            let kept: Vec<String> = kept.into_iter().map(|kept| kept.what).collect();
            assert_eq!(kept, expected, "{plugin}");
        }
    }
}
