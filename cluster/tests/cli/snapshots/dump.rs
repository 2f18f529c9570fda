//! The script that dumps a cluster, and what the commands make of what it wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::run::{run_in, stderr, stdout};

/// A kubectl that has a file for each resource that the cluster serves, and calls that fail.
const KUBECTL: &str = r#"#!/bin/sh
here=${0%/*}
echo "$*" >>"$here/calls"
if [ -f "$here/broken" ] && [ "$(cat "$here/broken")" = "$2" ]; then
    echo 'error: the server is on fire' >&2
    exit 1
fi
case "$1 $2" in
'version -o') echo '{"clientVersion":{"gitVersion":"v1.31.0"},"serverVersion":{"gitVersion":"v1.31.2"}}' ;;
'get namespace') printf %s uid-of-kube-system ;;
'api-resources --verbs=list') cat "$here/served" ;;
'get configmap') [ ! -f "$here/$5.map" ] || cat "$here/$5.map" ;;
'get daemonsets.apps')
    case $* in
    *go-template*) printf 'kube-system antrea-config-5ct9\nkube-system of-another-program\n' ;;
    *) echo '{"apiVersion":"v1","items":[],"kind":"List","metadata":{"resourceVersion":""}}' ;;
    esac
    ;;
get\ *)
    grep -qx -- "$2" "$here/served" || { echo "error: the server doesn't have a resource type" >&2; exit 1; }
    if [ -f "$here/$2.json" ]; then
        cat "$here/$2.json"
    else
        echo '{"apiVersion":"v1","items":[],"kind":"List","metadata":{"resourceVersion":""}}'
    fi
    ;;
esac
"#;

const PAIRS: [(&str, &str); 5] = [
    ("calico", "cilium"),
    ("flannel", "cilium"),
    ("calico", "antrea"),
    ("aws-vpc", "cilium"),
    ("canal", "calico"),
];

fn script(from: &str, to: &str) -> String {
    let output = run_in(Path::new("/"), &["check", "--from", from, "--to", to, "--dump-script"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    stdout(&output).to_owned()
}

/// A directory with a kubectl, and the script; the cluster serves these resources.
fn prepared(from: &str, to: &str, served: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let kubectl = dir.path().join("kubectl");
    fs::write(&kubectl, KUBECTL).expect("written");
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("a program");
    fs::write(dir.path().join("served"), served).expect("written");
    fs::write(dir.path().join("dump.sh"), script(from, to)).expect("written");
    dir
}

fn dumped(dir: &Path) -> Output {
    let mut command = Command::new("/bin/sh");
    let path = format!("{}:/usr/bin:/bin", dir.display());
    command.args(["dump.sh", "dump"]).current_dir(dir).env_clear().env("PATH", path);
    command.output().expect("sh")
}

/// Every resource that the script asks for and that each API server has.
const SERVED: &str = "namespaces\nserviceaccounts\nnodes\npods\nservices\npersistentvolumes\npersistentvolumeclaims\n\
    deployments.apps\ndaemonsets.apps\nstatefulsets.apps\nreplicasets.apps\njobs.batch\npoddisruptionbudgets.policy\n\
    horizontalpodautoscalers.autoscaling\npriorityclasses.scheduling.k8s.io\nruntimeclasses.node.k8s.io\n\
    endpointslices.discovery.k8s.io\nnetworkpolicies.networking.k8s.io\ncustomresourcedefinitions.apiextensions.k8s.io\n";

#[test]
fn what_the_script_dumps_is_all_that_the_commands_ask_for() {
    for (from, to) in PAIRS {
        let dir = prepared(from, to, SERVED);
        let node = r#"{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}}],"kind":"List","metadata":{}}"#;
        fs::write(dir.path().join("nodes.json"), node).expect("written");
        let output = dumped(dir.path());
        assert_eq!(output.status.code(), Some(0), "{from} {to}: {}", stderr(&output));
        let check = ["check", "--from", from, "--to", to, "-o", "json", "--snapshot"];
        let with = |files: &[&str]| {
            let output = run_in(dir.path(), &[&check[..], files].concat());
            assert_eq!(stderr(&output), "", "{from} {to}");
            serde_json::from_str::<Value>(stdout(&output)).expect("JSON")
        };
        let (own, all) = (with(&["dump"]), with(&["dump", "--dumped", "all"]));
        let codes = |answer: &Value| {
            let all = answer["findings"].as_array().expect("findings").iter();
            all.map(|object| object["code"].as_str().expect("a code").to_owned()).collect::<Vec<_>>()
        };
        assert!(!codes(&own).contains(&"not-checked".to_owned()), "{own:#}");
        assert_eq!(codes(&own), codes(&all), "{from} {to}");
        if from != "flannel" {
            let policies =
                run_in(dir.path(), &["policies", "check", "--from", from, "--to", to, "--snapshot", "dump"]);
            assert!(!stderr(&policies).contains("not in the snapshot"), "{from} {to}: {}", stderr(&policies));
        }
    }
}

#[test]
fn the_script_dumps_config_maps_by_name_alone() {
    let dir = prepared("calico", "antrea", SERVED);
    let map = |name: &str| {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"kube-system"}},"data":{{}}}}"#
        );
        fs::write(dir.path().join(format!("{name}.map")), text).expect("written");
    };
    map("coredns");
    map("antrea-config-5ct9");
    map("of-another-program");
    let output = dumped(dir.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let there = |name: &str| dir.path().join(format!("dump/configmap.kube-system.{name}.json")).exists();
    assert!(there("coredns") && there("antrea-config-5ct9"));
    assert!(!there("of-another-program") && !there("calico-config"));
    let calls = fs::read_to_string(dir.path().join("calls")).expect("calls");
    assert!(!calls.contains("configmaps") && !calls.contains("secrets"), "{calls}");
}

#[test]
fn a_call_that_fails_ends_the_script_and_leaves_no_word_that_all_is_there() {
    for broken in ["-o", "namespace", "--verbs=list", "pods", "configmap"] {
        let dir = prepared("calico", "cilium", SERVED);
        fs::write(dir.path().join("broken"), broken).expect("written");
        let output = dumped(dir.path());
        assert_ne!(output.status.code(), Some(0), "{broken}");
        assert!(!dir.path().join("dump/kinds.json").exists(), "{broken}");
        if broken == "pods" {
            let check =
                run_in(dir.path(), &["check", "--from", "calico", "--to", "cilium", "--snapshot", "dump"]);
            assert_eq!(check.status.code(), Some(1), "{}", stdout(&check));
            assert!(stderr(&check).contains("pods.json is empty"), "{}", stderr(&check));
        }
        // What an earlier call left is never mixed with what a later one dumps.
        fs::remove_file(dir.path().join("broken")).expect("removed");
        assert_ne!(dumped(dir.path()).status.code(), Some(0));
    }
}

/// `make lint` gives it to shellcheck.
#[test]
fn the_script_is_the_one_that_was_reviewed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dump/calico-cilium.sh");
    let script = script("calico", "cilium");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &script).expect("written");
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), script, "{}", file.display());
}
