use super::CHECK;
use crate::check::finding::Severity;
use crate::check::tests::{Case, objects};
use crate::cni::support::{Cni, Strategy};

const CILIUM: &str = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: cilium, namespace: kube-system}\nspec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: cilium-agent}]}}}\n---\n";
const OPERATOR: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cilium-operator, namespace: kube-system}\nspec: {template: {spec: {tolerations: [{operator: Exists}], containers: [{name: cilium-operator}]}}}\n---\n";
const TAINTED: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taints: [{key: node.cilium.io/agent-not-ready, value: \"true\", effect: NoSchedule}]}\n---\n";
const PLAIN: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\n";

fn case(parts: &[&str]) -> Case {
    Case::from_yaml(&parts.concat()).strategy(Strategy::Rotation)
}

fn daemon_set(spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: probe, namespace: x}}\nspec: {{template: {{spec: {{{spec}}}}}}}\n---\n"
    )
}

#[test]
fn a_daemon_set_that_tolerates_everything_starts_early() {
    for (spec, early) in [
        ("tolerations: [{operator: Exists}]", true),
        ("hostNetwork: true, tolerations: [{operator: Exists}]", false),
        ("tolerations: [{operator: Exists, effect: NoExecute}]", false),
        ("tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]", false),
        ("tolerations: []", false),
    ] {
        let case = case(&[CILIUM, OPERATOR, PLAIN, &daemon_set(spec)]);
        assert_eq!(case.codes(&CHECK), &["daemonset-starts-early"][..usize::from(early)], "{spec}");
    }
    let all = daemon_set("tolerations: [{operator: Exists}]");
    let finding = case(&[PLAIN, &all]).finding(&CHECK, "daemonset-starts-early");
    assert_eq!((objects(&finding), finding.severity), (vec!["DaemonSet/x/probe".into()], Severity::Risk));
    assert!(finding.fix.contains("kubectl -n x rollout restart daemonset probe"));
    let finding = case(&[PLAIN, &all]).strategy(Strategy::Double).finding(&CHECK, "daemonset-starts-early");
    assert_eq!(finding.severity, Severity::Note);
    // One that tolerates the very taint that is in use.
    let item = daemon_set("tolerations: [{key: node.cilium.io/agent-not-ready, operator: Exists}]");
    assert_eq!(case(&[CILIUM, OPERATOR, TAINTED, &item]).codes(&CHECK), ["daemonset-starts-early"]);
}

#[test]
fn an_agent_must_tolerate_the_taint_that_it_ends() {
    let intolerant = CILIUM.replace("tolerations: [{operator: Exists}]", "tolerations: []");
    let finding = case(&[&intolerant, OPERATOR, TAINTED]).finding(&CHECK, "startup-taint-agent-waits");
    assert_eq!(
        objects(&finding),
        ["DaemonSet/kube-system/cilium: node.cilium.io/agent-not-ready:NoSchedule"]
    );
    assert!(finding.fix.contains("\"key\":\"node.cilium.io/agent-not-ready\""));
    assert!(case(&[&intolerant, OPERATOR, PLAIN]).codes(&CHECK).is_empty(), "no such taint is in use");
    // Another driver of the node only waits.
    let csi = daemon_set("hostNetwork: true, tolerations: []");
    assert_eq!(case(&[CILIUM, OPERATOR, TAINTED, &csi]).codes(&CHECK), ["startup-taint-daemonset-waits"]);
    assert!(case(&[CILIUM, OPERATOR, TAINTED, &daemon_set("tolerations: []")]).codes(&CHECK).is_empty());
}

#[test]
fn a_taint_needs_a_controller_that_removes_it() {
    assert!(case(&[CILIUM, OPERATOR, TAINTED]).codes(&CHECK).is_empty());
    let finding = case(&[CILIUM, TAINTED]).finding(&CHECK, "startup-taint-no-lifter");
    assert_eq!(finding.objects[0].to_string(), "Node/a");
    let off = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\ndata: {remove-cilium-node-taints: \"false\"}\n---\n";
    assert_eq!(case(&[CILIUM, OPERATOR, TAINTED, off]).codes(&CHECK), ["startup-taint-no-lifter"]);
    // Cilium's taint means nothing where the cluster does not move to Cilium.
    assert!(case(&[TAINTED]).pair(Cni::Calico, Cni::Antrea).codes(&CHECK).is_empty());
}

#[test]
fn an_own_taint_needs_a_rule_or_a_named_lifter() {
    let own = "startupTaints: [{key: crossfade/not-ready}]";
    let lifter = "startupTaints: [{key: crossfade/not-ready, lifter: {namespace: kube-system, name: cilium-operator}}]";
    let rule = |key: &str| format!("{}{}", readiness_rule(key, "NoSchedule", false), CONTROLLER);
    for (config, extra, codes) in [
        (own, String::new(), &["startup-taint-no-lifter"][..]),
        (own, rule("crossfade/not-ready"), &[]),
        (own, rule("other/not-ready"), &["startup-taint-no-lifter"]),
        (lifter, OPERATOR.into(), &[]),
        (lifter, String::new(), &["startup-taint-no-lifter"]),
        (
            lifter,
            OPERATOR.replace("tolerations: [{operator: Exists}]", "tolerations: []"),
            &["startup-taint-lifter-waits"],
        ),
    ] {
        let case = case(&[CILIUM, PLAIN, &extra]).config(config);
        assert_eq!(case.codes(&CHECK), codes, "{config} {extra}");
    }
}

#[test]
fn the_operator_that_taints_nodes_of_the_old_image_is_named() {
    let config = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{set-cilium-node-taints: \"{value}\"}}\n---\n"
        )
    };
    let case = |value: &str| case(&[CILIUM, OPERATOR, PLAIN, &config(value)]);
    assert_eq!(case("true").codes(&CHECK), ["startup-taint-way-back"]);
    assert!(case("false").codes(&CHECK).is_empty());
    assert!(
        case("true").strategy(Strategy::Double).codes(&CHECK).is_empty(),
        "no node comes of an old image"
    );
    assert!(case("true").pair(Cni::Calico, Cni::Antrea).codes(&CHECK).is_empty());
}

const CONTROLLER: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: nrr-controller-manager, namespace: nrr-system}\nspec: {template: {spec: {tolerations: [{operator: Exists}], containers: [{name: manager}]}}}\n---\n";

fn readiness_rule(key: &str, effect: &str, is_dry: bool) -> String {
    format!(
        "apiVersion: readiness.node.x-k8s.io/v1alpha1\nkind: NodeReadinessRule\nmetadata: {{name: r}}\nspec: {{dryRun: {is_dry}, taint: {{key: {key}, effect: {effect}}}}}\n---\n"
    )
}

/// The settings name the taints of an image that no node has yet, and a rule counts that really removes one.
#[test]
fn a_rule_lifts_a_taint_of_its_effect_by_its_controller() {
    let key = "readiness.k8s.io/crossfade";
    let settings = format!("startupTaints: [{{key: {key}}}, {{key: node.cilium.io/agent-not-ready}}]");
    let gke = PLAIN.replace("{name: a}", "{name: a, labels: {cloud.google.com/gke-nodepool: blue}}");
    let rule = |effect, is_dry| readiness_rule(key, effect, is_dry);
    for (node, rules, severity, fix) in [
        (PLAIN, [&rule("NoSchedule", false), CONTROLLER].concat(), None, ""),
        (&gke, rule("NoSchedule", false), None, ""),
        (PLAIN, rule("NoSchedule", false), Some(Severity::Risk), "nrr-system/nrr-controller-manager"),
        (PLAIN, [&rule("NoSchedule", true), CONTROLLER].concat(), Some(Severity::Blocks), "\"dryRun\":false"),
        (
            PLAIN,
            [&rule("NoExecute", false), CONTROLLER].concat(),
            Some(Severity::Blocks),
            "with the effect of the taint",
        ),
        (PLAIN, CONTROLLER.to_owned(), Some(Severity::Blocks), "node-readiness-rule.yaml"),
    ] {
        let findings = case(&[CILIUM, OPERATOR, node, &rules]).config(&settings).findings(&CHECK);
        let lifted = findings.iter().find(|finding| finding.rule.code == "startup-taint-no-lifter");
        assert_eq!(lifted.map(|finding| finding.severity), severity, "{rules}");
        assert!(lifted.is_none_or(|finding| finding.fix.contains(fix)), "{lifted:?}");
    }
    // An agent that tolerates one taint of the settings, and not the other.
    let tolerant =
        CILIUM.replace("{operator: Exists}", "{key: node.cilium.io/agent-not-ready, operator: Exists}");
    let rules = [&rule("NoSchedule", false), CONTROLLER].concat();
    let finding = case(&[&tolerant, OPERATOR, PLAIN, &rules])
        .config(&settings)
        .finding(&CHECK, "startup-taint-agent-waits");
    assert_eq!(objects(&finding), [format!("DaemonSet/kube-system/cilium: {key}:NoSchedule")]);
}

/// The rule that ships lifts the taint that images register; with another key or effect it does not.
#[test]
fn the_rule_that_ships_lifts_the_readiness_taint() {
    let shipped = include_str!("../../../../../../docs/kubernetes/node-readiness-rule.yaml");
    let settings = format!("startupTaints: [{{key: {}}}]", types::api::taint::READINESS_KEY);
    for (from, to, codes) in [
        ("", "", &[][..]),
        ("key: readiness.k8s.io/crossfade", "key: readiness.k8s.io/crosfade", &["startup-taint-no-lifter"]),
        ("effect: NoSchedule", "effect: NoExecute", &["startup-taint-no-lifter"]),
    ] {
        assert!(shipped.contains(from), "{from}");
        let rule = format!("{}---\n", shipped.replace(from, to));
        let case = case(&[CILIUM, OPERATOR, PLAIN, &rule, CONTROLLER]).config(&settings);
        assert_eq!(case.codes(&CHECK), codes, "{rule}");
    }
}

#[test]
fn karpenter_must_know_the_taint() {
    let pool = |spec: &str| {
        format!(
            "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {{name: spot}}\nspec: {{template: {{spec: {{{spec}}}}}}}\n---\n"
        )
    };
    let taint = "[{key: node.cilium.io/agent-not-ready, value: \"true\", effect: NoSchedule}]";
    for (spec, detail) in [
        (format!("startupTaints: {taint}"), None),
        (String::new(), Some("is not in startupTaints")),
        (format!("taints: {taint}"), Some("as one that stays")),
        (
            format!("startupTaints: {}", taint.replace("NoSchedule", "NoExecute")),
            Some("is not in startupTaints"),
        ),
    ] {
        let case = case(&[CILIUM, OPERATOR, TAINTED, &pool(&spec)]);
        let findings = case.findings(&CHECK);
        let finding = findings.iter().find(|finding| finding.rule.code == "karpenter-startup-taint");
        assert_eq!(
            finding.map(|finding| finding.objects[0].detail.contains(detail.unwrap_or("-"))),
            detail.map(|_| true),
            "{spec}"
        );
    }
    assert!(case(&[CILIUM, OPERATOR, PLAIN, &pool("")]).codes(&CHECK).is_empty(), "no taint is in use");
}

/// The way to a start-up taint must not itself replace the nodes of the pool.
#[test]
fn a_pool_is_held_before_it_gets_a_start_up_taint() {
    let pool = |spec: &str| {
        format!(
            "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {{name: spot}}\nspec: {{{spec}}}\n---\n"
        )
    };
    let fix = |spec: &str| {
        case(&[CILIUM, OPERATOR, TAINTED, &pool(spec)]).finding(&CHECK, "karpenter-startup-taint").fix
    };
    let bare = fix("template: {spec: {startupTaints: [{key: a, effect: NoSchedule}]}}");
    let hold = bare.find(r#"{"nodes":"0","reasons":["Drifted"]}"#).expect("a budget");
    let declare = bare
        .find(r#""startupTaints":[{"effect":"NoSchedule","key":"a"},{"#)
        .expect("the list with what was there");
    assert!(hold < declare, "{bare}");
    let second = fix("disruption: {budgets: [{nodes: \"0\"}]}, template: {spec: {}}");
    assert!(!second.contains("Drifted") && second.starts_with("Then declare"), "{second}");
    let stays = "template: {spec: {taints: [{key: node.cilium.io/agent-not-ready, effect: NoSchedule}, {key: b, effect: NoSchedule}]}}";
    assert!(fix(stays).contains(r#""taints":[{"effect":"NoSchedule","key":"b"}]"#), "{}", fix(stays));
    // With two taints in use, the fix of either one declares both: the second patch would else take the first taint away.
    let both = case(&[CILIUM, OPERATOR, TAINTED, &pool("template: {spec: {}}")]);
    let both = both.config(
        "startupTaints: [{key: crossfade/not-ready, lifter: {namespace: kube-system, name: cilium-operator}}]",
    );
    let findings = both.findings(&CHECK);
    let fixes: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.rule.code == "karpenter-startup-taint")
        .map(|finding| finding.fix.as_str())
        .collect();
    let has_both =
        |fix: &&str| fix.contains("crossfade/not-ready") && fix.contains("node.cilium.io/agent-not-ready");
    assert_eq!((fixes.len(), fixes.iter().filter(|fix| has_both(fix)).count()), (2, 2), "{fixes:?}");
}

/// The taint of the Node Readiness Controller, and releases of Karpenter.
#[test]
fn karpenter_knows_the_readiness_taint_from_1_13_on() {
    let tainted = TAINTED.replace("node.cilium.io/agent-not-ready", "readiness.k8s.io/crossfade");
    let rule = [&readiness_rule("readiness.k8s.io/crossfade", "NoSchedule", false), CONTROLLER].concat();
    let pool = |taints: &str| {
        format!(
            "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {{name: spot}}\nspec: {{template: {{spec: {{taints: [{taints}]}}}}}}\n---\n"
        )
    };
    let karpenter = |image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: karpenter, namespace: karpenter}}\nspec: {{template: {{spec: {{containers: [{{name: controller, image: \"{image}\"}}]}}}}}}\n---\n"
        )
    };
    let codes = |image: &str, taints: &str| {
        let all = [CILIUM, OPERATOR, &tainted, &rule, &pool(taints), &karpenter(image)];
        let findings = case(&all).findings(&CHECK);
        findings.iter().any(|finding| finding.rule.code == "karpenter-startup-taint")
    };
    for (image, findings) in [
        ("public.ecr.aws/karpenter/controller:1.13.0@sha256:0f", false),
        ("mirror:5000/karpenter/controller:2.0.1", false),
        ("public.ecr.aws/karpenter/controller:1.12.3", true),
        ("public.ecr.aws/karpenter/controller@sha256:0f", true),
        ("mcr.microsoft.com/aks/karpenter/controller:1.13.0", true),
    ] {
        assert_eq!(codes(image, ""), findings, "{image}");
    }
    let stays = "{key: readiness.k8s.io/crossfade, effect: NoSchedule}";
    assert!(codes("public.ecr.aws/karpenter/controller:1.14.0", stays), "a taint that stays");
}

#[test]
fn the_cluster_autoscaler_must_know_the_taint() {
    let autoscaler = |words: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: aws-cluster-autoscaler, namespace: kube-system}}\nspec: {{template: {{spec: {{containers: [{{name: c, {words}}}]}}}}}}\n---\n"
        )
    };
    let key = "node.cilium.io/agent-not-ready";
    for (words, known) in [
        (format!("command: [./cluster-autoscaler, --startup-taint={key}]"), true),
        (format!("command: [./cluster-autoscaler], args: [--ignore-taint, {key}]"), true),
        ("command: [./cluster-autoscaler, --startup-taint=other]".to_owned(), false),
        (format!("command: [./cluster-autoscaler, --status-taint={key}]"), false),
        ("command: [./cluster-autoscaler, --startup-taint-prefix=node.cilium.io/]".to_owned(), true),
        ("command: [./cluster-autoscaler, --startup-taint-prefix, node.cilium.io/]".to_owned(), true),
        ("command: [./cluster-autoscaler, --startup-taint-prefix=readiness.k8s.io/]".to_owned(), false),
        ("command: [./cluster-autoscaler, --startup-taint-prefix=]".to_owned(), false),
    ] {
        let case = case(&[CILIUM, OPERATOR, TAINTED, &autoscaler(&words)]);
        assert_eq!(case.codes(&CHECK), &["autoscaler-startup-taint"][usize::from(known)..], "{words}");
    }
}
