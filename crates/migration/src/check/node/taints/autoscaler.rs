//! The start-up taints that autoscalers do not know.

use serde_json::{Value, json};
use snapshot::model::{Kind, Object, Taint, Text, Workload};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::network::flag_values;
use crate::workload::{Karpenter, Version, Voluntary, budget_patch, budgets_hold, pool_patch};

/// Prefixes of taints that the cluster autoscaler knows by themselves. *Source*: cluster-autoscaler 1.29, release notes.
const KNOWN: [&str; 2] =
    ["startup-taint.cluster-autoscaler.kubernetes.io/", "ignore-taint.cluster-autoscaler.kubernetes.io/"];
/// The flags that name one. The second is the only one before 1.29.
const FLAGS: [&str; 2] = ["--startup-taint", "--ignore-taint"];
/// The flag that names a prefix of them, from 1.36 on. *Source*: cluster-autoscaler 1.36, `config/flags/flags.go`.
const PREFIX_FLAG: &str = "--startup-taint-prefix";
/// The prefix of taints that Karpenter takes for passing ones wherever they come from, and the release that is the first one to.
///
/// *Source*: kubernetes-sigs/karpenter#3025.
const READINESS: (&str, Version) = ("readiness.k8s.io/", (1, 13));

pub(super) const KARPENTER_STARTUP_TAINT: Rule = Severity::Risk.rule(
    "karpenter-startup-taint",
    "A NodePool does not declare the start-up taint.\n\n\
     A taint below `readiness.k8s.io/` is not found where the image of Karpenter's Deployment says a release from 1.13 on.",
    "Karpenter believes that pods can never run on a node with this taint, and launches more nodes for the same pods: about two of three launches are redundant. A taint that stays keeps it from launching any. But a new start-up taint also makes every node of the pool differ from it, so Karpenter replaces them all unless a budget holds it.",
    r#"First hold what drifts, and then declare the taint; `check` prints both commands, beside the budgets and taints that are there: kubectl patch nodepool spot --type merge -p '{"spec":{"disruption":{"budgets":[{"nodes":"10%"},{"nodes":"0","reasons":["Drifted"]}]}}}'; kubectl patch nodepool spot --type merge -p '{"spec":{"template":{"spec":{"startupTaints":[{"effect":"NoSchedule","key":"node.cilium.io/agent-not-ready"}]}}}}'. Or leave the pools as they are: Karpenter from 1.13 on needs no declaration of the taint readiness.k8s.io/crossfade."#,
);

/// NodePools that do not declare one of the start-up taints, or declare it as one that stays.
///
/// *Source*: Karpenter 1.14, "NodePools", `spec.template.spec.startupTaints`; kubernetes-sigs/karpenter#997: adding one drifts the nodes of the pool.
pub(super) fn karpenter(scene: &Scene<'_>, taint: &Taint, all: &[Taint]) -> Option<Finding> {
    let release = Karpenter::find(scene).and_then(|karpenter| karpenter.release());
    let needs_none = |taint: &Taint| {
        taint.key.starts_with(READINESS.0) && release.is_some_and(|release| release >= READINESS.1)
    };
    let needed: Vec<&Taint> = all.iter().filter(|taint| !needs_none(taint)).collect();
    let is_known = needs_none(taint);
    let (mut objects, mut budgets, mut declarations) = (Vec::new(), Vec::new(), Vec::new());
    for pool in scene.snapshot.objects(Kind::KARPENTER_NODE_POOL) {
        let subject = Subject::new(Kind::KARPENTER_NODE_POOL, pool.name());
        if declares(pool, STAYING, taint) {
            objects.push(subject.detail(format!("{} is in taints, as one that stays", taint.key)));
        } else if !is_known && !declares(pool, STARTING, taint) {
            objects.push(subject.detail(format!("{} is not in startupTaints", taint.key)));
        } else {
            continue;
        }
        if !budgets_hold(pool, &[Voluntary::Drifted]) {
            budgets.push(budget_patch(pool, &[Voluntary::Drifted]));
        }
        declarations.push(declaration(pool, all, &needed));
    }
    let hold = if budgets.is_empty() {
        String::new()
    } else {
        format!("First hold what drifts: {}. ", budgets.join("; "))
    };
    let release = release.map_or_else(String::new, |(major, minor)| format!("; here it is {major}.{minor}"));
    let other = if is_known {
        String::new()
    } else {
        format!(
            " Or leave the pools as they are: with the taint readiness.k8s.io/crossfade instead, Karpenter needs no declaration from 1.13 on{release}."
        )
    };
    let fix = format!(
        "{hold}Then declare it as a start-up taint: {}. Take the budget away when the rotation of these nodes is to begin.{other}",
        declarations.join("; ")
    );
    (!objects.is_empty()).then(|| {
        Finding::new(&KARPENTER_STARTUP_TAINT)
            .what(format!(
                "NodePools of Karpenter do not declare the start-up taint {}:{}.",
                taint.key, taint.effect
            ))
            .fix(fix)
            .with_objects(objects)
    })
}

/// The lists of a NodePool's taints.
const STAYING: &str = "/spec/template/spec/taints";
const STARTING: &str = "/spec/template/spec/startupTaints";

fn is_taint(object: &Value, taint: &Taint) -> bool {
    object["key"].as_str() == Some(&taint.key) && object["effect"].as_str() == Some(&taint.effect)
}

fn declares(pool: &Object, pointer: &str, taint: &Taint) -> bool {
    pool.list(pointer).iter().any(|object| is_taint(object, taint))
}

/// The command that declares all start-up taints that need it beside those that are there. A merge patch replaces a list, so the findings of several taints
/// print the same command: whichever is the last one, no taint is lost.
fn declaration(pool: &Object, all: &[Taint], needed: &[&Taint]) -> String {
    let is_startup = |object: &Value| all.iter().any(|taint| is_taint(object, taint));
    let mut starting = pool.list(STARTING).to_vec();
    for taint in needed.iter().filter(|taint| !declares(pool, STARTING, taint)) {
        starting.push(json!({"key": *taint.key, "effect": *taint.effect}));
    }
    let mut spec = json!({"startupTaints": starting});
    if pool.list(STAYING).iter().any(is_startup) {
        let staying: Vec<&Value> = pool.list(STAYING).iter().filter(|object| !is_startup(object)).collect();
        spec["taints"] = json!(staying);
    }
    pool_patch(pool, "merge", &json!({"spec": {"template": {"spec": spec}}}))
}

pub(super) const AUTOSCALER_STARTUP_TAINT: Rule = Severity::Risk.rule(
    "autoscaler-startup-taint",
    "The cluster autoscaler does not know the start-up taint.\n\n\
     From 1.36 on, `--startup-taint-prefix=readiness.k8s.io/` names all taints below a prefix.",
    "It takes the taint into its picture of a new node, concludes that waiting pods would not fit there, and stops adding nodes while the migration needs them.",
    "kubectl -n kube-system edit deployment cluster-autoscaler-aws-cluster-autoscaler, and add the argument --startup-taint=node.cilium.io/agent-not-ready (before version 1.29: --ignore-taint).",
);

/// The cluster autoscaler without a flag for the taint.
pub(super) fn cluster_autoscaler(scene: &Scene<'_>, taint: &Taint) -> Option<Finding> {
    if KNOWN.iter().any(|prefix| taint.key.starts_with(prefix)) {
        return None;
    }
    let is_one = |workload: &&Workload| workload.name().contains("cluster-autoscaler");
    let lacks = |workload: &&Workload| {
        let containers = workload.spec.template.spec.containers.iter();
        let words: Vec<&Text> =
            containers.flat_map(|container| container.command.iter().chain(&container.args)).collect();
        let is_prefix = |prefix: &&str| !prefix.is_empty() && taint.key.starts_with(*prefix);
        let is_named = FLAGS.iter().any(|flag| flag_values(&words, flag).contains(&&*taint.key))
            || flag_values(&words, PREFIX_FLAG).iter().any(is_prefix);
        // Without any flag its command was not dumped, and nothing is known.
        !words.is_empty() && !is_named
    };
    let workloads: Vec<&Workload> =
        scene.snapshot.workloads(Kind::DEPLOYMENT).iter().filter(is_one).filter(lacks).collect();
    let objects: Vec<Subject> =
        workloads.iter().map(|workload| Subject::from_meta(Kind::DEPLOYMENT, &workload.metadata)).collect();
    let fix = objects.iter().map(|subject| {
        format!(
            "kubectl -n {} edit deployment {}, and add the argument {}={}",
            subject.namespace,
            subject.name,
            FLAGS[0],
            shell_word(&taint.key)
        )
    });
    let fix = fix.collect::<Vec<_>>().join("; ");
    (!objects.is_empty()).then(|| {
        Finding::new(&AUTOSCALER_STARTUP_TAINT)
            .what(format!("The cluster autoscaler does not know the start-up taint {}.", taint.key))
            .fix(format!("{fix} (before version 1.29: {}).", FLAGS[1]))
            .with_objects(objects)
    })
}
