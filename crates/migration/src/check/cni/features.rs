//! Features of the old CNI that are in use, and that the new one lacks or has in another form.

use std::collections::BTreeSet;

use snapshot::model::{Kind, Meta, Pod, Workload};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::is_yes;
use crate::cni::support::Cni;
use crate::cni::{aws_vpc, calico, cilium};
use crate::workload::Place;

pub(in crate::check) const CHECK: Check = Check {
    name: "features",
    rules: &[
        &aws_vpc::features::FEATURE_AWS_CUSTOM_NETWORKING,
        &aws_vpc::features::FEATURE_AWS_SECURITY_GROUPS,
        &FEATURE_BANDWIDTH,
        &calico::features::FEATURE_BGP,
        &calico::features::FEATURE_EBPF,
        &calico::features::FEATURE_EGRESS_GATEWAY,
        &calico::features::FEATURE_FIXED_ADDRESSES,
        &calico::features::FEATURE_FLOATING_IPS,
        &calico::features::FEATURE_HOST_ENDPOINTS,
        &calico::features::FEATURE_IP_RESERVATIONS,
        &FEATURE_KUBE_PROXY,
        &aws_vpc::features::FEATURE_POLICY_ENGINE,
        &calico::features::FEATURE_POOL_SELECTION,
        &calico::features::FEATURE_WIREGUARD,
    ],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::POD),
        Need::Always(Kind::NAMESPACE),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::CONFIG_MAP),
        Need::From(Cni::Calico, Kind::FELIX_CONFIGURATION),
        Need::From(Cni::Calico, Kind::BGP_CONFIGURATION),
        Need::From(Cni::Calico, Kind::BGP_PEER),
        Need::From(Cni::Calico, Kind::HOST_ENDPOINT),
        Need::From(Cni::Calico, Kind::CALICO_GLOBAL_NETWORK_POLICY),
        Need::From(Cni::Canal, Kind::CALICO_GLOBAL_NETWORK_POLICY),
        Need::From(Cni::Calico, Kind::IP_RESERVATION),
        Need::From(Cni::Calico, Kind::IP_POOL),
        Need::From(Cni::Canal, Kind::FELIX_CONFIGURATION),
        Need::From(Cni::Canal, Kind::HOST_ENDPOINT),
        Need::From(Cni::AwsVpcCni, Kind::ENI_CONFIG),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let lists = scene.from.facts().features.iter().filter(|(cni, _)| *cni != scene.to);
    lists
        .flat_map(|(_, features)| *features)
        .filter_map(|feature| feature.finding(scene))
        .chain(bandwidth(scene))
        .chain(kube_proxy(scene))
        .collect()
}

const FEATURE_BANDWIDTH: Rule = Severity::Note.rule(
    "feature-bandwidth",
    "Pods limit their bandwidth by annotations.",
    "The plugin bandwidth of the old network's configuration enforces the limits. Cilium does so only with its Bandwidth Manager, so the pods have no limit on the new network.",
    "After the migration, set the Helm value bandwidthManager.enabled=true. It needs eBPF in place of kube-proxy for some modes, so do not do this during the migration.",
);

/// *Source*: Cilium's documentation, "Bandwidth Manager": egress only in releases before 1.18, and only if enabled.
fn bandwidth(scene: &Scene<'_>) -> Option<Finding> {
    let is_on =
        cilium::setting(scene.snapshot, "enable-bandwidth-manager").is_some_and(|set| is_yes(&set.value));
    if scene.to != Cni::Cilium || is_on {
        return None;
    }
    let objects = pods_with_annotation(scene, |key| {
        matches!(key, "kubernetes.io/ingress-bandwidth" | "kubernetes.io/egress-bandwidth")
    });
    (!objects.is_empty()).then(|| Finding::new(&FEATURE_BANDWIDTH).with_objects(objects))
}

const FEATURE_KUBE_PROXY: Rule = Severity::Risk.rule(
    "feature-kube-proxy",
    "No kube-proxy is in the snapshot, or its DaemonSet selects no node.\n\n\
     It blocks where Calico's eBPF data plane is on.",
    "Both networks share one kube-proxy during the migration. If the old CNI replaces it, Services do not work for pods of the new network, and stop for all when the old CNI goes. k3s has a kube-proxy that no snapshot shows.",
    "Install it, or accept the finding on k3s.",
);

/// Without kube-proxy, another program replaces it: nothing is said where the new CNI may go on doing so.
fn kube_proxy(scene: &Scene<'_>) -> Option<Finding> {
    let snapshot = scene.snapshot;
    let daemon_set = snapshot.daemon_set("kube-proxy");
    if snapshot.workloads(Kind::DAEMON_SET).is_empty()
        || daemon_set.is_some_and(|workload| !is_parked(scene, workload))
    {
        return None;
    }
    // kubeadm and others run it as a DaemonSet, RKE2 as static pods, k3s within its own process.
    if snapshot.pods.iter().any(|pod| pod.name().starts_with("kube-proxy")) {
        return None;
    }
    let by_calico = calico::find_enabled(snapshot, "bpfEnabled");
    let severity = if by_calico.is_empty() { Severity::Risk } else { Severity::Blocks };
    let what = match daemon_set {
        Some(_) => "No kube-proxy runs: its DaemonSet selects no node.",
        None => "No kube-proxy is in the snapshot, neither as a DaemonSet nor as pods.",
    };
    let fix = "On k3s, accept this finding with a waiver. Else install kube-proxy (kubeadm: kubeadm init phase addon kube-proxy), wait until its pods are Ready, and then turn the replacement in the old CNI off. Let the new CNI replace kube-proxy after the migration, as a change of its own.";
    let unpark = daemon_set.map(|workload| {
        let keys = workload.spec.template.spec.node_selector.keys().filter(|key| key.as_ref() != "kubernetes.io/os");
        let keys: Vec<String> = keys.map(|key| format!("\"{key}\":null")).collect();
        format!(
            r#"Let kube-proxy run again: kubectl -n {} patch daemonset {} --type merge -p '{{"spec":{{"template":{{"spec":{{"nodeSelector":{{{}}},"affinity":null}}}}}}}}'. Wait until its pods are Ready, and then turn the replacement in the old CNI off. Let the new CNI replace kube-proxy after the migration, as a change of its own."#,
            workload.namespace(),
            workload.name(),
            keys.join(",")
        )
    });
    let parked = daemon_set
        .map(|workload| Subject::from_meta(Kind::DAEMON_SET, &workload.metadata).detail("selects no node"));
    let fix = unpark.unwrap_or_else(|| fix.to_owned());
    Some(
        Finding::new(&FEATURE_KUBE_PROXY)
            .severity(severity)
            .what(what)
            .fix(fix)
            .with_objects(by_calico.into_iter().chain(parked)),
    )
}

/// The DaemonSet's node selector or affinity fits no node, as those of clusters whose CNI replaces kube-proxy.
fn is_parked(scene: &Scene<'_>, daemon_set: &Workload) -> bool {
    let spec = &daemon_set.spec.template.spec;
    let nodes = &scene.snapshot.nodes;
    !nodes.is_empty() && nodes.iter().all(|node| Place::from_node(node).refusal(spec).is_some())
}

/// The owners of the pods, and the namespaces, that have an annotation of this kind.
pub(crate) fn pods_with_annotation(scene: &Scene<'_>, is_meant: impl Fn(&str) -> bool) -> Vec<Subject> {
    let key = |meta: &Meta| meta.annotations.keys().find(|key| is_meant(key)).map(ToString::to_string);
    let pods = scene.snapshot.pods.iter().filter(|pod| !pod.metadata.annotations.is_empty());
    let pods = pods.filter_map(|pod| Some(owner(pod).detail(key(&pod.metadata)?)));
    let namespaces = scene.snapshot.objects(Kind::NAMESPACE).iter().filter_map(|object| {
        let annotations = object.pointer("/metadata/annotations")?.as_object()?;
        let key = annotations.keys().find(|key| is_meant(key))?;
        Some(Subject::new(Kind::NAMESPACE, object.name()).detail(key.as_str()))
    });
    let all: BTreeSet<Subject> = pods.chain(namespaces).collect();
    all.into_iter().collect()
}

/// What makes a pod: its Deployment instead of the ReplicaSet of a revision, or the pod itself.
fn owner(pod: &Pod) -> Subject {
    let itself = || Subject::from_meta(Kind::POD, &pod.metadata);
    let Some(owner) = pod.metadata.controller() else { return itself() };
    let deployment = pod
        .metadata
        .label("pod-template-hash")
        .and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    let (kind, name) = match (owner.kind.as_ref(), deployment) {
        ("ReplicaSet", Some(name)) => ("Deployment", name),
        // The Node owns a static pod.
        ("Node", _) => return itself(),
        (kind, _) => (kind, owner.name.as_ref()),
    };
    Subject { kind: kind.into(), name: name.into(), ..itself() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::{Value, json};

    fn spec(kind: Kind, name: &str, spec: Value) -> (Kind, Value) {
        object(kind, name, json!({"spec": spec}))
    }

    fn pod(name: &str, annotations: Value) -> (Kind, Value) {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9", "uid": "u", "controller": true}]);
        let metadata = json!({"namespace": "default", "annotations": annotations, "ownerReferences": owner, "labels": {"pod-template-hash": "5d9"}});
        object(Kind::POD, name, json!({"metadata": metadata, "spec": {}, "status": {"phase": "Running"}}))
    }

    fn codes(from: Cni, to: Cni, objects: Vec<(Kind, Value)>) -> Vec<&'static str> {
        Case::new(from, to, objects).codes(&CHECK)
    }

    /// A feature, and beside it the same object without it.
    #[test]
    fn a_feature_of_calico_is_found_where_it_is_used() {
        let felix = |setting: Value| spec(Kind::FELIX_CONFIGURATION, "default", setting);
        let key = |name: &str| format!("cni.projectcalico.org/{name}");
        let annotated = |name: &str| pod("web-5d9-x", json!({key(name): "[\"10.0.0.9\"]"}));
        let none: Option<&str> = None;
        for (entry, expected) in [
            (spec(Kind::BGP_PEER, "tor", json!({"peerIP": "10.0.0.1"})), Some("feature-bgp")),
            (
                spec(
                    Kind::BGP_CONFIGURATION,
                    "default",
                    json!({"serviceClusterIPs": [{"cidr": "10.96.0.0/12"}]}),
                ),
                Some("feature-bgp"),
            ),
            (spec(Kind::BGP_CONFIGURATION, "default", json!({"asNumber": 64512})), none),
            (felix(json!({"wireguardEnabled": true})), Some("feature-wireguard")),
            (felix(json!({"wireguardEnabled": false})), none),
            (felix(json!({"bpfEnabled": true})), Some("feature-ebpf")),
            (felix(json!({"bpfEnabled": false})), none),
            (felix(json!({"egressIPSupport": "EnabledPerNamespace"})), Some("feature-egress-gateway")),
            (felix(json!({"egressIPSupport": "Disabled"})), none),
            (spec(Kind::HOST_ENDPOINT, "eth0", json!({"node": "a"})), Some("feature-host-endpoints")),
            (annotated("ipAddrs"), Some("feature-fixed-addresses")),
            (annotated("floatingIPs"), Some("feature-floating-ips")),
            (annotated("ipv4pools"), Some("feature-pool-selection")),
            // Calico writes this one itself.
            (annotated("podIP"), none),
            (
                spec(Kind::IP_POOL, "p", json!({"cidr": "10.0.0.0/16", "nodeSelector": "zone == 'a'"})),
                Some("feature-pool-selection"),
            ),
            (spec(Kind::IP_POOL, "p", json!({"cidr": "10.0.0.0/16", "nodeSelector": "all()"})), none),
            (
                spec(Kind::IP_RESERVATION, "r", json!({"reservedCIDRs": ["10.0.0.1"]})),
                Some("feature-ip-reservations"),
            ),
            (spec(Kind::IP_RESERVATION, "crossfade-new", json!({"reservedCIDRs": ["10.0.0.1"]})), none),
        ] {
            let found_codes = codes(Cni::Calico, Cni::Cilium, vec![entry.clone()]);
            assert_eq!(found_codes, Vec::from_iter(expected), "{entry:?}");
            assert_eq!(codes(Cni::Flannel, Cni::Cilium, vec![entry.clone()]), [""; 0], "{entry:?}");
        }
    }

    #[test]
    fn a_host_endpoint_that_calico_made_counts_only_where_a_policy_selects_it() {
        let stored =
            json!({"labels": {"projectcalico.org/created-by": "calico-kube-controllers", "role": "node"}})
                .to_string();
        let made = || {
            object(
                Kind::HOST_ENDPOINT,
                "a-auto-hep",
                json!({"metadata": {"annotations": {"projectcalico.org/metadata": stored}}, "spec": {"node": "a"}}),
            )
        };
        let policy = |rest: Value| spec(Kind::CALICO_GLOBAL_NETWORK_POLICY, "p", rest);
        for (policy, is_found) in [
            (policy(json!({"selector": "role == 'node'"})), true),
            (policy(json!({"selector": "app == 'web'"})), false),
            (policy(json!({})), true),
            (policy(json!({"selector": "role == 'node'", "namespaceSelector": "has(x)"})), false),
            // What it selects is not known.
            (policy(json!({"selector": "role =="})), true),
        ] {
            let codes = codes(Cni::Calico, Cni::Cilium, vec![made(), policy.clone()]);
            assert_eq!(codes, &["feature-host-endpoints"][usize::from(!is_found)..], "{policy:?}");
        }
        assert_eq!(codes(Cni::Calico, Cni::Cilium, vec![made()]), [""; 0]);
    }

    #[test]
    fn flannel_encrypts_by_two_backends() {
        let flannel = |backend: &str| {
            let conf = json!({"Network": "10.244.0.0/16", "Backend": {"Type": backend}}).to_string();
            object(Kind::CONFIG_MAP, "kube-flannel-cfg", json!({"data": {"net-conf.json": conf}}))
        };
        let encrypting =
            object(Kind::CONFIG_MAP, "cilium-config", json!({"data": {"enable-wireguard": "true"}}));
        for (from, to, objects, is_found) in [
            (Cni::Flannel, Cni::Cilium, vec![flannel("wireguard")], true),
            (Cni::Flannel, Cni::Cilium, vec![flannel("ipsec")], true),
            (Cni::Canal, Cni::Calico, vec![flannel("wireguard")], true),
            (Cni::Flannel, Cni::Cilium, vec![flannel("vxlan")], false),
            (Cni::Flannel, Cni::Cilium, vec![flannel("ipsec"), encrypting], false),
        ] {
            let codes = codes(from, to, objects);
            assert_eq!(codes, &["feature-wireguard"][usize::from(!is_found)..], "{from} {to}");
        }
        let felix = spec(Kind::FELIX_CONFIGURATION, "default", json!({"wireguardEnabled": true}));
        assert_eq!(codes(Cni::Flannel, Cni::Calico, vec![flannel("wireguard"), felix]), [""; 0]);
    }

    #[test]
    fn calico_may_enforce_policies_for_amazons_network() {
        let calico = |backend: &str| {
            let container = json!({"name": "calico-node", "env": [{"name": "CALICO_NETWORKING_BACKEND", "value": backend}]});
            let spec = json!({"template": {"spec": {"containers": [container]}}});
            vec![
                object(
                    Kind::DAEMON_SET,
                    "calico-node",
                    json!({"metadata": {"namespace": "calico-system"}, "spec": spec}),
                ),
                object(Kind::DAEMON_SET, "kube-proxy", json!({})),
            ]
        };
        for (from, to, backend, is_found) in [
            (Cni::AwsVpcCni, Cni::Cilium, "none", true),
            (Cni::AwsVpcCni, Cni::Calico, "none", true),
            (Cni::AwsVpcCni, Cni::Calico, "bird", false),
            (Cni::Calico, Cni::Cilium, "none", false),
        ] {
            let codes = codes(from, to, calico(backend));
            assert_eq!(codes, &["feature-policy-engine"][usize::from(!is_found)..], "{from} {to} {backend}");
        }
    }

    #[test]
    fn a_kube_proxy_that_selects_no_node_serves_nothing() {
        let proxy = |selector: Value| {
            let spec = json!({"template": {"spec": {"nodeSelector": selector}}});
            object(
                Kind::DAEMON_SET,
                "kube-proxy",
                json!({"metadata": {"namespace": "kube-system"}, "spec": spec}),
            )
        };
        let node = || object(Kind::NODE, "a", json!({"metadata": {"labels": {"kubernetes.io/os": "linux"}}}));
        let parked = || proxy(json!({"kubernetes.io/os": "linux", "non-calico": "true"}));
        let case = Case::new(Cni::Flannel, Cni::Cilium, vec![parked(), node()]);
        let finding = case.finding(&CHECK, "feature-kube-proxy");
        assert!(finding.fix.contains(r#""nodeSelector":{"non-calico":null}"#), "{}", finding.fix);
        let running = proxy(json!({"kubernetes.io/os": "linux"}));
        assert_eq!(codes(Cni::Flannel, Cni::Cilium, vec![running, node()]), [""; 0]);
        // Its pods run all the same: the node selector was set a moment ago.
        assert_eq!(
            codes(Cni::Flannel, Cni::Cilium, vec![parked(), node(), pod("kube-proxy-a", json!({}))]),
            [""; 0]
        );
    }

    #[test]
    fn encryption_by_the_new_cni_is_enough() {
        let felix = spec(Kind::FELIX_CONFIGURATION, "default", json!({"wireguardEnabled": true}));
        let cilium = |value: &str| {
            object(Kind::CONFIG_MAP, "cilium-config", json!({"data": {"enable-wireguard": value}}))
        };
        assert_eq!(codes(Cni::Calico, Cni::Cilium, vec![felix.clone(), cilium("true")]), [""; 0]);
        assert_eq!(codes(Cni::Calico, Cni::Cilium, vec![felix, cilium("false")]), ["feature-wireguard"]);
    }

    #[test]
    fn pods_of_one_owner_are_one_object() {
        let fixed = json!({"cni.projectcalico.org/ipAddrs": "[\"10.0.0.9\"]"});
        let pods = vec![pod("web-5d9-x", fixed.clone()), pod("web-5d9-y", fixed)];
        let findings = Case::new(Cni::Calico, Cni::Cilium, pods).findings(&CHECK);
        assert_eq!(
            findings[0].objects.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["Deployment/default/web"]
        );
    }

    #[test]
    fn features_of_aws_are_found() {
        let aws = |name: &str, value: &str| {
            let container = json!({"name": "aws-node", "env": [{"name": name, "value": value}]});
            let spec = json!({"template": {"spec": {"containers": [container]}}});
            vec![
                object(Kind::DAEMON_SET, "aws-node", json!({"spec": spec})),
                object(Kind::DAEMON_SET, "kube-proxy", json!({})),
            ]
        };
        for (name, value, expected) in [
            ("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "true", Some("feature-aws-custom-networking")),
            ("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "false", None),
            ("ENABLE_POD_ENI", "true", Some("feature-aws-security-groups")),
            ("ENABLE_POD_ENI", "false", None),
        ] {
            assert_eq!(
                codes(Cni::AwsVpcCni, Cni::Cilium, aws(name, value)),
                Vec::from_iter(expected),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn services_need_kube_proxy_or_what_replaces_it() {
        let other = || object(Kind::DAEMON_SET, "logs", json!({}));
        assert_eq!(codes(Cni::Flannel, Cni::Cilium, vec![other()]), ["feature-kube-proxy"]);
        assert_eq!(
            codes(
                Cni::Flannel,
                Cni::Cilium,
                vec![other(), object(Kind::DAEMON_SET, "kube-proxy", json!({}))]
            ),
            [""; 0]
        );
        assert_eq!(codes(Cni::Flannel, Cni::Cilium, vec![other(), pod("kube-proxy-a", json!({}))]), [""; 0]);
    }

    #[test]
    fn limits_of_bandwidth_end_on_cilium_without_its_manager() {
        let limited = || pod("web-5d9-x", json!({"kubernetes.io/egress-bandwidth": "10M"}));
        let manager =
            object(Kind::CONFIG_MAP, "cilium-config", json!({"data": {"enable-bandwidth-manager": "true"}}));
        assert_eq!(codes(Cni::Flannel, Cni::Cilium, vec![limited()]), ["feature-bandwidth"]);
        assert_eq!(codes(Cni::Flannel, Cni::Cilium, vec![limited(), manager]), [""; 0]);
        assert_eq!(codes(Cni::Flannel, Cni::Antrea, vec![limited()]), [""; 0]);
    }
}
