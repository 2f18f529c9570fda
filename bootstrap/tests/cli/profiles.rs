//! Profiles that a node has of its own, in place of the built-in ones and beside them.

use serde_json::{Value, json};

use crate::tree::Tree;

const NETWORK: &str = r#""conf": ["/etc/cni/net.d/10-calico.conflist"]"#;

/// Calico's profile with another name and another probe.
fn profile(name: &str, file: &str) -> String {
    let mut text: Value =
        serde_json::from_str(include_str!("../../../types/profiles/calico.json")).expect("JSON");
    text["name"] = name.into();
    text["probes"] = json!([{ "file": file }]);
    text["evidence"] = "own".into();
    text.to_string()
}

/// What `boot` writes into a policy that says nothing of readiness.
fn ready(tree: &Tree) -> Value {
    tree.run_expecting(&["unit", "boot"], 0);
    tree.json("etc/crossfade/policy.json")["networks"]["new"]["ready"].clone()
}

#[test]
fn a_network_may_have_a_profile_that_only_this_node_knows() {
    let tree = Tree::new();
    tree.policy(&format!(r#""new": {{"profile": "house", {NETWORK}}}"#));
    assert!(tree.run_expecting(&["policy", "check"], 78).contains(r#"no CNI is known as "house""#));
    tree.write("usr/lib/crossfade/profiles/house.json", &profile("house", "/run/house/up"));
    tree.run_expecting(&["policy", "check"], 0);
    assert_eq!(ready(&tree), json!([{ "file": "/run/house/up" }]));
}

#[test]
fn the_administrators_profile_counts_before_the_images_and_the_built_in_one() {
    for (file, up) in [("usr/lib", "/run/image/up"), ("run", "/run/data/up"), ("etc", "/run/admin/up")] {
        let tree = Tree::new();
        let all = [("usr/lib", "/run/image/up"), ("run", "/run/data/up"), ("etc", "/run/admin/up")];
        for (place, probe) in all {
            tree.write(&format!("{place}/crossfade/profiles/calico.json"), &profile("calico", probe));
            if place == file {
                break;
            }
        }
        assert_eq!(ready(&tree), json!([{ "file": up }]), "{file}");
    }
}

/// The built-in profile may be wrong on this node, so nothing is done by it; and a profile that no network has keeps no command from working.
#[test]
fn a_profile_that_cannot_be_used_stops_what_would_go_by_it_and_nothing_else() {
    let tree = Tree::new();
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    tree.write("etc/crossfade/profiles/flannel.json", "{");
    tree.run_expecting(&["policy", "check"], 0);
    tree.write("etc/crossfade/profiles/calico.json", &profile("other", "/run/up"));
    let before = tree.files();
    let why = "etc/crossfade/profiles/calico.json: name: expected \"calico\"";
    for (arguments, status) in [
        (&["policy", "check"][..], 78),
        (&["unit", "boot"], 78),
        (&["unit", "watch", "--once", "--dry-run"], 3),
    ] {
        let output = tree.run_expecting(arguments, status);
        assert!(output.contains(why), "{arguments:?}: {output}");
    }
    assert!(tree.run_expecting(&["attachments"], 0).contains("attached no pod"));
    assert_eq!(tree.files(), before);
}
