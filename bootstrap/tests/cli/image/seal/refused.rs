//! Findings that a person has to judge.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::image::{POLICY, image};
use super::{document, texts};
use crate::node::mode;

const KEY: &str = "canary-77ab";

/// The finding about a path, which must be there.
pub(super) fn finding(document: &Value, path: &str) -> (String, String) {
    let all = document["findings"].as_array().expect("findings");
    let finding = all
        .iter()
        .find(|candidate| candidate["path"] == path)
        .unwrap_or_else(|| panic!("{path}: {document}"));
    let text = |key: &str| finding[key].as_str().expect("text").to_owned();
    (text("why"), text("fix"))
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
        let output = document(&tree, &["image", "seal"], 3);
        let (message, remedy) = finding(&output, path);
        assert!(message.contains(why) && remedy.contains(fix), "{file}: {message}: {remedy}");
        assert!(!output.to_string().contains(KEY), "{file}: {output}");
        assert_eq!(output["changes"][0]["outcome"], "skipped", "{file}: {output}");
        assert_eq!(tree.files(), before, "{file}: nothing is removed while something is refused");
        // Where it may stay, the rest goes.
        let allowed = document(&tree, &["image", "seal", "--allow", path], 0);
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
    let lines = tree.run_expecting(&["image", "seal", "--check"], 3);
    assert!(lines.contains("refuse   /etc/crossfade/disabled  (the off switch: every node"), "{lines}");
    assert!(lines.contains("would boot without Crossfade): remove it\n"), "{lines}");
    let output = document(&tree, &["image", "seal"], 3);
    let mut paths = texts(&output, "findings", "path");
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
    let (why, fix) = finding(&document(&tree, &["image", "seal"], 3), "/var/lib/crossfade/attachments");
    assert!(why.contains("1 attachment of this machine's pods would lose their DEL: c1 eth0"), "{why}");
    assert!(fix.contains("sweep") && tree.has("var/lib/crossfade/inventory.json"), "{fix}");

    fs::remove_file(tree.path("var/lib/crossfade/inventory.json")).expect("remove");
    tree.write("var/lib/crossfade/attachments/a/c1@eth0", "torn");
    let (why, _) =
        finding(&document(&tree, &["image", "seal"], 3), "/var/lib/crossfade/attachments/a/c1@eth0");
    assert!(why.contains("cannot be read"), "{why}");
    assert!(tree.has("var/lib/crossfade/attachments/a/c1@eth0"));
}

#[test]
fn a_file_of_ours_that_others_could_change_is_refused() {
    let tree = image();
    let plugin = tree.path("usr/libexec/crossfade/crossfade");
    for (bits, words) in [(0o4755, "setuid"), (0o775, "others than root"), (0o757, "others than root")] {
        fs::set_permissions(&plugin, fs::Permissions::from_mode(bits)).expect("mode");
        let (why, fix) = finding(&document(&tree, &["image", "seal"], 3), "/usr/libexec/crossfade/crossfade");
        assert!(why.contains(words) && fix.contains("chmod u-s,g-s,go-w"), "{bits:o}: {why}: {fix}");
    }
    mode(&plugin, 0o755);
    tree.run_expecting(&["image", "seal"], 0);
}

#[test]
fn settings_that_a_node_would_not_find_are_none() {
    let tree = image();
    fs::remove_file(tree.path("usr/lib/crossfade/policy.json")).expect("remove");
    fs::remove_file(tree.path("etc/cni/net.d/20-static.conflist")).expect("remove");
    let path = "/usr/lib/crossfade/policy.json";
    let (why, fix) = finding(&document(&tree, &["image", "seal"], 3), path);
    assert!(why.contains("there is no policy") && fix.contains("bake"), "{why}: {fix}");
    tree.write("run/crossfade/policy.json", POLICY);
    let (why, _) = finding(&document(&tree, &["image", "seal"], 3), path);
    assert!(why.contains("in /run/crossfade alone, which is empty when a node boots"), "{why}");
    tree.run_expecting(&["image", "seal", "--allow", path], 0);
    assert!(!tree.has("run/crossfade"));

    // An image without us has nothing to settle; what the same settings say twice is only said.
    fs::remove_dir_all(tree.path("usr/libexec/crossfade")).expect("remove");
    assert!(tree.run_expecting(&["image", "seal"], 0).contains("Crossfade is not installed"));
    let tree = image();
    tree.write("etc/crossfade/policy.json", POLICY);
    assert!(tree.run_expecting(&["image", "seal"], 0).contains("says what the image's says"));
}

#[test]
fn a_final_image_needs_no_policy_and_has_no_conf() {
    let tree = image();
    fs::remove_file(tree.path("usr/lib/crossfade/policy.json")).expect("remove");
    tree.write("usr/lib/crossfade/node.json", r#"{"version":1,"confDir":"none"}"#);
    let path = "/etc/cni/net.d/20-static.conflist";
    let (why, _) = finding(&document(&tree, &["image", "seal"], 3), path);
    assert!(why.contains("for the node's network before any agent is there"), "{why}");
    fs::remove_file(tree.path(&path[1..])).expect("remove");
    tree.run_expecting(&["image", "seal", "--check"], 0);
}
