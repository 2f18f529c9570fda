//! `seal`: what is removed from the tree of an image, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::node::{changes, mode};
use crate::tree::Tree;

const POLICY: &str = r#"{"version":1,"attach":"new","networks":{
    "old":{"conf":["/etc/cni/net.d/20-static.conflist"]},
    "new":{"profile":"cilium","conf":["/etc/cni/net.d/05-cilium.conflist"]}}}"#;
const CLEAN: &str = "nothing is in the way of an image";
const KEY: &str = "canary-77ab";

/// An image as it should be: package, settings, a static network, a runtime, machine-id empty.
fn image() -> Tree {
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
const DIRS: [&str; 12] = [
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
const DIRT: [(&str, &str); 34] = [
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

fn used() -> Tree {
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
fn manifest(tree: &Tree) -> BTreeMap<String, (u32, String)> {
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

fn document(tree: &Tree, arguments: &[&str], status: i32) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json"]);
    let told = tree.told(&all, status);
    let document: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{told}: {e}"));
    assert_eq!(document["version"], 1, "{document}");
    document
}

fn texts<'a>(document: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    let all = document[list].as_array().unwrap_or_else(|| panic!("{document}"));
    all.iter().map(|one| one[key].as_str().expect("text")).collect()
}

/// The finding about a path, which must be there.
fn finding(document: &Value, path: &str) -> (String, String) {
    let all = document["findings"].as_array().expect("findings");
    let found = all.iter().find(|one| one["path"] == path).unwrap_or_else(|| panic!("{path}: {document}"));
    let text = |key: &str| found[key].as_str().expect("text").to_owned();
    (text("why"), text("fix"))
}

#[test]
fn an_image_as_it_should_be_is_sealed_already() {
    let tree = image();
    let before = tree.files();
    for arguments in [&["seal"][..], &["seal", "--check"], &["seal", "--dry-run"]] {
        assert_eq!(tree.told(arguments, 0), format!("note: {CLEAN}\n"), "{arguments:?}");
    }
    let told = document(&tree, &["seal", "--check"], 0);
    assert_eq!(
        told,
        json!({"version":1,"sealed":true,"dryRun":true,"findings":[],"changes":[],"notes":[CLEAN]})
    );
    assert_eq!(tree.files(), before);
}

#[test]
fn what_a_used_machine_generated_is_removed_and_nothing_else() {
    let (tree, clean) = (used(), manifest(&image()));
    let before = manifest(&tree);
    let checked = document(&tree, &["seal", "--check"], 3);
    assert_eq!((&checked["sealed"], &checked["findings"]), (&json!(false), &json!([])));
    let targets = texts(&checked, "changes", "target");
    for (path, target) in DIRT {
        assert!(targets.contains(&target), "{path}: {targets:?}");
    }
    let planned = tree.told(&["seal", "--dry-run"], 0);
    assert!(planned.contains("remove   /var/lib/cni/networks/cbr0  (leases"), "{planned}");
    assert!(planned.contains("; 2 files)") && planned.contains("empty    /etc/machine-id  ("), "{planned}");
    assert_eq!(manifest(&tree), before, "nothing is changed by looking");

    let inode = tree.path("etc/machine-id").metadata().expect("machine-id").ino();
    let done = tree.told(&["seal"], 0);
    assert_eq!(done, planned, "a dry run says what is done");
    assert_eq!(manifest(&tree), clean);
    assert_eq!(tree.path("etc/machine-id").metadata().expect("machine-id").ino(), inode);

    assert_eq!(tree.told(&["seal"], 0), format!("note: {CLEAN}\n"));
    tree.told(&["seal", "--check"], 0);
}

#[test]
fn a_machine_id_that_is_not_initialized_stays() {
    let tree = image();
    tree.write("etc/machine-id", "uninitialized\n");
    tree.told(&["seal", "--check"], 0);
    fs::remove_file(tree.path("etc/machine-id")).expect("remove");
    tree.told(&["seal", "--check"], 0);
    symlink("../run/machine-id", tree.path("etc/machine-id")).expect("link");
    assert!(tree.told(&["seal"], 3).contains("no regular file"));
}

/// Something that is refused: the file and its content, whom the finding is about, and words of why and fix.
type Fault = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[test]
fn what_a_person_has_to_judge_is_refused_with_why_and_what_to_do() {
    let kubeconfig = "users:\n- name: u\n  user: {token: canary-77ab}\n";
    let key = "-----BEGIN PRIVATE KEY-----\ncanary-77ab\n";
    let faults: [Fault; 28] = [
        ("etc/crossfade/disabled", "", "/etc/crossfade/disabled", "off switch", "remove it"),
        (
            "etc/default/grub",
            "GRUB_CMDLINE_LINUX=\"crossfade.disable\"\n",
            "/etc/default/grub",
            "off switch",
            "update-grub",
        ),
        (
            "boot/loader/entries/a.conf",
            "options crossfade.disable\n",
            "/boot/loader/entries/a.conf",
            "off switch",
            "take",
        ),
        (
            "etc/cni/net.d/05-cilium.conflist",
            r#"{"name":"c","plugins":[{"type":"cilium-cni"}]}"#,
            "/etc/cni/net.d/05-cilium.conflist",
            "its agent writes",
            "remove it",
        ),
        (
            "etc/cni/net.d/10-calico.conflist",
            r#"{"name":"k","plugins":[{"type":"calico"}]}"#,
            "/etc/cni/net.d/10-calico.conflist",
            "of calico that the policy does not name",
            "allow it",
        ),
        (
            "etc/cni/net.d/87-podman.conflist",
            r#"{"name":"p","plugins":[{"type":"bridge"}]}"#,
            "/etc/cni/net.d/87-podman.conflist",
            "the policy does not name",
            "name it in the policy",
        ),
        (
            "etc/cni/net.d/20-static.conflist",
            "torn",
            "/etc/cni/net.d/20-static.conflist",
            "cannot be used",
            "mend it",
        ),
        (
            "etc/cni/net.d/10-x.conflist.cilium_bak",
            "",
            "/etc/cni/net.d/10-x.conflist.cilium_bak",
            "renamed",
            "its name back",
        ),
        (
            "etc/cni/net.d/calico-kubeconfig",
            kubeconfig,
            "/etc/cni/net.d/calico-kubeconfig",
            "credential",
            "remove it",
        ),
        ("etc/kubernetes/admin.conf", kubeconfig, "/etc/kubernetes/admin.conf", "(token)", "kubeadm reset"),
        (
            "var/lib/kubelet/bootstrap-kubeconfig",
            kubeconfig,
            "/var/lib/kubelet/bootstrap-kubeconfig",
            "credential",
            "when they boot",
        ),
        (
            "etc/kubernetes/kubelet.conf",
            "users:\n- user: {client-key: /var/lib/kubelet/pki/x.pem}\n",
            "/etc/kubernetes/kubelet.conf",
            "(client-key)",
            "kubeadm reset",
        ),
        ("root/.kube/config", kubeconfig, "/root/.kube/config", "credential", "remove it"),
        ("etc/kubernetes/pki/ca.key", key, "/etc/kubernetes/pki/ca.key", "private key", "remove it"),
        (
            "etc/kubernetes/pki/etcd/ca.key",
            key,
            "/etc/kubernetes/pki/etcd/ca.key",
            "private key",
            "remove it",
        ),
        ("var/lib/etcd/member/snap/db", "", "/var/lib/etcd/member", "cluster's data", "remove it"),
        (
            "etc/iptables/rules.v4",
            ":KUBE-SERVICES - [0:0]\n",
            "/etc/iptables/rules.v4",
            "(KUBE-)",
            "save the rules again",
        ),
        (
            "etc/sysconfig/ip6tables",
            ":cali-FORWARD - [0:0]\n",
            "/etc/sysconfig/ip6tables",
            "(cali-)",
            "save the rules again",
        ),
        (
            "etc/nftables.conf",
            "table inet cni_hostport {}\n",
            "/etc/nftables.conf",
            "(cni_hostport)",
            "save the rules again",
        ),
        (
            "var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/s1/hostname",
            "",
            "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/s1",
            "sandbox",
            "crictl rmp -fa",
        ),
        (
            "var/lib/containers/storage/overlay-containers/c1/userdata/shm",
            "",
            "/var/lib/containers/storage/overlay-containers/c1/userdata",
            "sandbox",
            "crictl rmp -fa",
        ),
        (
            "var/lib/calico/nodename",
            "n1",
            "/var/lib/calico/nodename",
            "calico knows of this machine",
            "no agent run",
        ),
        (
            "run/flannel/subnet.env",
            "",
            "/run/flannel/subnet.env",
            "flannel knows of this machine",
            "no agent run",
        ),
        (
            "etc/crossfade/policy.json",
            r#"{"version":1,"attach":"new","networks":{"new":{"conf":["/etc/cni/net.d/20-static.conflist"]}}}"#,
            "/etc/crossfade/policy.json",
            "hides the image's",
            "remove one",
        ),
        (
            "etc/crossfade/node.json",
            r#"{"version":1}"#,
            "/etc/crossfade/node.json",
            "hides the image's",
            "remove one",
        ),
        (
            "usr/lib/crossfade/policy.json",
            r#"{"version":1,"attachh":"new"}"#,
            "/usr/lib/crossfade/policy.json",
            "attachh",
            "policy check",
        ),
        (
            "usr/lib/crossfade/node.json",
            r#"{"version":1,"confdir":"private"}"#,
            "/usr/lib/crossfade/node.json",
            "confdir",
            "mend it",
        ),
        (
            "usr/lib/crossfade/policy.json",
            r#"{"version":1,"attach":"new","networks":{"new":{"conf":["/etc/cni/net.d/20-static.conflist"],"ready":[{"http":"127.0.0.1:1/","headers":{"Authorization":"canary-77ab"}}]}}}"#,
            "/usr/lib/crossfade/policy.json",
            "Authorization",
            "needs none",
        ),
    ];
    for (file, content, path, why, fix) in faults {
        let tree = image();
        tree.write("var/lib/systemd/random-seed", "seed");
        tree.write(file, content);
        let before = tree.files();
        let is_settings =
            file.ends_with("policy.json") && !content.contains(KEY) || file.ends_with("node.json");
        let told = document(&tree, &["seal"], if is_settings { 78 } else { 3 });
        let (said, remedy) = finding(&told, path);
        assert!(said.contains(why) && remedy.contains(fix), "{file}: {said}: {remedy}");
        assert!(!told.to_string().contains(KEY), "{file}: {told}");
        assert_eq!(told["changes"][0]["outcome"], "skipped", "{file}: {told}");
        assert_eq!(tree.files(), before, "{file}: nothing is removed while something is refused");
        // Where it may stay, the rest goes.
        let allowed = document(&tree, &["seal", "--allow", path], 0);
        assert_eq!(
            texts(&allowed, "changes", "action").iter().filter(|word| **word == "keep").count(),
            1,
            "{allowed}"
        );
        assert!(!tree.has("var/lib/systemd/random-seed") && tree.has(file), "{file}");
    }
}

#[test]
fn all_that_is_refused_is_said_at_once() {
    let tree = image();
    tree.write("etc/crossfade/disabled", "");
    tree.write("var/lib/calico/nodename", "n1");
    tree.write("usr/lib/crossfade/policy.json", "{");
    let lines = tree.told(&["seal", "--check"], 78);
    assert!(lines.contains("refuse   /etc/crossfade/disabled  (the off switch: every node"), "{lines}");
    assert!(lines.contains("would boot without Crossfade): remove it\n"), "{lines}");
    let told = document(&tree, &["seal"], 78);
    let mut paths = texts(&told, "findings", "path");
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["/etc/crossfade/disabled", "/usr/lib/crossfade/policy.json", "/var/lib/calico/nodename"]
    );
}

#[test]
fn attachments_of_this_machine_s_pods_are_refused() {
    let tree = image();
    let entry = r#"{"version":1,"attachments":[{"containerID":"c1","ifname":"eth0","network":"old"}]}"#;
    tree.write("var/lib/crossfade/inventory.json", entry);
    let (why, fix) = finding(&document(&tree, &["seal"], 3), "/var/lib/crossfade/attachments");
    assert!(why.contains("1 attachment of this machine's pods would lose their DEL: c1 eth0"), "{why}");
    assert!(fix.contains("sweep") && tree.has("var/lib/crossfade/inventory.json"), "{fix}");

    fs::remove_file(tree.path("var/lib/crossfade/inventory.json")).expect("remove");
    tree.write("var/lib/crossfade/attachments/a/c1@eth0", "torn");
    let (why, _) = finding(&document(&tree, &["seal"], 3), "/var/lib/crossfade/attachments/a/c1@eth0");
    assert!(why.contains("cannot be read"), "{why}");
    assert!(tree.has("var/lib/crossfade/attachments/a/c1@eth0"));
}

#[test]
fn a_file_of_ours_that_others_could_change_is_refused() {
    let tree = image();
    let plugin = tree.path("usr/libexec/crossfade/crossfade");
    for (bits, words) in [(0o4755, "setuid"), (0o775, "others than root"), (0o757, "others than root")] {
        fs::set_permissions(&plugin, fs::Permissions::from_mode(bits)).expect("mode");
        let (why, fix) = finding(&document(&tree, &["seal"], 3), "/usr/libexec/crossfade/crossfade");
        assert!(why.contains(words) && fix.contains("chmod u-s,g-s,go-w"), "{bits:o}: {why}: {fix}");
    }
    mode(&plugin, 0o755);
    tree.told(&["seal"], 0);
}

#[test]
fn settings_that_a_node_would_not_find_are_none() {
    let tree = image();
    fs::remove_file(tree.path("usr/lib/crossfade/policy.json")).expect("remove");
    fs::remove_file(tree.path("etc/cni/net.d/20-static.conflist")).expect("remove");
    let path = "/usr/lib/crossfade/policy.json";
    let (why, fix) = finding(&document(&tree, &["seal"], 78), path);
    assert!(why.contains("there is no policy") && fix.contains("bake"), "{why}: {fix}");
    tree.write("run/crossfade/policy.json", POLICY);
    let (why, _) = finding(&document(&tree, &["seal"], 78), path);
    assert!(why.contains("in /run/crossfade alone, which is empty when a node boots"), "{why}");
    tree.told(&["seal", "--allow", path], 0);
    assert!(!tree.has("run/crossfade"));

    // An image without us has nothing to settle; what the same settings say twice is only said.
    fs::remove_dir_all(tree.path("usr/libexec/crossfade")).expect("remove");
    assert!(tree.told(&["seal"], 0).contains("Crossfade is not installed"));
    let tree = image();
    tree.write("etc/crossfade/policy.json", POLICY);
    assert!(tree.told(&["seal"], 0).contains("says what the image's says"));
}

#[test]
fn what_may_stay_is_named_on_the_command_line_and_in_the_image() {
    let tree = used();
    tree.write("usr/lib/crossfade/seal.allow", "# the provider's\n/etc/ssh/ssh_host_*\n");
    tree.write("etc/crossfade/seal.allow", "/var/lib/cni/networks/cbr0/last_reserved_ip.0 # why not\n");
    tree.write("list", "/var/lib/cloud/*\n/nothing/of/this\n");
    let list = tree.path("list").display().to_string();
    let done = tree.told(&["seal", "--allow", "/var/crash", "--allow-file", &list], 0);
    for stays in [
        "etc/ssh/ssh_host_ed25519_key",
        "var/lib/cni/networks/cbr0/last_reserved_ip.0",
        "var/lib/cloud/data/instance-id",
        "var/crash/x.crash",
    ] {
        assert!(tree.has(stays), "{stays}: {done}");
    }
    // A directory in which something may stay is taken apart.
    assert!(!tree.has("var/lib/cni/networks/cbr0/10.244.0.2") && !tree.has("core.17"), "{done}");
    assert!(done.contains("keep     /etc/ssh/ssh_host_ed25519_key  (allowed by /etc/ssh/ssh_host_* (/usr/lib/crossfade/seal.allow, line 2)"), "{done}");
    assert!(
        done.contains(&format!("note: nothing had to be allowed by /nothing/of/this ({list}, line 2)")),
        "{done}"
    );
    let again = tree.told(&["seal", "--check", "--allow", "/var/crash", "--allow-file", &list], 0);
    assert!(changes(&again).iter().all(|line| line.starts_with("keep ")), "{again}");

    for (arguments, status) in [(["seal", "--allow", "var/x"], 2), (["seal", "--allow-file", "/nowhere"], 78)]
    {
        let before = tree.files();
        tree.told(&arguments, status);
        assert_eq!(tree.files(), before);
    }
    tree.write("etc/crossfade/seal.allow", "/a/../b\n");
    assert!(
        tree.told(&["seal"], 78).contains("/etc/crossfade/seal.allow, line 1: expected an absolute path")
    );
    tree.write("etc/crossfade/seal.allow", "/a\n");
    mode(&tree.path("etc/crossfade/seal.allow"), 0o666);
    assert!(tree.told(&["seal"], 78).contains("writable by others"));
}

#[test]
fn no_link_leads_out_of_the_tree() {
    let (tree, outside) = (used(), image());
    outside.write("results/precious", "precious");
    outside.write("etc/ssh/ssh_host_rsa_key", "precious");
    let before = outside.files();
    let away = |path: &str, to: &str| {
        let _ = fs::remove_dir_all(tree.path(path));
        symlink(outside.path(to), tree.path(path)).expect("link");
    };
    // In the place of a directory that goes, in the place of one above what goes, and below what goes.
    away("var/lib/cni/results", "results");
    away("etc/ssh", "etc/ssh");
    away("var/lib/kubelet/pods/u1", "results");
    away("var/lib/cloud/instances", "results");
    tree.told(&["seal"], 0);
    assert_eq!(outside.files(), before);
    assert!(!tree.has("var/lib/cni/results") && !tree.has("var/lib/kubelet/pods"));
    assert!(tree.has("etc/ssh"), "what lies above stays, and nothing is found behind it");
}

#[test]
fn a_link_within_the_tree_is_followed_as_the_node_does() {
    let tree = image();
    tree.write("data/cni/networks/cbr0/10.244.0.2", "");
    fs::remove_dir_all(tree.path("var/lib/cni")).expect("remove");
    symlink("/data/cni", tree.path("var/lib/cni")).expect("link");
    assert!(tree.told(&["seal"], 0).contains("remove   /var/lib/cni/networks/cbr0  ("));
    assert!(!tree.has("data/cni/networks/cbr0") && tree.has("data/cni/networks") && tree.has("var/lib/cni"));
}

#[test]
fn what_is_mounted_is_not_touched() {
    let (tree, outside) = (used(), image());
    outside.write("live/precious", "precious");
    let before = outside.files();
    let seal = |target: &str| {
        let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(outside.path("live")).arg(tree.path(target));
        command.arg(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
        command.arg("--root").arg(tree.path("")).args(["seal", "--output", "json"]);
        let output = command.output().expect("unshare");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        (output.status.code(), told)
    };
    // At what goes, below it, and above it.
    for (target, path) in [
        ("var/lib/cni/results", "/var/lib/cni/results"),
        ("var/lib/kubelet/pods/u1", "/var/lib/kubelet/pods"),
    ] {
        let files = tree.files();
        let (status, told) = seal(target);
        let (why, fix) = finding(&told, path);
        assert!(status == Some(3) && why.contains("nothing that is mounted is touched"), "{told}");
        assert!(fix.starts_with("umount ") && fix.ends_with(target), "{fix}");
        assert_eq!((tree.files(), outside.files()), (files, before.clone()), "{target}");
    }
    outside.write("live/random-seed", "precious");
    let before = outside.files();
    let (status, told) = seal("var/lib/systemd");
    let (why, _) = finding(&told, "/var/lib/systemd/random-seed");
    assert!(status == Some(3) && why.contains("is mounted there"), "{told}");
    assert_eq!(outside.files(), before);
}
