//! `boot` on trees of nodes.

mod private;
mod refused;

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::node::changes;
use crate::tree::{CONTAINERD, CRIO, OURS, Tree};

const PRIVATE: &str = r#""confDir": "private""#;

/// What `generator` writes for a unit of this command.
fn continued(tree: &Tree, unit: &str, command: &str, variable: &str) {
    tree.write(&format!("usr/lib/systemd/system/{unit}"), &format!("[Service]\nExecStart={command}\n"));
    tree.write(
        &format!("run/systemd/generator/{unit}.d/zz-crossfade.conf"),
        &format!("# Written by crossfade-generator: the command of /usr/lib/systemd/system/{unit} with what crossfade-bootstrap unit render adds to it.\n[Service]\nExecStart=\nExecStart={command} ${variable}\n"),
    );
}

fn private() -> Tree {
    let tree = Tree::new();
    tree.node(PRIVATE);
    continued(&tree, "containerd.service", "/usr/bin/containerd", "CROSSFADE_RUNTIME_ARGS");
    tree
}

/// A reboot of a node in private mode: the generator has run.
fn reboots(tree: &Tree, id: &str) {
    tree.boots(id);
    continued(tree, "containerd.service", "/usr/bin/containerd", "CROSSFADE_RUNTIME_ARGS");
}

#[test]
fn a_first_boot_in_shared_mode_puts_everything_in_its_place() {
    let tree = Tree::new();
    let output = tree.run_expecting(&["unit", "boot"], 0);
    assert!(output.contains("first boot"), "{output}");
    let expected = json!({"cniVersion": "1.0.0", "name": "crossfade", "loadOnlyInlinedPlugins": true,
        "plugins": [{"type": "crossfade", "capabilities": {"io.kubernetes.cri.pod-annotations": true, "portMappings": true}}]});
    assert_eq!(tree.json(OURS), expected);
    assert_eq!(tree.read("opt/cni/bin/crossfade"), "the plugin");
    assert_eq!(tree.path("opt/cni/bin/crossfade").metadata().expect("plugin").mode() & 0o7777, 0o755);
    assert_eq!(tree.read("var/lib/crossfade/name"), "crossfade\n");
    assert_eq!(tree.json("run/crossfade/boot.json"), json!({"version": 1, "kind": "first", "bootID": "one"}));
    assert_eq!(tree.json("var/lib/crossfade/boot.json")["machineID"], "0123456789abcdef0123456789abcdef");
    for secret in ["var/lib/crossfade", "var/lib/crossfade/boot.json", "var/lib/crossfade/name"] {
        assert_eq!(tree.path(secret).metadata().expect("state").mode() & 0o077, 0, "{secret}");
    }
    let ready = &tree.json("etc/crossfade/policy.json")["networks"]["new"]["ready"];
    assert_eq!(ready[0], json!({"file": "/var/lib/calico/nodename"}));
    assert_eq!(ready[2], json!({"file": "/run/crossfade/probe/new"}));
}

/// Only `install` takes over pods of another CNI. A network namespace with a name is no pod's.
#[test]
fn under_pods_of_another_cni_no_conf_is_written() {
    for (netns, refused) in [
        ("cni-0b5f4b4c-2f8f-1c9e-5d0e-2b8c0c4f6f0a", true),
        ("0b5f4b4c-2f8f-1c9e-5d0e-2b8c0c4f6f0a", true),
        ("cni-0b5f4b4c", false),
        ("blue", false),
        ("crossfade-proof-new", false),
    ] {
        let tree = Tree::new();
        tree.write(&format!("run/netns/{netns}"), "");
        let output = tree.run_expecting(&["unit", "boot"], if refused { 3 } else { 0 });
        assert_eq!(output.contains("crossfade-bootstrap install"), refused, "{netns}: {output}");
        assert_eq!(tree.path(OURS).exists(), !refused, "{netns}");
        if !refused {
            // Pods that were attached through Crossfade keep no later run from its work.
            tree.write("run/netns/cni-0b5f4b4c-2f8f-1c9e-5d0e-2b8c0c4f6f0a", "");
            tree.run_expecting(&["unit", "boot"], 0);
        }
    }
}

/// An upgrade runs it once more under running pods, before the next `watch` has written the file.
#[test]
fn a_second_run_of_a_boot_makes_no_pod_wait_for_a_file_that_is_not_there() {
    const POLICY: &str = "etc/crossfade/policy.json";
    let without = r#""new": {"profile": "calico", "conf": ["/etc/cni/net.d/10-calico.conflist"]}"#;
    let waits = |tree: &Tree| tree.read(POLICY).contains("/run/crossfade/probe/new");
    let tree = Tree::new();
    tree.run_expecting(&["unit", "boot"], 0);
    tree.policy(without);
    let output = tree.run_expecting(&["unit", "boot"], 0);
    assert!(output.contains("network new (calico)") && output.contains("at the next boot"), "{output}");
    assert!(!waits(&tree));
    tree.write("run/crossfade/probe/new", "calico\n");
    let output = tree.run_expecting(&["unit", "boot"], 0);
    assert!(waits(&tree) && !output.contains("at the next boot"), "{output}");
    tree.policy(without);
    tree.boots("two");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(waits(&tree), "no pod is there before a boot, and watch comes with it");
}

#[test]
fn the_second_run_of_a_boot_and_a_reboot_change_nothing_but_what_they_remember() {
    let tree = Tree::new();
    tree.run_expecting(&["unit", "boot"], 0);
    let before = tree.files();
    let output = tree.run_expecting(&["unit", "boot"], 0);
    let written: Vec<_> =
        changes(&output).into_iter().filter(|line| !line.starts_with("keep ")).map(str::to_owned).collect();
    assert!(matches!(written.as_slice(), [one] if one.contains("run/crossfade/boot.json")), "{output}");
    assert_eq!(tree.json("run/crossfade/boot.json")["kind"], "again");
    tree.run_expecting(&["unit", "boot"], 0);

    tree.boots("two");
    tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(
        tree.json("run/crossfade/boot.json"),
        json!({"version": 1, "kind": "reboot", "bootID": "two"})
    );
    let after = tree.files();
    for (name, print) in
        before.iter().filter(|(name, _)| !name.ends_with("boot.json") && !name.ends_with("boot_id"))
    {
        if !name.starts_with("run/") {
            assert_eq!(after.get(name), Some(print), "{name}");
        }
    }
}

#[test]
fn a_dry_run_says_what_an_apply_does_and_touches_nothing() {
    let tree = Tree::new();
    tree.conf("05-cilium.conflist", "cilium", "cilium-cni");
    let before = tree.files();
    let planned = tree.run_expecting(&["unit", "boot", "--dry-run"], 0);
    assert_eq!(tree.files(), before);
    assert_eq!(tree.run_expecting(&["unit", "boot"], 0), planned);
}

#[test]
fn directories_are_the_runtime_s_own() {
    for (unit, text, config, conf_dir, bin_dir) in [
        (
            CONTAINERD,
            "/usr/bin/containerd",
            (
                "etc/containerd/config.toml",
                "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '/home/kubernetes/bin'\n",
            ),
            "etc/cni/net.d",
            "home/kubernetes/bin",
        ),
        (
            CRIO,
            "/usr/bin/crio",
            (
                "etc/crio/crio.conf.d/00-default",
                "[crio.network]\nnetwork_dir = '/etc/kubernetes/cni/net.d/'\nplugin_dirs = ['/var/lib/cni/bin']\n",
            ),
            "etc/kubernetes/cni/net.d",
            "var/lib/cni/bin",
        ),
    ] {
        let tree = Tree::bare();
        tree.write(unit, &format!("[Service]\nExecStart={text}\n"));
        tree.write(config.0, config.1);
        tree.run_expecting(&["unit", "boot"], 0);
        assert!(tree.has(&format!("{conf_dir}/01-crossfade.conflist")), "{text}");
        assert!(tree.has(&format!("{bin_dir}/crossfade")), "{text}");
        assert!(!tree.has("opt/cni/bin/crossfade"), "{text}");
    }
    let k3s = Tree::bare();
    let config = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
    k3s.write(&config[1..], "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/var/lib/rancher/k3s/data/cni']\nconf_dir = '/var/lib/rancher/k3s/agent/etc/cni/net.d'\n");
    k3s.node(&format!(r#""runtime": {{"config": "{config}"}}"#));
    k3s.run_expecting(&["unit", "boot"], 0);
    assert!(k3s.has("var/lib/rancher/k3s/agent/etc/cni/net.d/01-crossfade.conflist"));
    assert!(k3s.has("var/lib/rancher/k3s/data/cni/crossfade"));
}

#[test]
fn a_conf_takes_the_name_and_the_capabilities_of_what_is_there() {
    let tree = Tree::new();
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    tree.node(r#""cniVersion": "1.1.0""#);
    tree.run_expecting(&["unit", "boot"], 0);
    let conf = tree.json(OURS);
    assert_eq!((&conf["name"], &conf["cniVersion"]), (&json!("k8s-pod-network"), &json!("1.1.0")));
    assert_eq!(conf["plugins"][0]["capabilities"]["portMappings"], true);
    // What was declared once stays while the agent's conf is away.
    fs::remove_file(tree.path("etc/cni/net.d/10-calico.conflist")).expect("gone");
    tree.boots("two");
    tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(tree.json(OURS), conf);
}

#[test]
fn a_first_boot_moves_what_an_image_brought_and_nothing_that_anybody_names() {
    let tree = Tree::new();
    for (file, name, plugin) in [
        ("05-cilium.conflist", "cilium", "cilium-cni"),
        ("10-calico.conflist", "k8s-pod-network", "calico"),
        ("10-flannel.conflist", "cbr0", "flannel"),
        ("20-own.conflist", "own", "bridge"),
        ("87-podman.conflist", "podman", "bridge"),
    ] {
        tree.conf(file, name, plugin);
    }
    // Multus delegates to us, so it may stay first.
    tree.write(
        "etc/cni/net.d/00-multus.conf",
        r#"{"name":"m","type":"multus","clusterNetwork":"/host/etc/cni/net.d/01-crossfade.conflist"}"#,
    );
    let bytes = tree.read("etc/cni/net.d/05-cilium.conflist");
    let output = tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(tree.set_aside("one"), ["05-cilium.conflist", "10-flannel.conflist"], "{output}");
    assert_eq!(tree.read("var/lib/crossfade/set-aside/one/05-cilium.conflist"), bytes);
    for stays in ["00-multus.conf", "10-calico.conflist", "20-own.conflist", "87-podman.conflist"] {
        assert!(tree.has(&format!("etc/cni/net.d/{stays}")), "{stays}");
    }
    // Nor is anything moved on a node that was installed on, or whose runtime runs, though it is the first boot of ours.
    for live in ["run/containerd/containerd.sock", "var/lib/crossfade/inventory.json"] {
        let other = Tree::new();
        other.conf("10-flannel.conflist", "cbr0", "flannel");
        other.write(live, r#"{"version":1,"attachments":[]}"#);
        other.run_expecting(&["unit", "boot"], 0);
        assert!(other.has("etc/cni/net.d/10-flannel.conflist"), "{live}");
    }
    // An agent that comes in a later boot is no stranger.
    tree.boots("two");
    tree.conf("10-flannel.conflist", "cbr0", "flannel");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has("etc/cni/net.d/10-flannel.conflist"));
}

#[test]
fn another_machine_s_records_are_set_aside_whole() {
    let tree = Tree::new();
    tree.run_expecting(&["unit", "boot"], 0);
    tree.write("var/lib/crossfade/attachments/00/x", "a record");
    tree.write("var/lib/crossfade/inventory.json", r#"{"version":1,"attachments":[]}"#);
    tree.write("var/lib/crossfade/ledger.jsonl", "{}\n");
    for (boot, machine, instance, aside) in [
        ("reboot", "0123456789abcdef0123456789abcdef", None, false),
        ("clone", "ffffffffffffffffffffffffffffffff", None, true),
        ("known", "ffffffffffffffffffffffffffffffff", Some("i-1"), false),
        ("instance", "ffffffffffffffffffffffffffffffff", Some("i-2"), true),
    ] {
        tree.boots(boot);
        tree.machine(machine);
        if let Some(id) = instance {
            tree.write("run/cloud-init/.instance-id", id);
        }
        let output = tree.run_expecting(&["unit", "boot"], 0);
        let expected: &[&str] = match (aside, boot) {
            (false, _) => &[],
            (true, "clone") => &["attachments", "inventory.json", "ledger.jsonl", "name"],
            // The name is the clone's own by now.
            _ => &["name"],
        };
        assert_eq!(tree.set_aside(boot), expected, "{output}");
    }
    assert_eq!(tree.read("var/lib/crossfade/set-aside/clone/attachments/00/x"), "a record");
    assert!(!tree.has("var/lib/crossfade/attachments"));
    assert_eq!(tree.read("var/lib/crossfade/name"), "crossfade\n");
}

#[test]
fn what_the_runtime_insists_on_becomes_our_name() {
    let tree = Tree::bare();
    tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
    tree.write("etc/crio/crio.conf", "[crio.network]\ncni_default_network = 'multus-cni-network'\n");
    tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(tree.json(OURS)["name"], "multus-cni-network");
    assert_eq!(tree.read("var/lib/crossfade/name"), "multus-cni-network\n");
}

#[test]
fn a_packaged_policy_is_completed_where_it_counts_before_the_package_s() {
    let tree = Tree::new();
    let text = tree.read("etc/crossfade/policy.json");
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("gone");
    tree.write("usr/lib/crossfade/policy.json", &text);
    for boot in ["one", "two"] {
        tree.boots(boot);
        tree.run_expecting(&["unit", "boot"], 0);
        assert!(tree.json("run/crossfade/policy.json")["networks"]["new"]["ready"].is_array());
        assert_eq!(tree.read("usr/lib/crossfade/policy.json"), text);
        assert!(!tree.has("etc/crossfade/policy.json"));
    }
}

#[test]
fn switched_off_our_conf_goes_whatever_the_settings_say() {
    for off in ["file", "kernel"] {
        let tree = Tree::new();
        tree.run_expecting(&["unit", "boot"], 0);
        for file in ["kubelet.env", "runtime.env", "containerd/config.toml", "unfit"] {
            tree.write(&format!("run/crossfade/{file}"), "x");
        }
        match off {
            "file" => tree.write("etc/crossfade/disabled", ""),
            _ => tree.write("proc/cmdline", "quiet crossfade.disable\n"),
        }
        // Whatever the settings say by now.
        tree.write("etc/crossfade/node.json", "{");
        fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("gone");
        let output = tree.run_expecting(&["unit", "boot"], 0);
        assert!(output.contains("switched off"), "{output}");
        for file in ["kubelet.env", "runtime.env", "containerd/config.toml", "unfit", "boot.json"] {
            assert!(!tree.has(&format!("run/crossfade/{file}")), "{off}: {file}");
        }
        assert!(!tree.has(OURS) && tree.has("opt/cni/bin/crossfade"), "a DEL may still come");
        let before = tree.files();
        tree.run_expecting(&["unit", "boot"], 0);
        assert_eq!(tree.files(), before, "again");
    }
    let tree = Tree::new();
    tree.conf("01-crossfade.conflist", "theirs", "bridge");
    tree.write("etc/crossfade/disabled", "");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has(OURS), "another program's file of our name stays its own");
}

#[test]
fn of_an_image_it_is_said_what_its_first_boot_would_do() {
    let tree = Tree::new();
    tree.node(r#""kubelet": {"register": false}"#);
    crate::node::mode(&tree.path("usr/libexec/crossfade/crossfade"), 0o755);
    fs::remove_file(tree.path("proc/sys/kernel/random/boot_id")).expect("an image has no kernel");
    let output = tree.run_expecting(&["unit", "boot", "--dry-run"], 0);
    assert!(output.contains("first boot") && output.contains("01-crossfade.conflist"), "{output}");
    assert!(tree.run_expecting(&["image", "explain"], 0).contains("01-crossfade.conflist"));
    assert!(
        tree.run_expecting(&["unit", "boot"], 75).contains("boot_id"),
        "but no boot is done where there is none"
    );
    assert!(!tree.has("etc/cni/net.d/01-crossfade.conflist"));
}
