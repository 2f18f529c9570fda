//! Fragments say what node.json says, in the words of each platform.

use std::fs;
use std::path::Path;

use super::*;

/// Values that a careless writer would turn into a number, a truth or a comment.
const NODE: &str = r#"{
    "version": 1,
    "labels": {"io.cilium.migration/cilium-default": "true", "example.com/rack": "1e3", "plain": ""},
    "taints": [
        {"key": "node.cilium.io/agent-not-ready", "effect": "NoExecute"},
        {"key": "example.com/gate", "value": "on", "effect": "NoSchedule"},
        {"key": "example.com/soft", "value": "0123", "effect": "PreferNoSchedule"}
    ]
}"#;

fn node() -> Node {
    Node::parse(NODE.as_bytes()).expect("valid")
}

/// The fragments as people see them, one file each; `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn every_platform_s_fragment_is_the_one_that_was_reviewed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fragments");
    let mut wrong = Vec::new();
    for platform in PLATFORMS {
        let text = print(platform.name, &node()).expect(platform.name).human().as_str().to_owned();
        let golden = dir.join(format!("{}.{}", platform.name, platform.format.as_str()));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&dir).expect("directory");
            fs::write(&golden, &text).expect("golden");
        }
        if fs::read_to_string(&golden).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "look at them, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
    let files = fs::read_dir(&dir).expect("fragments").count();
    assert_eq!(files, PLATFORMS.len(), "one file per platform");
}

/// Read back by a parser that knows nothing of how they were written.
#[test]
fn strings_stay_strings_in_every_yaml() {
    for platform in PLATFORMS.iter().filter(|platform| platform.format == Format::Yaml) {
        let output = print(platform.name, &node()).expect(platform.name).human().as_str().to_owned();
        let value: serde_json::Value = serde_saphyr::from_str(&output).expect(platform.name);
        let text = value.to_string();
        for (key, values) in [
            ("io.cilium.migration/cilium-default", ["true", "=true"]),
            ("example.com/rack", ["1e3", "=1e3"]),
            ("example.com/soft", ["0123", "=0123"]),
        ] {
            assert!(text.contains(key), "{}: {key}", platform.name);
            let quoted = values.iter().any(|value| {
                text.contains(&format!("\"{value}\""))
                    || text.contains(&format!("{value}\""))
                    || text.contains(&format!("{value},"))
                    || text.contains(&format!("{value}:"))
            });
            assert!(quoted, "{}: {key} in {text}", platform.name);
        }
        for bare in [":true", ":1e3", ":1000", ":0123", ":123", ":83"] {
            assert!(!text.contains(bare), "{}: {bare} in {text}", platform.name);
        }
    }
}

#[test]
fn toml_says_the_same() {
    let text = print("bottlerocket", &node()).expect("fragment").human().as_str().to_owned();
    let document: toml_edit::DocumentMut = text.parse().expect("TOML");
    let settings = &document["settings"]["kubernetes"];
    assert_eq!(settings["node-labels"]["example.com/rack"].as_str(), Some("1e3"));
    assert_eq!(settings["node-taints"]["example.com/gate"][0].as_str(), Some("on:NoSchedule"));
    assert_eq!(settings["node-taints"]["node.cilium.io/agent-not-ready"][0].as_str(), Some(":NoExecute"));
}

#[test]
fn an_unknown_platform_is_told_the_known_ones() {
    let why = print("k8s", &node()).expect_err("unknown");
    assert_eq!(why.exit, Exit::Usage);
    assert!(why.lines()[0].contains("bottlerocket, talos"), "{why:?}");
    let two =
        r#"{"version":1,"taints":[{"key":"a","effect":"NoExecute"},{"key":"a","effect":"NoSchedule"}]}"#;
    let node = Node::parse(two.as_bytes()).expect("valid");
    assert!(print("talos", &node).is_err(), "Talos has one effect per key");
    assert!(print("k3s", &Node::default()).is_ok(), "nothing to say is no error");
}
