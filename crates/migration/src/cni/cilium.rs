//! Cilium's settings: ConfigMap `cilium-config`, and `CiliumNodeConfig` for some nodes.
//!
//! *Source*: Cilium's documentation, "Per-node configuration"; install/kubernetes/cilium/templates/cilium-configmap.yaml.

mod footprint;
pub(crate) mod settings;

use std::collections::BTreeSet;

use netpol::engines::cilium::Settings as PolicySettings;
use netpol::gather::Engine;
use snapshot::Range;
use snapshot::model::{Kind, Node, Object, Selector, Snapshot};
use types::command::problem::Problem;

use super::cidr::{Claims, Usage};
use super::driver::{Driver, Facts, Kernel};
use super::enforcement::{Support, Switch};
use super::footprint::Part;
use super::network::{Protocol, Routers, Setting, Tunnel, default_subject, is_yes, read_mtu, subject};
use super::support::{Cni, Strategy};
use super::values::{RequiredSetting, SOCKET_LB, Values, named_value};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::finish::Inventory;
use crate::workload::{START_TAINT_CILIUM, Version, release};

/// The ConfigMap; none if Cilium is not installed.
#[must_use]
pub fn config(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.object(Kind::CONFIG_MAP, "cilium-config")
}

/// A key of the ConfigMap; none if it is absent or Cilium is not installed.
#[must_use]
pub fn setting(snapshot: &Snapshot, key: &str) -> Option<Setting> {
    let config = config(snapshot)?;
    Some(Setting::new(config.data(key)?, subject(Kind::CONFIG_MAP, config), key))
}

/// The nodes that a `CiliumNodeConfig` selects.
#[must_use]
pub fn selected_nodes<'n>(config: &Object, nodes: &'n [Node]) -> Vec<&'n Node> {
    // A selector that cannot be read selects nothing here; the API server has checked it.
    let selector = config
        .pointer("/spec/nodeSelector")
        .and_then(|value| serde_json::from_value::<Selector>(value.clone()).ok());
    let Some(selector) = selector else { return Vec::new() };
    nodes.iter().filter(|node| selector.selects(&node.metadata.labels)).collect()
}

/// A setting that a `CiliumNodeConfig` gives to its nodes.
#[must_use]
pub fn default<'c>(config: &'c Object, key: &str) -> Option<&'c str> {
    config.pointer("/spec/defaults")?.get(key)?.as_str()
}

/// Cilium's settings on each node.
///
/// *Source*: Cilium's documentation, "Per-node configuration": a `CiliumNodeConfig` counts before the ConfigMap.
#[derive(Debug)]
pub struct NodeSettings<'s> {
    config: &'s Object,
    /// The objects for some nodes, with the names of these nodes.
    node_configs: Vec<(&'s Object, BTreeSet<&'s str>)>,
}

impl<'s> NodeSettings<'s> {
    /// The settings; none if Cilium is not installed.
    #[must_use]
    pub fn read(snapshot: &'s Snapshot) -> Option<Self> {
        let config = config(snapshot)?;
        let objects = snapshot.objects(Kind::CILIUM_NODE_CONFIG).iter();
        let names = |object| selected_nodes(object, &snapshot.nodes).into_iter().map(Node::name).collect();
        let node_configs = objects
            .filter(|object| object.namespace() == config.namespace())
            .map(|object| (object, names(object)))
            .collect();
        Some(Self { config, node_configs })
    }

    /// The values that a key has on a node, each with its object. Where several objects select the node, each of them may be the one that counts.
    #[must_use]
    pub fn values(&self, node: &Node, key: &str) -> Vec<(&'s Object, &'s str)> {
        let selecting = self.node_configs.iter().filter(|(_, names)| names.contains(node.name()));
        let own: Vec<_> =
            selecting.filter_map(|(object, _)| Some((*object, default(object, key)?))).collect();
        if own.is_empty() { vec![(self.config, self.config.data(key).unwrap_or_default())] } else { own }
    }

    /// Whether Cilium replaces kube-proxy on a node.
    #[must_use]
    pub fn replaces_kube_proxy(&self, node: &Node) -> bool {
        let values = self.values(node, "kube-proxy-replacement");
        values.iter().all(|(_, value)| matches!(*value, "true" | "strict"))
    }

    /// Whether the object is the ConfigMap of the whole cluster.
    #[must_use]
    pub fn is_of_cluster(&self, object: &Object) -> bool {
        std::ptr::eq(object, self.config)
    }
}

/// How Cilium reaches other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// `vxlan`, `geneve`, or empty where the nodes' network routes pods.
    pub protocol: String,
    /// The UDP port.
    pub port: u16,
    /// The ConfigMap.
    pub source: Subject,
}

/// The overlay; none if Cilium is not installed. Before 1.14 the key `tunnel` said all of it.
#[must_use]
pub fn overlay(snapshot: &Snapshot) -> Option<Overlay> {
    let config = config(snapshot)?;
    let old = config.data("tunnel").unwrap_or_default();
    let is_native = config.data("routing-mode") == Some("native") || old == "disabled";
    let named = config.data("tunnel-protocol").filter(|name| !name.is_empty()).unwrap_or(old);
    let protocol = match named {
        _ if is_native => "",
        "geneve" => "geneve",
        _ => "vxlan",
    };
    let default = if protocol == "geneve" { 6081 } else { 8472 };
    let port = config.data("tunnel-port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    Some(Overlay {
        protocol: protocol.into(),
        port: port.unwrap_or(default),
        source: subject(Kind::CONFIG_MAP, config),
    })
}

/// What begins the names of Services that Cilium makes for a Gateway, and for an Ingress that has a load balancer of its own.
///
/// *Source*: cilium/cilium: operator/pkg/gateway-api and operator/pkg/model/translation/ingress.
const SERVED: [&str; 2] = ["cilium-gateway-", "cilium-ingress-"];

/// The first release that reads ranges of ports.
const PORT_RANGES: Version = (1, 16);
/// The first kernel of RHEL 8.6. *Source*: Red Hat, "Red Hat Enterprise Linux Release Dates".
const RHEL_8_6: u32 = 372;
/// The first kernel of RHEL 8.10. *Source*: the same.
const RHEL_8_10: u32 = 553;

/// Cilium.
#[derive(Debug)]
pub struct Cilium;

const FACTS: Facts = Facts {
    title: "Cilium",
    // *Source*: the chart of 1.18.
    agent_container: "cilium-agent",
    // *Source*: the same.
    controllers: &["cilium-operator"],
    footprint: footprint::FOOTPRINT,
    kinds_in_the_way: &[Kind::INGRESS, Kind::GATEWAY, Kind::SERVICE],
    chart: Some("cilium"),
    settings: settings::SETTINGS,
    readers: settings::AGENTS,
    nests_tunnels: true,
    // The other end of `cilium_host`, `cilium_net`, has no address that Calico takes. *Source*: cilium/cilium: pkg/datapath/loader/base.go gives the
    // router's addresses to `cilium_host` alone.
    interfaces: &["cilium_host"],
    // Its health probe has one.
    reserved_addresses: 4,
    own_policies: &[Kind::CILIUM_NETWORK_POLICY, Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY],
    policy_kinds: &[
        Engine::Cilium(PolicySettings { ranges_match_nodes: false, has_port_ranges: false }).kinds(),
        &[Kind::CONFIG_MAP, Kind::DAEMON_SET, Kind::CILIUM_NODE, Kind::CILIUM_POD_IP_POOL],
    ],
    ..Facts::COMMON
};

impl Driver for Cilium {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    // Ingresses and Gateways that it serves, and what its operator does to Nodes without an agent.
    fn refusals(&self, scene: &Scene<'_>, inventory: &Inventory) -> Vec<Problem> {
        let mut all = Vec::new();
        let served_objects = |kind: Kind, pointer: &'static str| {
            let objects = scene.snapshot.objects(kind).iter();
            objects
                .filter(move |object| object.text(pointer) == Some("cilium"))
                .map(move |object| format!("{kind}/{}/{}", object.namespace(), object.name()))
        };
        // Cilium makes these, whatever the class is called.
        let is_made = |name: &str| SERVED.iter().any(|prefix| name.starts_with(prefix));
        let services = scene.snapshot.services.iter().map(|service| &service.metadata);
        let services = services.filter(|meta| is_made(&meta.name));
        let served: Vec<String> = served_objects(Kind::INGRESS, "/spec/ingressClassName")
            .chain(served_objects(Kind::GATEWAY, "/spec/gatewayClassName"))
            .chain(services.map(|meta| format!("Service/{}/{}", meta.namespace, meta.name)))
            .collect();
        if let Some(first) = served.first() {
            let what = format!(
                "Cilium serves Ingresses and Gateways: {} of them and of their Services are there, such as {first}",
                served.len()
            );
            let fix = "give each of them another class, whose controller serves them before Cilium goes";
            all.push(Problem::new(what).fix(fix));
        }
        let config = config(scene.snapshot);
        let is_tainting = config.and_then(|config| config.data("set-cilium-node-taints")) == Some("true");
        let mut controllers = inventory.in_part(Part::Controller);
        if is_tainting && controllers.any(|(target, _)| target.name == "cilium-operator") {
            let what = format!(
                "Deployment cilium-operator would put the taint {START_TAINT_CILIUM} on every node as soon as the agents end, and no new pod would start"
            );
            let fix = r#"set-cilium-node-taints: "false" in ConfigMap cilium-config (Helm: operator.setNodeTaints=false), then restart the Deployment cilium-operator"#;
            all.push(Problem::new(what).fix(fix));
        }
        all
    }

    fn has_settings(&self, snapshot: &Snapshot) -> bool {
        config(snapshot).is_some()
    }

    fn values(&self, snapshot: &Snapshot, setting: &RequiredSetting) -> Vec<(String, Subject)> {
        let Some(config) = config(snapshot) else { return Vec::new() };
        let value = config.data(setting.key).unwrap_or(setting.absent);
        let mut all = vec![named_value(setting, subject(Kind::CONFIG_MAP, config), value)];
        // That Cilium writes its configuration on some nodes is how Cilium's own guide moves a node.
        let objects =
            snapshot.objects(Kind::CILIUM_NODE_CONFIG).iter().filter(|_| setting.key != "custom-cni-conf");
        let of_nodes = objects.filter_map(|object| Some((object, default(object, setting.key)?)));
        all.extend(
            of_nodes.map(|(object, value)| {
                named_value(setting, subject(Kind::CILIUM_NODE_CONFIG, object), value)
            }),
        );
        all
    }

    fn add_install_values(&self, scene: &Scene<'_>, values: &mut Values) {
        let ranges = &scene.config.networks.new.cidrs;
        for (key, is_v6) in [("clusterPoolIPv4PodCIDRList", false), ("clusterPoolIPv6PodCIDRList", true)] {
            let lines: Vec<String> = ranges
                .iter()
                .filter(|range| range.is_ipv6() == is_v6)
                .map(|range| format!("\"{range}\""))
                .collect();
            if !lines.is_empty() {
                values.push((format!("ipam.operator.{key}"), format!("[{}]", lines.join(", "))));
            }
        }
        let has_flannel = super::flannel::read(scene.snapshot).is_some();
        let is_taken =
            |port: u16| scene.from.driver().tunnels(scene.snapshot).iter().any(|tunnel| tunnel.port == port);
        let port = if is_taken(8472) || has_flannel { 8473 } else { 8472 };
        values.push(("tunnelProtocol".into(), "vxlan".into()));
        values.push(("tunnelPort".into(), port.to_string()));
        // Nodes that bridge forward requests to Services; the settings say how that is known.
        if scene.network_strategy() == Strategy::Double && scene.config.roll.bridge.is_none() {
            values.push((SOCKET_LB.into(), "true".into()));
        }
    }

    // *Source*: Cilium, "System Requirements": 4.19.57 in 1.14, 5.4 or 4.18 on RHEL 8.6 in 1.16 (cilium/cilium#36386, #30456), 5.10 from 1.18 on (#38308,
    // #42081), now with 4.18 on RHEL 8.10, which is what its tests have (#42604).
    fn kernel(&self, release: Option<Version>) -> Kernel {
        match release {
            Some(version) if version < (1, 16) => Kernel::from((4, 19)),
            Some(version) if version < (1, 18) => Kernel { red_hat_8: RHEL_8_6, ..Kernel::from((5, 4)) },
            Some(_) => Kernel { red_hat_8: RHEL_8_10, ..Kernel::from((5, 10)) },
            None => Kernel { least: (5, 4), doubtful: (5, 10), red_hat_8: RHEL_8_10 },
        }
    }

    // *Source*: Documentation/operations/system_requirements.rst (ports).
    fn tunnels(&self, snapshot: &Snapshot) -> Vec<Tunnel> {
        let Some(overlay) = overlay(snapshot) else {
            return vec![Tunnel::default(Cni::Cilium, Protocol::Vxlan, 8472, None, "cilium_vxlan")];
        };
        let mut all = match overlay.protocol.as_str() {
            "vxlan" => vec![Tunnel::new(Protocol::Vxlan, overlay.port, None, "cilium_vxlan", overlay.source)],
            "geneve" => {
                vec![Tunnel::new(Protocol::Geneve, overlay.port, None, "cilium_geneve", overlay.source)]
            }
            _ => Vec::new(),
        };
        if let Some(setting) = setting(snapshot, "enable-wireguard").filter(|set| set.value == "true") {
            all.push(Tunnel::new(Protocol::WireGuard, 51_871, None, "cilium_wg0", setting.source));
        }
        all
    }

    fn move_tunnel(&self, _tunnel: &Tunnel, port: u16) -> String {
        format!(
            "Install Cilium with the Helm value tunnelPort={port}: helm upgrade cilium cilium/cilium -n kube-system --reuse-values --set tunnelPort={port}, then kubectl -n kube-system rollout restart daemonset/cilium. If an agent of Cilium 1.17 has already failed, remove the device it left on the node: ip link delete cilium_vxlan."
        )
    }

    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject) {
        let set = setting(snapshot, "mtu").and_then(|setting| read_mtu(&setting.value));
        let source = config(snapshot).map(|config| subject(Kind::CONFIG_MAP, config));
        (set, source.unwrap_or_else(|| default_subject(Cni::Cilium)))
    }

    fn set_mtu(&self, _scene: &Scene<'_>, _place: &Subject, bytes: u32) -> String {
        format!(
            "Set the Helm value MTU={bytes} of Cilium, then restart its agents: kubectl -n kube-system rollout restart daemonset/cilium."
        )
    }

    fn encrypts(&self, snapshot: &Snapshot) -> bool {
        let is_on = |key: &str| setting(snapshot, key).is_some_and(|set| is_yes(&set.value));
        is_on("enable-wireguard") || is_on("enable-ipsec")
    }

    fn routers<'s>(&self, snapshot: &'s Snapshot) -> Routers<'s> {
        let mut routers = Routers::new();
        if config(snapshot).is_none() {
            return routers;
        }
        for node in snapshot.objects(Kind::CILIUM_NODE) {
            for entry in node.list("/spec/addresses") {
                let text = |key: &str| entry.get(key).and_then(serde_json::Value::as_str);
                if text("type") == Some("CiliumInternalIP")
                    && let Some(address) = text("ip").and_then(|ip| ip.parse().ok())
                {
                    routers.insert(address, ("cilium_host", node.name()));
                }
            }
            for key in ["/spec/health/ipv4", "/spec/health/ipv6"] {
                if let Some(address) = node.text(key).and_then(|ip| ip.parse().ok()) {
                    routers.insert(address, ("the health endpoint of Cilium", node.name()));
                }
            }
        }
        routers
    }

    fn has_node_cidrs(&self, snapshot: &Snapshot) -> bool {
        setting(snapshot, "ipam").is_some_and(|ipam| ipam.value == "kubernetes")
    }

    fn add_old_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        claims.add_node_cidrs(scene, Usage::OldBlock);
    }

    fn set_range(&self, range: Range) -> String {
        let key = if range.is_v6() { "clusterPoolIPv6PodCIDRList" } else { "clusterPoolIPv4PodCIDRList" };
        format!(
            "ipam.operator.{key}={{{range}}} (Helm); if pods of Cilium exist already, its range cannot change, and Cilium must be removed and installed again"
        )
    }

    // Cilium takes node CIDRs from its own pools, from Kubernetes, or addresses from the cloud. *Source*: its documentation, "IP Address Management".
    fn add_new_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        let config = config(scene.snapshot);
        let ipam = config.and_then(|config| config.data("ipam")).unwrap_or("cluster-pool");
        match ipam {
            "kubernetes" => return claims.add_node_cidrs(scene, Usage::NewNode),
            "eni" | "azure" | "alibabacloud" => {
                claims.is_shared = scene.from == Cni::AwsVpcCni;
                return;
            }
            _ => {}
        }
        // The chart writes ranges of both families, and says beside them which family is on.
        let is_on = |family: &str| {
            config.and_then(|config| config.data(&format!("enable-{family}"))).is_none_or(is_yes)
        };
        let families = ["ipv4", "ipv6"].into_iter().filter(|family| is_on(family));
        let lists = families.clone().map(|family| format!("cluster-pool-{family}-cidr"));
        for (config, list) in config.iter().flat_map(|config| lists.clone().map(move |list| (config, list))) {
            let list = list.as_str();
            for cidr in
                config.data(list).unwrap_or_default().split([' ', ',']).filter(|cidr| !cidr.is_empty())
            {
                let source = Subject {
                    namespace: config.namespace().into(),
                    ..Subject::new(Kind::CONFIG_MAP, config.name())
                };
                claims.add(cidr, Usage::NewPool, None, source);
            }
        }
        for pool in scene.snapshot.objects(Kind::CILIUM_POD_IP_POOL) {
            for cidr in families.clone().flat_map(|family| pool.texts(&format!("/spec/{family}/cidrs"))) {
                claims.add(cidr, Usage::NewPool, None, Subject::new(Kind::CILIUM_POD_IP_POOL, pool.name()));
            }
        }
        for node in scene.snapshot.objects(Kind::CILIUM_NODE) {
            for cidr in node_ranges(node) {
                claims.add(
                    &cidr,
                    Usage::NewNode,
                    Some(node.name()),
                    Subject::new(Kind::CILIUM_NODE, node.name()),
                );
            }
        }
    }

    fn engine(&self, scene: &Scene<'_>) -> Option<Engine> {
        let mode = setting(scene.snapshot, "policy-cidr-match-mode");
        Some(Engine::Cilium(PolicySettings {
            ranges_match_nodes: mode.is_some_and(|mode| mode.value.contains("nodes")),
            has_port_ranges: release(scene, Cni::Cilium).is_none_or(|release| release >= PORT_RANGES),
        }))
    }

    // *Source*: Cilium's issue 23380, which was closed with ClusterNetworkPolicy; Cilium, "Network Policy" of Kubernetes (1.20).
    fn support(&self, kind: Kind) -> Option<Support> {
        (kind == Kind::KUBERNETES_CLUSTER_NETWORK_POLICY).then_some(Support {
            first: (1, 20),
            end: None,
            switch: Some(Switch::CiliumKey("enable-k8s-cluster-network-policy")),
        })
    }

    // It takes pods of the old network for the outside world.
    fn is_early(&self, _snapshot: &Snapshot) -> bool {
        false
    }
}

/// The pod CIDRs of a `CiliumNode`, from whichever pool.
fn node_ranges(node: &Object) -> Vec<String> {
    let plain = node.texts("/spec/ipam/podCIDRs").map(str::to_owned);
    let pools = node.list("/spec/ipam/pools/allocated").iter().flat_map(|pool| {
        let cidrs = pool.get("cidrs").and_then(serde_json::Value::as_array).into_iter().flatten();
        cidrs.filter_map(|cidr| cidr.as_str().map(str::to_owned)).collect::<Vec<_>>()
    });
    plain.chain(pools).collect()
}
