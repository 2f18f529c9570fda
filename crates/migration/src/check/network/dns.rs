//! DNS: enough replicas, in every zone, and the order in which they move.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use snapshot::model::{Kind, Node, Pod, ZONE};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::workload::{Owner, is_dns, is_ready, owner, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "dns",
    rules: &[&DNS_ABSENT, &DNS_ON_ONE_NODE, &DNS_ORDER, &DNS_TOO_FEW, &DNS_ZONE_WITHOUT],
    needs: &[Need::Always(Kind::NODE), Need::Always(Kind::POD)],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = &scene.config.dns;
    let pods: Vec<&Pod> = scene.snapshot.pods.iter().filter(|pod| is_dns(settings, pod)).collect();
    if pods.is_empty() {
        return vec![absent_finding(scene)];
    }
    let ready: Vec<&Pod> = pods.iter().copied().filter(|pod| is_ready(pod)).collect();
    let nodes: HashMap<&str, &Node> = scene.snapshot.nodes.iter().map(|node| (node.name(), node)).collect();
    let zone = |pod: &Pod| nodes.get(&*pod.spec.node_name).map_or("", |node| node.zone());
    let mut zones: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
        zones.entry(node.zone()).or_default();
    }
    for pod in &ready {
        zones.entry(zone(pod)).or_default().push(pod);
    }
    let name = owner(pods[0]);
    let scale = |replicas: usize| match name.kind {
        "Deployment" => {
            format!("kubectl -n {} scale deployment {} --replicas={replicas}", name.namespace, name.name)
        }
        kind => format!("give {kind} {}/{} {replicas} replicas", name.namespace, name.name),
    };
    let on: BTreeSet<&str> = ready.iter().map(|pod| &*pod.spec.node_name).collect();
    let mut findings = Vec::new();
    if ready.len() < 2 {
        let subjects = pods.iter().map(|pod| Subject::from_meta(Kind::POD, &pod.metadata));
        let fix = if pods.iter().filter(|pod| !pod.is_finished()).count() < 2 {
            scale(2.max(zones.len()))
        } else {
            wait_command(&name)
        };
        findings.push(Finding::new(&DNS_TOO_FEW).fix(fix).with_objects(subjects));
    } else if on.len() == 1 && scene.snapshot.nodes.len() > 1 {
        let node = Subject::new(Kind::NODE, *on.iter().next().unwrap_or(&""));
        let finding = Finding::new(&DNS_ON_ONE_NODE).with_commands(&[name.subject()]);
        findings.push(finding.with_objects([node]));
    }
    let without: Vec<Subject> =
        zones.iter().filter(|(_, pods)| pods.is_empty()).map(|(zone, _)| subject(zone)).collect();
    if zones.len() > 1 && !without.is_empty() {
        let fix =
            format!("Spread DNS with a topologySpreadConstraint on {ZONE}, and: {}", scale(zones.len()));
        findings.push(Finding::new(&DNS_ZONE_WITHOUT).fix(fix).with_objects(without));
    }
    findings.extend(order(&zones));
    findings
}

fn subject(zone: &str) -> Subject {
    let name = if zone.is_empty() { "(nodes without a zone)" } else { zone };
    Subject { kind: "Zone".into(), namespace: String::new(), name: name.into(), detail: String::new() }
}

const DNS_ABSENT: Rule = Severity::Risk.rule(
    "dns-absent",
    "No pod of the cluster's DNS is found.",
    "The migration cannot keep a DNS pod in every zone if it does not know which pods these are.",
    "Name them in the settings file: dns: {namespace: NAMESPACE, labels: {KEY: VALUE}}.",
);

fn absent_finding(scene: &Scene<'_>) -> Finding {
    let settings = &scene.config.dns;
    let labels: Vec<String> = settings.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Finding::new(&DNS_ABSENT).what(format!(
        "No pod in namespace {} has the labels {} of the cluster's DNS.",
        settings.namespace,
        labels.join(",")
    ))
}

/// What to do where pods enough exist: more replicas would not make these ready.
fn wait_command(owner: &Owner<'_>) -> String {
    let Owner { kind, namespace, name } = owner;
    let wait = match *kind {
        "Deployment" | "DaemonSet" | "StatefulSet" => {
            format!("kubectl -n {namespace} rollout status {}/{name}", kind.to_lowercase())
        }
        _ => format!("kubectl -n {namespace} get pods --watch"),
    };
    format!(
        "Wait until they are ready: {wait}. If they stay as they are, kubectl -n {namespace} describe pod POD says why."
    )
}

const DNS_TOO_FEW: Rule = Severity::Blocks.rule(
    "dns-too-few",
    "Fewer than two DNS pods are ready.",
    "While the only one moves, no name resolves in the whole cluster.",
    "kubectl -n kube-system scale deployment coredns --replicas=2.",
);

const DNS_ON_ONE_NODE: Rule = Severity::Blocks.rule(
    "dns-on-one-node",
    "All ready DNS pods are on one node.",
    "When this node moves, no name resolves in the whole cluster.",
    "Spread them with a topologySpreadConstraint on kubernetes.io/hostname, then: `kubectl -n NAMESPACE rollout restart deployment NAME`",
);

const DNS_ZONE_WITHOUT: Rule = Severity::Risk.rule(
    "dns-zone-without",
    "Zones have nodes and no ready DNS pod.",
    "Pods of these zones resolve names through other zones, so a failed path between zones stops them, too.",
    "Spread DNS with a topologySpreadConstraint on topology.kubernetes.io/zone, and: kubectl -n kube-system scale deployment coredns --replicas=3.",
);

const DNS_ORDER: Rule = Severity::Note.rule(
    "dns-order",
    "DNS pods move before other pods, zone by zone.",
    "Pods of both networks must reach a DNS pod at every moment. Where the new CNI's operator restarts DNS pods that its agent does not manage, each one must land on a node that has moved.",
    "In each zone, move a node without DNS pods first. Then evict the DNS pods of that zone one at a time, and wait until each is ready on the moved node.",
);

/// The order, zone by zone: first a node without DNS, then the pods one by one.
fn order(zones: &BTreeMap<&str, Vec<&Pod>>) -> Option<Finding> {
    let lines = zones.iter().filter(|(_, pods)| !pods.is_empty()).map(|(zone, pods)| {
        let mut nodes: Vec<&str> = pods.iter().map(|pod| &*pod.spec.node_name).collect();
        nodes.sort_unstable();
        nodes.dedup();
        subject(zone).detail(format!("{} ready on {}", pods.len(), nodes.join(", ")))
    });
    let subjects: Vec<Subject> = lines.collect();
    (!subjects.is_empty()).then(|| Finding::new(&DNS_ORDER).with_objects(subjects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn node(name: &str, zone: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: {zone}}}}}\n---\n"
        )
    }

    fn pod(name: &str, node: &str, ready: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: kube-system, labels: {{k8s-app: kube-dns, pod-template-hash: h}}, ownerReferences: [{{kind: ReplicaSet, name: coredns-h, controller: true}}]}}\n\
             spec: {{nodeName: {node}}}\nstatus: {{phase: Running, conditions: [{{type: Ready, status: \"{ready}\"}}]}}\n---\n"
        )
    }

    #[test]
    fn dns_is_in_every_zone_and_on_two_nodes() {
        let nodes = [node("a1", "a"), node("a2", "a"), node("b1", "b")].concat();
        for (pods, codes) in [
            ([pod("p", "a1", "True"), pod("q", "b1", "True")], &["dns-order"][..]),
            ([pod("p", "a1", "True"), pod("q", "a2", "True")], &["dns-zone-without", "dns-order"]),
            (
                [pod("p", "a1", "True"), pod("q", "a1", "True")],
                &["dns-on-one-node", "dns-zone-without", "dns-order"],
            ),
            (
                [pod("p", "a1", "True"), pod("q", "b1", "False")],
                &["dns-too-few", "dns-zone-without", "dns-order"],
            ),
        ] {
            assert_eq!(Case::from_yaml(&[nodes.clone(), pods.concat()].concat()).codes(&CHECK), codes);
        }
        assert_eq!(Case::from_yaml(&nodes).codes(&CHECK), ["dns-absent"]);
    }

    #[test]
    fn pods_that_exist_are_waited_for_and_missing_ones_are_made() {
        let nodes = [node("a1", "a"), node("a2", "a")].concat();
        let unready =
            Case::from_yaml(&[nodes.clone(), pod("p", "a1", "True"), pod("q", "a2", "False")].concat());
        let fix = unready.finding(&CHECK, "dns-too-few").fix;
        assert!(fix.contains("kubectl -n kube-system rollout status deployment/coredns."), "{fix}");
        let single = Case::from_yaml(&[nodes, pod("p", "a1", "True")].concat());
        let fix = single.finding(&CHECK, "dns-too-few").fix;
        assert_eq!(fix, "kubectl -n kube-system scale deployment coredns --replicas=2");
    }

    #[test]
    fn the_order_names_the_nodes_of_each_zone() {
        let all = [node("a1", "a"), node("b1", "b"), pod("p", "a1", "True"), pod("q", "b1", "True")].concat();
        let finding = Case::from_yaml(&all).finding(&CHECK, "dns-order");
        assert_eq!(objects(&finding), ["Zone/a: 1 ready on a1", "Zone/b: 1 ready on b1"]);
    }

    #[test]
    fn other_labels_may_name_dns() {
        let all = [node("a1", "a"), node("a2", "a"), pod("p", "a1", "True"), pod("q", "a2", "True")].concat();
        let all = all
            .replace("k8s-app: kube-dns", "dns.operator.openshift.io/daemonset-dns: default")
            .replace("namespace: kube-system", "namespace: openshift-dns");
        let case = Case::from_yaml(&all);
        assert_eq!(case.codes(&CHECK), ["dns-absent"]);
        let case = case.config(
            "dns: {namespace: openshift-dns, labels: {dns.operator.openshift.io/daemonset-dns: default}}",
        );
        assert_eq!(case.codes(&CHECK), ["dns-order"]);
    }
}
