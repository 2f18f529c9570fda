//! The condition NetworkUnavailable that the old CNI's agent leaves on its node when it ends for good.

use snapshot::model::{Kind, Node};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cilium;
use crate::cni::support::Cni;

pub(in crate::check) const CHECK: Check = Check {
    name: "network-condition",
    rules: &[&NETWORK_CONDITION_AT_END],
    needs: &[Need::Always(Kind::NODE), Need::To(Cni::Cilium, Kind::CONFIG_MAP)],
    run,
};

/// Why a node's network is available, in the words of Calico's agent. When it ends, it writes `CalicoIsDown` in its place.
///
/// *Source*: projectcalico/calico: node/pkg/lifecycle/utils/utils.go.
const CALICO_IS_UP: &str = "CalicoIsUp";
/// Cilium's operator takes the condition over, unless this setting is false.
///
/// *Source*: cilium/cilium: operator/watchers/node_taint.go.
const TAKES_OVER: &str = "set-cilium-is-up-condition";

const NETWORK_CONDITION_AT_END: Rule = Severity::Risk.rule(
    "network-condition-at-end",
    "When Calico's agent ends on a node, it says that the network of this node is unavailable.\n\n\
     It is a note where Cilium takes the condition back.",
    "Kubernetes keeps new pods away from a node with this condition. Autoscalers, machine controllers and node repair of clouds replace such nodes, all of them at once if all agents end at once.",
    "Let cilium-operator run when you delete Calico's agents. Without Cilium, pause autoscalers and node repair, and patch the condition of each node as soon as the agents are gone.",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let is_up = |node: &&Node| {
        node.condition("NetworkUnavailable")
            .is_some_and(|condition| condition.reason.as_ref() == CALICO_IS_UP)
    };
    let nodes: Vec<Subject> = scene
        .snapshot
        .nodes
        .iter()
        .filter(is_up)
        .map(|node| Subject::from_meta(Kind::NODE, &node.metadata))
        .collect();
    if nodes.is_empty() || !matches!(scene.from, Cni::Calico | Cni::Canal) {
        return Vec::new();
    }
    let setting = cilium::setting(scene.snapshot, TAKES_OVER);
    let is_taken_over = scene.to == Cni::Cilium && setting.is_none_or(|setting| setting.value != "false");
    let (severity, fix) = if is_taken_over {
        (
            Severity::Note,
            "Let cilium-operator run when you delete Calico's agents: it writes the condition anew within seconds. Then look for nodes that it missed: kubectl get nodes -o custom-columns='NAME:.metadata.name,REASON:.status.conditions[?(@.type==\"NetworkUnavailable\")].reason'".to_owned(),
        )
    } else {
        (
            Severity::Risk,
            format!(
                "Pause autoscalers and node repair while you delete Calico's agents. As soon as they are gone, on every node: kubectl patch node {} --subresource=status --type strategic -p '{{\"status\":{{\"conditions\":[{{\"type\":\"NetworkUnavailable\",\"status\":\"False\",\"reason\":\"Migrated\"}}]}}}}'{}",
                nodes[0].name,
                if scene.to == Cni::Cilium {
                    ". Or remove set-cilium-is-up-condition: \"false\" from ConfigMap cilium-config, so that cilium-operator does it."
                } else {
                    ""
                }
            ),
        )
    };
    let until =
        if is_taken_over { "until Cilium's operator takes it back" } else { "and no agent takes it back" };
    let what = format!(
        "When Calico's agent ends on a node, it says that the network of this node is unavailable, {until}."
    );
    vec![Finding::new(&NETWORK_CONDITION_AT_END).severity(severity).what(what).fix(fix).with_objects(nodes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::Case;

    fn cluster(reason: &str, settings: &str) -> Case {
        Case::from_yaml(&format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: a}}\nstatus: {{conditions: [{{type: NetworkUnavailable, status: \"False\", reason: {reason}}}]}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{{settings}}}\n"
        ))
    }

    #[test]
    fn the_condition_of_the_old_cni_is_a_risk_where_the_new_one_does_not_take_it_over() {
        let off = "set-cilium-is-up-condition: \"false\"";
        for (reason, settings, to, severity) in [
            ("CalicoIsUp", "", Cni::Cilium, Some(Severity::Note)),
            ("CalicoIsUp", "set-cilium-is-up-condition: \"true\"", Cni::Cilium, Some(Severity::Note)),
            ("CalicoIsUp", off, Cni::Cilium, Some(Severity::Risk)),
            ("CalicoIsUp", "", Cni::Antrea, Some(Severity::Risk)),
            ("CiliumIsUp", off, Cni::Cilium, None),
            ("FlannelIsUp", "", Cni::Antrea, None),
        ] {
            let findings = cluster(reason, settings).pair(Cni::Calico, to).findings(&CHECK);
            assert_eq!(
                findings.first().map(|finding| finding.severity),
                severity,
                "{reason} {settings} {to}"
            );
        }
        let flannel = cluster("CalicoIsUp", "").pair(Cni::Flannel, Cni::Cilium);
        assert!(flannel.codes(&CHECK).is_empty(), "left from an earlier CNI");
    }
}
