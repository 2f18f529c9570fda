//! Refusals of `boot`, before it touches anything.

use crate::tree::{CONTAINERD, CRIO, Tree};
use std::fs;

use super::*;

#[test]
fn a_runtime_that_is_not_known_is_a_finding_and_never_the_usual_directories() {
    const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
    const MICROK8S: &str = "/var/snap/microk8s/current/args/containerd.toml";
    type Have = fn(&Tree);
    let cases: [(&str, Have, &[&str]); 4] = [
        ("nothing", |_| {}, &["runtime.unit", "runtime.config"]),
        (
            "k3s",
            |tree| {
                let unit = "[Service]\nExecStart=/usr/local/bin/k3s server\n";
                tree.write("etc/systemd/system/k3s.service", unit);
            },
            &[K3S, "unix:///run/k3s/containerd/containerd.sock"],
        ),
        (
            "MicroK8s",
            |tree| tree.write(&MICROK8S[1..], "version = 2\n"),
            &[MICROK8S, "unix:///var/snap/microk8s/common/run/containerd.sock"],
        ),
        (
            "k3s that was never started",
            |tree| tree.node(&format!(r#""runtime": {{"config": "{K3S}"}}"#)),
            &[K3S, "it is not there", "start the program that writes it once before Crossfade"],
        ),
    ];
    for (what, have, words) in cases {
        let tree = Tree::bare();
        have(&tree);
        let before = tree.files();
        let output = tree.run_expecting(&["unit", "boot"], 3);
        assert!(words.iter().all(|word| output.contains(word)), "{what}: {output}");
        assert_eq!(tree.files(), before, "{what}");
        let output = tree.run_expecting(&["unit", "gate", "--dry-run"], 3);
        assert!(words.iter().all(|word| output.contains(word)), "{what}: {output}");
    }
}

#[test]
fn what_would_go_wrong_is_refused_before_anything_is_touched() {
    type Break = fn(&Tree);
    let cases: [(&str, Break, i32, &[&str]); 15] = [
        (
            "no policy",
            |tree| fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("gone"),
            78,
            &["policy.json"],
        ),
        ("a broken policy", |tree| tree.write("etc/crossfade/policy.json", "{"), 78, &["policy.json"]),
        (
            "an untried second network",
            |tree| {
                let networks = r#""old": {"profile": "azure", "conf": ["/o"]}, "new": {"conf": ["/n"]}"#;
                let both = r#""attach": "both", "both": {"primary": "new"}"#;
                let policy = format!(r#"{{"version": 1, {both}, "networks": {{{networks}}}}}"#);
                tree.write("etc/crossfade/policy.json", &policy);
            },
            78,
            &["networks.old", r#""secondary": "works""#],
        ),
        ("a broken node.json", |tree| tree.node(r#""confdir": "shared""#), 78, &["confDir"]),
        (
            "no plugin",
            |tree| fs::remove_file(tree.path("usr/libexec/crossfade/crossfade")).expect("gone"),
            3,
            &["plugin"],
        ),
        (
            "an exclusive agent",
            |tree| tree.write("etc/cni/net.d/10-calico.conflist.cilium_bak", "{}"),
            3,
            &["cni.exclusive", "false"],
        ),
        (
            "another program's file of our name",
            |tree| tree.conf("01-crossfade.conflist", "x", "bridge"),
            3,
            &["not Crossfade's"],
        ),
        (
            "another conf before ours",
            |tree| tree.conf("00-own.conflist", "own", "bridge"),
            3,
            &["00-own.conflist"],
        ),
        (
            "two runtimes",
            |tree| tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n"),
            3,
            &["runtime.name"],
        ),
        (
            "more confs than one",
            |tree| {
                tree.write(
                    "etc/containerd/config.toml",
                    "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nmax_conf_num = 2\n",
                )
            },
            3,
            &["max_conf_num"],
        ),
        (
            "private without a runtime",
            |tree| {
                tree.node(PRIVATE);
                fs::remove_file(tree.path(CONTAINERD)).expect("gone");
            },
            3,
            &["no runtime is known", "runtime.unit"],
        ),
        ("private without the generator", |tree| tree.node(PRIVATE), 3, &["crossfade-generator is missing"]),
        (
            "private in another program",
            |tree| {
                tree.node(&format!(r#"{PRIVATE}, "runtime": {{"config": "/etc/containerd/config.toml"}}"#));
                tree.write("etc/containerd/config.toml", "version = 2\n");
                fs::remove_file(tree.path(CONTAINERD)).expect("gone");
            },
            3,
            &["private mode", "confDir shared"],
        ),
        (
            "private and not handed on",
            |tree| {
                tree.node(PRIVATE);
                tree.write(
                    CONTAINERD,
                    "[Service]\nExecStart=/usr/bin/containerd\nExecStart=/usr/bin/containerd\n",
                );
            },
            3,
            &["containerd.service"],
        ),
        (
            "a runtime that insists",
            |tree| {
                fs::remove_file(tree.path(CONTAINERD)).expect("gone");
                tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
                tree.write("etc/crio/crio.conf", "[crio.network]\ncni_default_network = 'podman'\n");
                tree.write("var/lib/crossfade/name", "k8s-pod-network\n");
                crate::node::mode(&tree.path("var/lib/crossfade"), 0o700);
            },
            3,
            &["cni_default_network", "podman", "k8s-pod-network"],
        ),
    ];
    for (what, spoil, status, words) in cases {
        let tree = Tree::new();
        spoil(&tree);
        let before = tree.files();
        let output = tree.run_expecting(&["unit", "boot"], status);
        assert!(words.iter().all(|word| output.contains(word)), "{what}: {output}");
        assert_eq!(tree.files(), before, "{what}");
    }
}
