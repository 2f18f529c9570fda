//! The tree of an image: as it should be, and as a machine that was used leaves it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::node::mode;
use crate::tree::Tree;

pub(super) const POLICY: &str = r#"{"version":1,"attach":"new","networks":{
    "old":{"conf":["/etc/cni/net.d/20-static.conflist"]},
    "new":{"profile":"cilium","conf":["/etc/cni/net.d/05-cilium.conflist"]}}}"#;

/// An image as it should be: package, settings, a static network, a runtime, machine-id empty.
pub(super) fn image() -> Tree {
    let tree = Tree::new();
    for left in ["etc/crossfade", "proc", "run"] {
        fs::remove_dir_all(tree.path(left)).expect(left);
    }
    tree.write("usr/lib/crossfade/policy.json", POLICY);
    tree.write("usr/lib/crossfade/node.json", r#"{"version":1,"confDir":"private"}"#);
    tree.write("etc/machine-id", "");
    tree.conf("20-static.conflist", "static", "bridge");
    // What seal has nothing against, each near something that it has.
    tree.write("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n");
    tree.write(
        "var/lib/kubelet/kubeconfig",
        "users:\n- name: kubelet\n  user: {exec: {command: /usr/bin/aws-iam-authenticator}}\n",
    );
    tree.write("etc/kubernetes/kubelet/config.json", r#"{"kind":"KubeletConfiguration"}"#);
    tree.write("etc/kubernetes/pki/ca.crt", "-----BEGIN CERTIFICATE-----\n");
    tree.write("etc/iptables/rules.v4", "# KUBE-SERVICES\n*filter\nCOMMIT\n");
    tree.write("etc/default/grub", "# crossfade.disable\nGRUB_CMDLINE_LINUX=\"quiet\"\n");
    tree.write("etc/ssh/sshd_config", "");
    tree.write("var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/0", "an image");
    tree.write("var/lib/cloud/scripts/per-boot/mine", "");
    tree.write("var/lib/dhcp/readme", "");
    fs::create_dir_all(tree.path("var/lib/dbus")).expect("dbus");
    symlink("/etc/machine-id", tree.path("var/lib/dbus/machine-id")).expect("link");
    for dir in DIRS {
        fs::create_dir_all(tree.path(dir)).expect(dir);
    }
    mode(&tree.path("var/lib/crossfade"), 0o700);
    tree
}

/// Directories that packages bring, and what lies in them goes.
pub(super) const DIRS: [&str; 12] = [
    "run",
    "var/lib/cni/networks",
    "var/lib/crossfade",
    "var/lib/kubelet/device-plugins",
    "var/lib/kubelet/plugins_registry",
    "var/lib/systemd/coredump",
    "var/lib/NetworkManager",
    "var/lib/dhclient",
    "var/log/pods",
    "var/log/containers",
    "var/crash",
    "boot/loader",
];

/// What a build machine that was used leaves behind, and seal removes: path, content, and what is said to be removed.
pub(super) const DIRT: [(&str, &str); 34] = [
    ("var/lib/cni/networks/cbr0/10.244.0.2", "/var/lib/cni/networks/cbr0"),
    ("var/lib/cni/networks/cbr0/last_reserved_ip.0", "/var/lib/cni/networks/cbr0"),
    ("var/lib/cni/results/cbr0-c1-eth0", "/var/lib/cni/results"),
    ("var/lib/cni/cache/results/cbr0-c1-eth0", "/var/lib/cni/cache"),
    ("var/lib/cni/flannel/c1", "/var/lib/cni/flannel"),
    ("var/lib/crossfade/name", "/var/lib/crossfade/name"),
    ("var/lib/crossfade/boot.json", "/var/lib/crossfade/boot.json"),
    ("var/lib/crossfade/ledger.jsonl", "/var/lib/crossfade/ledger.jsonl"),
    ("var/lib/crossfade/set-aside/b1/10-calico.conflist", "/var/lib/crossfade/set-aside"),
    ("var/lib/crossfade/damaged/c1@eth0", "/var/lib/crossfade/damaged"),
    ("var/lib/crossfade/.tmp-1-0", "/var/lib/crossfade/.tmp-1-0"),
    ("run/crossfade/net.d/01-crossfade.conflist", "/run/crossfade"),
    ("run/crossfade/policy.json", "/run/crossfade"),
    ("var/lib/kubelet/pki/kubelet-client-current.pem", "/var/lib/kubelet/pki"),
    ("var/lib/kubelet/cpu_manager_state", "/var/lib/kubelet/cpu_manager_state"),
    ("var/lib/kubelet/memory_manager_state", "/var/lib/kubelet/memory_manager_state"),
    (
        "var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
        "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
    ),
    ("var/lib/kubelet/plugins_registry/x.sock", "/var/lib/kubelet/plugins_registry/x.sock"),
    ("var/lib/kubelet/pods/u1/etc-hosts", "/var/lib/kubelet/pods"),
    ("var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/kubeadm-flags.env"),
    ("var/log/pods/ns_p_u1/c/0.log", "/var/log/pods/ns_p_u1"),
    ("var/log/containers/p.log", "/var/log/containers/p.log"),
    ("var/lib/systemd/random-seed", "/var/lib/systemd/random-seed"),
    ("boot/loader/random-seed", "/boot/loader/random-seed"),
    ("var/lib/systemd/credential.secret", "/var/lib/systemd/credential.secret"),
    ("var/lib/systemd/coredump/core.x", "/var/lib/systemd/coredump/core.x"),
    ("var/crash/x.crash", "/var/crash/x.crash"),
    ("core.17", "/core.17"),
    ("etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key"),
    ("var/lib/dhclient/dhclient.leases", "/var/lib/dhclient/dhclient.leases"),
    ("var/lib/NetworkManager/secret_key", "/var/lib/NetworkManager/secret_key"),
    ("var/lib/cloud/instances/i-0/user-data.txt", "/var/lib/cloud/instances"),
    ("var/lib/cloud/data/instance-id", "/var/lib/cloud/data"),
    ("var/log/cloud-init.log", "/var/log/cloud-init.log"),
];

pub(super) fn used() -> Tree {
    let tree = image();
    for (path, _) in DIRT {
        tree.write(path, "of this machine");
    }
    tree.write("var/lib/crossfade/inventory.json", r#"{"version":1,"attachments":[]}"#);
    fs::create_dir_all(tree.path("var/lib/crossfade/attachments/a")).expect("shard");
    for private in ["var/lib/crossfade/attachments/a", "var/lib/crossfade/attachments"] {
        mode(&tree.path(private), 0o700);
    }
    symlink("/var/lib/cloud/instances/i-0", tree.path("var/lib/cloud/instance")).expect("link");
    symlink("/var/log/pods/ns_p_u1/c/0.log", tree.path("var/log/containers/link.log")).expect("link");
    tree.conf("01-crossfade.conflist", "crossfade", "crossfade");
    tree.conf("01-crossfade.conflist.cilium_bak", "crossfade", "crossfade");
    tree.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    tree
}

/// Everything in a tree, directories and links included: mode and content.
pub(super) fn manifest(tree: &Tree) -> BTreeMap<String, (u32, String)> {
    fn collect(dir: &Path, root: &Path, all: &mut BTreeMap<String, (u32, String)>) {
        for entry in fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            let meta = path.symlink_metadata().expect("metadata");
            let content = if meta.is_dir() {
                collect(&path, root, all);
                String::new()
            } else if meta.is_symlink() {
                format!("-> {}", path.read_link().expect("link").display())
            } else {
                fs::read_to_string(&path).expect("text")
            };
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            all.insert(name, (meta.mode(), content));
        }
    }
    let (root, mut all) = (tree.path(""), BTreeMap::new());
    collect(&root, &root, &mut all);
    all
}
