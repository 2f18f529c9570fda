//! The settings of the new CNI in docs/migrate-in-place.md, held to what `values` prints and to the profiles.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{fixtures, run_in, stderr};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migrate-in-place.md");
    std::fs::read_to_string(path).expect("the page")
}

/// A file that the page shows.
fn file(name: &str) -> String {
    let page = page();
    let (_, rest) = page.split_once(&format!("```yaml {name}\n")).unwrap_or_else(|| panic!("no {name}"));
    rest.split("```").next().expect("an end").to_owned()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: agent-1, namespace: web}, \
    spec: {containers: [{name: server, ports: [{containerPort: 8080, hostPort: 30082}]}]}}";

/// What a finding tells to do in a cluster of the fixtures, with these settings. `files` are of `flannel-cilium-guide`.
fn fix(to: &str, files: &[&str], settings: &str, code: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("crossfade.yaml");
    std::fs::write(&config, settings).expect("settings");
    // The cluster of the page has a pod that uses a port of its node.
    let pods = dir.path().join("pods.yaml");
    std::fs::write(&pods, POD).expect("a pod");
    let cluster: PathBuf = fixtures().join("flannel-cilium-guide/cluster");
    let mut line = vec![
        "check",
        "--from",
        "flannel",
        "--to",
        to,
        "--strategy",
        "bridge",
        "--dumped",
        "all",
        "-o",
        "json",
    ];
    line.extend(["--config", config.to_str().expect("UTF-8"), "--snapshot", pods.to_str().expect("UTF-8")]);
    line.extend(files.iter().flat_map(|file| ["--snapshot", file]));
    let output = run_in(&cluster, &line);
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let finding =
        answer["findings"].as_array().expect("findings").iter().find(|finding| finding["code"] == code);
    finding.unwrap_or_else(|| panic!("no {code}: {answer:#}"))["fix"].as_str().expect("a fix").to_owned()
}

/// The values that `check` tells to install a CNI with.
fn printed_values(to: &str) -> String {
    let settings = "version: 1\nnetworks: {new: {cidrs: [10.245.0.0/16]}}\n";
    let fix = fix(to, &["flannel.yaml", "nodes.yaml", "services.yaml"], settings, "values-not-installed");
    fix.split("```\n").nth(1).expect("values").trim_end_matches("```").to_owned()
}

/// Whether each value of `part` is in `whole`.
fn has_all(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(all) => {
            all.iter().all(|(key, value)| whole.get(key).is_some_and(|object| has_all(object, value)))
        }
        value => whole == value,
    }
}

#[test]
fn the_values_of_the_page_are_those_that_check_tells() {
    assert_eq!(file("cilium.yaml"), printed_values("cilium"));
    let (page, value) = (yaml(&file("antrea.yaml")), yaml(&printed_values("antrea")));
    assert!(has_all(&page, &value), "{page:#} lacks some of {value:#}");
    let flannel = yaml(&file("flannel.yaml"));
    assert_eq!(
        flannel["flannel"]["backendPort"],
        yaml(&file("cilium.yaml"))["tunnelPort"],
        "neither has Flannel's own"
    );
    assert_eq!(
        flannel["flannel"]["nodeSelector"]["example.com/crossfade"],
        page["agent"]["nodeSelector"]["example.com/crossfade"]
    );
}

#[test]
fn the_values_of_the_end_are_those_that_check_tells() {
    let all = ["cilium.yaml", "flannel.yaml", "nodes.yaml", "services.yaml"];
    let fix = fix("cilium", &all, "version: 1\ntransition: {phase: migrate}\n", "values-next");
    let page = page();
    let command = page.lines().find(|line| line.starts_with("helm upgrade ")).expect("the command");
    assert!(fix.contains(command), "{command}\n{fix}");
}

/// A value of Helm's by its dotted name.
fn value<'v>(values: &'v Value, name: &str) -> &'v Value {
    name.split('.').fold(values, |values, key| &values[key])
}

#[test]
fn a_profile_names_settings_as_the_page_has_them() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../types/profiles");
    let profile = std::fs::read(profiles.join("cilium.json")).expect("the profile");
    let profile: Value = serde_json::from_slice(&profile).expect("JSON");
    let (values, node) = (yaml(&file("cilium.yaml")), yaml(&file("cilium-node.yaml")));
    let setting = profile["exclusive"]["setting"].as_str().expect("a setting");
    let (_, name) = setting.split_once("set Cilium's ").expect(setting);
    let (name, new_value) = name.split_once(" to ").expect(setting);
    let new_value = new_value.split_whitespace().next().expect(setting);
    assert_eq!(value(&values, name).to_string(), new_value, "{name}: {setting}");
    assert!(setting.contains("cni-exclusive"), "{setting}");
    let defaults = &node["spec"]["defaults"];
    assert_eq!(defaults["cni-exclusive"], new_value);
    // The label of the migration, and the first name that the profile knows of the conf.
    let label = &profile["migration"]["label"];
    let key = label[0].as_str().expect("a key");
    assert_eq!(node["spec"]["nodeSelector"]["matchLabels"][key], label[1]);
    assert!(page().contains(&format!("kubectl label node n1 {key}=")), "{key}");
    let written = defaults["write-cni-conf-when-ready"].as_str().expect("a path");
    assert!(written.ends_with(profile["conf"][0].as_str().expect("a name")), "{written}");
}
