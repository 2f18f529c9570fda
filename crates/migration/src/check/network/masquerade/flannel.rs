//! Flannel's masquerading, which takes hold of both directions.
//!
//! *Source*: flannel-io/flannel: pkg/trafficmngr/iptables/iptables.go: with `--ip-masq`, the chain FLANNEL-POSTRTG masquerades what Flannel's pods send to
//! addresses outside Flannel's range, and what arrives for Flannel's pods from there. Seen beside Cilium: each side sees an address of the node.

use snapshot::model::{Kind, Workload};

use super::{WHY, uncovered_ranges};
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::flannel;
use crate::cni::network::{agent, is_yes};
use crate::cni::support::Cni;
use snapshot::Range;

pub(super) const MASQUERADE_BOTH: Rule = Severity::Risk.rule(
    "masquerade-both",
    "Flannel runs with `--ip-masq`, and masquerades traffic between its pods and pods of the new network, in both directions.\n\n\
     With the strategy `double` it is a note.",
    WHY,
    "Put rules before Flannel's on every node, as the finding says, and accept it with a waiver; or move with the strategy `double`, where it is a note.",
);

/// The traffic between pods of Flannel and pods of the new network.
pub(super) fn pod_traffic(scene: &Scene<'_>, new: &[Range], severity: Severity) -> Option<Finding> {
    if !matches!(scene.from, Cni::Flannel | Cni::Canal) {
        return None;
    }
    let daemon_set = agent(scene.snapshot, &["kube-flannel-ds", "kube-flannel", "canal"])
        .filter(|workload| is_on(workload))?;
    let own = flannel::read(scene.snapshot)?;
    let own: Vec<Range> =
        own.ranges().filter_map(|text| Range::read(text).ok()).map(|(range, _)| range).collect();
    let outside = uncovered_ranges(new, &own);
    let (first, here) = (outside.first()?, own.first()?);
    let to = scene.to;
    let what = format!(
        "Flannel masquerades what its pods send to pods of {to} in {}, and what these send to them.",
        outside.join(", ")
    );
    let program = if here.is_v6() { "ip6tables" } else { "iptables" };
    let fix = format!(
        "Flannel has no setting for exceptions. Where the sender's address matters, put rules before Flannel's on every node, again after each boot: {program} -t nat -I POSTROUTING -s {here} -d {first} -j ACCEPT && {program} -t nat -I POSTROUTING -s {first} -d {here} -j ACCEPT. No snapshot shows these rules: accept this finding with a waiver then. Or move with the strategy double, in which pods reach the other network from inside."
    );
    let subject = Subject::from_meta(Kind::DAEMON_SET, &daemon_set.metadata).detail("--ip-masq");
    Some(Finding::new(&MASQUERADE_BOTH).severity(severity).what(what).fix(fix).with_objects([subject]))
}

fn is_on(daemon_set: &Workload) -> bool {
    let containers = daemon_set.spec.template.spec.containers.iter();
    let mut words = containers.flat_map(|container| container.command.iter().chain(&container.args));
    words.any(|word| {
        let flag = word.trim_start_matches('-');
        flag == "ip-masq" || flag.strip_prefix("ip-masq=").is_some_and(is_yes)
    })
}

#[cfg(test)]
mod tests {
    use super::super::CHECK;
    use super::*;
    use crate::check::tests::{Case, object};
    use crate::cni::support::Strategy;
    use serde_json::json;

    fn codes(argument: &str, new: &str, strategy: Strategy) -> Vec<(&'static str, Severity)> {
        let container = json!({"name": "kube-flannel", "command": ["/opt/bin/flanneld"], "args": [argument, "--kube-subnet-mgr"]});
        let spec = json!({"template": {"spec": {"containers": [container]}}});
        let conf = json!({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}).to_string();
        let objects = vec![
            object(
                Kind::DAEMON_SET,
                "kube-flannel-ds",
                json!({"metadata": {"namespace": "kube-flannel"}, "spec": spec}),
            ),
            object(Kind::CONFIG_MAP, "kube-flannel-cfg", json!({"data": {"net-conf.json": conf}})),
            object(
                Kind::CONFIG_MAP,
                "cilium-config",
                json!({"data": {"cluster-pool-ipv4-cidr": new, "ipv4-native-routing-cidr": "10.0.0.0/8"}}),
            ),
        ];
        let findings = Case::new(Cni::Flannel, Cni::Cilium, objects).strategy(strategy).findings(&CHECK);
        findings.into_iter().map(|finding| (finding.rule.code, finding.severity)).collect()
    }

    #[test]
    fn flannel_masquerades_in_both_directions_with_its_flag_alone() {
        use Severity::{Note, Risk};
        for (argument, new, strategy, severity) in [
            ("--ip-masq", "10.20.0.0/16", Strategy::Bridge, Some(Risk)),
            ("--ip-masq=true", "10.20.0.0/16", Strategy::Bridge, Some(Risk)),
            ("--ip-masq", "10.20.0.0/16", Strategy::Double, Some(Note)),
            ("--ip-masq=false", "10.20.0.0/16", Strategy::Bridge, None),
            ("--iface=eth0", "10.20.0.0/16", Strategy::Bridge, None),
            // Within Flannel's range nothing is masqueraded.
            ("--ip-masq", "10.244.128.0/17", Strategy::Bridge, None),
        ] {
            let expected: Vec<_> =
                severity.map(|severity| ("masquerade-both", severity)).into_iter().collect();
            assert_eq!(codes(argument, new, strategy), expected, "{argument} {new}");
        }
    }
}
