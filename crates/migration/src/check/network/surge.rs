//! The old network's addresses for the nodes that a rotation adds: its agent runs on new nodes, too, until no pod of it is left.
//!
//! *Source*: kube-controller-manager, `--node-cidr-mask-size`: one range for each Node; Amazon EKS user guide, "Understand each phase of node updates" (two
//! nodes for each zone before the first drain); aws/amazon-vpc-cni-k8s, README (`WARM_ENI_TARGET`, `WARM_IP_TARGET`), aws/containers-roadmap#2553.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::Range;
use snapshot::model::{Kind, Object};

use super::cidr::cluster_cidrs;
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::node::disruption::nodes_at_once;
use crate::check::{Check, Need};
use crate::cni::network::{is_yes, subject, variable};
use crate::cni::support::{Cni, Strategy};
use crate::cni::{calico, flannel};
use crate::workload::{EKS_NODE_GROUP, agents, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "surge",
    rules: &[&OLD_RANGES_FEW, &VPC_ADDRESSES_WARM],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::CONFIG_MAP),
        Need::From(Cni::Calico, Kind::IP_POOL),
        Need::From(Cni::Calico, Kind::IPAM_BLOCK),
        Need::From(Cni::Calico, Kind::TIGERA_INSTALLATION),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    if scene.strategy != Strategy::Rotation {
        return Vec::new();
    }
    let ranges =
        if scene.from.driver().has_node_cidrs(scene.snapshot) { old_ranges(scene) } else { Vec::new() };
    let few = ranges.into_iter().filter_map(|range| few_ranges(scene, range));
    few.chain(few_blocks(scene)).chain(spare_addresses(scene)).collect()
}

/// Calico's own IPAM gives each new node a block of one of its pools.
///
/// *Source*: Calico's documentation, "IP pool", `blockSize` (26, and 122 of IPv6).
fn few_blocks(scene: &Scene<'_>) -> Vec<Finding> {
    if scene.from != Cni::Calico || calico::is_host_local(scene.snapshot) {
        return Vec::new();
    }
    let range = |object: &Object| Range::read(object.text("/spec/cidr")?).ok().map(|(range, _)| range);
    let is_open = |pool: &&Object| !pool.is_true("/spec/disabled") && calico::serves(pool, "Workload");
    let open = scene.snapshot.objects(Kind::IP_POOL).iter().filter(is_open);
    let pools: Vec<(&Object, Range)> = open.filter_map(|pool| Some((pool, range(pool)?))).collect();
    let blocks: Vec<Range> = scene.snapshot.objects(Kind::IPAM_BLOCK).iter().filter_map(range).collect();
    let of_family = |is_v6: bool| {
        let own: Vec<&(&Object, Range)> = pools.iter().filter(|(_, range)| range.is_v6() == is_v6).collect();
        let (first, _) = own.first()?;
        let room: u64 = own.iter().map(|(pool, range)| blocks_of(pool, *range)).fold(0, u64::saturating_add);
        let is_used = |block: &&Range| own.iter().any(|(_, range)| range.contains(**block));
        let used = u64::try_from(blocks.iter().filter(is_used).count()).unwrap_or(u64::MAX);
        let what = |added| {
            format!(
                "The pools of the old network have {room} blocks of addresses, of which {used} are taken, and a rotation adds {added} nodes before old ones go."
            )
        };
        let way = "Give Calico another IPPool, or free blocks of nodes that are gone: calicoctl ipam check --show-problem-ips.";
        let finding = few_left(scene, room.saturating_sub(used), what, way)?;
        Some(finding.with_objects([subject(Kind::IP_POOL, first)]))
    };
    [false, true].into_iter().filter_map(of_family).collect()
}

/// How many blocks a pool has.
fn blocks_of(pool: &Object, range: Range) -> u64 {
    let set = pool.pointer("/spec/blockSize").and_then(serde_json::Value::as_u64);
    let size = set.and_then(|size| u8::try_from(size).ok()).unwrap_or(if range.is_v6() { 122 } else { 26 });
    1_u64.checked_shl(size.saturating_sub(range.length()).into()).unwrap_or(u64::MAX)
}

const OLD_RANGES_FEW: Rule = Severity::Risk.rule(
    "old-ranges-few",
    "The old network has fewer free ranges than a rotation adds nodes.\n\n\
     It blocks if none is free.\n\n\
     A managed node group of EKS adds two nodes for each of its zones; of all other nodes as many count as move at once by the limits of the settings file. Old networks that give each Node a range are Flannel, Canal, Antrea and Calico with host-local.",
    "A new node without a range of the old network never gets its agent ready, so it does not reach pods of the old network, and the rotation stops.",
    "Delete Nodes whose machines are gone: kubectl delete node worker-1. Or let the rotation add fewer nodes at once, by maxSurge, by budgets or by a smaller node group, and accept this finding with a waiver.",
);

/// The finding where a rotation adds more nodes than the old network has ranges left for; none if it has enough.
fn few_left(scene: &Scene<'_>, free: u64, what: impl FnOnce(u64) -> String, way: &str) -> Option<Finding> {
    let added = added_nodes(scene);
    let fix = || {
        format!(
            "{way} Or let the rotation add at most {free} nodes at once, by maxSurge, by budgets or by a smaller node group, and accept this finding with a waiver."
        )
    };
    let severity = if free == 0 { Severity::Blocks } else { Severity::Risk };
    (free < added).then(|| Finding::new(&OLD_RANGES_FEW).severity(severity).what(what(added)).fix(fix()))
}

/// The ranges of which each Node gets one.
fn old_ranges(scene: &Scene<'_>) -> Vec<Range> {
    let of_cluster = cluster_cidrs(scene);
    let flannel = flannel::read(scene.snapshot).filter(|_| of_cluster.is_empty());
    let of_flannel =
        flannel.iter().flat_map(|flannel| flannel.ranges().filter_map(|range| Range::read(range).ok()));
    of_cluster.iter().copied().chain(of_flannel.map(|(range, _)| range)).collect()
}

/// How many nodes a rotation adds before old ones go: of a managed node group two for each zone, or its `maxUnavailable` if the settings name more; of all other
/// nodes as many as move at once.
pub(super) fn added_nodes(scene: &Scene<'_>) -> u64 {
    if scene.strategy != Strategy::Rotation {
        return 0;
    }
    let mut groups: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    let mut others: u64 = 0;
    for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
        match node.metadata.label(EKS_NODE_GROUP) {
            Some(name) => {
                let (zones, nodes) = groups.entry(name).or_default();
                zones.insert(node.zone());
                *nodes += 1;
            }
            None => others += 1,
        }
    }
    let surge = |(name, (zones, nodes)): (&&str, &(BTreeSet<&str>, usize))| {
        let most = scene.config.roll.max_unavailable(name, *nodes);
        most.unwrap_or_default().max(2 * zones.len())
    };
    let surges: usize = groups.iter().map(surge).sum();
    u64::try_from(surges).unwrap_or(u64::MAX) + others.min(nodes_at_once(scene))
}

fn few_ranges(scene: &Scene<'_>, range: Range) -> Option<Finding> {
    let cidrs = scene.snapshot.nodes.iter().flat_map(|node| node.pod_cidrs());
    let lengths = cidrs.filter_map(|cidr| Range::read(cidr).ok()).map(|(own, _)| own);
    let lengths: Vec<u8> = lengths.filter(|own| own.is_v6() == range.is_v6()).map(Range::length).collect();
    let length = *lengths.first()?;
    let room = 1_u64.checked_shl(length.saturating_sub(range.length()).into()).unwrap_or(u64::MAX);
    let used = u64::try_from(lengths.len()).unwrap_or(u64::MAX);
    let what = |added| {
        format!(
            "The range {range} of the old network has room for {room} nodes with a /{length} each; {used} nodes have one, and a rotation adds {added} before old nodes go."
        )
    };
    let way = "Delete Nodes whose machines are gone: kubectl delete node NAME.";
    few_left(scene, room.saturating_sub(used), what, way)
}

const VPC_ADDRESSES_WARM: Rule = Severity::Note.rule(
    "vpc-addresses-warm",
    "Each new node takes spare addresses of the VPC for the old network, though its pods get the new one.\n\n\
     It is found with the strategy `rotation`.",
    "No object shows how many addresses the subnets have left. Where they run out, new nodes do not get ready, and old ones start no pod.",
    "See how many are left: aws ec2 describe-subnets --query 'Subnets[].[SubnetId,AvailableIpAddressCount]'. Let a node take fewer: kubectl -n kube-system set env daemonset/aws-node WARM_IP_TARGET=1.",
);

/// The agent of the VPC CNI without a limit of spare addresses.
fn spare_addresses(scene: &Scene<'_>) -> Option<Finding> {
    let agent = agents(scene, scene.from).into_iter().find(|agent| agent.cni == Cni::AwsVpcCni)?;
    let setting = |name: &str| variable(agent.daemon_set, name).unwrap_or_default();
    if !matches!(setting("WARM_IP_TARGET"), "" | "0") {
        return None;
    }
    let spare = if is_yes(setting("ENABLE_PREFIX_DELEGATION")) {
        "a prefix of 16 addresses".to_owned()
    } else {
        let interfaces = setting("WARM_ENI_TARGET");
        format!("all addresses of {} more interface", if interfaces.is_empty() { "1" } else { interfaces })
    };
    let meta = &agent.daemon_set.metadata;
    Some(
        Finding::new(&VPC_ADDRESSES_WARM).fix(format!(
                "See how many are left: aws ec2 describe-subnets --query 'Subnets[].[SubnetId,AvailableIpAddressCount]'. Let a node take fewer: kubectl -n {} set env daemonset/{} WARM_IP_TARGET=1",
                meta.namespace, meta.name
            ))
        .with_objects([Subject::from_meta(Kind::DAEMON_SET, meta)
            .detail(format!("{spare} for each of {} nodes that a rotation adds at once", added_nodes(scene)))]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn nodes(count: usize, labels: &str) -> String {
        let node = |index: usize| {
            format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: n{index}, labels: {{topology.kubernetes.io/zone: z{}, {labels}}}}}\nspec: {{podCIDR: 10.244.{index}.0/24}}\n---\n",
                index % 3
            )
        };
        (0..count).map(node).collect()
    }

    fn network(range: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kube-flannel-cfg, namespace: kube-flannel}}\ndata: {{net-conf.json: '{{\"Network\":\"{range}\"}}'}}\n---\n"
        )
    }

    #[test]
    fn a_rotation_needs_ranges_of_the_old_network() {
        let group = "eks.amazonaws.com/nodegroup: blue";
        for (cluster, expected) in [
            ([nodes(8, ""), network("10.244.0.0/20")].concat(), None),
            ([nodes(8, ""), network("10.244.0.0/21")].concat(), Some((Severity::Blocks, "room for 8 nodes"))),
            ([nodes(3, ""), network("10.244.0.0/22")].concat(), None),
            // Two for each of three zones.
            ([nodes(3, group), network("10.244.0.0/22")].concat(), Some((Severity::Risk, "adds 6 before"))),
            ([nodes(3, group), network("10.244.0.0/20")].concat(), None),
        ] {
            let case = Case::from_yaml(&cluster).pair(Cni::Flannel, Cni::Cilium);
            let all = case.strategy(Strategy::Rotation).findings(&CHECK);
            let first = all.first().map(|finding| (finding.severity, finding.what.as_str()));
            assert_eq!(
                first.map(|(severity, _)| severity),
                expected.map(|(severity, _)| severity),
                "{cluster}"
            );
            if let (Some((_, what)), Some((_, words))) = (first, expected) {
                assert!(what.contains(words), "{what}");
            }
        }
        let cluster = [nodes(10, group), network("10.244.0.0/20")].concat();
        let case = Case::from_yaml(&cluster).pair(Cni::Flannel, Cni::Cilium).strategy(Strategy::Rotation);
        let findings = case
            .config("roll: {maxUnavailable: {blue: 3}, maxUnavailablePercentage: {'b*': 65}}")
            .findings(&CHECK);
        assert!(
            findings.first().is_some_and(|finding| finding.what.contains("adds 7 before")),
            "{findings:?}"
        );
        let stays = Case::from_yaml(&[nodes(8, ""), network("10.244.0.0/21")].concat())
            .pair(Cni::Flannel, Cni::Cilium);
        assert!(stays.codes(&CHECK).is_empty(), "no node is added");
    }

    /// Calico's own IPAM, whose blocks the Nodes do not show.
    #[test]
    fn a_rotation_needs_blocks_of_the_pools() {
        let pool = |cidr: &str, more: &str| {
            format!(
                "apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {{name: p}}\nspec: {{cidr: {cidr}{more}}}\n---\n"
            )
        };
        let blocks = |count: usize| -> String {
            let block = |index: usize| {
                format!(
                    "apiVersion: crd.projectcalico.org/v1\nkind: IPAMBlock\nmetadata: {{name: b{index}}}\nspec: {{cidr: 10.10.0.{}/26}}\n---\n",
                    index * 64
                )
            };
            (0..count).map(block).collect()
        };
        // 8 nodes without pod CIDRs, of which one is added at once.
        let nodes = nodes(8, "").replace("podCIDR", "unused");
        for (pool, taken, severity) in [
            (pool("10.10.0.0/24", ""), 4, Some(Severity::Blocks)),
            (pool("10.10.0.0/24", ""), 3, None),
            (pool("10.10.0.0/24", ", disabled: true"), 4, None),
            (pool("10.10.0.0/24", ", blockSize: 28"), 4, None),
            (pool("10.20.0.0/26", ""), 4, None),
        ] {
            let case = Case::from_yaml(&[nodes.as_str(), &pool, &blocks(taken)].concat())
                .pair(Cni::Calico, Cni::Cilium);
            let findings = case.strategy(Strategy::Rotation).findings(&CHECK);
            assert_eq!(findings.first().map(|finding| finding.severity), severity, "{pool} {taken}");
            assert!(findings.iter().all(|finding| objects(finding) == ["IPPool/p"]), "{findings:?}");
        }
    }

    #[test]
    fn a_new_node_takes_spare_addresses_of_the_vpc() {
        let agent = |env: &str| {
            let set = format!(
                "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: aws-node, namespace: kube-system}}\nspec: {{template: {{spec: {{containers: [{{name: aws-node, env: [{env}]}}]}}}}}}\n---\n"
            );
            let case = Case::from_yaml(&[set, nodes(3, "eks.amazonaws.com/nodegroup: blue")].concat());
            case.pair(Cni::AwsVpcCni, Cni::Cilium).strategy(Strategy::Rotation)
        };
        for (env, detail) in [
            ("", Some("all addresses of 1 more interface for each of 6 nodes")),
            ("{name: WARM_ENI_TARGET, value: \"2\"}", Some("all addresses of 2 more interface")),
            ("{name: ENABLE_PREFIX_DELEGATION, value: \"true\"}", Some("a prefix of 16 addresses for each")),
            ("{name: WARM_IP_TARGET, value: \"2\"}", None),
        ] {
            let findings = agent(env).findings(&CHECK);
            assert_eq!(findings.len(), usize::from(detail.is_some()), "{env}");
            let named = findings.first().map(|finding| (finding.rule.code, objects(finding).concat()));
            assert!(
                named.is_none_or(
                    |(code, words)| code == "vpc-addresses-warm" && words.contains(detail.unwrap_or("-"))
                ),
                "{env}"
            );
        }
    }
}
