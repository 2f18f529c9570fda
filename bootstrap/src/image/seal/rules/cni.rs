//! The state of sandboxes that CNI plugins and libcni keep. Confs are looked at one by one (`seal::conf`), and what
//! agents leave behind is in their profiles.

use super::{Rule, remove};

pub(super) const RULES: &[Rule] = &[
    remove(
        &["/var/lib/cni/networks/*"],
        "leases of this machine's pods: their addresses would be taken on every node, for ever",
        "containernetworking/plugins: plugins/ipam/host-local/backend/disk/backend.go",
    ),
    remove(
        &["/var/lib/cni/results", "/var/lib/cni/cache"],
        "results of ADDs on this machine",
        "containernetworking/cni: libcni/api.go",
    ),
    remove(
        &["/var/lib/cni/flannel"],
        "delegates of this machine's pods",
        "flannel-io/cni-plugin: flannel.go, the default of dataDir",
    ),
    remove(
        &["/var/lib/cni/multus"],
        "delegates of this machine's pods",
        "k8snetworkplumbingwg/multus-cni: pkg/types/conf.go, the default of cniDir",
    ),
];
