use super::CHECK;
use crate::check::tests::{Case, objects};

const OWNED: &str =
    "ownerReferences: [{kind: ReplicaSet, name: web-h, controller: true}], labels: {pod-template-hash: h}";

fn pod(meta: &str, rest: &str) -> Case {
    Case::from_yaml(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: x, {meta}}}\n{rest}\n"
    ))
}

/// Each row: metadata and the rest of a pod, and what is found. Rows stand beside the nearest pod that is all right.
#[test]
fn a_drain_moves_ordinary_pods_only() {
    let text_of = |kind: &str| format!("ownerReferences: [{{kind: {kind}, name: o, controller: true}}]");
    let mirror = "annotations: {kubernetes.io/config.mirror: x}, ownerReferences: [{kind: Node, name: node, controller: true}]";
    let with = |more: &str| format!("{OWNED}, annotations: {{{more}}}");
    for (meta, rest, codes) in [
        (OWNED.to_owned(), "status: {phase: Running}", &[][..]),
        (String::new(), "status: {phase: Running}", &["pod-without-owner"]),
        (String::new(), "status: {phase: Succeeded}", &[]),
        (text_of("Job"), "status: {phase: Running}", &["job-running"]),
        (text_of("Job"), "status: {phase: Failed}", &[]),
        (OWNED.to_owned(), "spec: {volumes: [{name: d, emptyDir: {}}]}", &["pod-empty-dir"]),
        (OWNED.to_owned(), "spec: {volumes: [{name: d, configMap: {name: c}}]}", &[]),
        (text_of("DaemonSet"), "spec: {volumes: [{name: d, emptyDir: {}}]}", &[]),
        (with("cluster-autoscaler.kubernetes.io/safe-to-evict: \"false\""), "", &["pod-refuses-eviction"]),
        (with("cluster-autoscaler.kubernetes.io/safe-to-evict: \"true\""), "", &[]),
        (with("karpenter.sh/do-not-disrupt: \"true\""), "", &["pod-refuses-eviction"]),
        (mirror.to_owned(), "spec: {hostNetwork: true}", &[]),
        (mirror.to_owned(), "spec: {hostNetwork: false}", &["pod-static"]),
        (OWNED.to_owned(), "status: {phase: Pending}", &["pod-stuck"]),
        (
            format!("{OWNED}, deletionTimestamp: \"2026-01-01T00:00:00Z\""),
            "status: {phase: Running}",
            &["pod-stuck"],
        ),
    ] {
        assert_eq!(pod(&meta, rest).codes(&CHECK), codes, "{meta} {rest}");
    }
}

#[test]
fn pods_of_one_owner_are_one_object() {
    let to_text = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x, {OWNED}}}\nspec: {{volumes: [{{name: d, emptyDir: {{}}}}]}}\n---\n"
        )
    };
    let finding = Case::from_yaml(&[to_text("a"), to_text("b")].concat()).finding(&CHECK, "pod-empty-dir");
    assert_eq!(objects(&finding), ["Deployment/x/web: 2 pods"]);
}

#[test]
fn the_fix_names_what_it_is_about() {
    let finding = pod("", "status: {phase: Running}").finding(&CHECK, "pod-without-owner");
    assert_eq!(objects(&finding), ["Pod/x/a"]);
    assert!(finding.fix.ends_with("kubectl -n x delete pod a"), "{}", finding.fix);
}

/// Each row: the owner of a pod that asks to stay, and the command that ends this.
#[test]
fn the_annotation_of_a_pod_without_an_owner_is_not_in_a_template() {
    let stays = "annotations: {karpenter.sh/do-not-disrupt: \"true\"}";
    let bare = "kubectl -n x annotate pod a cluster-autoscaler.kubernetes.io/safe-to-evict- karpenter.sh/do-not-disrupt-";
    let owned = "kubectl -n x edit deployment web (spec.template.metadata.annotations)";
    for (meta, command) in [(stays.to_owned(), bare), (format!("{OWNED}, {stays}"), owned)] {
        let finding = pod(&meta, "status: {phase: Running}").finding(&CHECK, "pod-refuses-eviction");
        assert!(finding.fix.ends_with(command), "{}", finding.fix);
    }
}

#[test]
fn workloads_are_ready_before_the_start() {
    let deployment = |replicas: u8, ready: u8, network: bool| {
        Case::from_yaml(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: x}}\nspec: {{replicas: {replicas}, template: {{spec: {{hostNetwork: {network}}}}}}}\nstatus: {{readyReplicas: {ready}}}\n"
        ))
    };
    assert!(deployment(2, 2, false).codes(&CHECK).is_empty());
    assert_eq!(deployment(2, 1, false).codes(&CHECK), ["workload-not-ready"]);
    assert_eq!(deployment(1, 1, false).codes(&CHECK), ["workload-single"]);
    assert!(deployment(1, 1, true).codes(&CHECK).is_empty(), "its address does not change");
    assert!(deployment(0, 0, false).codes(&CHECK).is_empty());
}
