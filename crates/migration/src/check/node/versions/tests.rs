use super::CHECK;
use crate::check::tests::{Case, objects};
use crate::cni::support::Cni;

fn node(name: &str, kubelet: &str, runtime: &str, kernel: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{eks.amazonaws.com/nodegroup: ng}}}}\nstatus: {{nodeInfo: {{kubeletVersion: {kubelet}, containerRuntimeVersion: {runtime:?}, kernelVersion: {kernel}, architecture: amd64}}}}\n---\n"
    )
}

fn cilium(tag: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: cilium, namespace: kube-system}}\nspec: {{template: {{spec: {{containers: [{{name: cilium-agent, image: \"quay.io/cilium/cilium:{tag}@sha256:0\"}}]}}}}}}\n---\n"
    )
}

#[test]
fn each_program_has_its_oldest_version() {
    for (kubelet, runtime, kernel, codes) in [
        ("v1.25.0", "containerd://1.6.0", "6.1.0", &[][..]),
        ("v1.24.9", "containerd://1.6.0", "6.1.0", &["version-kubelet"]),
        ("v1.30.0", "containerd://1.5.9", "6.1.0", &["version-runtime"]),
        ("v1.30.0", "containerd://2.1.0", "6.1.0", &[]),
        ("v1.30.0", "containerd://3.0.0", "6.1.0", &["version-runtime-unproven"]),
        ("v1.30.0", "cri-o://1.28.1", "6.1.0", &[]),
        ("v1.30.0", "cri-o://1.27.1", "6.1.0", &["version-runtime"]),
        ("v1.30.0", "docker://24.0.0", "6.1.0", &["version-runtime"]),
        ("v1.30.0", "", "6.1.0", &["version-unknown"]),
        ("v1.30.0", "containerd://1.7.0", "5.3.0", &["version-kernel"]),
        ("v1.30.0", "containerd://1.7.0", "5.4.0", &["version-kernel-doubtful"]),
        ("v1.30.0", "containerd://1.7.0", "5.10.0", &[]),
        ("v1.30.0", "containerd://1.7.0", "4.18.0-553.el8_10.x86_64", &[]),
        ("v1.30.0", "containerd://1.7.0", "4.18.0-553.x86_64", &["version-kernel"]),
    ] {
        assert_eq!(
            Case::from_yaml(&node("a", kubelet, runtime, kernel)).codes(&CHECK),
            codes,
            "{kubelet} {runtime} {kernel}"
        );
    }
}

#[test]
fn the_kernel_is_judged_by_the_release_that_is_installed() {
    let codes = |tag: &str, kernel: &str| {
        Case::from_yaml(&[cilium(tag), node("a", "v1.30.0", "containerd://1.7.0", kernel)].concat())
            .codes(&CHECK)
    };
    assert!(codes("v1.15.3", "4.19.0").is_empty());
    assert_eq!(codes("v1.16.0", "4.19.0"), ["version-kernel"]);
    assert!(codes("v1.17.1", "5.4.0").is_empty());
    assert_eq!(codes("v1.18.0", "5.4.0"), ["version-kernel"]);
    assert!(codes("v1.18.0", "5.10.0").is_empty());
    let (first, last) = ("4.18.0-372.9.1.el8.x86_64", "4.18.0-553.el8_10.x86_64");
    assert_eq!(codes("v1.17.1", "4.18.0-348.el8.x86_64"), ["version-kernel-doubtful"]);
    assert!(codes("v1.17.1", first).is_empty());
    assert_eq!(codes("v1.18.0", first), ["version-kernel-doubtful"]);
    assert!(codes("v1.18.0", last).is_empty());
    let antrea = |kernel: &str| {
        Case::from_yaml(&node("a", "v1.30.0", "containerd://1.7.0", kernel))
            .pair(Cni::Calico, Cni::Antrea)
            .codes(&CHECK)
    };
    assert!(antrea("4.6.0").is_empty());
    assert_eq!(antrea("4.4.0"), ["version-kernel"]);
}

#[test]
fn nodes_are_told_by_pool() {
    let old = |name: &str| node(name, "v1.24.1", "containerd://1.7.0", "6.1.0");
    let case =
        Case::from_yaml(&[old("a"), old("b"), node("c", "v1.26.1", "containerd://1.7.0", "6.1.0")].concat());
    assert_eq!(
        objects(&case.finding(&CHECK, "version-kubelet")),
        ["Pool/ng: kubelet v1.24.1 on 2 nodes, such as a"]
    );
    assert_eq!(objects(&case.finding(&CHECK, "versions-differ")), ["Pool/ng: kubelet 1.24 on 2, 1.26 on 1"]);
    let other = Case::from_yaml(
        &[old("a"), node("c", "v1.26.1", "containerd://1.7.0", "6.1.0").replace(": ng}", ": other}")]
            .concat(),
    );
    assert!(!other.codes(&CHECK).contains(&"versions-differ"));
}

#[test]
fn an_architecture_without_programs_is_named() {
    let case =
        Case::from_yaml(&node("a", "v1.30.0", "containerd://1.7.0", "6.1.0").replace("amd64", "s390x"));
    assert_eq!(case.codes(&CHECK), ["version-architecture"]);
    assert!(
        Case::from_yaml(&node("a", "v1.30.0", "containerd://1.7.0", "6.1.0").replace("amd64", "arm64"))
            .codes(&CHECK)
            .is_empty()
    );
}
