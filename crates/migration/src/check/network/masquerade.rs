//! Traffic between both networks that a CNI masquerades: the other side then sees a node instead of a pod.

mod flannel;

use snapshot::model::{Kind, Object};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cidr::{self, Claims, Usage};
use crate::cni::network::{agent, is_yes, subject, variable};
use crate::cni::support::{Cni, Strategy};
use crate::cni::{antrea, cilium};
use snapshot::Range;

pub(in crate::check) const CHECK: Check = Check {
    name: "masquerade",
    rules: &[&flannel::MASQUERADE_BOTH, &MASQUERADE_NEW, &MASQUERADE_OLD],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::CONFIG_MAP),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::SERVICE),
        Need::With(Cni::Calico, Kind::IP_POOL),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE),
    ],
    run,
};

const WHY: &str = "Pods of the other network see the address of a node as the sender. Policies, allow lists and logs that go by the sender's address are wrong then, and answers may take another way.";

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    // Pods with both networks reach each of them from inside.
    let severity = if scene.network_strategy() == Strategy::Double { Severity::Note } else { Severity::Risk };
    let claims = cidr::gather(scene);
    let ranges = |is_new: bool| whole_ranges(&claims, is_new);
    let both = flannel::pod_traffic(scene, &ranges(true), severity);
    let all = [both, find_old(scene, &ranges(true), severity), find_new(scene, &ranges(false), severity)];
    all.into_iter().flatten().collect()
}

/// The largest ranges of a network.
fn whole_ranges(claims: &Claims, is_new: bool) -> Vec<Range> {
    let is_of = |used: Usage| {
        if is_new {
            used.is_new()
        } else {
            matches!(used, Usage::OldPool { is_closed: false } | Usage::OldBlock)
        }
    };
    let all: Vec<Range> =
        claims.all.iter().filter(|claim| is_of(claim.usage)).map(|claim| claim.range).collect();
    snapshot::merge(all)
}

fn uncovered_ranges(ranges: &[Range], exempted: &[Range]) -> Vec<String> {
    let is_covered = |range: &&Range| exempted.iter().any(|outer| outer.contains(**range));
    ranges.iter().filter(|range| !is_covered(range)).map(ToString::to_string).collect()
}

fn read(all: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Range> {
    all.into_iter()
        .filter_map(|text| Range::read(text.as_ref().trim()).ok())
        .map(|(range, _)| range)
        .collect()
}

const MASQUERADE_OLD: Rule = Severity::Risk.rule(
    "masquerade-old",
    "The old CNI hides its pods behind the node's address when they talk to pods of the new network.\n\n\
     With the strategy `double` it is a note.",
    WHY,
    "Give Calico a disabled pool with the new range (a pool that gives no addresses need not encapsulate), or add the range to `AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS`.",
);

/// *Source*: Calico's documentation, "Configure outgoing NAT": a packet to an address in any pool, disabled or not, keeps its sender. Amazon VPC CNI:
/// README, `AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS`, `AWS_VPC_K8S_CNI_EXTERNALSNAT`.
fn find_old(scene: &Scene<'_>, new: &[Range], severity: Severity) -> Option<Finding> {
    let to = scene.to;
    let (missing, subject, fix): (Vec<String>, Subject, String) = if scene.from == Cni::Calico {
        let pools = scene.snapshot.objects(Kind::IP_POOL);
        let pool = pools.iter().find(|pool| pool.is_true("/spec/natOutgoing"))?;
        let missing = uncovered_ranges(new, &read(pools.iter().filter_map(|pool| pool.text("/spec/cidr"))));
        let manifests: Vec<String> =
            missing.iter().enumerate().map(|(index, range)| reserved_pool(index, range)).collect();
        let fix = format!(
            "Give Calico a disabled pool with the range; no pod gets an address of it: calicoctl apply -f - with\n```\n{}```",
            manifests.join("---\n")
        );
        (missing, subject(Kind::IP_POOL, pool), fix)
    } else if scene.from == Cni::AwsVpcCni {
        let node = agent(scene.snapshot, &["aws-node"])?;
        if variable(node, "AWS_VPC_K8S_CNI_EXTERNALSNAT").is_some_and(is_yes) {
            return None;
        }
        let now = variable(node, "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS").unwrap_or_default();
        let missing = uncovered_ranges(
            new,
            &read(
                now.split(',').chain(
                    scene
                        .config
                        .cidrs
                        .nodes
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .iter()
                        .map(String::as_str),
                ),
            ),
        );
        let all: Vec<&str> = now
            .split(',')
            .filter(|item| !item.is_empty())
            .chain(missing.iter().map(String::as_str))
            .collect();
        let fix = format!(
            "Run: kubectl -n kube-system set env daemonset/aws-node AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS={} (with EKS add-ons: the same key in the add-on's configuration values).",
            shell_word(&all.join(","))
        );
        (missing, Subject::from_meta(Kind::DAEMON_SET, &node.metadata), fix)
    } else {
        return None;
    };
    if missing.is_empty() {
        return None;
    }
    let what =
        format!("{} masquerades what its pods send to pods of {to} in {}.", scene.from, missing.join(", "));
    Some(Finding::new(&MASQUERADE_OLD).severity(severity).what(what).fix(fix).with_objects([subject]))
}

fn reserved_pool(index: usize, range: &str) -> String {
    let family = if range.contains(':') { 6 } else { 4 };
    format!(
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: crossfade-new-v{family}-{index}\nspec:\n  cidr: {range}\n  disabled: true\n  natOutgoing: false\n"
    )
}

const MASQUERADE_NEW: Rule = Severity::Risk.rule(
    "masquerade-new",
    "The new CNI hides its pods behind the node's address when they talk to pods of the old network.\n\n\
     With the strategy `double` it is a note.",
    WHY,
    "Set the range that covers both networks, where there is one.",
);

/// *Source*: Cilium's documentation, "Masquerading": packets to addresses outside of `ipv4-native-routing-cidr`, or of the ranges of the agent
/// `ip-masq-agent`, are masqueraded; Antrea: `noSNAT` and trafficEncapMode in antrea-agent.conf.
fn find_new(scene: &Scene<'_>, old: &[Range], severity: Severity) -> Option<Finding> {
    if scene.to != Cni::Cilium {
        return antreas(scene, old, severity);
    }
    let config = cilium::config(scene.snapshot)?;
    let is_on = |key: &str| config.data(key).is_none_or(is_yes);
    if is_yes(config.data("enable-ip-masq-agent").unwrap_or_default()) {
        return None;
    }
    let natives = read(
        ["ipv4-native-routing-cidr", "ipv6-native-routing-cidr"].iter().filter_map(|key| config.data(key)),
    );
    let is_masqueraded = |range: &&Range| {
        is_on(if range.is_v6() { "enable-ipv6-masquerade" } else { "enable-ipv4-masquerade" })
    };
    let old: Vec<Range> = old.iter().filter(is_masqueraded).copied().collect();
    let missing = uncovered_ranges(&old, &natives);
    if missing.is_empty() {
        return None;
    }
    let what =
        format!("Cilium masquerades what its pods send to pods of {} in {}.", scene.from, missing.join(", "));
    let both = old.into_iter().chain(whole_ranges(&cidr::gather(scene), true)).collect();
    let fix = native(both);
    Some(
        Finding::new(&MASQUERADE_NEW)
            .severity(severity)
            .what(what)
            .fix(fix)
            .with_objects([config_map_subject(config)]),
    )
}

fn config_map_subject(config: &Object) -> Subject {
    subject(Kind::CONFIG_MAP, config)
}

/// The smallest range that both networks are in is never masqueraded, where it is small enough to hold nothing else.
fn native(both: Vec<Range>) -> String {
    let covering: Vec<(&str, Option<Range>)> =
        [("ipv4NativeRoutingCIDR", false), ("ipv6NativeRoutingCIDR", true)]
            .into_iter()
            .filter_map(|(key, is_v6)| {
                let mut matching = both.iter().filter(|range| range.is_v6() == is_v6).copied();
                let first = matching.next()?;
                Some((key, matching.try_fold(first, Range::covering).filter(|range| range.length() >= 8)))
            })
            .collect();
    let sets: Option<Vec<String>> =
        covering.iter().map(|(key, range)| Some(format!("--set {key}={}", (*range)?))).collect();
    match sets {
        Some(sets) => format!(
            "Set the smallest range that covers both networks, if nothing else is in it: helm upgrade cilium cilium/cilium --namespace kube-system --reuse-values {} && kubectl -n kube-system rollout restart daemonset/cilium.",
            sets.join(" ")
        ),
        None => "No range covers both networks without covering much else. Choose the new range near the old one, so that one ipv4NativeRoutingCIDR (Helm) covers both. Cilium's agent for exceptions (ipMasqAgent) needs eBPF masquerading, which many releases tie to the replacement of kube-proxy.".into(),
    }
}

/// Antrea masquerades all that leaves its own pod ranges, in the modes with tunnels always.
fn antreas(scene: &Scene<'_>, old: &[Range], severity: Severity) -> Option<Finding> {
    if scene.to != Cni::Antrea || old.is_empty() {
        return None;
    }
    let config = antrea::config(scene.snapshot)?;
    if antrea::value(scene.snapshot, "/noSNAT", "false") == "true" {
        return None;
    }
    let ranges: Vec<String> = old.iter().map(ToString::to_string).collect();
    let what =
        format!("Antrea masquerades what its pods send to pods of {} in {}.", scene.from, ranges.join(", "));
    let fix = "Antrea has no setting for exceptions in its modes with tunnels. Move with the strategy double, in which pods reach the old network from inside, or accept this finding with a waiver.";
    Some(
        Finding::new(&MASQUERADE_NEW)
            .severity(severity)
            .what(what)
            .fix(fix)
            .with_objects([config_map_subject(config)]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::{Value, json};

    fn pool(name: &str, spec: Value) -> (Kind, Value) {
        object(Kind::IP_POOL, name, json!({"spec": spec}))
    }

    fn cilium(more: Value) -> (Kind, Value) {
        let mut data = json!({"cluster-pool-ipv4-cidr": "10.20.0.0/16"});
        for (key, value) in more.as_object().expect("a map") {
            data[key] = value.clone();
        }
        object(Kind::CONFIG_MAP, "cilium-config", json!({"data": data}))
    }

    fn codes(objects: Vec<(Kind, Value)>) -> Vec<&'static str> {
        let mut case = Case::new(Cni::Calico, Cni::Cilium, objects);
        case.strategy = Strategy::Bridge;
        case.codes(&CHECK)
    }

    #[test]
    fn a_disabled_pool_keeps_calico_from_masquerading() {
        let old = || pool("old", json!({"cidr": "10.10.0.0/16", "natOutgoing": true}));
        let apart = || cilium(json!({"ipv4-native-routing-cidr": "10.0.0.0/8"}));
        assert_eq!(codes(vec![old(), apart()]), ["masquerade-old"]);
        assert_eq!(
            codes(vec![old(), apart(), pool("new", json!({"cidr": "10.20.0.0/16", "disabled": true}))]),
            [""; 0]
        );
        assert_eq!(codes(vec![pool("old", json!({"cidr": "10.10.0.0/16"})), apart()]), [""; 0]);
    }

    #[test]
    fn cilium_masquerades_beyond_its_own_range() {
        let old = || pool("old", json!({"cidr": "10.10.0.0/16"}));
        let fix = |old: (Kind, Value)| {
            Case::new(Cni::Calico, Cni::Cilium, vec![old, cilium(json!({}))]).findings(&CHECK)[0].fix.clone()
        };
        assert!(fix(old()).contains("--set ipv4NativeRoutingCIDR=10.0.0.0/11 "), "{}", fix(old()));
        assert!(fix(pool("old", json!({"cidr": "192.168.0.0/16"}))).starts_with("No range"));
        for (more, expected) in [
            (json!({}), &["masquerade-new"][..]),
            (json!({"ipv4-native-routing-cidr": "10.20.0.0/16"}), &["masquerade-new"]),
            (json!({"ipv4-native-routing-cidr": "10.0.0.0/8"}), &[]),
            (json!({"enable-ipv4-masquerade": "false"}), &[]),
            (json!({"enable-ip-masq-agent": "true"}), &[]),
        ] {
            assert_eq!(codes(vec![old(), cilium(more.clone())]), expected, "{more}");
        }
    }

    #[test]
    fn aws_excludes_ranges_by_a_variable() {
        let case = |variables: Value| {
            let container = json!({"name": "aws-node", "env": variables});
            let node = object(
                Kind::DAEMON_SET,
                "aws-node",
                json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
            );
            let mut case = Case::new(Cni::AwsVpcCni, Cni::Cilium, vec![node, cilium(json!({}))]);
            case.strategy = Strategy::Rotation;
            case.findings(&CHECK)
        };
        let findings = case(json!([{"name": "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "value": "10.99.0.0/16"}]));
        assert_eq!(findings[0].rule.code, "masquerade-old");
        assert!(findings[0].fix.contains("CIDRS=10.99.0.0/16,10.20.0.0/16"), "{}", findings[0].fix);
        assert!(
            case(json!([{"name": "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "value": "10.20.0.0/16"}])).is_empty()
        );
        assert!(case(json!([{"name": "AWS_VPC_K8S_CNI_EXTERNALSNAT", "value": "true"}])).is_empty());
    }

    #[test]
    fn antrea_has_no_exceptions_with_tunnels() {
        let node = object(Kind::NODE, "a", json!({"spec": {"podCIDR": "10.20.0.0/24"}}));
        let antrea = |settings: &str| {
            let config =
                object(Kind::CONFIG_MAP, "antrea-config", json!({"data": {"antrea-agent.conf": settings}}));
            Case::new(
                Cni::Calico,
                Cni::Antrea,
                vec![config, node.clone(), pool("p", json!({"cidr": "10.10.0.0/16"}))],
            )
            .findings(&CHECK)
        };
        let findings = antrea("trafficEncapMode: encap");
        assert_eq!((findings[0].rule.code, findings[0].severity), ("masquerade-new", Severity::Note));
        assert!(antrea("trafficEncapMode: noEncap\nnoSNAT: true").is_empty());
    }
}
