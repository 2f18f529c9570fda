//! The remedy for overlaps of both networks: nothing, drain a few nodes, or move the old pool.

use std::collections::BTreeSet;

use snapshot::model::Text;

use super::{Clash, Usage};
use crate::check::finding::Severity;

/// What to do before the migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Both networks are apart.
    Nothing,
    /// Drain these nodes first: their pods have addresses that would belong to another node.
    Drain(BTreeSet<Text>),
    /// Too many nodes are affected, or the pools themselves overlap: move the old pool.
    MovePool(BTreeSet<Text>),
}

/// Decides by the overlaps of both networks. At most `percent` of `nodes` may be drained.
#[must_use]
pub fn plan(clashes: &[Clash<'_>], nodes: usize, percent: u32) -> Plan {
    let is_of_pods = |clash: &&Clash<'_>| {
        clash.severity == Severity::Blocks
            && matches!(clash.other.usage, Usage::OldBlock | Usage::OldAddress | Usage::OldPool { .. })
    };
    let mut affected = BTreeSet::new();
    let mut is_general = false;
    let mut is_any = false;
    for clash in clashes.iter().filter(is_of_pods) {
        is_any = true;
        let on = clash.other.node.iter().chain(&clash.other.borrowers);
        affected.extend(on.cloned());
        // No node can be drained that would remove this overlap.
        is_general |= matches!(clash.other.usage, Usage::OldPool { .. }) && clash.new.usage == Usage::NewPool;
    }
    let most = nodes * usize::try_from(percent).unwrap_or(100) / 100;
    match (is_any, is_general || affected.len() > most) {
        (false, _) => Plan::Nothing,
        (true, false) if !affected.is_empty() => Plan::Drain(affected),
        (true, _) => Plan::MovePool(affected),
    }
}

#[cfg(test)]
mod tests {
    use snapshot::model::Kind;

    use super::*;
    use crate::check::finding::Subject;
    use crate::cni::cidr::{Claim, clashes};
    use crate::cni::support::Strategy;
    use snapshot::Range;

    fn claim(range: &str, used: Usage, node: &str) -> Claim {
        Claim::new(Range::read(range).expect("a range").0, used, Subject::new(Kind::NODE, node))
            .with_node(node)
    }

    /// The numbers of Antrea's issue 5578: 21 nodes with 10.10.0.0/24 to 10.10.20.0/24, and three blocks of Calico within them.
    fn proposal() -> Vec<Claim> {
        let nodes =
            (0..21).map(|index| claim(&format!("10.10.{index}.0/24"), Usage::NewNode, &format!("n{index}")));
        let blocks = [
            ("10.10.4.128/26", "worker3"),
            ("10.10.6.64/26", "worker11"),
            ("10.10.8.128/26", "worker5"),
            ("10.10.253.0/26", "worker1"),
            ("10.10.93.0/26", "worker2"),
            ("10.10.72.0/26", "worker4"),
        ];
        nodes.chain(blocks.map(|(range, node)| claim(range, Usage::OldBlock, node))).collect()
    }

    #[test]
    fn three_of_21_nodes_are_a_few_or_too_many() {
        let claims = proposal();
        let clashes = clashes(&claims, Strategy::Double);
        let affected: BTreeSet<Text> = ["worker11", "worker3", "worker5"].map(Text::from).into();
        assert_eq!(plan(&clashes, 21, 25), Plan::Drain(affected.clone()));
        assert_eq!(plan(&clashes, 21, 10), Plan::MovePool(affected));
    }

    #[test]
    fn networks_that_are_apart_need_nothing() {
        let claims =
            [claim("10.20.0.0/24", Usage::NewNode, "a"), claim("10.10.0.0/26", Usage::OldBlock, "a")];
        assert_eq!(plan(&clashes(&claims, Strategy::Double), 1, 10), Plan::Nothing);
    }

    #[test]
    fn pools_that_overlap_cannot_be_drained_apart() {
        let open = Usage::OldPool { is_closed: false };
        let claims = [claim("10.0.0.0/8", Usage::NewPool, ""), claim("10.10.0.0/16", open, "")];
        assert!(matches!(plan(&clashes(&claims, Strategy::Double), 100, 100), Plan::MovePool(_)));
    }
}
