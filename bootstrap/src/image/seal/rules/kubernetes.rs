//! The files that kubelet and kubeadm write on a node, and credentials for a cluster.

use super::{ContentFilter, Rule, refuse, remove};

const FILES: &str = "kubernetes.io: reference/node/kubelet-files";
const CREDENTIAL: &str = "a kubeconfig with a credential: every node of this image, and everyone who can read the image, would have it";

pub(super) const RULES: &[Rule] = &[
    remove(&["/var/lib/kubelet/pki"], "certificates and keys of this machine", FILES),
    remove(
        &[
            "/var/lib/kubelet/cpu_manager_state",
            "/var/lib/kubelet/memory_manager_state",
            "/var/lib/kubelet/dra_manager_state",
            "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
            "/var/lib/kubelet/graceful_node_shutdown_state",
        ],
        "how this machine's CPUs, memory and devices were shared out: kubelet refuses to start where it does not fit",
        FILES,
    ),
    remove(
        &[
            "/var/lib/kubelet/pod_status_manager_state",
            "/var/lib/kubelet/allocated_pods_state",
            "/var/lib/kubelet/actuated_pods_state",
            "/var/lib/kubelet/checkpoints",
        ],
        "pods of this machine",
        "kubernetes/kubernetes: pkg/kubelet/kubelet.go, pkg/kubelet/status, pkg/kubelet/allocation",
    ),
    remove(&["/var/lib/kubelet/pods"], "pods of this machine", FILES),
    remove(
        &[
            "/var/lib/kubelet/plugins_registry/*",
            "/var/lib/kubelet/device-plugins/*",
            "/var/lib/kubelet/pod-resources/*",
        ],
        "a socket, or what is left of one, of a program on this machine",
        FILES,
    ),
    remove(
        &["/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/instance-config.yaml"],
        "kubelet's flags on this machine, which kubeadm writes when a node joins",
        "kubernetes/kubernetes: cmd/kubeadm/app/constants/constants.go",
    ),
    refuse(
        &[
            "/etc/kubernetes/*.conf",
            "/etc/kubernetes/*kubeconfig*",
            "/etc/kubernetes/kubelet/*",
            "/var/lib/kubelet/*kubeconfig*",
            "/var/lib/kube-proxy/*kubeconfig*",
            "/etc/cni/net.d/*kubeconfig*",
            "/etc/cni/net.d/*/*kubeconfig*",
            "/etc/cni/multus/*/*kubeconfig*",
            "/etc/kubernetes/cni/net.d/*kubeconfig*",
            "/etc/kubernetes/cni/net.d/*/*kubeconfig*",
            "/var/lib/rancher/*/agent/*.kubeconfig",
            "/var/lib/rancher/*/agent/etc/cni/net.d/*kubeconfig*",
            "/var/lib/rancher/*/agent/etc/cni/net.d/*/*kubeconfig*",
            "/var/snap/microk8s/*/args/cni-network/*kubeconfig*",
            "/etc/calico/*kubeconfig*",
            "/etc/kubernetes/*/*.conf",
            "/var/lib/k0s/*.conf",
            "/etc/rancher/*/*.yaml",
            "/root/.kube/config",
            "/home/*/.kube/config",
        ],
        CREDENTIAL,
        "remove it (kubeadm reset, where kubeadm wrote it); nodes get theirs when they boot",
        "kubernetes/kubernetes: cmd/kubeadm/app/constants/constants.go; awslabs/amazon-eks-ami bakes one that runs a plugin and holds none",
    )
    .with_filter(ContentFilter::Credentials),
    refuse(
        &["/etc/kubernetes/pki/*", "/etc/kubernetes/pki/*/*"],
        "a private key of a cluster",
        "remove it (kubeadm reset)",
        "kubernetes/kubernetes: cmd/kubeadm/app/constants/constants.go",
    )
    .with_filter(ContentFilter::Holding(&["PRIVATE KEY-----"])),
    refuse(
        &["/var/lib/etcd/member"],
        "a cluster's data",
        "remove it (kubeadm reset)",
        "etcd-io/etcd: server/storage/datadir/datadir.go",
    ),
    remove(
        &["/var/log/pods/*", "/var/log/containers/*"],
        "logs of this machine's pods",
        "kubernetes/kubernetes: pkg/kubelet/kubelet.go (podLogsRootDirectory, ContainerLogsDir)",
    ),
];
