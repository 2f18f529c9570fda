//! Services while the nodes of a cluster have two primary networks.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::{Kind, Service};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cilium;
use crate::cni::network::is_yes;
use crate::cni::support::{Cni, Stage, Strategy};
use crate::cni::values::{SOCKET_LB, command};
use crate::workload::platform;

pub(in crate::check) const CHECK: Check = Check {
    name: "services",
    rules: &[&SERVICES_BRIDGED],
    needs: &[
        Need::Always(Kind::SERVICE),
        Need::With(Cni::Cilium, Kind::NODE),
        Need::With(Cni::Cilium, Kind::CONFIG_MAP),
        Need::With(Cni::Cilium, Kind::CILIUM_NODE_CONFIG),
    ],
    run: services,
};

pub(crate) const SERVICES_BRIDGED: Rule = Severity::Blocks.rule(
    "services-bridged",
    "In the second pass, Services work only if nodes forward between both networks.\n\n\
     It is found with the strategy `double`; before Cilium is installed it is a note.\n\n\
     It is silent where Cilium, as one of the two CNIs, translates Services on every node when a pod connects: with `socketLB.enabled=true` beside kube-proxy, or with a replacement of kube-proxy, and in both cases without `socketLB.hostNamespaceOnly=true`. It is silent, too, where `roll.bridge` says how it is known that nodes forward. [policy.md](policy.md#who-reaches-whom) has the table.",
    "kube-proxy chooses a Service's pod on the client's node, after the packet has left the client's pod by its default route. If that node does not forward between the networks, the request is lost.",
    "Set Cilium's Helm value `socketLB.enabled=true`; kube-proxy stays as it is. Where Istio or gVisor needs `socketLB.hostNamespaceOnly=true`, or neither CNI is Cilium, let every node forward and name the proof as `roll.bridge`. A waiver accepts that requests to Services are lost during this pass.",
);

/// With the strategy `double`, each pod reaches every other pod by its address. kube-proxy translates a cluster IP on the client's node, when the packet
/// has already left the pod by the network that owns its default route.
///
/// *Source*: measured with kube-proxy 1.20 (docs/proof/kubernetes.md) and 1.36: between nodes in `both-old` and nodes in `both-new` that do not forward,
/// no connection to a Service is made. Measured with Cilium 1.17 beside kube-proxy 1.36 and beside none: its socket load balancer translates when a pod
/// of either network connects, and no request is lost.
pub(crate) fn services(scene: &Scene<'_>) -> Vec<Finding> {
    // Nodes that bridge forward; the settings say how that is known.
    if scene.config.roll.bridge.is_some() {
        return Vec::new();
    }
    let objects = bridged_services(scene);
    if objects.is_empty() {
        return Vec::new();
    }
    let (from, to) = (scene.from, scene.to);
    let why = format!(
        "While some nodes are in phase both-old and others in both-new, a request to a Service may go to a pod whose primary network is the other one. \
         kube-proxy chooses that pod on the client's node, after the packet has left the client's pod by its default route. If that node does not \
         forward between {from} and {to}, such requests are lost, those to the cluster's DNS server among them."
    );
    let fix = [socket_fix(scene), FORWARDING.to_owned()].concat();
    vec![Finding::new(&SERVICES_BRIDGED).severity(severity(scene)).why(why).fix(fix).with_objects(objects)]
}

/// Before Cilium is installed, no setting of it can be wrong: the values to install it with close the gap.
fn severity(scene: &Scene<'_>) -> Severity {
    let is_to_come = scene.to == Cni::Cilium && cilium::config(scene.snapshot).is_none();
    if is_to_come && scene.config.transition.phase == Stage::Install {
        Severity::Note
    } else {
        Severity::Blocks
    }
}

/// The way for every pair of CNIs.
const FORWARDING: &str = "Let every node forward between the two pod ranges, and say in the settings file how that is known: \
    roll: {gates: [{name: bridge, command: [PROGRAM]}], bridge: {gate: bridge}} if a command proves it again and again, or roll: {bridge: {accept: WHY}}. \
    For the proof, put one node into both-old and one into both-new, run a pod on each, and from each ask a Service whose only endpoint is the other pod. \
    If requests to Services may be lost during this pass, accept this finding with a waiver.";

/// How Cilium closes the gap; empty if it is neither of the CNIs.
fn socket_fix(scene: &Scene<'_>) -> String {
    let limit = "Where Istio or gVisor needs socketLB.hostNamespaceOnly=true, this does not help. ";
    match socket_gap(scene, true) {
        Some(gap) => format!(
            "Let Cilium translate Services when a pod connects, beside kube-proxy ({SOCKET_LB}=true). {} {limit}Else: ",
            gap.steps(scene)
        ),
        None if scene.to == Cni::Cilium => format!(
            "Install Cilium with the values of the finding values-not-installed: they let Cilium translate Services when a pod connects ({SOCKET_LB}=true). {limit}Else: "
        ),
        None => String::new(),
    }
}

/// The Services through which pods of the second pass reach each other only over nodes that forward between both networks.
pub(crate) fn bridged_services(scene: &Scene<'_>) -> Vec<Subject> {
    if !has_two_primaries(scene) || translates_at_sockets(scene) {
        return Vec::new();
    }
    let services = scene.snapshot.services.iter().filter(|service| is_translated(service));
    services.map(|service| Subject::from_meta(Kind::SERVICE, &service.metadata)).collect()
}

/// Whether some nodes are to be in `both-old` while others are in `both-new`. The strategy `bridge` needs nodes that forward in any case; a rotation is a
/// bridge, too.
pub(in crate::check) fn has_two_primaries(scene: &Scene<'_>) -> bool {
    scene.network_strategy() == Strategy::Double && scene.config.transition.phase != Stage::Finish
}

/// kube-proxy translates its address to that of a pod: it has an address, and pods behind it.
fn is_translated(service: &Service) -> bool {
    let has_address = service.spec.cluster_ips.iter().any(|ip| !ip.is_empty() && ip.as_ref() != "None");
    has_address && !service.spec.selector.is_empty() && service.spec.kind.as_ref() != "ExternalName"
}

/// On every node, Cilium translates the address of a Service when a pod of either network connects.
fn translates_at_sockets(scene: &Scene<'_>) -> bool {
    settings(scene).is_some() && socket_gap(scene, true).is_none()
}

fn settings<'a>(scene: &Scene<'a>) -> Option<cilium::NodeSettings<'a>> {
    cilium::NodeSettings::read(scene.snapshot).filter(|_| [scene.from, scene.to].contains(&Cni::Cilium))
}

/// Keys of Cilium's ConfigMap, each with its Helm value and what it must be.
const SOCKETS: (&str, &str, &str) = ("bpf-lb-sock", SOCKET_LB, "true");
const HOST_ONLY: (&str, &str, &str) = ("bpf-lb-sock-hostns-only", "socketLB.hostNamespaceOnly", "false");

/// Settings of Cilium that keep its socket load balancer from the pods of a node.
pub(in crate::check) struct SocketGap {
    /// The Helm values of the whole cluster to set.
    pub(in crate::check) sets: Vec<(&'static str, &'static str)>,
    /// The commands that change settings of some nodes.
    pub(in crate::check) patches: Vec<String>,
}

impl SocketGap {
    fn steps(self, scene: &Scene<'_>) -> String {
        // The chart is Cilium's, also where it is the old CNI.
        let scene = Scene { to: Cni::Cilium, ..*scene };
        let run = (!self.sets.is_empty()).then(|| format!("Run: {}.", command(&scene, &self.sets)));
        run.into_iter().chain(self.patches).collect::<Vec<_>>().join(" ")
    }
}

/// What keeps Cilium's socket load balancer from the pods of a node; none if nothing does, or Cilium is not installed. `may_replace` says whether the
/// load balancer counts that a replacement of kube-proxy brings with it.
///
/// *Source*: cilium/cilium 1.17: install/kubernetes/cilium/templates/cilium-configmap.yaml for the keys; daemon/cmd/kube_proxy_replacement.go: a
/// replacement turns the socket load balancer on; Cilium's documentation, "Socket LoadBalancer Bypass in Pod Namespace".
pub(in crate::check) fn socket_gap(scene: &Scene<'_>, may_replace: bool) -> Option<SocketGap> {
    let settings = settings(scene)?;
    let mut sets = BTreeSet::new();
    let mut by_object: BTreeMap<(&str, &str), BTreeMap<&str, &str>> = BTreeMap::new();
    for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
        let replaces = may_replace && settings.replaces_kube_proxy(node);
        for (key, set, expected) in [SOCKETS, HOST_ONLY] {
            let is_wrong = |value: &str| is_yes(value) != is_yes(expected);
            if replaces && key == SOCKETS.0 {
                continue;
            }
            for (object, _) in settings.values(node, key).into_iter().filter(|(_, value)| is_wrong(value)) {
                if settings.is_of_cluster(object) {
                    sets.insert((set, expected));
                } else {
                    by_object.entry((object.namespace(), object.name())).or_default().insert(key, expected);
                }
            }
        }
    }
    let patch = |((namespace, name), defaults): ((&str, &str), BTreeMap<&str, &str>)| {
        format!(
            "Run: kubectl -n {} patch ciliumnodeconfigs.cilium.io {} --type merge -p '{}', then restart the agents of its nodes.",
            shell_word(namespace),
            shell_word(name),
            serde_json::json!({ "spec": { "defaults": defaults } })
        )
    };
    let patches: Vec<String> = by_object.into_iter().map(patch).collect();
    let sets: Vec<_> = sets.into_iter().collect();
    (!sets.is_empty() || !patches.is_empty()).then_some(SocketGap { sets, patches })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: dns, namespace: kube-system}\nspec: {clusterIPs: [10.96.0.10], selector: {k8s-app: dns}}\n";

    /// A cluster with a Service, two nodes, Cilium with these settings, and with those for some nodes.
    fn cilium(config: &str, by_node: &[(&str, &str)]) -> Case {
        let nodes = ["n1", "n2"].map(|name| {
            format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{name: {name}, os: linux}}}}\n")
        });
        let config = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{{config}}}\n"
        );
        let own = by_node.iter().enumerate().map(|(index, (label, defaults))| {
            format!("apiVersion: cilium.io/v2\nkind: CiliumNodeConfig\nmetadata: {{name: c{index}, namespace: kube-system}}\nspec: {{nodeSelector: {{matchLabels: {{{label}}}}}, defaults: {{{defaults}}}}}\n")
        });
        let all: Vec<String> = nodes.into_iter().chain([config, SERVICE.to_owned()]).chain(own).collect();
        Case::from_yaml(&all.join("---\n"))
    }

    #[test]
    fn only_a_service_with_an_address_and_pods_is_translated() {
        let finding = Case::from_yaml(SERVICE).finding(&CHECK, "services-bridged");
        assert_eq!(objects(&finding), ["Service/kube-system/dns"]);
        for other in [
            SERVICE.replace("10.96.0.10", "None"),
            SERVICE.replace("clusterIPs: [10.96.0.10], ", ""),
            SERVICE.replace(", selector: {k8s-app: dns}", ""),
            SERVICE.replace("selector:", "type: ExternalName, selector:"),
        ] {
            assert!(Case::from_yaml(&other).codes(&CHECK).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_bridge_forwards_in_any_case() {
        for strategy in [Strategy::Bridge, Strategy::Rotation] {
            assert!(Case::from_yaml(SERVICE).strategy(strategy).codes(&CHECK).is_empty(), "{strategy:?}");
        }
        for bridge in ["bridge: {accept: a router}", "gates: [{name: g, command: [./g]}], bridge: {gate: g}"]
        {
            assert!(
                Case::from_yaml(SERVICE).config(&format!("roll: {{{bridge}}}")).codes(&CHECK).is_empty(),
                "{bridge}"
            );
        }
        assert!(
            Case::from_yaml(SERVICE).config("transition: {phase: finish}").codes(&CHECK).is_empty(),
            "the passes are over"
        );
        let gate = "roll: {gates: [{name: g, command: [./g]}]}";
        assert_eq!(
            Case::from_yaml(SERVICE).config(gate).codes(&CHECK),
            ["services-bridged"],
            "it proves something else"
        );
    }

    #[test]
    fn an_image_with_both_networks_needs_it_as_double_does() {
        for (image, codes) in
            [("both-old", &["services-bridged"][..]), ("both-new", &["services-bridged"]), ("new", &[])]
        {
            let rotation = Case::from_yaml(SERVICE)
                .strategy(Strategy::Rotation)
                .config(&format!("roll: {{image: {image}}}"));
            assert_eq!(rotation.codes(&CHECK), codes, "{image}");
            let double = Case::from_yaml(SERVICE).config(&format!("roll: {{image: {image}}}"));
            assert_eq!(double.codes(&CHECK), ["services-bridged"], "the image is of no account to it");
        }
    }

    const ON: &str = "bpf-lb-sock: \"true\"";
    const HOSTS_ALONE: &str = "bpf-lb-sock: \"true\", bpf-lb-sock-hostns-only: \"true\"";

    /// Each row: the settings, those of some nodes, and what the fix says; empty where the gap is closed.
    #[test]
    fn a_socket_load_balancer_on_every_node_closes_the_gap() {
        const OFF: &str = "bpf-lb-sock: \"false\"";
        const REPLACED: &str = "kube-proxy-replacement: \"true\"";
        let (sockets, hosts) =
            ("--set socketLB.enabled=true &&", "--set socketLB.hostNamespaceOnly=false &&");
        let patch = |name: &str, key: &str, value: &str| {
            format!(
                r#"ciliumnodeconfigs.cilium.io {name} --type merge -p '{{"spec":{{"defaults":{{"{key}":"{value}"}}}}}}'"#
            )
        };
        for (config, by_node, words) in [
            ("", &[][..], sockets.to_owned()),
            (OFF, &[], sockets.into()),
            ("kube-proxy-replacement: \"false\"", &[], sockets.into()),
            ("kube-proxy-replacement: partial", &[], sockets.into()),
            (ON, &[], String::new()),
            (REPLACED, &[], String::new()),
            ("kube-proxy-replacement: strict", &[], String::new()),
            (HOSTS_ALONE, &[], hosts.into()),
            ("kube-proxy-replacement: \"true\", bpf-lb-sock-hostns-only: \"true\"", &[], hosts.into()),
            (OFF, &[("os: linux", ON)], String::new()),
            (OFF, &[("name: n1", ON)], sockets.into()),
            (ON, &[("name: n2", OFF)], patch("c0", "bpf-lb-sock", "true")),
            (ON, &[("name: n3", OFF)], String::new()),
            (ON, &[("name: n1", HOSTS_ALONE)], patch("c0", "bpf-lb-sock-hostns-only", "false")),
            (ON, &[("name: n1", ON), ("os: linux", OFF)], patch("c1", "bpf-lb-sock", "true")),
            (REPLACED, &[("name: n1", "kube-proxy-replacement: \"false\"")], sockets.into()),
        ] {
            let findings = cilium(config, by_node).findings(&CHECK);
            let fix = findings.first().map_or("", |finding| &finding.fix);
            assert!(
                fix.contains(&words) && words.is_empty() == fix.is_empty(),
                "{config} {by_node:?}: {fix}"
            );
        }
    }

    /// A ConfigMap that an earlier Cilium left behind says nothing about another pair of CNIs.
    #[test]
    fn cilium_counts_as_either_of_the_cnis_and_not_beside_them() {
        for (from, to, is_closed) in [
            (Cni::Flannel, Cni::Cilium, true),
            (Cni::Cilium, Cni::Flannel, true),
            (Cni::Flannel, Cni::Calico, false),
        ] {
            assert_eq!(cilium(ON, &[]).pair(from, to).codes(&CHECK).is_empty(), is_closed, "{from} {to}");
        }
        let left = cilium("", &[]).pair(Cni::Cilium, Cni::Flannel).finding(&CHECK, "services-bridged");
        assert!(
            left.fix.contains("helm upgrade cilium ") && left.fix.contains("roll: {bridge: {accept: WHY}}"),
            "{}",
            left.fix
        );
        let none =
            Case::from_yaml(SERVICE).pair(Cni::Flannel, Cni::Calico).finding(&CHECK, "services-bridged");
        assert!(none.fix.starts_with("Let every node forward"), "{}", none.fix);
    }

    #[test]
    fn it_blocks_but_before_cilium_is_installed() {
        let severity = |case: Case| case.finding(&CHECK, "services-bridged").severity;
        assert_eq!(severity(cilium("", &[])), Severity::Blocks);
        assert_eq!(severity(Case::from_yaml(SERVICE)), Severity::Note);
        assert_eq!(
            severity(Case::from_yaml(SERVICE).config("transition: {phase: migrate}")),
            Severity::Blocks
        );
        assert_eq!(severity(Case::from_yaml(SERVICE).pair(Cni::Flannel, Cni::Calico)), Severity::Blocks);
    }

    #[test]
    fn the_values_to_install_cilium_with_close_the_gap() {
        let values = |case: &Case| crate::cni::values::manifest(&case.scene()).expect("values of Cilium");
        let case = Case::from_yaml(SERVICE);
        assert!(case.finding(&CHECK, "services-bridged").fix.contains("values-not-installed"));
        assert!(values(&case).contains("socketLB:\n  enabled: true\n"), "{}", values(&case));
        let bridged = case.config("roll: {bridge: {accept: a router}}");
        assert!(!values(&bridged).contains("socketLB"));
        assert!(!values(&Case::from_yaml(SERVICE).strategy(Strategy::Bridge)).contains("socketLB"));
    }
}
