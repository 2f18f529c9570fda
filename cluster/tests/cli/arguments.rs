//! Arguments and files that are wrong.

use crate::run::{fixtures, run_in, stderr, stdout};

#[test]
fn an_unknown_cni_is_refused() {
    let output = run_in(&fixtures(), &["check", "--from", "calicoo", "--to", "cilium"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("calico"), "{}", stderr(&output));
    let output = run_in(&fixtures(), &["check", "--from", "calicoo", "--to", "cilium", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(answer["ok"], false);
}

#[test]
fn a_file_that_is_no_dump_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("pods.json"), "{\"apiVersion\":\"v1\",\"items\":[").expect("written");
    let output = run_in(
        dir.path(),
        &["check", "--from", "calico", "--to", "cilium", "--snapshot", "pods.json", "--snapshot", "none"],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("pods.json") && text.contains("none") && text.contains("fix:"), "{text}");
}

#[test]
fn a_wrong_key_of_the_settings_is_named_with_the_nearest_one() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("c.yaml"), "version: 1\nwaiver: []\n").expect("written");
    let output = run_in(dir.path(), &["check", "--from", "calico", "--to", "cilium", "--config", "c.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("waivers"), "{}", stderr(&output));
}

#[test]
fn what_was_not_dumped_is_not_green() {
    let dir = fixtures().join("apart");
    let arguments = ["check", "--from", "calico", "--to", "antrea", "--snapshot", "cluster/nodes.yaml"];
    let output = run_in(&dir, &arguments);
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    assert!(
        text.contains("not-checked") && text.contains("kubectl get ippools.crd.projectcalico.org -A"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn kubectl_asks_for_completion_by_another_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let link = dir.path().join("kubectl_complete-crossfade");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-crossfade"), &link).expect("a link");
    let output = std::process::Command::new(&link).args(["check", "--to", "cil"]).output().expect("it runs");
    assert_eq!(stdout(&output), "cilium\n:4\n");
}
