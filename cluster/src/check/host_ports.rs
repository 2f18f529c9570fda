//! Pods with a port on the node. Pure.

use super::{Check, Need};
use crate::finding::{Finding, Severity};
use crate::model::{Kind, Pod};
use crate::scene::Scene;
use crate::support::Cni;
use crate::workload::groups;

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "host-ports",
    codes: &[("host-port-lost", "the new CNI does not serve a port of a node that a pod asks for")],
    needs: &[Need::Always(Kind::POD), Need::To(Cni::Cilium, Kind::CONFIG_MAP)],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let Some((severity, is)) = lost(scene) else { return Vec::new() };
    let ports = |pod: &Pod| {
        let all = pod
            .spec
            .containers
            .iter()
            .flat_map(|container| &container.ports)
            .filter(|port| port.host_port > 0);
        let mut ports: Vec<String> = all
            .map(|port| {
                format!(
                    "{}/{}",
                    port.host_port,
                    if port.protocol.is_empty() { "TCP" } else { &port.protocol }
                )
            })
            .collect();
        ports.sort();
        ports.dedup();
        ports.join(", ")
    };
    let mut objects = Vec::new();
    for group in groups(scene.snapshot) {
        let with = group
            .pods
            .iter()
            .filter(|pod| !pod.spec.host_network)
            .map(|pod| ports(pod))
            .find(|ports| !ports.is_empty());
        objects.extend(with.map(|ports| group.owner.subject().detail(ports)));
    }
    if objects.is_empty() {
        return Vec::new();
    }
    let why = format!(
        "Without kube-proxy replacement, Cilium leaves these ports to the plugin portmap. {is} The pods start without an error, and nothing answers on the port."
    );
    let fix = "Chain portmap: set cni.chainingMode=portmap in Cilium's Helm values (cni-chaining-mode: portmap in ConfigMap cilium-config), and have portmap in the node's plugin directory. In Crossfade's conf of the new network, name portmap after cilium-cni.";
    vec![
        Finding::new("host-port-lost", severity, "Pods with pod network use ports of their node.", why, fix)
            .about(objects),
    ]
}

/// Whether the new CNI would lose ports of nodes; none if it serves them.
///
/// *Source*: Cilium 1.18, `install/kubernetes/cilium/templates/cilium-configmap.yaml` (`kube-proxy-replacement`, `cni-chaining-mode`), documentation
/// "CNI Chaining", "Portmap (HostPort)". The conflists that Calico, Flannel, Antrea and the Amazon VPC CNI install chain portmap by themselves.
fn lost(scene: &Scene<'_>) -> Option<(Severity, &'static str)> {
    if scene.to != Cni::Cilium {
        return None;
    }
    let Some(config) = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config") else {
        return Some((Severity::Risk, "Cilium is not installed yet; by default it chains nothing."));
    };
    let replaces = matches!(config.data("kube-proxy-replacement"), Some("true" | "strict"));
    let chains = config.data("cni-chaining-mode") == Some("portmap");
    (!replaces && !chains).then_some((Severity::Blocks, "ConfigMap cilium-config asks for neither."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn case(spec: &str, config: &str) -> Case {
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: x, ownerReferences: [{{kind: DaemonSet, name: ingress, controller: true}}]}}\nspec: {{{spec}}}\n---\n"
        );
        let config = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{{config}}}\n"
        );
        Case::of(&[pod, config].concat())
    }

    const PORT: &str = "containers: [{name: c, ports: [{containerPort: 8080, hostPort: 80}]}]";

    #[test]
    fn a_port_of_the_node_needs_portmap_or_kube_proxy_replacement() {
        for (spec, config, codes) in [
            (PORT.to_owned(), "kube-proxy-replacement: \"false\"", &["host-port-lost"][..]),
            (PORT.to_owned(), "kube-proxy-replacement: \"true\"", &[]),
            (PORT.to_owned(), "cni-chaining-mode: portmap", &[]),
            (PORT.to_owned(), "cni-chaining-mode: none", &["host-port-lost"]),
            (format!("hostNetwork: true, {PORT}"), "", &[]),
            (PORT.replace("hostPort: 80", "hostPort: 0"), "", &[]),
        ] {
            assert_eq!(case(&spec, config).codes(&CHECK), codes, "{spec} {config}");
        }
        let finding = case(PORT, "").finding(&CHECK, "host-port-lost");
        assert_eq!(
            (objects(&finding), finding.severity),
            (vec!["DaemonSet/x/ingress: 80/TCP".into()], Severity::Blocks)
        );
        assert!(case(PORT, "").pair(Cni::Calico, Cni::Antrea).codes(&CHECK).is_empty());
    }

    #[test]
    fn before_cilium_is_installed_it_is_a_risk() {
        let pod =
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: x}}\nspec: {{{PORT}}}\n");
        assert_eq!(Case::of(&pod).finding(&CHECK, "host-port-lost").severity, Severity::Risk);
    }
}
