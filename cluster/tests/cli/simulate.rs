//! `plan --simulate` on snapshots.

use std::fs;

use serde_json::Value;

use crate::run::{fixtures, run_in, stderr, stdout};

/// The migration of a fixture, simulated.
fn simulated(fixture: &str, more: &[&str]) -> (Option<i32>, Value) {
    let words = [
        "plan",
        "--from",
        "flannel",
        "--to",
        "cilium",
        "--config",
        "config.yaml",
        "--snapshot",
        "cluster",
        "--dumped",
        "all",
        "-o",
        "json",
    ];
    let output = run_in(&fixtures().join(fixture), &[&words, more].concat());
    let answer = serde_json::from_str(stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (output.status.code(), answer)
}

#[test]
fn a_run_without_faults_moves_every_pod_in_every_pass() {
    let (status, answer) = simulated("plan-three", &["--simulate", "3", "--seed", "7"]);
    assert_eq!((status, &answer["ok"]), (Some(0), &true.into()), "{answer:#}");
    assert_eq!(answer["passes"].as_array().map(Vec::len), Some(3), "{answer:#}");
    let seconds = |object: &Value, which: &str| object[which].as_u64().expect("a number");
    let last = &answer["passes"][2];
    assert!(seconds(last, "least") > seconds(&answer["passes"][0], "least"), "{answer:#}");
    assert!(seconds(&answer["seconds"], "most") >= seconds(last, "most"), "{answer:#}");
    assert!(seconds(&answer["evictions"], "least") > 0, "{answer:#}");
    assert_eq!(
        (&answer["broken"], &answer["unended"]),
        (&Value::from(Vec::<Value>::new()), &Value::from(Vec::<Value>::new()))
    );
}

#[test]
fn the_same_seeds_give_the_same_answer_and_others_another() {
    let play = |seed: &str| simulated("plan-three", &["--simulate", "3", "--faults", "--seed", seed]).1;
    let (object, again, other) = (play("1"), play("1"), play("100"));
    assert_eq!(object, again);
    assert_ne!(object["seconds"], other["seconds"]);
}

/// The nodes of `plan-three` as a pipeline of this kind has them, and the history of their rotation by this image without faults.
fn rotated(method: &str, image: &str) -> (Option<i32>, Value) {
    let dir = tempfile::tempdir().expect("a directory");
    let from = fixtures().join("plan-three/cluster");
    let to = dir.path().join("cluster");
    fs::create_dir(&to).expect("a directory");
    for file in fs::read_dir(from).expect("a fixture") {
        let file = file.expect("a file");
        let mut text = fs::read_to_string(file.path()).expect("YAML");
        if file.file_name() == "nodes.yaml" {
            let (label, annotation) = match method {
                "karpenter" => ("karpenter.sh/nodepool: web, ", ""),
                "cluster-api" => (
                    "pool: web, ",
                    "\n    cluster.x-k8s.io/machine: m\n    cluster.x-k8s.io/cluster-namespace: c\n    cluster.x-k8s.io/cluster-name: c",
                ),
                _ => ("pool: web, ", ""),
            };
            text = text.replace("labels: {", &format!("labels: {{{label}"));
            text = text.replace("annotations:", &format!("annotations:{annotation}"));
        }
        if image == "image: final" {
            // The migration is done, and pods have addresses of the new network.
            for (old, new) in [
                ("phase: old", "phase: new"),
                (r#""phase":"old""#, r#""phase":"new""#),
                (r#""mints":["old"]"#, r#""mints":["new"]"#),
                (r#""attached":{"old""#, r#""attached":{"new""#),
                ("ip: 10.244.", "ip: 10.245."),
            ] {
                text = text.replace(old, new);
            }
            if file.file_name() == "cilium.yaml" {
                for (node, addresses) in [("n1", &[1, 3][..]), ("n2", &[2, 4, 5]), ("n3", &[6, 7, 8])] {
                    let ranges = addresses.iter().map(|last| format!("10.245.9.{last}/32"));
                    let ranges = ranges.collect::<Vec<_>>().join(", ");
                    text += &format!(
                        "---\napiVersion: cilium.io/v2\nkind: CiliumNode\nmetadata: {{name: {node}}}\nspec: {{ipam: {{podCIDRs: [{ranges}]}}}}\n"
                    );
                }
            }
        }
        fs::write(to.join(file.file_name()), text).expect("a copy");
    }
    let settings = format!(
        "version: 1\nnodes: {{poolLabels: [pool, karpenter.sh/nodepool]}}\nroll:\n  limits: {{inTransit: 2, soakSeconds: 0}}\n  methods: {{web: {method}}}\n  {image}\n"
    );
    fs::write(dir.path().join("config.yaml"), settings).expect("settings");
    let words =
        ["plan", "--from", "flannel", "--to", "cilium", "--strategy", "rotation", "--config", "config.yaml"];
    let more = ["--snapshot", "cluster", "--dumped", "all", "-o", "json", "--simulate", "3", "--seed", "7"];
    let output = run_in(dir.path(), &[&words[..], &more].concat());
    let answer = serde_json::from_str(stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (output.status.code(), answer)
}

#[test]
fn a_rotation_by_each_method_ends() {
    let (bridged, joined) = ("bridge: {accept: a router}", "image: both-new");
    for (method, image, passes) in [
        ("permit", bridged, 1),
        ("karpenter", bridged, 1),
        ("cluster-api", bridged, 1),
        ("follow", bridged, 1),
        ("permit", joined, 3),
        ("karpenter", joined, 3),
        ("permit", "image: final", 1),
        ("karpenter", "image: final", 1),
    ] {
        let (status, answer) = rotated(method, image);
        assert_eq!((status, &answer["ok"]), (Some(0), &true.into()), "{method}, {image}: {answer:#}");
        assert_eq!(answer["passes"].as_array().map(Vec::len), Some(passes), "{method}, {image}: {answer:#}");
        let none = Value::from(Vec::<Value>::new());
        assert_eq!((&answer["broken"], &answer["unended"]), (&none, &none), "{method}, {image}");
    }
}

/// A static pod and one that asks not to be disrupted: a person has to act on both in every history.
#[test]
fn where_a_person_is_needed_is_said_by_reason() {
    let (_, answer) = simulated("plan-zones", &["--simulate", "2"]);
    for reason in ["StaticPod", "Undisturbed"] {
        assert_eq!(answer["needed"][reason], 2, "{answer:#}");
    }
}

#[test]
fn what_stands_in_the_way_of_a_plan_stands_in_the_way_of_its_simulation() {
    let words = [
        "plan",
        "--simulate",
        "--from",
        "calico",
        "--to",
        "cilium",
        "--snapshot",
        "cluster",
        "--dumped",
        "all",
        "-o",
        "json",
    ];
    let output = run_in(&fixtures().join("plan-three"), &words);
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!((output.status.code(), &answer["ok"]), (Some(3), &false.into()), "{answer:#}");
    assert!(answer["problems"].as_array().is_some_and(|all| !all.is_empty()) && answer["hash"].is_null());
}
