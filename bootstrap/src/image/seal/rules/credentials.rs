//! Credentials that clusters, networks and registries gave this machine, and that are no kubeconfigs.

use super::{ContentFilter, Rule, refuse};

const KEY: &str = "a private key of a network or a cluster: every node of this image, and everyone who can read the image, would have it";
const TOKEN: &str = "what k3s or RKE2 keeps of its cluster, with its tokens, keys and passwords: every node of this image, and everyone who can read the image, would have it";
const LOGIN: &str =
    "a login at a registry: every node of this image, and everyone who can read the image, would have it";

pub(super) const RULES: &[Rule] = &[
    refuse(
        &[
            "/etc/cni/net.d/*",
            "/etc/cni/net.d/*/*",
            "/etc/cni/multus/net.d/*",
            "/etc/kubernetes/cni/net.d/*",
            "/etc/kubernetes/cni/net.d/*/*",
            "/var/lib/rancher/*/agent/etc/cni/net.d/*",
            "/var/snap/microk8s/*/args/cni-network/*",
            "/etc/calico/*",
        ],
        "a conf with a credential written into it: every node of this image, and everyone who can read the image, would have it",
        "remove it: agents write theirs on every node; what the image brings has to do without",
        "projectcalico/calico: cni-plugin/pkg/types/types.go; k8snetworkplumbingwg/multus-cni: pkg/types/types.go",
    )
    .with_filter(ContentFilter::Secrets),
    refuse(
        &[
            "/etc/cni/net.d/*",
            "/etc/cni/net.d/*/*",
            "/etc/cni/net.d/*/*/*",
            "/etc/kubernetes/cni/net.d/*",
            "/etc/kubernetes/cni/net.d/*/*",
            "/etc/kubernetes/cni/net.d/*/*/*",
            "/etc/calico/*",
            "/etc/calico/*/*",
            "/calico-secrets/*",
            "/etc/cni/multus/*/*",
            "/var/lib/rancher/*/agent/*.key",
            "/var/snap/microk8s/*/certs/*",
            "/var/lib/k0s/pki/*",
            "/var/lib/k0s/pki/*/*",
        ],
        KEY,
        "remove it; nodes get theirs when they boot",
        "projectcalico/calico: manifests/calico-etcd.yaml (calico-tls: etcd-key); k8snetworkplumbingwg/multus-cni: pkg/k8sclient/kubeconfig.go (certs); docs.k3s.io, microk8s.io, k0sproject.io: their files",
    )
    .with_filter(ContentFilter::Holding(&["PRIVATE KEY-----"])),
    refuse(
        &[
            "/var/lib/rancher/*/server/token",
            "/var/lib/rancher/*/server/node-token",
            "/var/lib/rancher/*/server/agent-token",
            "/var/lib/rancher/*/server/tls",
            "/var/lib/rancher/*/server/cred",
            "/var/lib/rancher/*/server/db",
            "/etc/rancher/node/password",
            "/var/snap/microk8s/*/credentials",
        ],
        TOKEN,
        "remove it (k3s-uninstall.sh, rke2-uninstall.sh), and have neither run where an image is made: nodes get theirs when they join",
        "k3s-io/k3s: pkg/daemons/control/deps/deps.go (server), pkg/agent/config/config.go (node password); docs.rke2.io; microk8s.io",
    ),
    refuse(
        &["/etc/rancher/*/*.yaml", "/etc/rancher/*/config.yaml.d/*"],
        "a token of a cluster or a login at a registry: every node of this image, and everyone who can read the image, would have it",
        "take it out: user data brings it, or a token-file of the node",
        "docs.k3s.io: installation/configuration, installation/private-registry; RKE2 reads the same",
    )
    .with_filter(ContentFilter::Secrets),
    refuse(
        &[
            "/var/lib/kubelet/config.json",
            "/var/lib/kubelet/.dockercfg",
            "/var/lib/kubelet/.docker/config.json",
            "/.docker/config.json",
            "/.dockercfg",
            "/root/.docker/config.json",
            "/root/.dockercfg",
            "/home/*/.docker/config.json",
            "/home/*/.dockercfg",
            "/etc/containers/auth.json",
            "/run/containers/*/auth.json",
            "/root/.config/containers/auth.json",
            "/home/*/.config/containers/auth.json",
            "/etc/crio/auth/*",
        ],
        LOGIN,
        "remove it (docker logout, podman logout); nodes ask a credential provider, or pods have an imagePullSecret",
        "kubernetes/kubernetes: pkg/credentialprovider/config.go; man 5 containers-auth.json; man 5 crio.conf (namespaced_auth_dir)",
    )
    .with_filter(ContentFilter::Secrets),
    refuse(
        &[
            "/etc/containerd/*.toml",
            "/etc/containerd/*/*.toml",
            "/etc/containerd/certs.d/*/*.toml",
            "/var/lib/rancher/*/agent/etc/containerd/*.toml",
            "/var/lib/rancher/*/agent/etc/containerd/certs.d/*/*.toml",
        ],
        LOGIN,
        "take it out: nodes ask a credential provider, or pods have an imagePullSecret",
        "containerd/containerd: docs/cri/registry.md (registry.configs), docs/hosts.md (header)",
    )
    .with_filter(ContentFilter::Secrets),
    refuse(
        &["/etc/kubernetes/azure.json", "/etc/kubernetes/cloud.conf", "/etc/kubernetes/cloud-config"],
        "credentials of a cloud: every node of this image, and everyone who can read the image, would have it",
        "remove it; user data brings it, or the machine's own identity counts",
        "kubernetes-sigs/cloud-provider-azure and kubernetes/cloud-provider-openstack: their cloud configuration",
    )
    .with_filter(ContentFilter::Secrets),
];
