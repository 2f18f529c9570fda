//! The way out of overlapping ranges, in three scenarios: nothing to do, drain a few nodes first, or move a range.
//!
//! *Source*: Antrea's issue 5578, which draws the three; Calico's documentation, "Migrate from one IP pool to another".

use std::collections::{BTreeSet, HashMap};

use snapshot::model::{Kind, Object, Text};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::calico;
use crate::cni::cidr::{Claims, Clash, Plan, Usage, free};
use crate::cni::support::Cni;
use snapshot::Range;

pub(super) fn plan_findings(
    plan: Plan,
    clashes: &[Clash<'_>],
    claims: &Claims,
    scene: &Scene<'_>,
) -> Vec<Finding> {
    match plan {
        Plan::Nothing => Vec::new(),
        Plan::Drain(nodes) => vec![drain(&nodes, clashes, scene)],
        Plan::MovePool(nodes) => {
            let mut all = vec![moved_finding(&nodes, clashes, claims, scene)];
            all.extend(two_halves(&nodes, scene));
            all
        }
    }
}

/// The nodes, each with the number of its pods.
fn subjects(nodes: &BTreeSet<Text>, scene: &Scene<'_>) -> Vec<Subject> {
    let mut pods: HashMap<&str, usize> = HashMap::new();
    for pod in scene.snapshot.pods.iter().filter(|pod| pod.network_ips().next().is_some()) {
        *pods.entry(&pod.spec.node_name).or_default() += 1;
    }
    let has_pods = scene.snapshot.knows(Kind::POD);
    let subject = |node: &Text| {
        let count = pods.get(node.as_ref()).copied().unwrap_or(0);
        let subject = Subject::new(Kind::NODE, node.as_ref());
        if has_pods {
            subject.detail(format!("{count} pods with addresses of the pod network"))
        } else {
            subject
        }
    };
    nodes.iter().map(subject).collect()
}

pub(super) const CIDR_PLAN: Rule = Severity::Note.rule(
    "cidr-plan",
    "The way out of the overlaps: drain the named nodes first, or move a range.\n\n\
     `cidrs.drainAtMostPercent` draws the line.",
    "Draining few nodes is quick; draining many takes the capacity that the migration needs.",
    "Follow the steps of the finding. They have the names, a free range and a manifest in them.",
);

fn drain(nodes: &BTreeSet<Text>, clashes: &[Clash<'_>], scene: &Scene<'_>) -> Finding {
    // The affinity of a block names a node, and may be any text.
    let names: Vec<String> = nodes.iter().map(|node| shell_word(node)).collect();
    let names = names.join(" ");
    let reserved: BTreeSet<String> =
        clashes.iter().filter(|clash| is_of_pods(clash)).map(|clash| clash.new.range.to_string()).collect();
    let reserve = if has_calico_ipam(scene) { format!(" {}", reservation(&reserved)) } else { String::new() };
    let fix = format!(
        "1. Keep the old network from giving these ranges out again.{reserve}\n2. kubectl cordon {names}\n3. kubectl drain {names} --ignore-daemonsets --delete-emptydir-data\n4. Check again; the blocks must be gone or empty (calicoctl ipam check lists leftovers).\n5. Start the migration, and move or replace these nodes as the last ones; uncordon them then."
    );
    let what = "Only a few nodes have old addresses that the new network gives to other nodes: drain these nodes first.";
    let why = "Without pods on these nodes, no pod has the addresses that overlap. The other nodes must have room for these pods.";
    Finding::new(&CIDR_PLAN).what(what).why(why).fix(fix).with_objects(subjects(nodes, scene))
}

fn is_of_pods(clash: &Clash<'_>) -> bool {
    matches!(clash.other.usage, Usage::OldBlock | Usage::OldAddress | Usage::OldPool { .. })
}

/// The manifest by which Calico gives addresses of these ranges to no pod.
pub(super) fn reservation(ranges: &BTreeSet<String>) -> String {
    let read = ranges.iter().filter_map(|range| Range::read(range).ok()).map(|(range, _)| range).collect();
    let list: String = snapshot::merge(read).iter().map(|range| format!("  - {range}\n")).collect();
    format!(
        "calicoctl apply -f - with\n```\napiVersion: projectcalico.org/v3\nkind: IPReservation\nmetadata:\n  name: crossfade-new\nspec:\n  reservedCIDRs:\n{list}```"
    )
}

fn moved_finding(
    nodes: &BTreeSet<Text>,
    clashes: &[Clash<'_>],
    claims: &Claims,
    scene: &Scene<'_>,
) -> Finding {
    let percent = scene.config.cidrs.drain_at_most_percent;
    let ways: Vec<String> =
        new_range(clashes, claims, scene).into_iter().chain(old_pools(clashes, claims, scene)).collect();
    let halves = if scene.config.transition.accept_two_halves.is_some() {
        ""
    } else {
        "\nA migration in two halves, between which connections break, is proposed only if transition.acceptTwoHalves in the settings file says why."
    };
    let fix = if ways.is_empty() {
        format!(
            "Both networks take their ranges from the Node objects. Move by rotation, so that each node has one of both networks only, or give the cluster another pod range first.{halves}"
        )
    } else {
        format!("{}{halves}", ways.join("\nOr: "))
    };
    let what = format!(
        "The pools overlap, or more than {percent} % of the nodes have old addresses that the new network gives to other nodes: move one of the ranges."
    );
    let why = "Draining so many nodes at once takes the capacity that the migration needs, and pools that overlap give such addresses again.";
    Finding::new(&CIDR_PLAN).what(what).why(why).fix(fix).with_objects(subjects(nodes, scene))
}

/// A free range for the new network, where it may choose one.
fn new_range(clashes: &[Clash<'_>], claims: &Claims, scene: &Scene<'_>) -> Option<String> {
    let clash = clashes.iter().find(|clash| clash.new.usage == Usage::NewPool && is_of_pods(clash))?;
    let range = clash.new.range;
    let usual = if range.is_v6() { 104 } else { 16 };
    let (free_range, _) = free(&claims.all, &[], range.is_v6(), range.length().max(usual))?;
    let how = scene.to.driver().set_range(free_range);
    Some(format!(
        "Install the new CNI with a range that nothing in this snapshot uses, such as {free_range}: {how}. Make sure that nothing outside the cluster uses it either."
    ))
}

/// Calico's own IPAM gives the old network's addresses. Pods with addresses of their Node's pod CIDR follow neither a pool nor a reservation.
pub(super) fn has_calico_ipam(scene: &Scene<'_>) -> bool {
    scene.from == Cni::Calico && !calico::is_host_local(scene.snapshot)
}

/// The steps by which pods of Calico get other addresses.
fn old_pools(clashes: &[Clash<'_>], claims: &Claims, scene: &Scene<'_>) -> Option<String> {
    if !has_calico_ipam(scene) {
        return None;
    }
    let names: BTreeSet<&str> = pools(clashes, scene).iter().map(|pool| pool.name()).collect();
    let pool = *pools(clashes, scene).first()?;
    let (manifest, remark) = new_pool(pool, claims, scene)?;
    let names: Vec<&str> = names.into_iter().collect();
    let disable: Vec<String> = names
        .iter()
        .map(|name| format!(r#"kubectl patch ippools.crd.projectcalico.org {name} --type merge -p '{{"spec":{{"disabled":true}}}}'"#))
        .collect();
    Some(format!(
        "Move the old pool.\n1. Create another one: calicoctl apply -f - with\n```\n{manifest}```{remark}\n2. {}\n3. Restart the pods in batches, one namespace after the other: kubectl -n NAMESPACE rollout restart deployment,statefulset,daemonset\n4. Wait until no address of the old pool is in use: calicoctl ipam show --show-blocks\n5. kubectl delete ippools.crd.projectcalico.org {}\n6. Check again.",
        disable.join(" && "),
        names.join(" ")
    ))
}

/// The pools with the addresses that overlap.
fn pools<'s>(clashes: &[Clash<'_>], scene: &Scene<'s>) -> Vec<&'s Object> {
    let is_hit = |pool: &&Object| {
        let Some(Ok((range, _))) = pool.text("/spec/cidr").map(Range::read) else { return false };
        clashes.iter().filter(|clash| is_of_pods(clash)).any(|clash| range.contains(clash.other.range))
    };
    scene.snapshot.objects(Kind::IP_POOL).iter().filter(is_hit).collect()
}

/// A pool like this one in a free range that is large enough: twice the blocks that the nodes need with a quarter more pods than now.
fn new_pool(pool: &Object, claims: &Claims, scene: &Scene<'_>) -> Option<(String, String)> {
    let (range, _) = Range::read(pool.text("/spec/cidr")?).ok()?;
    let usual = if range.is_v6() { 122 } else { 26 };
    let block = pool
        .pointer("/spec/blockSize")
        .and_then(serde_json::Value::as_u64)
        .and_then(|size| u8::try_from(size).ok())
        .unwrap_or(usual);
    let bits: u8 = if range.is_v6() { 128 } else { 32 };
    let per_block = 1_u64.checked_shl(u32::from(bits.checked_sub(block)?))?;
    let needed = blocks_needed(scene, range.is_v6(), per_block);
    let length = block
        .checked_sub(u8::try_from((needed.sum * 2).max(2).next_power_of_two().trailing_zeros()).ok()?)?;
    let (free_range, is_inside) = free(&claims.all, &cluster_cidrs(scene), range.is_v6(), length)?;
    let mut manifest = format!(
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: crossfade-moved\nspec:\n  cidr: {free_range}\n  blockSize: {block}\n"
    );
    for key in ["ipipMode", "vxlanMode", "natOutgoing", "nodeSelector"] {
        let value = pool.pointer("/spec").and_then(|spec| spec.get(key)).filter(|value| !value.is_null());
        manifest.extend(value.map(|value| format!("  {key}: {value}\n")));
    }
    let mut remark = String::from(
        " Nothing in this snapshot uses the range; make sure that nothing outside the cluster does.",
    );
    if !is_inside {
        remark.push_str(" It is outside of the cluster's pod CIDR: if kube-proxy has a clusterCIDR, let that cover the range, or kube-proxy masquerades what its pods send to Services.");
    }
    let limit = scene
        .snapshot
        .objects(Kind::IPAM_CONFIG)
        .first()
        .and_then(|config| config.pointer("/spec/maxBlocksPerHost")?.as_u64())
        .filter(|limit| *limit != 0)
        .unwrap_or(20);
    if needed.most > limit {
        remark.push_str(&format!(" One node needs {} blocks of {per_block} addresses, and Calico gives it {limit}: raise maxBlocksPerHost first.", needed.most));
    }
    Some((manifest, remark))
}

/// How many blocks all nodes and the fullest node need.
struct BlockDemand {
    sum: u64,
    most: u64,
}

fn blocks_needed(scene: &Scene<'_>, is_v6: bool, per_block: u64) -> BlockDemand {
    let mut pods: HashMap<&str, u64> = scene.snapshot.nodes.iter().map(|node| (node.name(), 0)).collect();
    for pod in scene.snapshot.pods.iter().filter(|pod| pod.network_ips().any(|ip| ip.is_ipv6() == is_v6)) {
        *pods.entry(&pod.spec.node_name).or_default() += 1;
    }
    let blocks = |pods: &u64| (pods * 5).div_ceil(4 * per_block).max(1);
    BlockDemand { sum: pods.values().map(blocks).sum(), most: pods.values().map(blocks).max().unwrap_or(1) }
}

/// The cluster's pod CIDRs, as kubeadm and kube-proxy have them.
pub(in crate::check) fn cluster_cidrs(scene: &Scene<'_>) -> Vec<Range> {
    let keys = [
        ("kubeadm-config", "ClusterConfiguration", "podSubnet:"),
        ("kube-proxy", "config.conf", "clusterCIDR:"),
    ];
    let lines = keys.iter().filter_map(|(name, data, key)| {
        let text = scene.snapshot.object(Kind::CONFIG_MAP, name)?.data(data)?;
        text.lines().find_map(|line| line.trim().strip_prefix(key))
    });
    let ranges = lines.flat_map(|line| line.trim().trim_matches(['"', '\'']).split(','));
    ranges.filter_map(|range| Range::read(range.trim()).ok()).map(|(range, _)| range).collect()
}

pub(super) const CIDR_TWO_HALVES: Rule = Severity::Risk.rule(
    "cidr-two-halves",
    "`transition.acceptTwoHalves` accepts a migration in two halves.",
    "While one half has the new network and these nodes still have the old one, pods of both halves do not reach each other. Services with endpoints in both halves fail for a part of all requests.",
    "Move all other nodes first, then these, in one maintenance window. Give every workload that must go on a place in one half only, by a nodeSelector, before the window. Accept each overlap that blocks with a waiver.",
);

/// Only where the operator accepts broken connections.
fn two_halves(nodes: &BTreeSet<Text>, scene: &Scene<'_>) -> Option<Finding> {
    let reason = scene.config.transition.accept_two_halves.as_ref()?;
    let what = format!("A migration in two halves is accepted: {reason}.");
    Some(Finding::new(&CIDR_TWO_HALVES).what(what).with_objects(subjects(nodes, scene)))
}
