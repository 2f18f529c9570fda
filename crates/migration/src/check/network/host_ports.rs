//! Pods with a port on the node.

use std::collections::BTreeSet;

use snapshot::model::{Kind, Pod, Port};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::{Check, Need};
use crate::cni::cilium;
use crate::cni::support::Cni;
use crate::cni::values::{CHAINING, command, has_host_ports};
use crate::workload::{groups, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "host-ports",
    rules: &[&HOST_PORT_LOST],
    needs: &[
        Need::Always(Kind::POD),
        Need::To(Cni::Cilium, Kind::NODE),
        Need::To(Cni::Cilium, Kind::CONFIG_MAP),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE_CONFIG),
    ],
    run,
};

const HOST_PORT_LOST: Rule = Severity::Blocks.rule(
    "host-port-lost",
    "Pods with pod network use ports of their node.\n\n\
     The new CNI does not serve such a port. Before Cilium is installed it is a note. A CiliumNodeConfig counts before the ConfigMap, node by node.",
    "While kube-proxy is not replaced, Cilium leaves these ports to the plugin portmap, and it chains portmap only if its settings say so. Without it the pods start without an error, and nothing answers on the port.",
    "Chain portmap: `cni.chainingMode=portmap`, and the same in each CiliumNodeConfig that says otherwise; the finding has the commands. The values of `values-not-installed` do so by themselves. portmap beside Cilium is no other CNI, so `cilium-chaining` and the requirement `cilium-unchained` accept it.",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    if scene.to != Cni::Cilium {
        return Vec::new();
    }
    let mut objects = Vec::new();
    for group in groups(scene.snapshot) {
        let with = group.pods.iter().map(|pod| ports(pod)).find(|ports| !ports.is_empty());
        objects.extend(with.map(|ports| group.owner.subject().detail(ports)));
    }
    if objects.is_empty() {
        return Vec::new();
    }
    let obstacle = match cilium::config(scene.snapshot) {
        None => Some((Severity::Note, INSTALL.to_owned())),
        Some(_) => find_unserved(scene, true).map(|unserved| (Severity::Blocks, unserved.fix(scene))),
    };
    let finding = |(severity, fix): (Severity, String)| {
        Finding::new(&HOST_PORT_LOST).severity(severity).fix(fix).with_objects(objects)
    };
    obstacle.map(finding).into_iter().collect()
}

const INSTALL: &str = "Install Cilium with the values of the finding values-not-installed: they chain portmap (cni.chainingMode). Every node must have the plugin portmap in its plugin directory.";

/// `443/TCP, 53/UDP`.
fn ports(pod: &Pod) -> String {
    let protocol =
        |port: &Port| if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.to_string() };
    let all: BTreeSet<String> =
        pod.host_ports().map(|port| format!("{}/{}", port.host_port, protocol(port))).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

const CHAIN: &str = "cni-chaining-mode";

/// What every node needs beside the settings.
pub(in crate::check) const PLUGIN: &str = "Every node must have the plugin portmap in its plugin directory. A conf of Cilium that you wrote yourself must name portmap after cilium-cni.";

/// Where no program serves the ports of nodes that pods use.
pub(in crate::check) struct PortGap {
    /// The settings of the whole cluster must chain portmap.
    pub(in crate::check) is_cluster: bool,
    /// The commands that change settings of some nodes.
    pub(in crate::check) patches: Vec<String>,
}

impl PortGap {
    fn fix(self, scene: &Scene<'_>) -> String {
        let run = |()| format!("Run: {}.", command(scene, &[(CHAINING, "portmap")]));
        let cluster = self.is_cluster.then_some(()).map(run);
        cluster.into_iter().chain(self.patches).chain([PLUGIN.to_owned()]).collect::<Vec<_>>().join(" ")
    }
}

/// Where no program serves the ports of nodes that pods use; none if every node has one. `may_replace` says whether a node counts as served on which
/// Cilium replaces kube-proxy.
///
/// *Source*: Cilium's documentation, "Portmap (HostPort)": with kubeProxyReplacement=false, only cni.chainingMode=portmap serves them. The
/// conflists that Calico, Flannel, Antrea and the Amazon VPC CNI install chain portmap by themselves.
pub(in crate::check) fn find_unserved(scene: &Scene<'_>, may_replace: bool) -> Option<PortGap> {
    let settings = cilium::NodeSettings::read(scene.snapshot).filter(|_| has_host_ports(scene))?;
    let mut is_cluster = false;
    let mut wrong: BTreeSet<(&str, &str)> = BTreeSet::new();
    for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
        if may_replace && settings.replaces_kube_proxy(node) {
            continue;
        }
        for (object, _) in settings.values(node, CHAIN).into_iter().filter(|(_, mode)| *mode != "portmap") {
            if settings.is_of_cluster(object) {
                is_cluster = true;
            } else {
                wrong.insert((object.namespace(), object.name()));
            }
        }
    }
    let patches = wrong.into_iter().map(|(namespace, name)| {
        let (namespace, name) = (shell_word(namespace), shell_word(name));
        format!(
            r#"Run: kubectl -n {namespace} patch ciliumnodeconfigs.cilium.io {name} --type merge -p '{{"spec":{{"defaults":{{"{CHAIN}":"portmap"}}}}}}', then restart the agents of its nodes."#
        )
    });
    let patches: Vec<String> = patches.collect();
    (is_cluster || !patches.is_empty()).then_some(PortGap { is_cluster, patches })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn case(spec: &str, config: &str, by_node: &[(&str, &str)]) -> Case {
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: x, ownerReferences: [{{kind: DaemonSet, name: ingress, controller: true}}]}}\nspec: {{{spec}}}\n---\n"
        );
        let nodes = ["n1", "n2"].map(|name| {
            format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{name: {name}, os: linux}}}}\n---\n")
        });
        let config = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{{config}}}\n---\n"
        );
        let own: String = by_node
            .iter()
            .enumerate()
            .map(|(index, (label, defaults))| {
                format!("apiVersion: cilium.io/v2\nkind: CiliumNodeConfig\nmetadata: {{name: c{index}, namespace: kube-system}}\nspec: {{nodeSelector: {{matchLabels: {{{label}}}}}, defaults: {{{defaults}}}}}\n---\n")
            })
            .collect();
        Case::from_yaml(&[pod, nodes.concat(), config, own].concat())
    }

    const PORT: &str = "containers: [{name: c, ports: [{containerPort: 8080, hostPort: 80}]}]";
    const CHAINED: &str = "cni-chaining-mode: portmap";

    #[test]
    fn a_port_of_the_node_needs_portmap_or_kube_proxy_replacement() {
        for (spec, config, codes) in [
            (PORT.to_owned(), "kube-proxy-replacement: \"false\"", &["host-port-lost"][..]),
            (PORT.to_owned(), "kube-proxy-replacement: \"true\"", &[]),
            (PORT.to_owned(), CHAINED, &[]),
            (PORT.to_owned(), "cni-chaining-mode: none", &["host-port-lost"]),
            (format!("hostNetwork: true, {PORT}"), "", &[]),
            (PORT.replace("hostPort: 80", "hostPort: 0"), "", &[]),
        ] {
            assert_eq!(case(&spec, config, &[]).codes(&CHECK), codes, "{spec} {config}");
        }
        let finding = case(PORT, "", &[]).finding(&CHECK, "host-port-lost");
        assert_eq!(
            (objects(&finding), finding.severity),
            (vec!["DaemonSet/x/ingress: 80/TCP".into()], Severity::Blocks)
        );
        assert!(case(PORT, "", &[]).pair(Cni::Calico, Cni::Antrea).codes(&CHECK).is_empty());
    }

    #[test]
    fn settings_of_some_nodes_count_before_those_of_the_cluster() {
        const NONE: &str = "cni-chaining-mode: none";
        for (config, by_node, blamed) in [
            (NONE, &[("os: linux", CHAINED)][..], ""),
            (NONE, &[("name: n1", CHAINED), ("name: n2", CHAINED)], ""),
            (NONE, &[("name: n1", CHAINED)], "cni.chainingMode=portmap"),
            (CHAINED, &[("os: linux", NONE)], "ciliumnodeconfigs.cilium.io c0"),
            (CHAINED, &[("name: n2", NONE)], "ciliumnodeconfigs.cilium.io c0"),
            (CHAINED, &[("name: n3", NONE)], ""),
            (CHAINED, &[("name: n1", CHAINED), ("os: linux", NONE)], "ciliumnodeconfigs.cilium.io c1"),
            (
                "kube-proxy-replacement: \"true\"",
                &[("os: linux", "kube-proxy-replacement: \"false\"")],
                "cni.chainingMode=portmap",
            ),
        ] {
            let findings = case(PORT, config, by_node).findings(&CHECK);
            let fix = findings.first().map_or("", |finding| &finding.fix);
            assert!(
                fix.contains(blamed) && blamed.is_empty() == fix.is_empty(),
                "{config} {by_node:?}: {fix}"
            );
        }
    }

    #[test]
    fn before_cilium_is_installed_the_values_to_install_it_with_serve_the_ports() {
        let pod =
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: x}}\nspec: {{{PORT}}}\n");
        let case = Case::from_yaml(&pod);
        assert_eq!(case.finding(&CHECK, "host-port-lost").severity, Severity::Note);
        let values = |case: &Case| crate::cni::values::manifest(&case.scene()).expect("values of Cilium");
        assert!(values(&case).contains("chainingMode: portmap\n"), "{}", values(&case));
        let without = values(&Case::from_yaml(&pod.replace("hostPort: 80", "hostPort: 0")));
        assert!(without.contains("chainingMode: none\n"), "{without}");
    }
}
