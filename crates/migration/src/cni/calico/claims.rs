//! Calico's pools, blocks and tunnel addresses, as those of the old network.

use std::collections::BTreeSet;

use serde_json::Value;
use snapshot::model::{Kind, Object, TUNNELS, Text};

use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::calico;
use crate::cni::cidr::{Claims, Usage, subject};
use snapshot::Range;

pub(super) fn add_old_claims(scene: &Scene<'_>, claims: &mut Claims) {
    let is_host_local = calico::is_host_local(scene.snapshot);
    for pool in scene.snapshot.objects(Kind::IP_POOL) {
        let used = usage(pool, Usage::OldPool { is_closed: is_host_local || is_closed(pool) });
        claims.add(
            pool.text("/spec/cidr").unwrap_or_default(),
            used,
            None,
            Subject::new(Kind::IP_POOL, pool.name()),
        );
    }
    blocks(scene, Usage::OldBlock, claims);
    for node in &scene.snapshot.nodes {
        for address in TUNNELS.iter().filter_map(|key| node.metadata.annotation(key)) {
            claims.add_address(address, Usage::OldAddress, Some(node.name()), subject(node));
        }
    }
}

/// What the addresses of a pool are for, if a pool for pods and tunnels is `for_pods`: those of a pool for load balancers belong to Services.
pub(super) fn usage(pool: &Object, for_pods: Usage) -> Usage {
    let is_for_pods = calico::serves(pool, "Workload") || calico::serves(pool, "Tunnel");
    if is_for_pods { for_pods } else { Usage::Service }
}

/// The pool gives no address to a new pod: it is disabled, or selects no node.
fn is_closed(pool: &Object) -> bool {
    pool.is_true("/spec/disabled") || pool.text("/spec/nodeSelector").is_some_and(|is| is.trim() == "!all()")
}

/// Pods have addresses of the pool, or may get some. A closed pool without a block only lets Calico know its range, as the one that keeps Calico from
/// masquerading what its pods send to the new network.
#[must_use]
pub(crate) fn gives_addresses(scene: &Scene<'_>, pool: &Object) -> bool {
    let read = |object: &Object| object.text("/spec/cidr").and_then(|text| Range::read(text).ok());
    let has_block = |range: Range| {
        let blocks = scene.snapshot.objects(Kind::IPAM_BLOCK).iter();
        blocks
            .filter(|block| !block.is_true("/spec/deleted"))
            .filter_map(read)
            .any(|(block, _)| range.contains(block))
    };
    // Of a pool whose range cannot be read, nothing is known.
    !is_closed(pool) || read(pool).is_none_or(|(range, _)| has_block(range))
}

/// The blocks that nodes have, also the ones without a node: addresses in them may still be in use.
pub(super) fn blocks(scene: &Scene<'_>, used: Usage, claims: &mut Claims) {
    for block in scene.snapshot.objects(Kind::IPAM_BLOCK) {
        if block.is_true("/spec/deleted") {
            continue;
        }
        let node = block.text("/spec/affinity").and_then(|affinity| affinity.strip_prefix("host:"));
        let cidr = block.text("/spec/cidr").unwrap_or_default();
        if let Some(claim) = claims.add(cidr, used, node, Subject::new(Kind::IPAM_BLOCK, block.name())) {
            claim.borrowers = borrowers(block, node);
        }
    }
}

/// Nodes other than the block's whose pods have addresses of it. Calico lends them where `strictAffinity` is false.
fn borrowers(block: &Object, owner: Option<&str>) -> Vec<Text> {
    let attributes = block.list("/spec/attributes");
    // An attribute that no address has is a leftover.
    let in_use: BTreeSet<u64> = block.list("/spec/allocations").iter().filter_map(Value::as_u64).collect();
    let node = |(index, attribute): (usize, &Value)| {
        let node = attribute.pointer("/secondary/node").and_then(Value::as_str)?.to_owned();
        in_use.contains(&u64::try_from(index).ok()?).then_some(node)
    };
    let nodes: BTreeSet<String> = attributes.iter().enumerate().filter_map(node).collect();
    nodes.into_iter().filter(|node| Some(node.as_str()) != owner).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_that_borrows_an_address_is_among_those_of_the_block() {
        let block = json!({"metadata": {"name": "b"}, "spec": {"cidr": "10.0.0.0/30", "affinity": "host:a",
            "allocations": [0, null, 1, null],
            "attributes": [{"secondary": {"node": "a"}}, {"secondary": {"node": "b"}}, {"secondary": {"node": "gone"}}]}});
        let block = Object::new(Kind::IPAM_BLOCK, block).expect("kept");
        assert_eq!(borrowers(&block, Some("a")), [Text::from("b")]);
        assert_eq!(borrowers(&block, None), [Text::from("a"), Text::from("b")]);
    }

    #[test]
    fn a_closed_pool_gives_no_address() {
        for (spec, closed) in [
            (json!({"disabled": true}), true),
            (json!({"nodeSelector": "!all()"}), true),
            (json!({"nodeSelector": "all()"}), false),
            (json!({}), false),
        ] {
            let pool =
                Object::new(Kind::IP_POOL, json!({"metadata": {"name": "p"}, "spec": spec})).expect("kept");
            assert_eq!(is_closed(&pool), closed, "{pool:?}");
        }
    }
}
