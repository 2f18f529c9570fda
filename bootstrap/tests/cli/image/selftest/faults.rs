//! One fault at a time in an image that is whole otherwise: the check that fails, what it says, and its fix.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::{BOOTSTRAP, PLUGIN, UNITS, WANTS, base, checks_with, install, released, tested, whole};
use crate::node::mode;
use crate::unit::kubelet::Tree;

/// What is changed in a whole image, the check that fails for it, what it says, and its fix.
type Row = (fn(&Tree), &'static str, &'static str, &'static str);

const PROGRAMS: [Row; 7] = [
    (|tree| tree.remove(PLUGIN), "program.present", "/crossfade is missing", "install the package"),
    (
        |tree| install(tree, PLUGIN, Some("/lib/ld.so")),
        "program.static",
        "it needs /lib/ld.so",
        "install the package",
    ),
    (
        |tree| {
            tree.write(PLUGIN, "a script");
            mode(&tree.path(PLUGIN), 0o755);
        },
        "program.static",
        "is no ELF program",
        "install the package",
    ),
    (|tree| mode(&tree.path(BOOTSTRAP), 0o4755), "program.owner", "mode 4755", "chmod 0755"),
    (|tree| mode(&tree.path("usr/libexec"), 0o777), "program.owner", "writable by others", "to root alone"),
    (
        |tree| released(tree, "0.0.1", |bytes| bytes.to_vec()),
        "program.version",
        "says release 0.0.1",
        "of one release",
    ),
    (
        |tree| released(tree, env!("CARGO_PKG_VERSION"), |bytes| bytes[1..].to_vec()),
        "program.release",
        "is not the file of release",
        "from a source that you trust",
    ),
];

const OF_UNITS: [Row; 13] = [
    (
        |tree| tree.remove(&format!("{WANTS}/crossfade-watch.service")),
        "unit.enabled",
        "is disabled",
        "enable crossfade-watch",
    ),
    (
        |tree| symlink("/dev/null", tree.path("etc/systemd/system/crossfade-watch.service")).expect("masked"),
        "unit.enabled",
        "crossfade-watch.service is masked",
        "unmask crossfade-watch",
    ),
    (
        |tree| {
            base(tree);
            tree.replace(
                &format!("{UNITS}/crossfade-watch.service"),
                "[Service]",
                "[Service]\nWatchdogSecs=30",
            );
        },
        "unit.verify",
        "'WatchdogSecs'",
        "install the package whole",
    ),
    (
        |tree| tree.remove(&format!("{UNITS}/kubelet.service.d/50-crossfade.conf")),
        "unit.drop-in",
        "kubelet.service has no drop-in 50-crossfade.conf",
        "link /usr/lib/systemd/system/kubelet.service.d/50-crossfade.conf",
    ),
    (
        |tree| tree.remove(&format!("{UNITS}/kubelet.service")),
        "unit.drop-in",
        "no unit kubelet.service",
        "install kubelet before",
    ),
    (
        |tree| tree.remove("usr/lib/systemd/system-generators/crossfade-generator"),
        "unit.generator",
        "crossfade-generator is missing",
        "install the package whole",
    ),
    (
        |tree| {
            tree.write(
                "etc/systemd/system/kubelet.service.d/99.conf",
                "[Service]\nExecStart=\nExecStart=:/usr/bin/kubelet\n",
            );
        },
        "unit.generator",
        "the prefix `:`",
        "write $CROSSFADE_KUBELET_ARGS as a word",
    ),
    (
        |tree| {
            tree.replace(&format!("{UNITS}/crossfade-boot.service"), " kubelet.service", "");
            tree.replace(
                &format!("{UNITS}/kubelet.service.d/50-crossfade.conf"),
                "After=crossfade-boot.service",
                "",
            );
        },
        "order.before",
        "kubelet.service may start before",
        "add After=crossfade-boot.service",
    ),
    (
        |tree| {
            tree.write(
                "etc/systemd/system/kubelet.service.d/60.conf",
                "[Unit]\nRequires=crossfade-boot.service\n",
            )
        },
        "order.wants",
        "requires crossfade-boot.service (/etc/systemd/system/kubelet.service.d/60.conf)",
        "say Wants= there",
    ),
    (
        |tree| {
            tree.write(
                "etc/systemd/system/crossfade-boot.service.d/9.conf",
                "[Unit]\nAfter=cloud-final.service\n",
            )
        },
        "order.deadlock",
        "is after cloud-final.service (/etc/systemd/system/crossfade-boot.service.d/9.conf)",
        "take the order out of /etc/systemd/system/crossfade-boot.service.d/9.conf",
    ),
    (
        |tree| {
            tree.write(
                "etc/systemd/system/crossfade-boot.service.d/9.conf",
                "[Unit]\nAfter=network-online.target\n",
            )
        },
        "order.deadlock",
        "waits for network-online.target",
        "take After=network-online.target out of",
    ),
    (
        |tree| tree.write("etc/systemd/system/kubelet.service.d/90-own.conf", "[Service]\nExecStartPre=\n"),
        "order.commands",
        "expected ExecStartPre=crossfade-bootstrap unit gate, then unit render, found none",
        "/etc/systemd/system/kubelet.service.d/90-own.conf",
    ),
    (
        |tree| {
            tree.write("etc/systemd/system/containerd.service.d/90-own.conf", "[Service]\nEnvironmentFile=\n")
        },
        "order.commands",
        "EnvironmentFile=/run/crossfade/runtime.env is gone",
        "/etc/systemd/system/containerd.service.d/90-own.conf",
    ),
];

const OF_SETTINGS: [Row; 8] = [
    (
        |tree| tree.replace("usr/lib/crossfade/node.json", "\"version\"", "\"lables\": {}, \"version\""),
        "settings.node",
        "labels",
        "docs/node.md",
    ),
    (
        |tree| tree.remove("usr/lib/crossfade/policy.json"),
        "settings.policy",
        "there is no policy.json",
        "bake",
    ),
    (
        |tree| mode(&tree.path("usr/lib/crossfade/policy.json"), 0o666),
        "settings.policy",
        "writable by others",
        "mend it",
    ),
    (
        |tree| {
            tree.write(
                "etc/crossfade/policy.json",
                r#"{"version":1,"attach":"new","networks":{"new":{"profile":"cilium","conf":["/c"]}}}"#,
            )
        },
        "settings.hidden",
        "/usr/lib/crossfade/policy.json does not count, for /etc/crossfade/policy.json does",
        "remove /etc/crossfade/policy.json",
    ),
    (
        |tree| tree.write("etc/crossfade/disabled", ""),
        "settings.switch",
        "switched off",
        "rm /etc/crossfade/disabled",
    ),
    (
        |tree| tree.write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet crossfade.disable\"\n"),
        "settings.switch",
        "/etc/default/grub has the kernel argument crossfade.disable",
        "take it out",
    ),
    (
        |tree| {
            tree.replace(
                "usr/lib/crossfade/node.json",
                "io.cilium.migration/cilium-default",
                "app.kubernetes.io/name",
            );
        },
        "registration",
        "label app.kubernetes.io/name: kubelet exits for a label below kubernetes.io",
        "node.json",
    ),
    (
        |tree| tree.write("etc/fstab", "UUID=1 / ext4 defaults 0 1\nUUID=2 /run ext4 defaults 0 2\n"),
        "place.run",
        "/etc/fstab mounts ext4 on /run",
        "take /run out",
    ),
];

const OF_NETWORKS: [Row; 7] = [
    (
        |tree| {
            tree.replace("usr/lib/crossfade/policy.json", r#""profile":"cilium","#, "");
        },
        "delegate.new",
        "/etc/cni/net.d/05-cilium.conflist is missing, and the policy does not say what brings it",
        "name the new network's profile",
    ),
    (
        |tree| {
            let conf = json!({"cniVersion": "1.0.0", "name": "k8s", "plugins": [{"type": "calico"}]});
            tree.write("etc/cni/net.d/10-calico.conflist", &conf.to_string());
        },
        "delegate.old",
        "is there, but plugin \"calico\": no such binary",
        "install it",
    ),
    (|tree| tree.write("etc/cni/net.d/10-calico.conflist", "{"), "delegate.old", "invalid conf", "mend it"),
    (
        |tree| {
            fs::create_dir_all(tree.path("opt/cni/bin")).expect("bin");
            mode(&tree.path("opt/cni/bin"), 0o777);
        },
        "delegate.directories",
        "writable by others",
        "to root alone",
    ),
    (
        |tree| tree.write("etc/containerd/config.toml", "version = "),
        "runtime.config",
        "no valid TOML at line 1",
        "mend the runtime's configuration",
    ),
    (
        |tree| tree.remove(&format!("{UNITS}/containerd.service")),
        "runtime.config",
        "neither containerd.service nor crio.service",
        "install the runtime before",
    ),
    (
        |tree| {
            fs::create_dir_all(tree.path("var/lib/crossfade")).expect("state");
            mode(&tree.path("var/lib/crossfade"), 0o777);
        },
        "place.state",
        "writable by others",
        "to root alone",
    ),
];

/// One fault, one check that fails: the others say what they said before.
fn each_is_found(rows: &[Row]) {
    for (change, id, words, fix) in rows {
        let tree = whole();
        change(&tree);
        let document = tested(&tree);
        let failed = checks_with(&document, "failed");
        let is_it = |(failed_id, what, remedy): &(String, String, String)| {
            failed_id == id && what.contains(words) && remedy.contains(fix)
        };
        assert!(failed.iter().any(is_it), "{id}, {words}: {failed:#?}");
        assert!(failed.iter().all(|(failed_id, ..)| failed_id == id), "{id}, {words}: {failed:#?}");
        let output = tree.run(&["image", "selftest", "--image"]);
        assert!(
            output.status == 3 && output.out.contains(words) && output.out.contains("fix: "),
            "{}",
            output.out
        );
    }
}

#[test]
fn faults_of_programs() {
    each_is_found(&PROGRAMS);
}

#[test]
fn faults_of_units_and_their_order() {
    each_is_found(&OF_UNITS);
}

#[test]
fn faults_of_settings() {
    each_is_found(&OF_SETTINGS);
}

#[test]
fn faults_of_networks_and_the_runtime() {
    each_is_found(&OF_NETWORKS);
}
