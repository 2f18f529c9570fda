//! The examples of `packer/examples` whose programs no test has: what they give to a node is what a node can use.

use serde_json::Value;
use types::node::Node;
use types::policy::{Phase, Policy};

use crate::pages::root;

/// A file that Butane writes: its path, and what is in it.
fn flatcar_files() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(root().join("packer/examples/flatcar.bu")).expect("flatcar.bu");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!((&config["variant"], &config["version"]), (&"flatcar".into(), &"1.1.0".into()));
    let files = config["storage"]["files"].as_array().expect("files");
    files.iter().map(|file| (file["path"].as_str().expect("a path").to_owned(), file.clone())).collect()
}

#[test]
fn flatcar_gets_the_extension_and_settings_that_can_be_used() {
    let files = flatcar_files();
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["/var/lib/extensions/crossfade.raw", "/etc/crossfade/policy.json", "/etc/crossfade/node.json"]
    );
    let extension = &files[0].1["contents"];
    assert!(
        extension["source"].as_str().is_some_and(|source| source.ends_with("-x86-64.raw")),
        "{extension}"
    );
    let hash = extension["verification"]["hash"].as_str().expect("a hash");
    assert!(hash.strip_prefix("sha256-").is_some_and(|hex| hex.len() == 64), "{hash}");
    let inline = |index: usize| files[index].1["contents"]["inline"].as_str().expect("text").as_bytes();
    let policy = Policy::parse(inline(1)).expect("a policy");
    assert_eq!(policy.phase(), Phase::New);
    let node = Node::parse(inline(2)).expect("node.json");
    assert!(node.labels.contains_key("crossfade/image"));
}

#[test]
fn bottlerocket_gets_a_container_that_must_succeed_before_kubelet_starts() {
    let directory = root().join("packer/examples/bottlerocket");
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect(name);
    let data = read("user-data.toml");
    for line in ["[settings.bootstrap-containers.crossfade]", "mode = \"always\"", "essential = true"] {
        assert!(data.lines().any(|data_line| data_line.starts_with(line)), "{line}");
    }
    let node = Node::parse(read("node.json").as_bytes()).expect("node.json");
    assert!(!node.kubelet.register, "the platform registers labels and taints");
    let container = read("Containerfile");
    for name in ["bootstrap.sh", "node.json"] {
        let is_copied = |line: &str| line.starts_with("COPY ") && line.contains(name);
        assert!(directory.join(name).exists() && container.lines().any(is_copied), "{name}");
    }
}
