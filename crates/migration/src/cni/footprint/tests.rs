use super::*;
use crate::cni::support::Cni;
use clap::ValueEnum as _;

fn named(cni: Cni, namespaces: &[&str]) -> BTreeSet<String> {
    let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
    cni.facts()
        .footprint
        .targets(&namespaces)
        .iter()
        .map(|target| format!("{} {target}", target.resource()))
        .collect()
}

fn all() -> BTreeSet<String> {
    let namespaces = ["kube-system", "calico-system", "kube-flannel", "cilium", "networking"];
    Cni::value_variants().iter().flat_map(|cni| named(*cni, &namespaces)).collect()
}

/// Each of these looks like an object of a CNI, and belongs to others.
#[test]
fn near_misses_are_of_no_footprint() {
    let all = all();
    let crd = "customresourcedefinitions.apiextensions.k8s.io CustomResourceDefinition";
    for name in [
        "adminnetworkpolicies.policy.networking.k8s.io",
        "baselineadminnetworkpolicies.policy.networking.k8s.io",
        "clusternetworkpolicies.policy.networking.k8s.io",
        "gatewayclasses.gateway.networking.k8s.io",
        "envoyproxies.gateway.envoyproxy.io",
        "virtualservices.networking.istio.io",
        "serviceexports.multicluster.x-k8s.io",
        "serviceimports.multicluster.x-k8s.io",
        "clusternetworkpolicies.networking.k8s.aws",
        "applicationnetworkpolicies.networking.k8s.aws",
        "policyendpoints.networking.k8s.aws",
        "clusterpolicyendpoints.networking.k8s.aws",
        "cninodes.vpcresources.k8s.aws",
        "securitygrouppolicies.vpcresources.k8s.aws",
        "ippools.whereabouts.cni.cncf.io",
        "network-attachment-definitions.k8s.cni.cncf.io",
        "tracingpolicies.cilium.io",
        "tracingpoliciesnamespaced.cilium.io",
        "podinfo.cilium.io",
        "podnetworks.isovalent.com",
        "ciliumegressnatpolicies.cilium.io",
        "datastoremigrations.migration.projectcalico.org",
        "clustersets.multicluster.crd.antrea.io",
    ] {
        assert!(!all.contains(&format!("{crd}/{name}")), "{name}");
    }
    for name in [
        "configmaps ConfigMap/kube-system/cni-config",
        "configmaps ConfigMap/kube-system/kubernetes-services-endpoint",
        "configmaps ConfigMap/kube-system/ip-masq-agent",
        "daemonsets.apps DaemonSet/kube-system/kube-proxy",
        "daemonsets.apps DaemonSet/kube-system/rke2-canal",
        "deployments.apps Deployment/kube-system/coredns",
        "leases.coordination.k8s.io Lease/kube-system/cp-vpc-resource-controller",
        "leases.coordination.k8s.io Lease/kube-system/kube-controller-manager",
        "serviceaccounts ServiceAccount/monitoring/prometheus",
        "clusterroles.rbac.authorization.k8s.io ClusterRole/prometheus",
        "clusterroles.rbac.authorization.k8s.io ClusterRole/coredns-mcsapi",
        "validatingwebhookconfigurations.admissionregistration.k8s.io ValidatingWebhookConfiguration/vpc-resource-validating-webhook",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io MutatingWebhookConfiguration/vpc-resource-mutating-webhook",
        "apiservices.apiregistration.k8s.io APIService/v1.crd.projectcalico.org",
        "apiservices.apiregistration.k8s.io APIService/v1beta1.metrics.k8s.io",
        "services Service/kube-system/kube-dns",
    ] {
        assert!(!all.contains(name), "{name}");
    }
    let is_foreign = |name: &&String| {
        let kind = name.split(' ').next().unwrap_or_default();
        ["secrets", "namespaces", "nodes", "pods"].contains(&kind)
    };
    assert_eq!(all.iter().find(is_foreign), None, "nothing of these kinds is deleted by name");
}

/// What an installation has whose objects people look for first.
#[test]
fn each_footprint_has_its_agent_and_its_definitions() {
    for (cni, namespace, names) in [
        (
            Cni::Calico,
            "kube-system",
            &[
                "DaemonSet/kube-system/calico-node",
                "DaemonSet/calico-system/calico-node",
                "Installation.operator.tigera.io/default",
                "APIService/v3.projectcalico.org",
                "CustomResourceDefinition/ippools.crd.projectcalico.org",
                "CustomResourceDefinition/ipamblocks.crd.projectcalico.org",
            ][..],
        ),
        (
            Cni::Canal,
            "kube-system",
            &[
                "DaemonSet/kube-system/canal",
                "ClusterRole/flannel",
                "CustomResourceDefinition/tiers.crd.projectcalico.org",
            ],
        ),
        (
            Cni::Flannel,
            "networking",
            &[
                "DaemonSet/kube-flannel/kube-flannel-ds",
                "DaemonSet/networking/kube-flannel-ds",
                "ConfigMap/kube-system/kube-flannel-cfg",
            ],
        ),
        (
            Cni::Cilium,
            "cilium",
            &[
                "DaemonSet/cilium/cilium",
                "Deployment/cilium/cilium-operator",
                "CustomResourceDefinition/ciliumnodes.cilium.io",
            ],
        ),
        (
            Cni::Antrea,
            "kube-system",
            &[
                "ValidatingWebhookConfiguration/crdvalidator.antrea.io",
                "CustomResourceDefinition/ippools.crd.antrea.io",
            ],
        ),
        (
            Cni::AwsVpcCni,
            "kube-system",
            &["DaemonSet/kube-system/aws-node", "CustomResourceDefinition/eniconfigs.crd.k8s.amazonaws.com"],
        ),
    ] {
        let namespaces = [namespace.to_owned()].into();
        let targets: BTreeSet<String> =
            cni.facts().footprint.targets(&namespaces).iter().map(ToString::to_string).collect();
        for name in names {
            assert!(targets.contains(*name), "{cni}: {name}");
        }
    }
    assert!(!named(Cni::Cilium, &["cilium"]).iter().any(|name| name.contains("kube-system")));
}

/// Where its aggregated API stayed without the definitions behind it, no namespace of the cluster could be deleted.
#[test]
fn canal_has_the_optional_api_server_of_calico() {
    let targets = Cni::Canal.facts().footprint.targets(&BTreeSet::new());
    let titles: BTreeSet<String> = targets.iter().map(ToString::to_string).collect();
    for title in [
        "APIService/v3.projectcalico.org",
        "Deployment/calico-apiserver/calico-apiserver",
        "ValidatingWebhookConfiguration/calico-webhooks",
        "ValidatingAdmissionPolicy/protect-builtin-tiers.projectcalico.org",
    ] {
        assert!(titles.contains(title), "{title}");
    }
    assert!(!titles.contains("Deployment/kube-system/calico-typha"));
}

/// A row twice would be one deletion in two places of the order.
#[test]
fn an_object_has_one_place_in_the_order() {
    for cni in Cni::value_variants() {
        let targets = cni.facts().footprint.targets(&["kube-system".to_owned()].into());
        let keys: BTreeSet<_> = targets.iter().map(Target::key).collect();
        assert_eq!(keys.len(), targets.len(), "{cni}");
    }
}

#[test]
fn what_users_write_is_told_from_state() {
    for (cni, name, class) in [
        (Cni::Calico, "ippools.crd.projectcalico.org", Some(Class::Configuration)),
        (Cni::Calico, "ippools.projectcalico.org", Some(Class::Configuration)),
        (Cni::Calico, "ipamblocks.crd.projectcalico.org", Some(Class::State)),
        (Cni::Calico, "ippools.crd.antrea.io", None),
        (Cni::Antrea, "ippools.crd.antrea.io", Some(Class::Configuration)),
        (Cni::Antrea, "tiers.crd.projectcalico.org", None),
        (Cni::Cilium, "ciliumnodes.cilium.io", Some(Class::State)),
        (Cni::Cilium, "tracingpolicies.cilium.io", None),
    ] {
        assert_eq!(cni.facts().footprint.class(name), class, "{cni} {name}");
    }
}

#[test]
fn annotations_of_people_are_not_the_cnis() {
    for (cni, key, is) in [
        (Cni::Calico, "projectcalico.org/IPv4Address", true),
        (Cni::Calico, "projectcalico.org/ASNumber", false),
        (Cni::Flannel, "flannel.alpha.coreos.com/public-ip", true),
        (Cni::Flannel, "flannel.alpha.coreos.com/public-ip-overwrite", false),
        (Cni::Antrea, "node.antrea.io/max-egress-ips", false),
        (Cni::AwsVpcCni, "k8s.amazonaws.com/eniConfig", false),
    ] {
        assert_eq!(cni.facts().footprint.annotates(key), is, "{key}");
    }
}

#[test]
fn secrets_are_named_where_the_agents_are() {
    let commands = Cni::Cilium.facts().footprint.secret_commands(&["networking".to_owned()].into());
    assert!(
        commands[0].starts_with("kubectl -n networking delete secret --ignore-not-found cilium-ca "),
        "{commands:?}"
    );
    assert!(Cni::Flannel.facts().footprint.secret_commands(&BTreeSet::new()).is_empty());
}
