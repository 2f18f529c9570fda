//! Calico's settings: `FelixConfiguration`, the operator's `Installation`, and the variables of the DaemonSet.
//!
//! *Source*: Calico's documentation, "Configuring Felix": a variable of the DaemonSet wins over a `FelixConfiguration`, and one of a node over
//! the one called `default`.

pub(super) mod claims;
pub(crate) mod features;
pub(super) mod footprint;
pub(crate) mod settings;

use netpol::gather::Engine;
use snapshot::model::{Kind, Object, PodSpec, Snapshot, Workload};
use types::command::problem::Problem;

use super::cidr::{Claims, Usage};
use super::driver::{Driver, Facts, has_container};
use super::enforcement::Support;
use super::footprint::Part;
use super::network::{
    Protocol, Setting, Tunnel, agent, default_subject, is_yes, read_mtu, scalar_text, subject, variable,
};
use super::support::Cni;
use super::values::{RequiredSetting, named_value};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::finish::Inventory;
use crate::finish::plan::text;

/// The DaemonSet.
#[must_use]
pub fn node(snapshot: &Snapshot) -> Option<&Workload> {
    agent(snapshot, &["calico-node", "canal"])
}

/// The operator's description of what it installs.
#[must_use]
pub fn installation(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.objects(Kind::TIGERA_INSTALLATION).first()
}

/// Every value of a setting of Felix: `bpfEnabled` of a `FelixConfiguration`, `FELIX_BPFENABLED` of the DaemonSet. Only the latter counts if there is one.
#[must_use]
pub fn felix(snapshot: &Snapshot, key: &str) -> Vec<Setting> {
    let name = format!("FELIX_{}", key.to_ascii_uppercase());
    if let Some(node) = node(snapshot)
        && let Some(value) = variable(node, &name).filter(|value| !value.is_empty())
    {
        return vec![Setting::new(value, Subject::from_meta(Kind::DAEMON_SET, &node.metadata), &name)];
    }
    let setting_of = |object: &Object| {
        let value = scalar_text(object.pointer("/spec")?.get(key)?)?;
        Some(Setting::new(value, subject(Kind::FELIX_CONFIGURATION, object), key))
    };
    snapshot.objects(Kind::FELIX_CONFIGURATION).iter().filter_map(setting_of).collect()
}

/// A number that Felix has, or its default.
#[must_use]
pub fn number(snapshot: &Snapshot, key: &str, default: u32) -> u32 {
    let all = felix(snapshot, key);
    let cluster = all.iter().find(|setting| setting.source.name == "default").or_else(|| all.first());
    cluster.and_then(|setting| setting.value.parse().ok()).unwrap_or(default)
}

/// Every object that says yes to a setting of Felix.
#[must_use]
pub fn find_enabled(snapshot: &Snapshot, key: &str) -> Vec<Subject> {
    let all = felix(snapshot, key).into_iter();
    all.filter(|setting| is_yes(&setting.value)).map(|setting| setting.source).collect()
}

/// The pools whose mode of encapsulation (`ipipMode` or `vxlanMode`) is on.
pub fn pools_with<'a>(snapshot: &'a Snapshot, mode: &'a str) -> impl Iterator<Item = &'a Object> {
    let is_on = move |pool: &&Object| {
        let mode = pool.pointer("/spec").and_then(|spec| spec.get(mode)?.as_str());
        mode.is_some_and(|mode| mode != "Never" && !mode.is_empty())
    };
    snapshot.objects(Kind::IP_POOL).iter().filter(is_on)
}

/// Whether a pool gives addresses for a use: `Workload`, `Tunnel` or `LoadBalancer`. A pool that names no use serves workloads and tunnels.
///
/// *Source*: Calico's documentation, "IP pool", `allowedUses`.
#[must_use]
pub fn serves(pool: &Object, usage: &str) -> bool {
    let mut uses = pool.texts("/spec/allowedUses").peekable();
    if uses.peek().is_none() { usage != "LoadBalancer" } else { uses.any(|item| item == usage) }
}

/// Pods get addresses of their Node's pod CIDR (the plugin host-local), and not of Calico's pools.
///
/// *Source*: Calico's documentation, "Configure the Calico CNI plugins", "Using host-local IPAM"; "Installation reference", `spec.cni.ipam.type`.
#[must_use]
pub fn is_host_local(snapshot: &Snapshot) -> bool {
    let by_operator = installation(snapshot).and_then(|object| object.text("/spec/cni/ipam/type"));
    let conf = snapshot.config_map("calico-config").and_then(|config| config.data("cni_network_config"));
    by_operator == Some("HostLocal") || conf.is_some_and(|conf| conf.contains("\"host-local\""))
}

/// Calico keeps its resources in an etcd of its own, where no snapshot sees them.
///
/// *Source*: projectcalico/calico: manifests/calico-etcd.yaml (`etcd_endpoints`); Calico's documentation, "Configure calico/node", `DATASTORE_TYPE`.
#[must_use]
pub fn is_on_etcd(snapshot: &Snapshot) -> bool {
    let endpoints = snapshot.config_map("calico-config").and_then(|config| config.data("etcd_endpoints"));
    let kind = node(snapshot).and_then(|node| variable(node, "DATASTORE_TYPE"));
    kind == Some("etcdv3") || kind.is_none() && endpoints.is_some_and(|text| !text.is_empty())
}

/// The agent of Calico where it enforces policies for another CNI.
///
/// *Source*: Calico's documentation, "Amazon Elastic Kubernetes Service (EKS)": with Amazon's networking, Calico is the policy engine alone.
#[must_use]
pub fn policy_engine(snapshot: &Snapshot, cni: Cni) -> Option<&Workload> {
    node(snapshot).filter(|_| cni == Cni::AwsVpcCni && is_policy_only(snapshot))
}

/// The backend routes without tunnels and needs no address: Canal, or Calico for policies only.
#[must_use]
pub fn is_policy_only(snapshot: &Snapshot) -> bool {
    node(snapshot).and_then(|node| variable(node, "CALICO_NETWORKING_BACKEND")) == Some("none")
}

/// DaemonSets of other networks, beside which Calico only enforces policies.
const OTHERS: [&str; 3] = ["aws-node", "azure-cns", "netd"];
/// What the Tigera operator sets on kube-proxy, and takes away only while it lives.
///
/// *Source*: tigera/operator: pkg/controller/kubeproxy/controller.go.
const NO_KUBE_PROXY: &str = "operator.tigera.io/disable-kube-proxy";

/// Calico that keeps its resources in its own API group. They have finalizers which only its controllers clear, and those of tiers wait for their
/// policies.
///
/// *Source*: projectcalico/calico: kube-controllers and libcalico-go at v3.32.1, `TierFinalizer`.
pub(super) fn own_definitions(scene: &Scene<'_>) -> Option<Problem> {
    let is_of_calico = |definition: &&Object| {
        definition.name().split_once('.').is_some_and(|(_, group)| group == "projectcalico.org")
    };
    let definition = scene.snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter().find(is_of_calico)?;
    let what = format!(
        "CustomResourceDefinition/{} is there: Calico keeps its resources in the group projectcalico.org, and Crossfade does not know in which order its controllers let them go",
        definition.name()
    );
    let fix = "remove Calico as its documentation says, with policies before tiers and pools while its controllers run; then call finish again for what is left";
    Some(Problem::new(what).fix(fix))
}

fn policy_only(why: &str) -> Problem {
    let fix =
        "name the CNI that gave pods their network: --from CNI; Calico stays until you remove it yourself";
    Problem::new(format!("Calico enforces policies here beside another network: {why}")).fix(fix)
}

/// How the ConfigMap of a manifest gives pods an MTU.
pub(super) fn set_mtu(scene: &Scene<'_>, place: &Subject, bytes: u32, map: &str, daemon_set: &str) -> String {
    let map = scene.snapshot.config_map(map).map_or(map, Object::name);
    let daemon_set = scene.snapshot.daemon_set(daemon_set).map_or(daemon_set, Workload::name);
    let namespace = if place.namespace.is_empty() { "kube-system" } else { &place.namespace };
    format!(
        r#"Run: kubectl -n {namespace} patch configmap {map} --type merge -p '{{"data":{{"veth_mtu":"{bytes}"}}}}' && kubectl -n {namespace} rollout restart daemonset/{daemon_set}."#
    )
}

/// Calico.
#[derive(Debug)]
pub struct Calico;

pub(super) const FACTS: Facts = Facts {
    title: "Calico",
    // *Source*: the manifest of 3.30.
    agent_container: "calico-node",
    // *Source*: the same.
    controllers: &["calico-kube-controllers", "calico-typha"],
    footprint: footprint::FOOTPRINT,
    settings: settings::SETTINGS,
    own_policies: &[Kind::CALICO_NETWORK_POLICY, Kind::CALICO_GLOBAL_NETWORK_POLICY],
    policy_kinds: &[Engine::Calico.kinds(), &[Kind::CUSTOM_RESOURCE_DEFINITION, Kind::IP_POOL]],
    features: &[(Cni::Calico, features::FEATURES)],
    ..Facts::COMMON
};

impl Driver for Calico {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    // Canal's DaemonSet has the container of Flannel's agent, too.
    fn is_agent(&self, spec: &PodSpec) -> bool {
        has_container(spec, FACTS.agent_container)
            && !has_container(spec, super::flannel::FACTS.agent_container)
    }

    fn refusals(&self, scene: &Scene<'_>, inventory: &Inventory) -> Vec<Problem> {
        let mut all: Vec<Problem> = own_definitions(scene).into_iter().collect();
        for (target, object) in inventory.in_part(Part::Managed) {
            match target.kind.as_str() {
                "Installation" => {
                    let kind = text(object, "/spec/cni/type");
                    if !kind.is_empty() && kind != "Calico" {
                        all.push(policy_only(&format!("{target} has spec.cni.type {kind}")));
                    }
                }
                "GatewayAPI" | "Istio" => {
                    let what = format!("{target} is there: its gateways carry traffic of users");
                    let fix = "move these gateways to another controller and delete the resource first";
                    all.push(Problem::new(what).fix(fix));
                }
                _ => {}
            }
        }
        let daemon_sets = scene.snapshot.workloads(Kind::DAEMON_SET);
        let other =
            daemon_sets.iter().find(|set| set.namespace() == "kube-system" && OTHERS.contains(&set.name()));
        if let Some(other) = other.filter(|_| scene.to != Cni::AwsVpcCni) {
            all.push(policy_only(&format!(
                "DaemonSet/kube-system/{} gives pods their addresses",
                other.name()
            )));
        }
        let migrations = "datastoremigrations.migration.projectcalico.org";
        if scene.snapshot.object(Kind::CUSTOM_RESOURCE_DEFINITION, migrations).is_some() {
            let what = format!(
                "CustomResourceDefinition/{migrations} is there: a migration of Calico's data may be under way"
            );
            let fix = "finish that migration as Calico's documentation says, then delete this definition";
            all.push(Problem::new(what).fix(fix));
        }
        let proxy = daemon_sets.iter().find(|set| set.name() == "kube-proxy");
        if proxy.is_some_and(|set| set.spec.template.spec.node_selector.contains_key(NO_KUBE_PROXY)) {
            let what = format!(
                "DaemonSet/kube-system/kube-proxy is kept off every node by the selector {NO_KUBE_PROXY}, which Calico's operator set"
            );
            let fix = r#"kubectl patch installation default --type merge -p '{"spec":{"calicoNetwork":{"kubeProxyManagement":"Disabled"}}}', and wait until kube-proxy runs"#;
            all.push(Problem::new(what).fix(fix));
        }
        all
    }

    fn has_settings(&self, snapshot: &Snapshot) -> bool {
        node(snapshot).is_some()
    }

    fn values(&self, snapshot: &Snapshot, setting: &RequiredSetting) -> Vec<(String, Subject)> {
        let set = felix(snapshot, setting.key);
        match node(snapshot) {
            Some(node) if set.is_empty() => {
                vec![named_value(
                    setting,
                    Subject::from_meta(Kind::DAEMON_SET, &node.metadata),
                    setting.absent,
                )]
            }
            _ => set.into_iter().map(|setting| (setting.value, setting.source)).collect(),
        }
    }

    // *Source*: felix/config/config_params.go (VXLANPort, VXLANVNI, WireguardListeningPort).
    fn tunnels(&self, snapshot: &Snapshot) -> Vec<Tunnel> {
        let mut all = Vec::new();
        if let Some(pool) = pools_with(snapshot, "ipipMode").next() {
            all.push(Tunnel::new(Protocol::Ipip, 0, None, "tunl0", subject(Kind::IP_POOL, pool)));
        }
        if let Some(pool) = pools_with(snapshot, "vxlanMode").next() {
            let port = u16::try_from(number(snapshot, "vxlanPort", 4789)).unwrap_or(4789);
            let vni = Some(number(snapshot, "vxlanVNI", 4096));
            all.push(Tunnel::new(Protocol::Vxlan, port, vni, "vxlan.calico", subject(Kind::IP_POOL, pool)));
        }
        for (key, port, default, device) in [
            ("wireguardEnabled", "wireguardListeningPort", 51_820, "wireguard.cali"),
            ("wireguardEnabledV6", "wireguardListeningPortV6", 51_821, "wg-v6.cali"),
        ] {
            if let Some(source) = find_enabled(snapshot, key).into_iter().next() {
                let port = u16::try_from(number(snapshot, port, u32::from(default))).unwrap_or(default);
                all.push(Tunnel::new(Protocol::WireGuard, port, None, device, source));
            }
        }
        if snapshot.objects(Kind::IP_POOL).is_empty() {
            all.push(Tunnel::default(Cni::Calico, Protocol::Vxlan, 4789, Some(4096), "vxlan.calico"));
        }
        all
    }

    fn move_tunnel(&self, tunnel: &Tunnel, port: u16) -> String {
        if tunnel.protocol == Protocol::Ipip {
            return "Use VXLAN in Calico's pools: set spec.ipipMode to Never and spec.vxlanMode to Always in each IPPool before any pod uses it.".into();
        }
        let (key, vni) = if tunnel.protocol == Protocol::WireGuard {
            ("wireguardListeningPort", String::new())
        } else {
            ("vxlanPort", format!(r#","vxlanVNI":{}"#, tunnel.vni.unwrap_or(4096).saturating_add(1)))
        };
        format!(
            r#"Give Calico a port of its own before its first pod: kubectl patch felixconfigurations.crd.projectcalico.org default --type merge -p '{{"spec":{{"{key}":{port}{vni}}}}}'"#
        )
    }

    // *Source*: felix/dataplane/linux/int_dataplane.go counts 60 for WireGuard over IPv4.
    fn wireguard_overhead(&self, outer: u32) -> u32 {
        60 + outer
    }

    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject) {
        if let Some(installation) = installation(snapshot) {
            let set = installation.pointer("/spec/calicoNetwork/mtu").and_then(serde_json::Value::as_u64);
            let set = set.and_then(|bytes| u32::try_from(bytes).ok()).filter(|bytes| *bytes != 0);
            return (set, subject(Kind::TIGERA_INSTALLATION, installation));
        }
        match snapshot.config_map("calico-config") {
            Some(config) => (config.data("veth_mtu").and_then(read_mtu), subject(Kind::CONFIG_MAP, config)),
            None => (None, default_subject(Cni::Calico)),
        }
    }

    fn set_mtu(&self, scene: &Scene<'_>, place: &Subject, bytes: u32) -> String {
        if place.kind != Kind::TIGERA_INSTALLATION.name() {
            return set_mtu(scene, place, bytes, "calico-config", "calico-node");
        }
        format!(
            r#"Run: kubectl patch installations.operator.tigera.io {} --type merge -p '{{"spec":{{"calicoNetwork":{{"mtu":{bytes}}}}}}}'."#,
            place.name
        )
    }

    fn encrypts(&self, snapshot: &Snapshot) -> bool {
        !find_enabled(snapshot, "wireguardEnabled").is_empty()
    }

    fn has_node_cidrs(&self, snapshot: &Snapshot) -> bool {
        is_host_local(snapshot)
    }

    fn add_old_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        claims::add_old_claims(scene, claims);
        if is_host_local(scene.snapshot) {
            claims.add_node_cidrs(scene, Usage::OldBlock);
        }
    }

    fn add_new_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        if is_host_local(scene.snapshot) {
            return claims.add_node_cidrs(scene, Usage::NewNode);
        }
        for pool in scene.snapshot.objects(Kind::IP_POOL) {
            let source = Subject::new(Kind::IP_POOL, pool.name());
            let used = claims::usage(pool, Usage::NewPool);
            claims.add(pool.text("/spec/cidr").unwrap_or_default(), used, None, source);
        }
        claims::blocks(scene, Usage::NewNode, claims);
    }

    fn engine(&self, _scene: &Scene<'_>) -> Option<Engine> {
        Some(Engine::Calico)
    }

    // *Source*: Calico's release notes of 3.29; its pull request 9464, which is in 3.30; its issue 10745, by which ClusterNetworkPolicy replaces both of the
    // others in 3.32; kubernetes-sigs/network-policy-api, "Implementations".
    fn support(&self, kind: Kind) -> Option<Support> {
        let (first, end) = match kind {
            Kind::ADMIN_NETWORK_POLICY => ((3, 29), Some((3, 32))),
            Kind::BASELINE_ADMIN_NETWORK_POLICY => ((3, 30), Some((3, 32))),
            Kind::KUBERNETES_CLUSTER_NETWORK_POLICY => ((3, 32), None),
            _ => return None,
        };
        Some(Support { first, end, switch: None })
    }
}
