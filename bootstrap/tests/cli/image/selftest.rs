//! `selftest --image` on trees: what a whole one is told, and each fault by itself.

mod faults;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use convergence::node::digest::sha256;
use serde_json::{Value, json};

use crate::node::mode;
use crate::unit::kubelet::{FAMILIES, Tree, golden};

const BOOTSTRAP: &str = "usr/bin/crossfade-bootstrap";
const PLUGIN: &str = "usr/libexec/crossfade/crossfade";
const WANTS: &str = "etc/systemd/system/multi-user.target.wants";
const UNITS: &str = "usr/lib/systemd/system";

/// An ELF program that holds nothing; one with an interpreter is not static.
fn program(interpreter: Option<&str>) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let text = interpreter.map(|name| format!("{name}\0")).unwrap_or_default();
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([3, 0]);
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    // No entry; the program headers follow at once, and there are no sections.
    for word in [0u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let kind: u32 = if interpreter.is_some() { 3 } else { 1 };
    bytes.extend(kind.to_le_bytes());
    bytes.extend(4u32.to_le_bytes());
    for word in [120u64, 0, 0, text.len() as u64, text.len() as u64, 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// A family's tree as an image build leaves it: programs, units enabled, a policy.
fn image(family: &str) -> Tree {
    let tree = Tree::new(family);
    install(&tree, BOOTSTRAP, None);
    install(&tree, PLUGIN, None);
    fs::create_dir_all(tree.path(WANTS)).expect("wants");
    for unit in ["crossfade-boot.service", "crossfade-watch.service"] {
        let link = tree.path(WANTS).join(unit);
        symlink(format!("/{UNITS}/{unit}"), link).expect("enabled");
    }
    if !["containerd", "crio"].iter().any(|name| tree.path(UNITS).join(format!("{name}.service")).exists()) {
        tree.write(&format!("{UNITS}/containerd.service"), "[Service]\nExecStart=/usr/bin/containerd\n");
    }
    tree.write(
        "usr/lib/crossfade/policy.json",
        r#"{"version":1,"attach":"new","networks":{
            "old":{"profile":"calico","conf":["/etc/cni/net.d/10-calico.conflist"]},
            "new":{"profile":"cilium","conf":["/etc/cni/net.d/05-cilium.conflist"]}}}"#,
    );
    tree
}

/// The same of one kind of node, with nothing against it: containerd, and private mode as images have it.
fn whole() -> Tree {
    let tree = image("kubeadm-deb");
    fs::rename(tree.path("etc/crossfade/node.json"), tree.path("usr/lib/crossfade/node.json"))
        .expect("baked");
    tree.replace("usr/lib/crossfade/node.json", "\"version\": 1", "\"version\": 1, \"confDir\": \"private\"");
    tree
}

fn install(tree: &Tree, path: &str, interpreter: Option<&str>) {
    fs::create_dir_all(tree.path(path).parent().expect("below the root")).expect("directory");
    fs::write(tree.path(path), program(interpreter)).expect("program");
    mode(&tree.path(path), 0o755);
}

/// The release file of these programs, or, with other bytes, of others.
fn released(tree: &Tree, release: &str, bytes: fn(&[u8]) -> Vec<u8>) {
    let digest = |path| sha256(&bytes(&fs::read(tree.path(path)).expect(path)));
    let files = json!({ format!("/{BOOTSTRAP}"): digest(BOOTSTRAP), format!("/{PLUGIN}"): digest(PLUGIN) });
    let release = json!({"version": 1, "release": release, "commit": "c0ffee", "files": files});
    tree.write("usr/lib/crossfade/release.json", &release.to_string());
}

fn tested(tree: &Tree) -> Value {
    let run = tree.run(&["image", "selftest", "--image", "--output", "json"]);
    let document: Value =
        serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {}{}", run.out, run.err));
    assert_eq!(document["passed"], json!(run.status == 0), "{document:#}");
    assert!([0, 3].contains(&run.status), "{}", run.status);
    document
}

/// The checks of a status, as `(id, found, fix)`.
fn checks_with(document: &Value, status: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = document["checks"].as_array().expect("checks").iter();
    let checks = checks.filter(|check| check["status"] == status);
    checks.map(|check| (text(&check["id"]), text(&check["found"]), text(&check["fix"]))).collect()
}

#[test]
fn every_family_is_told_what_was_reviewed() {
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let tree = image(family);
        let run = tree.run(&["image", "selftest", "--image"]);
        let report = format!("exit {}\n{}{}", run.status, run.out, run.err);
        let report = report.replace(std::env::consts::ARCH, "@ARCH@");
        wrong.extend(golden(family, "selftest.txt", Some(&report)));
    }
    assert!(wrong.is_empty(), "look at them, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
}

#[test]
fn a_whole_image_passes_and_is_not_touched() {
    let tree = whole();
    released(&tree, env!("CARGO_PKG_VERSION"), |bytes| bytes.to_vec());
    let before = tree.files();
    let document = tested(&tree);
    assert_eq!(checks_with(&document, "failed"), [], "{document:#}");
    assert_eq!((&document["version"], &document["image"]), (&json!(1), &json!(true)));
    assert!(checks_with(&document, "ok").len() >= 18, "{document:#}");
    assert_eq!(tree.files(), before);
}

/// docs/selftest.md has a row for each check, and for no other.
#[test]
fn every_check_has_a_row_of_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/selftest.md");
    let text = fs::read_to_string(page).expect("the page");
    let (_, tables) = text.split_once("## The checks").expect("the chapter");
    let (tables, _) = tables.split_once("\n## ").expect("the next chapter");
    let cells = tables.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let documented: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let run = whole().run(&["image", "selftest", "--output", "json"]);
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    let checks = report["checks"].as_array().expect("checks");
    let reported: BTreeSet<&str> = checks.iter().map(|check| check["id"].as_str().expect("an id")).collect();
    assert_eq!(documented, reported);
}

/// The next image of a chain is made on a machine that was booted of the one before: its boot has completed the policy below /run.
#[test]
fn what_a_boot_of_the_machine_has_written_hides_nothing_that_is_baked() {
    let tree = whole();
    released(&tree, env!("CARGO_PKG_VERSION"), |bytes| bytes.to_vec());
    let policy = tree.read("usr/lib/crossfade/policy.json").expect("a policy");
    tree.write("run/crossfade/policy.json", &policy);
    let document = tested(&tree);
    assert_eq!(checks_with(&document, "failed"), [], "{document:#}");
    let passed = checks_with(&document, "ok");
    let hidden = passed.iter().find(|(id, _, _)| id == "settings.hidden").expect("the check");
    assert!(hidden.1.contains("for /run/crossfade/policy.json does"), "{hidden:?}");
}

/// What a provider's programs write at boot is not there when the image is built, and boot waits for some of them.
#[test]
fn images_pass_before_their_first_boot() {
    let eks = image("eks-al2023");
    for file in ["etc/eks/kubelet/environment", "etc/kubernetes/kubelet/config.json"] {
        eks.remove(file);
    }
    for (unit, order) in [
        ("nodeadm-boot-hook", "Before=nodeadm-config.service systemd-networkd-wait-online.service"),
        ("nodeadm-config", "Before=cloud-init.service\nAfter=systemd-networkd-wait-online.service"),
        ("nodeadm-run", "After=nodeadm-config.service cloud-final.service\nRequires=nodeadm-config.service"),
        ("cloud-final", "After=network-online.target multi-user.target cloud-init.service"),
    ] {
        let text = format!("[Unit]\n{order}\n[Service]\nType=oneshot\nExecStart=/bin/true\n");
        eks.write(&format!("etc/systemd/system/{unit}.service"), &text);
    }
    let kubeadm = image("kubeadm-deb");
    for file in ["var/lib/kubelet/kubeadm-flags.env", "var/lib/kubelet/config.yaml"] {
        kubeadm.remove(file);
    }
    for tree in [eks, kubeadm] {
        tree.replace("etc/crossfade/node.json", "\"version\": 1", "\"version\": 1, \"confDir\": \"private\"");
        let document = tested(&tree);
        assert_eq!(checks_with(&document, "failed"), [], "{document:#}");
    }
}

#[test]
fn a_final_image_needs_neither_plugin_nor_policy() {
    let tree = whole();
    tree.replace("usr/lib/crossfade/node.json", "private", "none");
    tree.remove("usr/lib/crossfade/policy.json");
    tree.remove(PLUGIN);
    let document = tested(&tree);
    assert_eq!(checks_with(&document, "failed"), [], "{document:#}");
    let skipped = checks_with(&document, "skipped");
    for id in ["settings.policy", "runtime.told", "delegate.new", "delegate.directories"] {
        assert!(
            skipped.iter().any(|(skipped_id, why, _)| skipped_id == id && why.contains("confDir: none")),
            "{id}: {skipped:#?}"
        );
    }
    let registration = checks_with(&document, "ok").into_iter().find(|(id, ..)| id == "registration");
    assert!(registration.is_some_and(|(_, what, _)| what.contains("--node-labels=")), "{document:#}");
    tree.remove(BOOTSTRAP);
    assert!(checks_with(&tested(&tree), "failed").iter().any(|(id, ..)| id == "program.present"));
}

/// What systemd wants to see of a whole system.
fn base(tree: &Tree) {
    for unit in [
        "sysinit.target",
        "basic.target",
        "shutdown.target",
        "multi-user.target",
        "system.slice",
        "-.slice",
        "tmp.mount",
    ] {
        let text = if unit == "tmp.mount" {
            "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\n"
        } else {
            "[Unit]\nDescription=of the distribution\n"
        };
        tree.write(&format!("{UNITS}/{unit}"), text);
    }
    for program in ["kubelet", "containerd"] {
        install(tree, &format!("usr/bin/{program}"), None);
    }
}

#[test]
fn systemd_itself_finds_nothing_in_a_whole_system() {
    let tree = whole();
    base(&tree);
    let document = tested(&tree);
    assert_eq!(checks_with(&document, "failed"), [], "{document:#}");
    assert!(checks_with(&document, "ok").iter().any(|(id, ..)| id == "unit.verify"), "{document:#}");
}

/// All checks are made, whatever others found.
#[test]
fn nothing_at_all_is_told_in_full() {
    let empty = tempfile::Builder::new().prefix("crossfade-").tempdir_in("/var/tmp").expect("tempdir");
    fs::set_permissions(empty.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
    command.args(["image", "selftest", "--image", "--output", "json", "--root"]).arg(empty.path());
    let output = command.output().expect("runs");
    assert_eq!(output.status.code(), Some(3));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ids: std::collections::BTreeSet<_> = ["ok", "failed", "skipped"]
        .into_iter()
        .flat_map(|status| checks_with(&document, status))
        .map(|(id, ..)| id)
        .collect();
    let whole = tested(&whole());
    for status in ["ok", "skipped"] {
        for (id, ..) in checks_with(&whole, status) {
            assert!(ids.contains(&id), "{id} is not told of an empty tree: {document:#}");
        }
    }
}

#[test]
fn a_crio_that_is_told_no_network_is_a_fault_in_shared_mode() {
    for (keys, status) in [("", "failed"), ("cni_default_network = 'k8s-pod-network'", "skipped")] {
        let tree = image("kubeadm-deb");
        tree.remove(&format!("{UNITS}/containerd.service"));
        tree.write(&format!("{UNITS}/crio.service"), "[Service]\nExecStart=/usr/bin/crio\n");
        tree.write("etc/crio/crio.conf", &format!("[crio.network]\n{keys}\n"));
        let document = tested(&tree);
        let check = checks_with(&document, status).into_iter().find(|(id, ..)| id == "runtime.told");
        assert!(check.is_some(), "{keys}: {document:#}");
    }
}
