//! Start-up taints: who tolerates them, who removes them, and whether autoscalers know them.

mod autoscaler;
mod leftover;

use snapshot::model::{Kind, Node, Object, Taint, Workload};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::subject;
use crate::cni::support::{Cni, Strategy};
use crate::config::StartupTaint;
use crate::drive::objects::READINESS;
use crate::workload::{
    GKE_POOL, START_TAINT_CILIUM, agents, startup_taints, tolerates, tolerates_everything, toleration_patch,
};

pub(in crate::check) const CHECK: Check = Check {
    name: "taints",
    rules: &[
        &autoscaler::AUTOSCALER_STARTUP_TAINT,
        &DAEMONSET_STARTS_EARLY,
        &autoscaler::KARPENTER_STARTUP_TAINT,
        &STARTUP_TAINT_AGENT_WAITS,
        &STARTUP_TAINT_DAEMONSET_WAITS,
        &leftover::STARTUP_TAINT_LEFT,
        &STARTUP_TAINT_LIFTER_WAITS,
        &STARTUP_TAINT_NO_LIFTER,
        &STARTUP_TAINT_WAY_BACK,
    ],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::POD),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::KARPENTER_NODE_POOL),
        Need::Always(Kind::NODE_READINESS_RULE),
        Need::To(Cni::Cilium, Kind::CONFIG_MAP),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let taints: Vec<Taint> = startup_taints(scene).into_iter().collect();
    let mut findings: Vec<Finding> = find_early(scene, &taints).into_iter().collect();
    findings.extend(find_waiting(scene, &taints));
    findings.extend(leftover::leftover_taints(scene));
    findings.extend(way_back(scene));
    for taint in &taints {
        findings.extend(find_lifted(scene, taint));
        findings.extend(autoscaler::karpenter(scene, taint, &taints));
        findings.extend(autoscaler::cluster_autoscaler(scene, taint));
    }
    findings
}

fn is_network(scene: &Scene<'_>, workload: &Workload) -> bool {
    let is_agent_of =
        |cni| agents(scene, cni).iter().any(|agent| agent.daemon_set.metadata == workload.metadata);
    is_agent_of(scene.from) || is_agent_of(scene.to) || workload.name() == "kube-proxy"
}

const DAEMONSET_STARTS_EARLY: Rule = Severity::Risk.rule(
    "daemonset-starts-early",
    "DaemonSets with pod network tolerate every start-up taint.\n\n\
     On a new node, their pods start before the agent of the network does. It is a note unless nodes are replaced (strategy `rotation`).",
    "On a new node their pods start while the old CNI is ready and the new one is not. They keep an address of the old network for life. Crossfade's plugin refuses to attach them too early, but only on nodes where Crossfade runs.",
    "Tolerate named taints only. Or restart the DaemonSets after the last node moved: `kubectl -n NAMESPACE rollout restart daemonset NAME`",
);

/// DaemonSets whose pods are created before the network is ready.
fn find_early(scene: &Scene<'_>, taints: &[Taint]) -> Option<Finding> {
    let is_early = |workload: &&Workload| {
        let spec = &workload.spec.template.spec;
        let all = !taints.is_empty() && taints.iter().all(|taint| tolerates(&spec.tolerations, taint));
        !spec.host_network && (all || tolerates_everything(&spec.tolerations)) && !is_network(scene, workload)
    };
    let workloads = scene.snapshot.workloads(Kind::DAEMON_SET).iter().filter(is_early);
    let objects: Vec<Subject> =
        workloads.map(|item| Subject::from_meta(Kind::DAEMON_SET, &item.metadata)).collect();
    let severity = if scene.strategy == Strategy::Rotation { Severity::Risk } else { Severity::Note };
    (!objects.is_empty()).then(|| {
        Finding::new(&DAEMONSET_STARTS_EARLY).severity(severity).with_commands(&objects).with_objects(objects)
    })
}

const STARTUP_TAINT_AGENT_WAITS: Rule = Severity::Blocks.rule(
    "startup-taint-agent-waits",
    "Agents of the network do not tolerate a start-up taint.",
    "The taint goes once the network is ready, and the network is ready once the agent runs. New nodes stay empty for ever.",
    r#"kubectl -n kube-system patch daemonset cilium --type json -p '[{"op":"add","path":"/spec/template/spec/tolerations/-","value":{"key":"node.cilium.io/agent-not-ready","operator":"Exists","effect":"NoSchedule"}}]'."#,
);

const STARTUP_TAINT_DAEMONSET_WAITS: Rule = Severity::Note.rule(
    "startup-taint-daemonset-waits",
    "DaemonSets that serve the node do not tolerate a start-up taint.",
    "On a new node they start only after the taint is gone. If the network or its readiness depends on one of them, as on a cloud's node manager, the node waits for ever.",
    r#"If nothing at a node's start depends on them, accept this. Else: kubectl -n kube-system patch daemonset ebs-csi-node --type json -p '[{"op":"add","path":"/spec/template/spec/tolerations/-","value":{"key":"node.cilium.io/agent-not-ready","operator":"Exists","effect":"NoSchedule"}}]'."#,
);

/// DaemonSets on the node's network that do not start while a node bears the taint: agents never do, others later.
fn find_waiting(scene: &Scene<'_>, taints: &[Taint]) -> Vec<Finding> {
    let (mut agents, mut others) = (Vec::new(), Vec::new());
    for workload in scene.snapshot.workloads(Kind::DAEMON_SET) {
        let spec = &workload.spec.template.spec;
        let refused = taints.iter().find(|taint| !tolerates(&spec.tolerations, taint));
        let Some(taint) = refused else { continue };
        let subject = Subject::from_meta(Kind::DAEMON_SET, &workload.metadata)
            .detail(format!("{}:{}", taint.key, taint.effect));
        if is_network(scene, workload) {
            agents.push(subject);
        } else if spec.host_network || spec.priority_class_name.as_ref() == "system-node-critical" {
            others.push(subject);
        }
    }
    let mut findings = Vec::new();
    if !agents.is_empty() {
        findings.push(
            Finding::new(&STARTUP_TAINT_AGENT_WAITS)
                .fix(tolerate(scene, Kind::DAEMON_SET, &agents))
                .with_objects(agents),
        );
    }
    if !others.is_empty() {
        findings.push(
            Finding::new(&STARTUP_TAINT_DAEMONSET_WAITS)
                .fix(format!(
                    "If nothing at a node's start depends on them, accept this. Else: {}",
                    tolerate(scene, Kind::DAEMON_SET, &others)
                ))
                .with_objects(others),
        );
    }
    findings
}

/// The commands that let workloads of a kind tolerate the taints in their details.
fn tolerate(scene: &Scene<'_>, kind: Kind, subjects: &[Subject]) -> String {
    let to_text = |subject: &Subject| {
        let (key, effect) = subject.detail.rsplit_once(':').unwrap_or((&subject.detail, "NoSchedule"));
        let is_subject =
            |item: &&Workload| item.namespace() == subject.namespace && item.name() == subject.name;
        let workload = scene.snapshot.workloads(kind).iter().find(is_subject);
        let tolerations = workload.map_or(&[][..], |candidate| &candidate.spec.template.spec.tolerations);
        format!(
            "kubectl -n {} patch {} {} --type json -p {}",
            subject.namespace,
            subject.kind.to_lowercase(),
            subject.name,
            shell_word(&toleration_patch(tolerations, key, effect))
        )
    };
    subjects.iter().map(to_text).collect::<Vec<_>>().join("; ")
}

/// Whether the run removes the taint.
fn is_lifted_by_run(scene: &Scene<'_>, taint: &Taint) -> bool {
    scene.config.roll.limits.lift_readiness && (&*taint.key, &*taint.effect) == READINESS
}

const STARTUP_TAINT_NO_LIFTER: Rule = Severity::Blocks.rule(
    "startup-taint-no-lifter",
    "No program removes the start-up taint.\n\n\
     It is a risk where a NodeReadinessRule removes it and no Node Readiness Controller is found.",
    "kubelet may not remove taints, so every new node would stay empty for ever.",
    r#"Install cilium-operator with remove-cilium-node-taints: "true" in ConfigMap cilium-config, which is the default."#,
);

const STARTUP_TAINT_LIFTER_WAITS: Rule = Severity::Risk.rule(
    "startup-taint-lifter-waits",
    "The program that removes a start-up taint does not tolerate it.",
    "After a power failure or in an empty cluster all nodes bear the taint, nothing runs that could remove it, and no person is there to notice.",
    r#"kubectl -n kube-system patch deployment cilium-operator --type json -p '[{"op":"add","path":"/spec/template/spec/tolerations/-","value":{"key":"node.cilium.io/agent-not-ready","operator":"Exists","effect":"NoSchedule"}}]'."#,
);

/// Whether a controller removes a start-up taint: a named Deployment, Cilium's operator, or the Node Readiness Controller.
///
/// *Source*: Cilium 1.18, `operator/watchers/node_taint.go` and the key `remove-cilium-node-taints` of cilium-config; kubelet itself may not change
/// taints (Kubernetes, admission plugin NodeRestriction).
fn find_lifted(scene: &Scene<'_>, taint: &Taint) -> Option<Finding> {
    let deployments = scene.snapshot.workloads(Kind::DEPLOYMENT);
    let is_named = |named: &&StartupTaint| *named.key == *taint.key;
    let named = scene.config.startup_taints.iter().find(is_named).and_then(|named| named.lifter.as_ref());
    let (lifter, expected) = if let Some(named) = named {
        let deployment =
            deployments.iter().find(|workload| named.matches(workload.namespace(), workload.name()));
        (
            deployment,
            format!(
                "Create Deployment {}/{}, or correct its lifter in startupTaints of the settings file.",
                named.namespace, named.name
            ),
        )
    } else if taint.key.as_ref() == START_TAINT_CILIUM {
        (cilium_operator(scene), "Install cilium-operator with remove-cilium-node-taints: \"true\" in ConfigMap cilium-config, which is the default.".to_owned())
    } else if is_lifted_by_run(scene, taint) {
        return None;
    } else {
        match rule(scene, taint) {
            ReadinessRule::Lifts if has_readiness_controller(scene) => return None,
            ReadinessRule::Lifts => return Some(without_controller(taint)),
            rule => (None, rule.remedy(taint)),
        }
    };
    let subject = |subject: Subject| subject.detail(format!("{}:{}", taint.key, taint.effect));
    let Some(lifter) = lifter else {
        let what = format!("No program removes the start-up taint {}:{}.", taint.key, taint.effect);
        let bearers = scene
            .snapshot
            .nodes
            .iter()
            .filter(|node| node.spec.taints.iter().any(|candidate| candidate.key == taint.key));
        let bearers = bearers.map(|node| subject(Subject::new(Kind::NODE, node.name())));
        return Some(Finding::new(&STARTUP_TAINT_NO_LIFTER).what(what).fix(expected).with_objects(bearers));
    };
    let waits = !tolerates(&lifter.spec.template.spec.tolerations, taint);
    waits.then(|| {
        let subject = subject(Subject::from_meta(Kind::DEPLOYMENT, &lifter.metadata));
        Finding::new(&STARTUP_TAINT_LIFTER_WAITS)
            .fix(tolerate(scene, Kind::DEPLOYMENT, std::slice::from_ref(&subject)))
            .with_objects([subject])
    })
}

const STARTUP_TAINT_WAY_BACK: Rule = Severity::Note.rule(
    "startup-taint-way-back",
    "Cilium's operator puts its start-up taint on nodes.",
    "If the rotation goes back, nodes of the old image come up without Cilium's conf. The operator taints them, and nothing removes the taint, so no pod starts there.",
    r#"Before you go back: set-cilium-node-taints: "false" in ConfigMap cilium-config (Helm: operator.setNodeTaints=false), then kubectl -n kube-system rollout restart deployment cilium-operator. The image registers the taint where it is wanted, so the setting may be false from the beginning."#,
);

/// Cilium's operator taints nodes on which no agent of it is ready, those of the old image too.
///
/// *Source*: Cilium 1.18, `operator/watchers/node_taint.go` and the key `set-cilium-node-taints` of cilium-config.
fn way_back(scene: &Scene<'_>) -> Option<Finding> {
    let config = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config")?;
    let is_set = config.data("set-cilium-node-taints") == Some("true");
    (is_set && scene.strategy == Strategy::Rotation && scene.to == Cni::Cilium)
        .then(|| Finding::new(&STARTUP_TAINT_WAY_BACK).with_objects([subject(Kind::CONFIG_MAP, config)]))
}

/// What a NodeReadinessRule does about a start-up taint.
///
/// *Source*: kubernetes-sigs/node-readiness-controller 0.5, `api/v1alpha1/nodereadinessrule_types.go` (`spec.taint`, `spec.dryRun`).
enum ReadinessRule<'a> {
    /// It removes the taint.
    Lifts,
    /// It only reports what it would do; its name.
    DryRun(&'a str),
    /// It has the key, and another effect; its name.
    OtherEffect(&'a str),
    /// No rule names the key.
    Missing,
}

fn rule<'a>(scene: &Scene<'a>, taint: &Taint) -> ReadinessRule<'a> {
    let rules = scene.snapshot.objects(Kind::NODE_READINESS_RULE).iter();
    let named: Vec<_> = rules.filter(|rule| rule.text("/spec/taint/key") == Some(&taint.key)).collect();
    let has_effect = |rule: &&&Object| rule.text("/spec/taint/effect") == Some(&taint.effect);
    let fitting = || named.iter().filter(has_effect);
    if fitting().any(|rule| !rule.is_true("/spec/dryRun")) {
        return ReadinessRule::Lifts;
    }
    let dry = fitting().next().map(|rule| ReadinessRule::DryRun(rule.name()));
    dry.or_else(|| named.first().map(|rule| ReadinessRule::OtherEffect(rule.name())))
        .unwrap_or(ReadinessRule::Missing)
}

impl ReadinessRule<'_> {
    /// What to do where no rule removes the taint.
    fn remedy(&self, taint: &Taint) -> String {
        match self {
            ReadinessRule::DryRun(name) => format!(
                "Let the rule act: kubectl patch nodereadinessrule {} --type merge -p '{{\"spec\":{{\"dryRun\":false}}}}'",
                shell_word(name)
            ),
            ReadinessRule::OtherEffect(name) => format!(
                "The effect of a rule cannot be changed, so delete it, and apply it again with the effect of the taint: kubectl delete nodereadinessrule {}",
                shell_word(name)
            ),
            ReadinessRule::Lifts | ReadinessRule::Missing => {
                let ways = "Install the Node Readiness Controller and kubectl apply -f docs/kubernetes/node-readiness-rule.yaml with this key, or name your own controller: startupTaints: [{key: KEY, lifter: {namespace: NAMESPACE, name: NAME}}] in the settings file. A run removes readiness.k8s.io/crossfade:NoSchedule with roll: {limits: {liftReadiness: true}}.";
                ways.replace("KEY", &taint.key)
            }
        }
    }
}

/// Labels of nodes whose providers run the Node Readiness Controller where no object of the cluster shows it: GKE and DOKS.
const MANAGED_CONTROLLER: [&str; 2] = [GKE_POOL, "doks.digitalocean.com/node-pool"];

/// Whether the Node Readiness Controller runs here, or may. *Source*: its `config/manager/manager.yaml` with the prefix of `config/default`.
fn has_readiness_controller(scene: &Scene<'_>) -> bool {
    let is_controller = |workload: &Workload| {
        let mut containers = workload.spec.template.spec.containers.iter();
        workload.name() == "nrr-controller-manager"
            || containers.any(|container| container.image.contains("node-readiness-controller"))
    };
    let is_managed =
        |node: &Node| MANAGED_CONTROLLER.iter().any(|label| node.metadata.label(label).is_some());
    scene.snapshot.workloads(Kind::DEPLOYMENT).iter().any(is_controller)
        || scene.snapshot.nodes.iter().any(is_managed)
}

/// A rule alone removes nothing. The controller may be one that this program does not recognize.
fn without_controller(taint: &Taint) -> Finding {
    let what = format!(
        "A NodeReadinessRule removes the start-up taint {}:{}, and no Node Readiness Controller is found.",
        taint.key, taint.effect
    );
    let why = "A rule without its controller does nothing: every new node would stay empty for ever.";
    let fix = "Install the Node Readiness Controller (Deployment nrr-system/nrr-controller-manager). If it runs under another name, or your provider runs it, accept this finding with a waiver.";
    Finding::new(&STARTUP_TAINT_NO_LIFTER).severity(Severity::Risk).what(what).why(why).fix(fix)
}

fn cilium_operator<'a>(scene: &Scene<'a>) -> Option<&'a Workload> {
    let config = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config");
    if config.and_then(|config| config.data("remove-cilium-node-taints")) == Some("false") {
        return None;
    }
    let is_operator = |workload: &&Workload| {
        workload
            .spec
            .template
            .spec
            .containers
            .iter()
            .any(|container| container.name.as_ref() == "cilium-operator")
    };
    scene.snapshot.workloads(Kind::DEPLOYMENT).iter().find(is_operator)
}

#[cfg(test)]
mod tests;
