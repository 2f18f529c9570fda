use super::CHECK;
use crate::check::tests::{Case, objects};
use crate::cni::support::{Cni, Strategy};

fn node(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{kubernetes.io/os: linux, {labels}}}}}\n---\n"
    )
}

/// A DaemonSet with one container, on nodes that a rule selects.
fn daemon_set(name: &str, container: &str, rule: &str) -> String {
    let terms = if rule.is_empty() {
        String::new()
    } else {
        format!(
            "affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{matchExpressions: [{{{rule}}}]}}]}}}}}}, "
        )
    };
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: kube-system}}\nspec:\n  updateStrategy: {{type: OnDelete}}\n  \
         template: {{spec: {{{terms}tolerations: [{{operator: Exists}}], containers: [{{name: {container}}}]}}}}\n---\n"
    )
}

fn calico(rule: &str) -> String {
    daemon_set("calico-node", "calico-node", rule)
}

fn cilium(rule: &str) -> String {
    daemon_set("cilium", "cilium-agent", rule)
}

const NO_NEW: &str = "key: new, operator: DoesNotExist";
const NEW: &str = "key: new, operator: Exists";

/// Each row: strategy, selectors of both agents, labels of two nodes, and what is found.
#[test]
fn each_node_has_the_agents_that_the_strategy_needs() {
    use Strategy::{Bridge, Double, Rotation};
    for (strategy, old, new, nodes, codes) in [
        (Double, "", "", ["", ""], &[][..]),
        (Bridge, "", "", ["", ""], &[]),
        (Double, NO_NEW, "", ["", "new: \"\""], &["agent-missing"]),
        (Bridge, "", NEW, ["", "new: \"\""], &["agent-missing"]),
        (Rotation, NO_NEW, NEW, ["", "new: \"\""], &["fence-unproven"]),
        // Both everywhere is a rotation, too: all nodes have routes to both networks.
        (Rotation, "", "", ["", "new: \"\""], &["fence-unproven"]),
        (Rotation, "", NEW, ["", "new: \"\""], &["fence-mixed", "fence-unproven"]),
        (Rotation, NEW, NEW, ["", "new: \"\""], &["agent-missing", "fence-mixed", "fence-unproven"]),
    ] {
        let yaml = [calico(old), cilium(new), node("a", nodes[0]), node("b", nodes[1])].concat();
        assert_eq!(
            Case::from_yaml(&yaml).strategy(strategy).codes(&CHECK),
            codes,
            "{strategy:?} {old} {new}"
        );
    }
}

#[test]
fn the_nodes_that_differ_from_most_are_named() {
    let agents_on = |labels: [&str; 3]| {
        let nodes = ["a", "b", "c"].into_iter().zip(labels).map(|(name, labels)| node(name, labels));
        let yaml = [calico(""), cilium(NEW)].into_iter().chain(nodes).collect::<String>();
        Case::from_yaml(&yaml).strategy(Strategy::Rotation).finding(&CHECK, "fence-mixed")
    };
    let names = |finding: &crate::check::finding::Finding| -> Vec<String> {
        finding.objects.iter().map(ToString::to_string).collect()
    };
    let most_run_both = agents_on(["new: \"\"", "new: \"\"", ""]);
    assert_eq!(names(&most_run_both), ["Node/c"]);
    assert!(
        most_run_both.objects[0].detail.contains("kube-system/cilium does not run there"),
        "{most_run_both:?}"
    );
    assert!(most_run_both.fix.contains("run on these nodes, too"), "{}", most_run_both.fix);
    let most_run_one = agents_on(["new: \"\"", "", ""]);
    assert_eq!(names(&most_run_one), ["Node/a"]);
    assert!(most_run_one.fix.contains("refuse it"), "{}", most_run_one.fix);
}

#[test]
fn the_agent_of_the_amazon_vpc_cni_and_cilium_never_share_a_node() {
    let yaml = [daemon_set("aws-node", "aws-node", ""), cilium(""), node("a", "")].concat();
    let case = Case::from_yaml(&yaml).pair(Cni::AwsVpcCni, Cni::Cilium).strategy(Strategy::Rotation);
    assert!(case.finding(&CHECK, "fence-mixed").why.contains("iptables"));
    let apart = Case::from_yaml(&yaml).pair(Cni::Calico, Cni::Cilium).strategy(Strategy::Rotation);
    assert!(!apart.codes(&CHECK).contains(&"fence-mixed"));
}

#[test]
fn a_missing_agent_is_explained_and_the_fix_names_the_nodes() {
    let yaml = [
        calico(""),
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: cilium, namespace: kube-system}\nspec: {template: {spec: {nodeSelector: {dual: \"true\"}, tolerations: [{operator: Exists}], containers: [{name: cilium-agent}]}}}\n---\n".into(),
        node("a", "dual: \"true\""),
        node("b", ""),
        node("c", ""),
    ]
    .concat();
    let finding = Case::from_yaml(&yaml).finding(&CHECK, "agent-missing");
    let why =
        "kube-system/cilium does not run there: it has no label dual=true, which the node selector wants";
    assert_eq!(objects(&finding), [format!("Node/b: {why}"), format!("Node/c: {why}")]);
    assert_eq!(finding.fix, "kubectl label node b c dual=true");
}

#[test]
fn nodes_to_come_count() {
    let pool = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: spot}\nspec: {template: {metadata: {labels: {LABEL}}, spec: {taints: [{key: gpu, effect: NoSchedule}]}}}\n";
    let yaml =
        |label: &str| [calico(NO_NEW), cilium(NEW), node("a", ""), pool.replace("{LABEL}", label)].concat();
    let rotation = |label: &str| Case::from_yaml(&yaml(label)).strategy(Strategy::Rotation);
    assert!(rotation("{new: \"\"}").codes(&CHECK).is_empty());
    assert!(rotation("{}").codes(&CHECK).is_empty(), "the old agent runs there");
    let double = Case::from_yaml(&yaml("{}")).finding(&CHECK, "agent-missing");
    assert!(objects(&double).iter().any(|item| item.starts_with("NodePool/spot")), "{double:?}");
    // A pool of the settings.
    let template = "nodes: {templates: [{name: batch, labels: {kubernetes.io/os: linux}, taints: [{key: gpu, effect: NoSchedule}]}]}";
    let intolerant = calico("").replace("tolerations: [{operator: Exists}], ", "");
    let case = Case::from_yaml(&[intolerant, node("a", "")].concat()).config(template);
    let finding = case.finding(&CHECK, "agent-missing");
    assert_eq!(finding.objects[0].to_string(), "NodeTemplate/batch");
    assert!(finding.fix.contains("\"key\":\"gpu\""), "{}", finding.fix);
}

#[test]
fn two_agents_of_one_cni_do_not_share_a_node() {
    let yaml = |rule: &str| {
        [
            calico(""),
            cilium(NO_NEW),
            daemon_set("cilium-migrated", "cilium-agent", rule),
            node("a", ""),
            node("b", "new: \"\""),
        ]
        .concat()
    };
    assert!(Case::from_yaml(&yaml(NEW)).codes(&CHECK).is_empty());
    let finding = Case::from_yaml(&yaml("")).finding(&CHECK, "agent-twice");
    assert_eq!(objects(&finding), ["Node/a: kube-system/cilium and kube-system/cilium-migrated"]);
}

#[test]
fn an_agent_that_is_not_installed_or_not_found() {
    assert_eq!(Case::from_yaml(&node("a", "")).codes(&CHECK), ["agent-old-absent", "agent-new-absent"]);
    let named = Case::from_yaml(&[daemon_set("flanneld", "main", ""), cilium(""), node("a", "")].concat())
        .config("agents: {old: [{namespace: kube-system, name: flanneld}]}")
        .pair(Cni::Flannel, Cni::Cilium);
    assert!(named.codes(&CHECK).is_empty());
}

#[test]
fn an_agent_is_ready_everywhere() {
    let with = |ready: u8| {
        [
            calico("").replace(
                "\n---\n",
                &format!("\nstatus: {{desiredNumberScheduled: 2, numberReady: {ready}}}\n---\n"),
            ),
            cilium(""),
        ]
        .concat()
    };
    assert!(Case::from_yaml(&with(2)).codes(&CHECK).is_empty());
    assert_eq!(
        objects(&Case::from_yaml(&with(1)).finding(&CHECK, "agent-not-ready")),
        ["DaemonSet/kube-system/calico-node: 1 of 2 pods are ready"]
    );
}

#[test]
fn a_controller_needs_a_node() {
    let operator = |tolerations: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: cilium-operator, namespace: kube-system}}\nspec: {{template: {{spec: {{tolerations: {tolerations}, containers: [{{name: cilium-operator}}]}}}}}}\n---\n"
        )
    };
    let tainted = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taints: [{key: node.cilium.io/agent-not-ready, value: \"true\", effect: NoSchedule}]}\n---\n";
    let with = |tolerations: &str, node: &str| {
        Case::from_yaml(&[calico(""), cilium(""), operator(tolerations), node.to_owned()].concat())
    };
    assert!(with("[{operator: Exists}]", tainted).codes(&CHECK).is_empty());
    assert!(with("[]", &node("a", "")).codes(&CHECK).is_empty());
    let finding = with("[]", tainted).finding(&CHECK, "agent-controller-homeless");
    assert!(finding.objects[0].detail.contains("agent-not-ready"), "{finding:?}");
}

#[test]
fn a_rolling_agent_is_noted_where_selectors_change() {
    let yaml = [calico(NO_NEW).replace("OnDelete", "RollingUpdate"), cilium(NEW), node("a", "")].concat();
    let finding = Case::from_yaml(&yaml).strategy(Strategy::Rotation).finding(&CHECK, "agent-restarts");
    assert_eq!(objects(&finding), ["DaemonSet/kube-system/calico-node"]);
    assert!(!Case::from_yaml(&yaml).codes(&CHECK).contains(&"agent-restarts"));
}
