//! The objects that bring agents to a cluster, as the API server takes them.
//!
//! | DaemonSet | network | nodes |
//! |---|---|---|
//! | `hub` | the node's | up to three: agents that also hand out targets and print reports |
//! | `host` | the node's | all others |
//! | `pod` | what the node gives its pods | all |
//! | `old`, `new` | one network, where a rule of the node's policy names these pods | two of each zone |

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use types::policy::Side;

use crate::placement::{Node, Placement};

/// The namespace of all these objects but itself.
pub const NAMESPACE: &str = types::policy::PROBE_NAMESPACE;
/// The name of what there is one of: the Service, the Secret, the ConfigMap and the NetworkPolicy.
pub const NAME: &str = "crossfade-probe";
/// The DaemonSets.
pub const DAEMON_SETS: [&str; 5] = [HUB, "host", "pod", "old", "new"];
/// The DaemonSet of the hubs, and the value of [`ROLE`] on their pods.
pub const HUB: &str = "hub";
/// The label of a pod that has the name of its DaemonSet.
pub const ROLE: &str = "crossfade-probe/role";
/// The label of pods on their node's network, which the Service selects: no run restarts them.
const HOST: &str = "crossfade-probe/host";
/// The label of all pods.
const APP: &str = "app.kubernetes.io/name";

/// Where agents find what a ConfigMap and a Secret have.
const ZONES: &str = "/etc/crossfade-probe";
/// The user of the agents, who owns nothing.
const USER: u32 = 65_521;

/// Settings of all agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents {
    pub image: String,
    /// A Secret of the namespace with the registry's credential.
    pub pull_secret: Option<String>,
    /// The first of three ports: agents answer here, hubs at the next one, and the one after that is what [`policy`] denies.
    pub port: u16,
    /// `old=CIDR,CIDR;new=CIDR`.
    pub networks: String,
    /// Cluster IPs of the cluster's DNS.
    pub dns: Vec<String>,
    /// They also ask what [`policy`] denies.
    pub asks_denied: bool,
}

/// A kind of object: the version of its API, its name, and its plural in paths.
type ObjectKind = (&'static str, &'static str, &'static str);

const DAEMON_SET: ObjectKind = ("apps/v1", "DaemonSet", "daemonsets");
const NETWORK_POLICY: ObjectKind = ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies");
const SERVICE: ObjectKind = ("v1", "Service", "services");
const CONFIG_MAP: ObjectKind = ("v1", "ConfigMap", "configmaps");
const SECRET: ObjectKind = ("v1", "Secret", "secrets");

/// An object and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The path of its collection.
    pub collection: String,
    pub name: String,
    pub object: Value,
}

impl Manifest {
    fn new((version, kind, plural): ObjectKind, name: &str, rest: Value) -> Self {
        let mut object = json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": { "name": name, "namespace": NAMESPACE, "labels": { APP: NAME } },
        });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        Self { collection: collection(version, plural), name: name.to_owned(), object }
    }

    /// The path of the object.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }
}

/// The path of the namespace's objects of a kind.
#[must_use]
pub fn collection(version: &str, plural: &str) -> String {
    let root = if version.contains('/') { "/apis" } else { "/api" };
    format!("{root}/{version}/namespaces/{NAMESPACE}/{plural}")
}

/// The paths of all objects, the agents first.
pub fn paths() -> impl Iterator<Item = String> {
    let sets = DAEMON_SETS.map(|name| (DAEMON_SET, name));
    let others = [NETWORK_POLICY, SERVICE, CONFIG_MAP, SECRET].map(|kind| (kind, NAME));
    let objects = sets.into_iter().chain(others);
    objects.map(|((version, _, plural), name)| format!("{}/{name}", collection(version, plural)))
}

/// The Service of the agents on their nodes' networks.
#[must_use]
pub fn service(port: u16) -> Manifest {
    let of_protocol =
        |protocol: &str| json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": port });
    let spec = json!({
        "selector": { APP: NAME, HOST: "true" },
        "ports": [of_protocol("UDP"), of_protocol("TCP")],
        "ipFamilyPolicy": "PreferDualStack",
    });
    Manifest::new(SERVICE, NAME, json!({ "spec": spec }))
}

/// The policy that lets every agent be asked at its port, and denies the third of the ports.
#[must_use]
pub fn policy(port: u16) -> Manifest {
    let spec = json!({
        "podSelector": { "matchLabels": { APP: NAME } },
        "policyTypes": ["Ingress"],
        "ingress": [{ "ports": [{ "protocol": "UDP", "port": port }, { "protocol": "TCP", "port": port }] }],
    });
    Manifest::new(NETWORK_POLICY, NAME, json!({ "spec": spec }))
}

/// The key that all agents share.
#[must_use]
pub fn secret(key: &str) -> Manifest {
    Manifest::new(SECRET, NAME, json!({ "stringData": { "key": key } }))
}

/// The zone of each node.
#[must_use]
pub fn zones(nodes: &[Node], placement: &Placement) -> Manifest {
    let zoned = nodes.iter().filter(|node| placement.has_agents(node) && !node.zone.is_empty());
    let lines: String = zoned.map(|node| format!("{}={}\n", node.name, node.zone)).collect();
    Manifest::new(CONFIG_MAP, NAME, json!({ "data": { "zones": lines } }))
}

/// The zones that [`zones`] wrote, by node.
#[must_use]
pub fn read_zones(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(node, zone)| (node.to_owned(), zone.to_owned())).collect()
}

/// The agents. `service` has the cluster IPs of [`service`].
#[must_use]
pub fn daemon_sets(agents: &Agents, placement: &Placement, service: &[String]) -> Vec<Manifest> {
    let Placement { hubs, sample, witnesses } = placement;
    let hub_names: Vec<&str> = hubs.iter().map(|hub| hub.name.as_str()).collect();
    let sampled = || sample.as_ref().map(|sample| sample.iter().map(String::as_str).collect::<Vec<_>>());
    let with_witness: Vec<&str> = witnesses.iter().map(String::as_str).collect();
    let beside_hubs = match sampled() {
        Some(names) => {
            within(&names.into_iter().filter(|name| !hub_names.contains(name)).collect::<Vec<_>>())
        }
        None => beside(&hub_names),
    };
    let place = |name: &str| match name {
        HUB => within(&hub_names),
        "host" => beside_hubs.clone(),
        "pod" => sampled().map_or(Value::Null, |names| within(&names)),
        _ => within(&with_witness),
    };
    let set = |name: &str| daemon_set(agents, name, hubs, service, &place(name));
    DAEMON_SETS.into_iter().map(set).collect()
}

/// Nodes by name: a field selector takes one of them.
fn within(names: &[&str]) -> Value {
    let terms: Vec<Value> = names
        .iter()
        .map(
            |name| json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [name] }] }),
        )
        .collect();
    required(&terms)
}

/// All nodes but these.
fn beside(names: &[&str]) -> Value {
    let fields: Vec<Value> = names
        .iter()
        .map(|name| json!({ "key": "metadata.name", "operator": "NotIn", "values": [name] }))
        .collect();
    required(&[json!({ "matchFields": fields })])
}

fn required(terms: &[Value]) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

fn daemon_set(agents: &Agents, name: &str, hubs: &[Node], service: &[String], affinity: &Value) -> Manifest {
    let is_hub = name == HUB;
    let is_host = is_hub || name == "host";
    let labels = json!({ APP: NAME, ROLE: name, HOST: is_host.to_string() });
    let field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let value = |name: &str, value: String| json!({ "name": name, "value": value });
    let port_after = |count: u16| agents.port.saturating_add(count);
    let hub_port = port_after(1);
    let hubs: Vec<String> = hubs
        .iter()
        .filter_map(|hub| hub.addresses.first())
        .map(|address| SocketAddr::new(*address, hub_port).to_string())
        .collect();
    let mut variables = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_IPS", "status.podIPs"),
        field("NODE_NAME", "spec.nodeName"),
        json!({
            "name": "CROSSFADE_PROBE_KEY",
            "valueFrom": { "secretKeyRef": { "name": NAME, "key": "key" } },
        }),
        value("CROSSFADE_PROBE_ROLE", if is_hub { "hub" } else { "agent" }.to_owned()),
        value("CROSSFADE_PROBE_HOST", is_host.to_string()),
        value("CROSSFADE_PROBE_HUBS", hubs.join(",")),
        value("CROSSFADE_PROBE_PORT", agents.port.to_string()),
        value("CROSSFADE_PROBE_HUB_PORT", hub_port.to_string()),
        value("CROSSFADE_PROBE_NETWORKS", agents.networks.clone()),
        value("CROSSFADE_PROBE_SERVICE", service.join(",")),
        value("CROSSFADE_PROBE_DNS", agents.dns.join(",")),
        value("CROSSFADE_PROBE_ZONES", format!("{ZONES}/zones")),
    ];
    if agents.asks_denied {
        variables.push(value("CROSSFADE_PROBE_DENIED_PORT", port_after(2).to_string()));
    }
    let container = json!({
        "name": "probe",
        "image": agents.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/crossfade-probe"],
        "env": variables,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
        "volumeMounts": [{ "name": "zones", "mountPath": ZONES, "readOnly": true }],
    });
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "hostNetwork": is_host,
        // Agents stay on nodes that are cordoned, tainted or in trouble: there they are needed.
        "tolerations": [{ "operator": "Exists" }],
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": [{ "name": "zones", "configMap": { "name": NAME } }],
        "nodeSelector": { "kubernetes.io/os": "linux" },
    });
    if !affinity.is_null() {
        pod["affinity"] = affinity.clone();
    }
    if let Some(secret) = &agents.pull_secret {
        pod["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    let spec = json!({
        "selector": { "matchLabels": { APP: NAME, ROLE: name } },
        // Other hubs or ranges concern all agents at once.
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "100%" } },
        "template": { "metadata": { "labels": labels }, "spec": pod },
    });
    Manifest::new(DAEMON_SET, name, json!({ "spec": spec }))
}

/// The ranges of both networks as agents read them.
#[must_use]
pub fn networks(old: &[String], new: &[String]) -> String {
    let part = |side: Side, ranges: &[String]| format!("{}={}", side.as_str(), ranges.join(","));
    let parts = [(Side::Old, old), (Side::New, new)];
    let present = parts.into_iter().filter(|(_, ranges)| !ranges.is_empty());
    present.map(|(side, ranges)| part(side, ranges)).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn agents(asks_denied: bool) -> Agents {
        Agents {
            image: "localhost/crossfade:0".to_owned(),
            pull_secret: None,
            port: 9797,
            networks: networks(&["10.244.0.0/16".to_owned()], &[]),
            dns: vec!["10.96.0.10".to_owned()],
            asks_denied,
        }
    }

    fn placement(sample: Option<&[&str]>) -> Placement {
        let hub = Node {
            name: "n1".to_owned(),
            zone: "a".to_owned(),
            addresses: vec!["fd00::1".parse().expect("an address")],
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        Placement { hubs: vec![hub], sample: sample.map(names), witnesses: names(&["n1", "n2"]) }
    }

    fn terms(set: &Manifest) -> Vec<Value> {
        let path = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        set.object.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    fn fields(set: &Manifest) -> Vec<String> {
        let all = terms(set).into_iter().flat_map(|term| term["matchFields"].as_array().cloned());
        all.flatten()
            .map(|field| format!("{} {}", field["operator"].as_str().unwrap_or_default(), field["values"][0]))
            .collect()
    }

    #[test]
    fn each_node_has_one_agent_on_its_own_network_and_one_in_a_pod() {
        let sets = daemon_sets(&agents(false), &placement(None), &["10.96.0.7".to_owned()]);
        let by_name: Vec<(&str, Vec<String>)> =
            sets.iter().map(|set| (set.name.as_str(), fields(set))).collect();
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let witnesses = text(&["In \"n1\"", "In \"n2\""]);
        let expected = [
            ("hub", text(&["In \"n1\""])),
            ("host", text(&["NotIn \"n1\""])),
            ("pod", Vec::new()),
            ("old", witnesses.clone()),
            ("new", witnesses),
        ];
        assert_eq!(by_name, expected);
        let sampled = daemon_sets(&agents(false), &placement(Some(&["n1", "n2", "n3"])), &[]);
        assert_eq!(fields(&sampled[1]), ["In \"n2\"", "In \"n3\""]);
        assert_eq!(fields(&sampled[2]).len(), 3);
        assert!(sets.iter().all(|set| set.object["spec"]["template"]["spec"]["hostNetwork"]
            == json!(["hub", "host"].contains(&set.name.as_str()))));
    }

    #[test]
    fn agents_find_hubs_networks_and_services_in_their_environment() {
        let variable = |asks_denied: bool, name: &str| {
            let sets = daemon_sets(&agents(asks_denied), &placement(None), &["10.96.0.7".to_owned()]);
            let all = sets[0].object["spec"]["template"]["spec"]["containers"][0]["env"].clone();
            let all = all.as_array().cloned().unwrap_or_default();
            all.into_iter()
                .find(|variable| variable["name"] == name)
                .map(|variable| variable["value"].clone())
        };
        for (name, value) in [
            ("CROSSFADE_PROBE_HUBS", "[fd00::1]:9798"),
            ("CROSSFADE_PROBE_NETWORKS", "old=10.244.0.0/16"),
            ("CROSSFADE_PROBE_SERVICE", "10.96.0.7"),
            ("CROSSFADE_PROBE_DNS", "10.96.0.10"),
        ] {
            assert_eq!(variable(false, name), Some(json!(value)), "{name}");
        }
        assert_eq!(variable(false, "CROSSFADE_PROBE_DENIED_PORT"), None);
        assert_eq!(variable(true, "CROSSFADE_PROBE_DENIED_PORT"), Some(json!("9799")));
    }

    #[test]
    fn zones_are_those_of_nodes_with_agents() {
        let node = |name: &str, zone: &str| Node {
            name: name.to_owned(),
            zone: zone.to_owned(),
            addresses: Vec::new(),
        };
        let nodes = [node("n1", "a"), node("n2", ""), node("n3", "b")];
        let lines =
            |sample| zones(&nodes, &placement(sample)).object["data"]["zones"].as_str().map(str::to_owned);
        assert_eq!(lines(None).as_deref(), Some("n1=a\nn3=b\n"));
        assert_eq!(lines(Some(&["n1", "n2"])).as_deref(), Some("n1=a\n"));
        let read = read_zones(&lines(None).unwrap_or_default());
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("n1", "a"), ("n3", "b")].map(|(node, zone)| (node.to_owned(), zone.to_owned()))
        );
    }

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(service(9797).path(), "/api/v1/namespaces/crossfade-probe/services/crossfade-probe");
        let policy = policy(9797);
        assert_eq!(
            policy.collection,
            "/apis/networking.k8s.io/v1/namespaces/crossfade-probe/networkpolicies"
        );
        let made = daemon_sets(&agents(true), &placement(None), &[]).into_iter().chain([
            super::policy(9797),
            service(9797),
            zones(&[], &placement(None)),
            secret(""),
        ]);
        assert_eq!(paths().collect::<Vec<_>>(), made.map(|manifest| manifest.path()).collect::<Vec<_>>());
        assert_eq!(policy.object["spec"]["ingress"][0]["ports"][1], json!({"protocol": "TCP", "port": 9797}));
    }
}
