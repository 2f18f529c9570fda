//! `explain`.

use serde_json::{Value, json};

use crate::unit::kubelet::Tree;

fn explained(tree: &Tree, status: i32) -> Value {
    serde_json::from_str(&tree.run_expecting(&["image", "explain", "--output", "json"], status))
        .expect("JSON")
}

#[test]
fn every_label_and_taint_has_its_source() {
    let tree = Tree::new("eks-al2023-karpenter");
    let document = explained(&tree, 0);
    let kubelet = &document["kubelet"];
    let sources: Vec<_> = kubelet["taints"]
        .as_array()
        .expect("taints")
        .iter()
        .map(|taint| (&taint["key"], &taint["source"]))
        .collect();
    assert_eq!(
        sources,
        [
            (
                &json!("karpenter.sh/unregistered"),
                &json!("registerWithTaints in /etc/kubernetes/kubelet/config.json.d/40-nodeadm.conf")
            ),
            (
                &json!("example.com/startup"),
                &json!("--register-with-taints in $NODEADM_KUBELET_ARGS of /etc/eks/kubelet/environment")
            ),
            (&json!("node.cilium.io/agent-not-ready"), &json!("node.json")),
        ]
    );
    let labels = kubelet["labels"].as_array().expect("labels");
    assert!(
        labels.contains(&json!({"key":"karpenter.sh/nodepool","value":"default",
        "source":"--node-labels in $NODEADM_KUBELET_ARGS of /etc/eks/kubelet/environment"})),
        "{labels:?}"
    );
    assert_eq!(kubelet["file"], "/run/crossfade/kubelet.env");
    assert_eq!(document["units"][0]["variable"], "CROSSFADE_KUBELET_ARGS");
    assert_eq!(tree.read("run/crossfade/kubelet.env"), None, "it only explains");
}

#[test]
fn the_file_that_counts_and_those_that_it_masks() {
    let tree = Tree::new("plain-bare");
    let policy = r#"{"version":1,"networks":{"old":{"conf":["/o"]}},"attach":"old"}"#;
    tree.write("usr/lib/crossfade/node.json", r#"{"version":1}"#);
    tree.write("run/crossfade/policy.json", policy);
    tree.write("usr/lib/crossfade/policy.json", policy);
    let document = explained(&tree, 0);
    assert_eq!(
        document["node"],
        json!({"file":"/etc/crossfade/node.json","masked":["/usr/lib/crossfade/node.json"],"error":null})
    );
    assert_eq!(document["policy"]["file"], "/run/crossfade/policy.json");
    assert_eq!(document["policy"]["phase"], "old");
    assert_eq!((&document["off"], &document["confDir"]), (&Value::Null, &json!("shared")));
    tree.write("etc/crossfade/disabled", "");
    assert!(explained(&tree, 0)["off"].as_str().is_some_and(|why| why.contains("/etc/crossfade/disabled")));
}

/// The plugin reads the policy that its conf names, and so does boot.
#[test]
fn the_policy_that_the_installed_conf_names_is_the_one_that_counts() {
    let tree = Tree::new("plain-bare");
    let policy = |attach: &str| {
        let conf = format!("/{attach}");
        json!({"version": 1, "attach": attach, "networks": {attach: {"conf": [conf]}}}).to_string()
    };
    tree.write("run/crossfade/policy.json", &policy("old"));
    tree.write("srv/policy.json", &policy("new"));
    let plugin = json!({"type": "crossfade", "policy": "/srv/policy.json"});
    let conf = json!({"cniVersion": "1.0.0", "name": "net", "plugins": [plugin]});
    tree.write("etc/cni/net.d/01-crossfade.conflist", &conf.to_string());
    let text = &explained(&tree, 0)["policy"];
    let expected = json!({"file": "/srv/policy.json", "masked": ["/run/crossfade/policy.json"], "phase": "new", "error": null});
    assert_eq!(*text, expected);
}

#[test]
fn what_is_wrong_is_part_of_the_explanation() {
    let tree = Tree::new("plain-script");
    let document = explained(&tree, 3);
    let problems = document["problems"].as_array().expect("problems");
    let script = |problem: &Value| problem["what"].as_str().is_some_and(|why| why.contains("is a script"));
    assert!(problems.iter().any(script), "{document}");
    tree.write("etc/crossfade/node.json", r#"{"version":2}"#);
    tree.write("etc/crossfade/policy.json", "{");
    let document = explained(&tree, 78);
    assert_eq!(document["problems"].as_array().map(Vec::len), Some(2), "{document}");
    assert!(document["node"]["error"].as_str().is_some_and(|why| why.contains("version")));
    assert!(
        document["units"][0]["error"].as_str().is_some_and(|why| why.contains("is a script")),
        "{document}"
    );
    let text = tree.run_expecting(&["image", "explain"], 78);
    assert!(text.contains("problem: ") && text.contains("cannot append its flags"), "{text}");
}
