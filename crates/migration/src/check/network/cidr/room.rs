//! The room of the new network for all nodes and their pods.
//!
//! *Source*: Cilium's documentation, "Cluster Scope IPAM": each node gets one range of `cluster-pool-ipv4-mask-size` (24) or `cluster-pool-ipv6-mask-size`
//! (120) bits, and the list of ranges may grow and not change; kube-controller-manager: `--node-cidr-mask-size`; Calico's documentation, "IP pool",
//! `blockSize`: a node takes whole blocks.

use std::collections::HashMap;

use snapshot::model::{Kind, Node, Object};

use super::super::surge::added_nodes;
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::cidr::{self, Claims, Usage};
use crate::cni::support::Cni;
use crate::cni::{calico, cilium};
use snapshot::Range;

pub(super) const CIDR_TOO_SMALL: Rule = Severity::Blocks.rule(
    "cidr-too-small",
    "The new network has too few addresses: its range has no part for every node, or a node's part is smaller than the number of its pods.\n\n\
     It blocks if the nodes and pods of today do not fit, and is a risk if a node may have more pods than addresses.",
    "A node without a range starts no pod, and on a node whose range is full the next pod waits for an address for ever.",
    "Add a range to the end of Cilium's list, or another IPPool; or choose a larger part for each node; or lower `maxPods`. The finding has a free range.",
);

/// Ranges that are too small, by how bad that is.
pub(super) fn too_small(scene: &Scene<'_>, claims: &Claims) -> Vec<Finding> {
    let (mut full, mut tight) = if scene.to.driver().has_node_cidrs(scene.snapshot) {
        node_cidrs(scene, claims)
    } else if scene.to == Cni::Cilium {
        cluster_pools(scene, claims)
    } else if scene.to == Cni::Calico {
        (pools(scene), Vec::new())
    } else {
        return Vec::new();
    };
    let finding = |severity, what: &str, objects: &mut Vec<Subject>| {
        let objects = std::mem::take(objects);
        (!objects.is_empty()).then(|| {
            Finding::new(&CIDR_TOO_SMALL)
                .severity(severity)
                .what(what)
                .fix(fix(scene, claims))
                .with_objects(objects)
        })
    };
    let blocks = "Ranges of the new network are too small for the nodes and pods that there are.";
    let risk = "Ranges of the new network are smaller than the number of pods that a node may have.";
    [finding(Severity::Blocks, blocks, &mut full), finding(Severity::Risk, risk, &mut tight)]
        .into_iter()
        .flatten()
        .collect()
}

/// How many addresses are in a range of this length.
fn size(is_v6: bool, length: u8) -> u128 {
    let bits: u8 = if is_v6 { 128 } else { 32 };
    1_u128.checked_shl(bits.saturating_sub(length).into()).unwrap_or(u128::MAX)
}

/// How many pods of each node have an address of IPv4 and of IPv6.
fn count_pods<'s>(scene: &Scene<'s>) -> HashMap<&'s str, [u128; 2]> {
    let mut all: HashMap<&str, [u128; 2]> = HashMap::new();
    for pod in &scene.snapshot.pods {
        for ip in pod.network_ips() {
            all.entry(&pod.spec.node_name).or_default()[usize::from(ip.is_ipv6())] += 1;
        }
    }
    all
}

/// Compares a node's range with its pods, in words.
fn judge_node(scene: &Scene<'_>, now: u128, node: &Node, range: (bool, u8)) -> Option<(Severity, Subject)> {
    let (is_v6, length) = range;
    let usable = size(is_v6, length).saturating_sub(scene.to.facts().reserved_addresses);
    let most = node.status.allocatable.get("pods").and_then(|text| text.parse().ok()).unwrap_or(0_u128);
    let subject = |pods: String| {
        Subject::from_meta(Kind::NODE, &node.metadata)
            .detail(format!("a /{length} has {usable} addresses for pods; {pods}"))
    };
    if now > usable {
        Some((Severity::Blocks, subject(format!("it has {now} pods"))))
    } else {
        (most > usable).then(|| (Severity::Risk, subject(format!("it may have {most} pods"))))
    }
}

fn split_by_severity(all: impl Iterator<Item = (Severity, Subject)>) -> (Vec<Subject>, Vec<Subject>) {
    let (full, tight): (Vec<_>, Vec<_>) = all.partition(|(severity, _)| *severity == Severity::Blocks);
    let subjects = |all: Vec<(Severity, Subject)>| all.into_iter().map(|(_, subject)| subject).collect();
    (subjects(full), subjects(tight))
}

/// Cilium's own pools, or the ranges that it will be installed with.
fn cluster_pools(scene: &Scene<'_>, claims: &Claims) -> (Vec<Subject>, Vec<Subject>) {
    let config = cilium::config(scene.snapshot);
    // CiliumPodIPPools give a node as many ranges as it needs.
    let ipam = config.and_then(|config| config.data("ipam")).unwrap_or("cluster-pool");
    let pools: Vec<_> = claims.all.iter().filter(|claim| claim.usage == Usage::NewPool).collect();
    if ipam != "cluster-pool" || pools.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let (mut full, mut tight) = (Vec::new(), Vec::new());
    let counts = count_pods(scene);
    let count = |node: &Node, is_v6: bool| counts.get(node.name()).map_or(0, |both| both[usize::from(is_v6)]);
    for (is_v6, key, usual) in [(false, "ipv4", 24), (true, "ipv6", 120)] {
        let own = || pools.iter().filter(|pool| pool.range.is_v6() == is_v6);
        let Some(first) = own().next() else { continue };
        let mask =
            config.and_then(|config| config.data(&format!("cluster-pool-{key}-mask-size"))?.parse().ok());
        let length: u8 = mask.unwrap_or(usual);
        let ranges: Vec<Range> = snapshot::merge(own().map(|pool| pool.range).collect());
        let room = ranges.iter().map(|range| size(is_v6, range.length()) / size(is_v6, length)).sum::<u128>();
        let (nodes, added) = (scene.snapshot.nodes.len(), added_nodes(scene));
        if room < nodes as u128 + u128::from(added) {
            let list = ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let more = if added == 0 {
                String::new()
            } else {
                format!(", and a rotation adds {added} before old ones go")
            };
            let detail =
                format!("{list} has room for {room} nodes with a /{length} each; there are {nodes}{more}");
            full.push(first.source.clone().detail(detail));
        }
        let nodes = scene.snapshot.nodes.iter();
        let judged = nodes.filter_map(|node| judge_node(scene, count(node, is_v6), node, (is_v6, length)));
        let (more_full, more_tight) = split_by_severity(judged);
        full.extend(more_full);
        tight.extend(more_tight);
    }
    (full, tight)
}

/// The pod CIDRs of Nodes, where the new CNI takes those.
fn node_cidrs(scene: &Scene<'_>, claims: &Claims) -> (Vec<Subject>, Vec<Subject>) {
    let counts = count_pods(scene);
    let nodes: HashMap<&str, &Node> = scene.snapshot.nodes.iter().map(|node| (node.name(), node)).collect();
    let of_nodes = claims
        .all
        .iter()
        .filter(|claim| claim.usage == Usage::NewNode && claim.source.kind == Kind::NODE.name());
    let judged = of_nodes.filter_map(|claim| {
        let node = nodes.get(claim.source.name.as_str())?;
        let is_v6 = claim.range.is_v6();
        let now = counts.get(node.name()).map_or(0, |both| both[usize::from(is_v6)]);
        judge_node(scene, now, node, (is_v6, claim.range.length()))
    });
    split_by_severity(judged)
}

/// Calico's pools: a block for each node, and an address for each pod.
fn pools(scene: &Scene<'_>) -> Vec<Subject> {
    let is_open = |pool: &&Object| !pool.is_true("/spec/disabled") && calico::serves(pool, "Workload");
    let range = |pool: &Object| Range::read(pool.text("/spec/cidr")?).ok().map(|(range, _)| range);
    let mut pool_rooms = Vec::new();
    for is_v6 in [false, true] {
        let open = scene.snapshot.objects(Kind::IP_POOL).iter().filter(is_open);
        let own: Vec<(&Object, Range)> = open
            .filter_map(|pool| Some((pool, range(pool)?)))
            .filter(|(_, range)| range.is_v6() == is_v6)
            .collect();
        let Some((first, _)) = own.first() else { continue };
        let usual = if is_v6 { 122 } else { 26 };
        let block = |pool: &Object| {
            let set = pool.pointer("/spec/blockSize").and_then(serde_json::Value::as_u64);
            set.and_then(|size| u8::try_from(size).ok()).unwrap_or(usual)
        };
        let sum = |count_of: &dyn Fn(&Object, Range) -> u128| {
            own.iter().map(|(pool, range)| count_of(pool, *range)).sum::<u128>()
        };
        let blocks = sum(&|pool, range| size(is_v6, range.length()) / size(is_v6, block(pool)));
        let addresses = sum(&|_, range| size(is_v6, range.length()));
        let nodes = scene.snapshot.nodes.len();
        let with_address = |pod: &&snapshot::model::Pod| pod.network_ips().any(|ip| ip.is_ipv6() == is_v6);
        let pods = scene.snapshot.pods.iter().filter(with_address).count();
        if blocks < nodes as u128 || addresses < pods as u128 {
            let detail = format!(
                "{blocks} blocks and {addresses} addresses in all pools; there are {nodes} nodes and {pods} pods"
            );
            pool_rooms.push(Subject::new(Kind::IP_POOL, first.name()).detail(detail));
        }
    }
    pool_rooms
}

/// How the new network gets more room.
fn fix(scene: &Scene<'_>, claims: &Claims) -> String {
    let is_v6 =
        claims.all.iter().filter(|claim| claim.usage == Usage::NewPool).all(|claim| claim.range.is_v6());
    let free = cidr::free(&claims.all, &[], is_v6, if is_v6 { 104 } else { 16 });
    let free = free.map_or_else(|| "RANGE".to_owned(), |(range, _)| range.to_string());
    let has_node_cidrs = scene.to.driver().has_node_cidrs(scene.snapshot);
    if scene.to == Cni::Cilium && !has_node_cidrs {
        return format!(
            "Where there are too few ranges, add one to the end of Cilium's list, such as {free}, which nothing in this snapshot uses: ipam.operator.clusterPoolIPv4PodCIDRList (Helm), and restart cilium-operator. Where a node's range is too small, install Cilium with ipam.operator.clusterPoolIPv4MaskSize=24 or less (IPv6: clusterPoolIPv6MaskSize): it cannot change once nodes have ranges. Or lower maxPods in kubelet's configuration."
        );
    }
    if scene.to == Cni::Calico {
        return format!(
            "Create another IPPool for pods, such as {free}, which nothing in this snapshot uses: calicoctl apply -f pool.yaml."
        );
    }
    NODE_CIDRS.into()
}

const NODE_CIDRS: &str = "Lower maxPods in kubelet's configuration to what the node's range has, or set --node-cidr-mask-size of kube-controller-manager to a smaller number and move by rotation (--strategy rotation): only new nodes get ranges of the new size.";

#[cfg(test)]
mod tests {
    use super::super::CHECK;
    use super::*;
    use crate::check::tests::{Case, object, objects};
    use crate::cni::support::Strategy;
    use serde_json::{Value, json};

    fn nodes(pods: &str) -> Vec<(Kind, Value)> {
        let node = |(index, name): (usize, &str)| {
            let rest = json!({"spec": {"podCIDRs": [format!("10.30.0.{}/26", index * 64)]}, "status": {"allocatable": {"pods": pods}}});
            object(Kind::NODE, name, rest)
        };
        ["a", "b", "c"].into_iter().enumerate().map(node).collect()
    }

    fn pod(index: usize) -> (Kind, Value) {
        let rest = json!({"metadata": {"namespace": "x"}, "spec": {"nodeName": "a"},
            "status": {"phase": "Running", "podIPs": [{"ip": format!("172.20.0.{index}")}]}});
        object(Kind::POD, &format!("p{index}"), rest)
    }

    fn too_small(to: Cni, more: Vec<(Kind, Value)>, most: &str) -> Vec<(Severity, Vec<String>)> {
        let case = Case::new(Cni::Calico, to, [nodes(most), more].concat());
        let findings =
            case.findings(&CHECK).into_iter().filter(|finding| finding.rule.code == "cidr-too-small");
        findings.map(|finding| (finding.severity, objects(&finding))).collect()
    }

    fn cilium(range: &str, mask: &str) -> (Kind, Value) {
        let data = json!({"cluster-pool-ipv4-cidr": range, "cluster-pool-ipv4-mask-size": mask});
        object(
            Kind::CONFIG_MAP,
            "cilium-config",
            json!({"metadata": {"namespace": "kube-system"}, "data": data}),
        )
    }

    #[test]
    fn every_node_needs_a_range_of_the_new_pool() {
        let findings = too_small(Cni::Cilium, vec![cilium("10.20.0.0/23", "24")], "110");
        let detail = "ConfigMap/kube-system/cilium-config: 10.20.0.0/23 has room for 2 nodes with a /24 each; there are 3";
        assert_eq!(findings, [(Severity::Blocks, vec![detail.to_owned()])]);
        assert!(too_small(Cni::Cilium, vec![cilium("10.20.0.0/22", "24")], "110").is_empty());
        // As the fix says: another range at the end of the list.
        assert!(too_small(Cni::Cilium, vec![cilium("10.20.0.0/23 10.40.0.0/16", "24")], "110").is_empty());
    }

    #[test]
    fn nodes_that_a_rotation_adds_need_a_range_too() {
        let finding_for = |strategy| {
            let objects = [nodes("110"), vec![cilium("10.20.0.0/23 10.40.0.0/24", "24")]].concat();
            let all = Case::new(Cni::Calico, Cni::Cilium, objects).strategy(strategy).findings(&CHECK);
            all.into_iter().find(|finding| finding.rule.code == "cidr-too-small")
        };
        assert_eq!(finding_for(Strategy::Double), None);
        let finding = finding_for(Strategy::Rotation).expect("too small");
        let detail = &objects(&finding)[0];
        assert!(detail.ends_with("there are 3, and a rotation adds 1 before old ones go"), "{detail}");
    }

    #[test]
    fn a_nodes_range_has_room_for_its_pods() {
        let small = || vec![cilium("10.20.0.0/16", "28")];
        let findings = too_small(Cni::Cilium, small(), "12");
        assert!(findings.is_empty(), "{findings:?}");
        let findings = too_small(Cni::Cilium, small(), "13");
        assert_eq!((findings[0].0, findings[0].1.len()), (Severity::Risk, 3));
        assert_eq!(findings[0].1[0], "Node/a: a /28 has 12 addresses for pods; it may have 13 pods");
        let busy: Vec<_> = small().into_iter().chain((1..14).map(pod)).collect();
        let findings = too_small(Cni::Cilium, busy, "12");
        assert_eq!(
            findings,
            [(Severity::Blocks, vec!["Node/a: a /28 has 12 addresses for pods; it has 13 pods".into()])]
        );
    }

    #[test]
    fn the_pod_cidrs_of_nodes_count_where_the_new_cni_takes_them() {
        assert!(too_small(Cni::Antrea, Vec::new(), "61").is_empty());
        assert_eq!(too_small(Cni::Antrea, Vec::new(), "62")[0].0, Severity::Risk);
    }

    #[test]
    fn a_pool_of_calico_needs_a_block_for_each_node() {
        let pool = |cidr: &str| object(Kind::IP_POOL, "p", json!({"spec": {"cidr": cidr, "blockSize": 26}}));
        let is_too_small = |cidr: &str| {
            let case = Case::new(Cni::Flannel, Cni::Calico, [nodes("110"), vec![pool(cidr)]].concat());
            case.codes(&CHECK).contains(&"cidr-too-small")
        };
        assert!(is_too_small("10.50.0.0/25"));
        assert!(!is_too_small("10.50.0.0/24"));
    }
}
