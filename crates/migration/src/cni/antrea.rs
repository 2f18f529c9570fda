//! Antrea's settings: the key `antrea-agent.conf` of ConfigMap `antrea-config`, YAML in a text.
//!
//! *Source*: antrea-io/antrea: build/charts/antrea/conf/antrea-agent.conf.

mod footprint;
pub(crate) mod settings;

use netpol::gather::Engine;
use serde_json::Value;
use snapshot::model::{Kind, Object, Snapshot};

use super::cidr::{Claims, Usage};
use super::driver::{Driver, Facts, Kernel};
use super::enforcement::{Support, Switch};
use super::network::{Protocol, Setting, Tunnel, default_subject, read_mtu, read_yaml, scalar_text, subject};
use super::support::Cni;
use super::values::{RequiredSetting, named_value};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::workload::Version;

/// The ConfigMap, whose name may end in a hash; none if Antrea is not installed.
#[must_use]
pub fn config(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.config_map("antrea-config").filter(|object| object.data(FILE).is_some())
}

/// The key with the agent's settings.
const FILE: &str = "antrea-agent.conf";

/// The agent's settings; none if Antrea is not installed or its settings are no YAML.
#[must_use]
pub fn agent(snapshot: &Snapshot) -> Option<Value> {
    read_yaml(config(snapshot)?.data(FILE)?)
}

/// Whether a feature gate of the controller that is off by default is on.
#[must_use]
pub fn has_gate(snapshot: &Snapshot, name: &str) -> bool {
    let settings = config(snapshot).and_then(|config| read_yaml(config.data("antrea-controller.conf")?));
    let gate = settings.and_then(|settings| scalar_text(settings.pointer("/featureGates")?.get(name)?));
    gate.is_some_and(|gate| gate == "true")
}

/// A setting of the agent at a JSON pointer: `/tunnelType`.
#[must_use]
pub fn setting(snapshot: &Snapshot, pointer: &str) -> Option<Setting> {
    let value = scalar_text(agent(snapshot)?.pointer(pointer)?)?;
    Some(Setting::new(value, subject(Kind::CONFIG_MAP, config(snapshot)?), pointer.trim_start_matches('/')))
}

/// A setting of the agent as text, or its default.
#[must_use]
pub fn value(snapshot: &Snapshot, pointer: &str, default: &str) -> String {
    let set = setting(snapshot, pointer).map(|setting| setting.value).filter(|value| !value.is_empty());
    set.unwrap_or_else(|| default.to_owned())
}

/// Antrea.
#[derive(Debug)]
pub struct Antrea;

const FACTS: Facts = Facts {
    title: "Antrea",
    // *Source*: the chart of 2.4.
    agent_container: "antrea-agent",
    // *Source*: the same.
    controllers: &["antrea-controller"],
    footprint: footprint::FOOTPRINT,
    chart: Some("antrea"),
    settings: settings::SETTINGS,
    readers: settings::AGENTS,
    interfaces: &["antrea-gw0", "antrea-egress0"],
    router_positions: &[(1, "antrea-gw0")],
    own_policies: &[Kind::ANTREA_NETWORK_POLICY, Kind::ANTREA_CLUSTER_NETWORK_POLICY],
    policy_kinds: &[Engine::Antrea.kinds()],
    ..Facts::COMMON
};

impl Driver for Antrea {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn has_settings(&self, snapshot: &Snapshot) -> bool {
        config(snapshot).is_some()
    }

    fn values(&self, snapshot: &Snapshot, setting: &RequiredSetting) -> Vec<(String, Subject)> {
        let Some(config) = config(snapshot) else { return Vec::new() };
        vec![named_value(
            setting,
            subject(Kind::CONFIG_MAP, config),
            &value(snapshot, setting.key, setting.absent),
        )]
    }

    // For the built-in module of Open vSwitch. *Source*: Antrea, "Getting started".
    fn kernel(&self, _release: Option<Version>) -> Kernel {
        Kernel::from((4, 6))
    }

    // *Source*: build/charts/antrea/conf/antrea-agent.conf.
    fn tunnels(&self, snapshot: &Snapshot) -> Vec<Tunnel> {
        let Some((agent, config)) = agent(snapshot).zip(config(snapshot)) else {
            return vec![Tunnel::default(Cni::Antrea, Protocol::Geneve, 6081, None, "genev_sys_6081")];
        };
        let source = subject(Kind::CONFIG_MAP, config);
        let port = |pointer: &str, default: u16| {
            let set = agent.pointer(pointer).and_then(Value::as_u64).filter(|port| *port != 0);
            set.and_then(|port| u16::try_from(port).ok()).unwrap_or(default)
        };
        let is_encapsulated =
            matches!(value(snapshot, "/trafficEncapMode", "encap").as_str(), "encap" | "hybrid");
        if !is_encapsulated {
            return Vec::new();
        }
        if value(snapshot, "/trafficEncryptionMode", "none") == "wireGuard" {
            return vec![Tunnel::new(
                Protocol::WireGuard,
                port("/wireGuard/port", 51_820),
                None,
                "antrea-wg0",
                source,
            )];
        }
        match value(snapshot, "/tunnelType", "geneve").as_str() {
            "vxlan" => {
                let port = port("/tunnelPort", 4789);
                vec![Tunnel::new(Protocol::Vxlan, port, None, &format!("vxlan_sys_{port}"), source)]
            }
            "geneve" => {
                let port = port("/tunnelPort", 6081);
                vec![Tunnel::new(Protocol::Geneve, port, None, &format!("genev_sys_{port}"), source)]
            }
            _ => Vec::new(),
        }
    }

    fn move_tunnel(&self, tunnel: &Tunnel, port: u16) -> String {
        if tunnel.protocol == Protocol::Vxlan {
            return "Install Antrea with tunnelType: geneve (Helm: --set tunnelType=geneve), which uses UDP port 6081.".into();
        }
        format!(
            "Install Antrea with another port: helm upgrade antrea antrea/antrea -n kube-system --reuse-values --set tunnelPort={port}."
        )
    }

    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject) {
        let set = read_mtu(&value(snapshot, "/defaultMTU", "0"));
        let source = config(snapshot).map(|config| subject(Kind::CONFIG_MAP, config));
        (set, source.unwrap_or_else(|| default_subject(Cni::Antrea)))
    }

    fn set_mtu(&self, _scene: &Scene<'_>, _place: &Subject, bytes: u32) -> String {
        format!(
            "Set the Helm value defaultMTU={bytes} of Antrea, then restart its agents: kubectl -n kube-system rollout restart daemonset/antrea-agent."
        )
    }

    fn encrypts(&self, snapshot: &Snapshot) -> bool {
        value(snapshot, "/trafficEncryptionMode", "none") != "none"
    }

    fn has_node_cidrs(&self, _snapshot: &Snapshot) -> bool {
        true
    }

    fn add_old_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        claims.add_node_cidrs(scene, Usage::OldBlock);
    }

    fn add_new_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        claims.add_node_cidrs(scene, Usage::NewNode);
    }

    fn engine(&self, _scene: &Scene<'_>) -> Option<Engine> {
        Some(Engine::Antrea)
    }

    // *Source*: Antrea, "AdminNetworkPolicy API Support in Antrea" (1.13) and "ClusterNetworkPolicy API Support in Antrea" (2.7);
    // `pkg/features/antrea_features.go` (off by default, of the controller).
    fn support(&self, kind: Kind) -> Option<Support> {
        let (first, gate) = match kind {
            Kind::ADMIN_NETWORK_POLICY | Kind::BASELINE_ADMIN_NETWORK_POLICY => {
                ((1, 13), "AdminNetworkPolicy")
            }
            Kind::KUBERNETES_CLUSTER_NETWORK_POLICY => ((2, 7), "ClusterNetworkPolicy"),
            _ => return None,
        };
        Some(Support { first, end: None, switch: Some(Switch::AntreaGate(gate)) })
    }

    // It has no switch for Kubernetes' own policies.
    fn is_early(&self, snapshot: &Snapshot) -> bool {
        value(snapshot, "/featureGates/AntreaPolicy", "true") == "true"
    }
}
