//! `bake`: an image's policy and node settings, below a root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::tree::Tree;

const POLICY: &str = "usr/lib/crossfade/policy.json";
const NODE: &str = "usr/lib/crossfade/node.json";

/// An image that is being built: units and package, no settings.
fn image() -> Tree {
    let tree = Tree::new();
    fs::remove_dir_all(tree.path("etc/crossfade")).expect("no settings");
    tree
}

/// Runs `bake` with the words of `line`, which must end with `status`.
fn bake(tree: &Tree, line: &str, status: i32) -> String {
    let words: Vec<&str> = ["image", "bake"].into_iter().chain(line.split_ascii_whitespace()).collect();
    tree.run_expecting(&words, status)
}

/// Compares with the file that was reviewed; `UPDATE_GOLDEN=1` writes it anew.
fn golden(case: &str, file: &str, answer: Option<String>) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bake").join(case).join(file);
    if let (Some(text), true) = (&answer, std::env::var_os("UPDATE_GOLDEN").is_some()) {
        fs::create_dir_all(path.parent().expect("case")).expect("directory");
        fs::write(&path, text).expect("golden");
    }
    let expected = fs::read_to_string(&path).ok();
    (expected != answer).then(|| format!("{}:\n{}", path.display(), answer.as_deref().unwrap_or("(nothing)")))
}

#[test]
fn the_files_are_those_that_were_reviewed() {
    let mut wrong = Vec::new();
    for (case, line) in [
        (
            "calico-cilium",
            "--image migration --old calico --new cilium --old-cidr 192.168.0.0/16 --new-cidr 10.0.0.0/8 --new-cidr fd00::/104",
        ),
        ("antrea-flannel", "--image migration --old antrea --new flannel --phase both-old --mode shared"),
        ("aws-vpc-cilium", "--image migration --old aws-vpc --new cilium --label team=net"),
        (
            "final",
            "--image final --new cilium --label pool=new --taint node.cilium.io/agent-not-ready:NoExecute",
        ),
    ] {
        let tree = image();
        bake(&tree, line, 0);
        let answer = |file| tree.has(file).then(|| tree.read(file));
        wrong.extend(golden(case, "policy.json", answer(POLICY)));
        wrong.extend(golden(case, "node.json", answer(NODE)));
    }
    assert!(wrong.is_empty(), "look at them, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
}

#[test]
fn a_dry_run_shows_the_files_in_full_and_touches_nothing() {
    let tree = image();
    let before = tree.files();
    let line = "--image migration --old calico --new cilium --dry-run";
    let answer = bake(&tree, line, 0);
    let document: Value =
        serde_json::from_str(&bake(&tree, &format!("{line} --output json"), 0)).expect("JSON");
    assert_eq!(tree.files(), before);
    assert_eq!(document["dryRun"], true);
    assert_eq!(document["changes"][0]["action"], "write");
    assert_eq!(document["files"][0]["path"], "/usr/lib/crossfade/policy.json");
    assert_eq!(
        document["files"][1]["content"]["labels"],
        json!({"io.cilium.migration/cilium-default": "true", "crossfade/image": document["image"]})
    );
    let image = document["image"].as_str().expect("an identity");
    assert!(answer.contains(&format!("crossfade/image={image}")), "{answer}");
    bake(&tree, line.trim_end_matches(" --dry-run"), 0);
    for (number, file) in [POLICY, NODE].into_iter().enumerate() {
        assert!(answer.contains(&format!("\n/{file}:\n{}", tree.read(file))), "{answer}");
        assert_eq!(document["files"][number]["content"], tree.json(file));
        let meta = tree.path(file).metadata().expect("there");
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o644, nix::unistd::geteuid().as_raw()), "{file}");
    }
}

#[test]
fn equal_bytes_are_not_written_again() {
    let tree = image();
    let line = "--image migration --old flannel --new cilium";
    bake(&tree, line, 0);
    let before = tree.files();
    let answer = bake(&tree, line, 0);
    assert!(answer.lines().take(2).all(|line| line.starts_with("keep ")), "{answer}");
    assert_eq!(tree.files(), before);
    let answer = bake(&tree, "--image migration --old flannel --new cilium --phase old", 0);
    assert!(answer.contains("differs; who gives"), "{answer}");
    assert_eq!(tree.json(POLICY)["attach"], "old");
}

#[test]
fn a_final_image_loses_the_policy_of_an_earlier_one() {
    let tree = image();
    bake(&tree, "--image migration --old flannel --new cilium", 0);
    let answer = bake(&tree, "--image final", 0);
    assert!(answer.contains("remove ") && answer.contains("does not need the package"), "{answer}");
    assert!(!tree.has(POLICY));
    assert_eq!(tree.json(NODE), json!({"version": 1, "confDir": "none"}));
}

#[test]
fn confs_are_looked_for_where_the_image_s_runtime_reads_them() {
    let tree = image();
    tree.write("etc/containerd/config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = \"/etc/kubernetes/cni/net.d\"\n");
    bake(&tree, "--image migration --old calico --new flannel --old-conf /etc/cni/calico.conflist", 0);
    let policy = tree.json(POLICY);
    assert_eq!(policy["networks"]["old"]["conf"], json!(["/etc/cni/calico.conflist"]));
    assert_eq!(policy["networks"]["new"]["conf"][0], "/etc/kubernetes/cni/net.d/10-flannel.conflist");
}

#[test]
fn a_refusal_names_everything_and_leaves_the_image_as_it_was() {
    let tree = image();
    tree.write("etc/crossfade/policy.json", "{}");
    let before = tree.files();
    let refusals = [
        ("--image migration --old calico --new cilium", 3, vec!["policy.json counts before what is baked"]),
        (
            "--image migration --old calico --new cillium --label k8s.io/a=b --taint x",
            2,
            vec!["did you mean \"cilium\"", "kubelet exits", "expected KEY=VALUE:EFFECT", "counts before"],
        ),
        ("--image final --old calico", 2, vec!["--old: a final image"]),
        ("--image migration --from-policy /nowhere", 2, vec!["/nowhere"]),
        ("--image migration --from-policy /x --phase new", 2, vec!["--phase"]),
        ("--image migration --from-node /x --mode shared", 2, vec!["--mode"]),
        ("--image final --mode none", 2, vec!["[possible values: shared, private]"]),
    ];
    for (line, status, words) in refusals {
        let answer = bake(&tree, line, status);
        for word in words {
            assert!(answer.contains(word), "{line}: {answer}");
        }
    }
    assert_eq!(tree.files(), before);
}

#[test]
fn whole_files_are_taken_to_the_byte() {
    let tree = image();
    let policy = "{\"version\": 1,\n \"networks\": {\"old\": {\"conf\": [\"/o\"]}, \"new\": {\"profile\": \"cilium\", \"conf\": [\"/n\"]}}, \"attach\": \"both\"}";
    let node = "{\"version\": 1, \"confDir\": \"private\", \"gate\": {\"giveUpSeconds\": 900}}";
    tree.write("src/policy.json", policy);
    tree.write("src/node.json", node);
    let from = |file: &str| tree.path("src").join(file).display().to_string();
    let line =
        format!("--image migration --from-policy {} --from-node {}", from("policy.json"), from("node.json"));
    bake(&tree, &line, 0);
    let labelled = tree.read(NODE);
    let (label, rest) = labelled[1..].split_once(',').expect("the label in front");
    assert!(label.starts_with("\"labels\": {\"crossfade/image\": \""), "{labelled}");
    assert_eq!((tree.read(POLICY), format!("{{{rest}")), (policy.to_owned(), node.to_owned()));
}

/// Of every pair of CNIs that we know fully: what is baked is what boot, render and explain make a node of.
#[test]
fn an_image_of_any_pair_comes_up_without_a_finding() {
    const FULL: [&str; 5] = ["antrea", "aws-vpc", "calico", "cilium", "flannel"];
    for (number, (old, new)) in FULL.iter().flat_map(|old| FULL.map(|new| (*old, new))).enumerate() {
        if old == new {
            continue;
        }
        // Each mode on each kind of node in its turn.
        let (family, mode) =
            [("kubeadm-deb", "private"), ("eks-al2023", "shared"), ("eks-al2023", "private")][number % 3];
        let tree = crate::unit::kubelet::Tree::new(family);
        tree.remove("etc/crossfade/node.json");
        tree.write("usr/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd\n");
        tree.write("usr/libexec/crossfade/crossfade", "the plugin");
        let pair = format!("{old} to {new} on {family}, {mode}");
        tree.run_expecting(
            &["image", "bake", "--image", "migration", "--old", old, "--new", new, "--mode", mode],
            0,
        );
        assert_eq!(tree.generate(), "", "{pair}");
        let explained: Value =
            serde_json::from_str(&tree.run_expecting(&["image", "explain", "--output", "json"], 0))
                .expect("JSON");
        assert_eq!(explained["problems"], json!([]), "{pair}");
        assert_eq!(
            (&explained["policy"]["phase"], &explained["confDir"]),
            (&json!("new"), &json!(mode)),
            "{pair}"
        );
        tree.run_expecting(&["unit", "render", "--check"], 0);
        tree.write("proc/sys/kernel/random/boot_id", "one\n");
        tree.run_expecting(&["unit", "boot"], 0);
        // The image's own file is the package's; the copy that counts has the probes of both.
        let completed: Value =
            serde_json::from_str(&tree.read("run/crossfade/policy.json").expect(&pair)).expect("JSON");
        for side in ["old", "new"] {
            let ready = completed["networks"][side]["ready"].as_array();
            assert!(ready.is_some_and(|ready| !ready.is_empty()), "{pair}: {side}");
        }
        tree.run_expecting(&["unit", "render"], 0);
        let answer = tree.read("run/crossfade/kubelet.env").unwrap_or_default();
        assert_eq!(answer.contains("cilium-default=true"), new == "cilium", "{pair}: {answer}");
    }
}
