//! The meaning of each overlap.

use snapshot::model::Kind;

use super::{Claim, Usage, overlaps};
use crate::check::finding::Severity;
use crate::cni::support::Strategy;

/// The code of a finding of overlaps, in the order of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverlapCode {
    Block,
    ClosedPool,
    External,
    Nodes,
    OwnBlock,
    Pool,
    Reserved,
    Services,
    SameOnNode,
}

impl OverlapCode {
    /// Its text in findings, waivers and documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "cidr-overlap-block",
            Self::ClosedPool => "cidr-overlap-closed-pool",
            Self::External => "cidr-overlap-external",
            Self::Nodes => "cidr-overlap-nodes",
            Self::OwnBlock => "cidr-overlap-own-block",
            Self::Pool => "cidr-overlap-pool",
            Self::Reserved => "cidr-overlap-reserved",
            Self::Services => "cidr-overlap-services",
            Self::SameOnNode => "cidr-same-on-node",
        }
    }
}

/// An overlap of a range of the new network with another range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clash<'a> {
    /// The range of the new network.
    pub new: &'a Claim,
    /// The other range.
    pub other: &'a Claim,
    /// The code of the finding.
    pub code: OverlapCode,
    /// How bad it is.
    pub severity: Severity,
}

/// Every overlap that matters, by the rules of the longest prefix: where both networks have a route, the smaller range wins.
#[must_use]
pub fn clashes(claims: &[Claim], strategy: Strategy) -> Vec<Clash<'_>> {
    let pair = |(a, b): (usize, usize)| {
        let (a, b) = (&claims[a], &claims[b]);
        if a.usage.is_new() { (a, b) } else { (b, a) }
    };
    let judged = |(new, other): (&'_ Claim, &'_ Claim)| judge(new, other, strategy);
    overlaps(claims)
        .into_iter()
        .map(pair)
        .map(|(new, other)| {
            let (code, severity) = judged((new, other));
            Clash { new, other, code, severity }
        })
        .collect()
}

fn judge(new: &Claim, other: &Claim, strategy: Strategy) -> (OverlapCode, Severity) {
    let is_own = new.node.is_some() && new.node == other.node && other.borrowers.is_empty();
    let is_of_node = [new, other].iter().all(|claim| claim.source.kind == Kind::NODE.name());
    match other.usage {
        // In a rotation, a node has one network, and the controller manager gives no pod CIDR twice.
        Usage::OldBlock
            if is_own && is_of_node && new.range == other.range && strategy == Strategy::Rotation =>
        {
            (OverlapCode::SameOnNode, Severity::Note)
        }
        // Both CNIs would give the same addresses.
        Usage::OldBlock | Usage::OldAddress if is_own && new.range == other.range => {
            (OverlapCode::SameOnNode, Severity::Blocks)
        }
        // The node delivers to both. With both networks on one node, it is not known which of them an address is of.
        Usage::OldBlock | Usage::OldAddress if is_own => {
            let severity = if strategy == Strategy::Double { Severity::Blocks } else { Severity::Risk };
            (OverlapCode::OwnBlock, severity)
        }
        Usage::OldBlock | Usage::OldAddress => (OverlapCode::Block, Severity::Blocks),
        Usage::OldPool { is_closed: true } => (OverlapCode::ClosedPool, Severity::Note),
        Usage::OldPool { is_closed: false } => (OverlapCode::Pool, Severity::Blocks),
        Usage::Service => (OverlapCode::Services, Severity::Blocks),
        Usage::Node => (OverlapCode::Nodes, Severity::Blocks),
        Usage::External => (OverlapCode::External, Severity::Blocks),
        Usage::Reserved | Usage::NewPool | Usage::NewNode => (OverlapCode::Reserved, Severity::Blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Subject;
    use snapshot::Range;

    fn claim(range: &str, used: Usage, node: &str) -> Claim {
        let claim = Claim::new(Range::read(range).expect("a range").0, used, Subject::new(Kind::NODE, node));
        if node.is_empty() { claim } else { claim.with_node(node) }
    }

    /// One row per rule: the new range, the old one, strategy, code and severity.
    #[test]
    fn each_overlap_has_its_meaning() {
        use Severity::{Blocks, Note, Risk};
        use Strategy::{Bridge, Double};
        let open = Usage::OldPool { is_closed: false };
        let closed = Usage::OldPool { is_closed: true };
        for (new, other, strategy, code, severity) in [
            (
                claim("10.10.4.0/24", Usage::NewNode, "y"),
                claim("10.10.4.128/26", Usage::OldBlock, "x"),
                Bridge,
                "cidr-overlap-block",
                Blocks,
            ),
            // The new range is the smaller one: /28 of the new network in /26 of the old one.
            (
                claim("10.10.4.144/28", Usage::NewNode, "y"),
                claim("10.10.4.128/26", Usage::OldBlock, "x"),
                Bridge,
                "cidr-overlap-block",
                Blocks,
            ),
            (
                claim("fd00::/120", Usage::NewNode, "y"),
                claim("fd00::40/122", Usage::OldBlock, "x"),
                Bridge,
                "cidr-overlap-block",
                Blocks,
            ),
            // A block without a node.
            (
                claim("10.10.4.0/24", Usage::NewNode, "y"),
                claim("10.10.4.128/26", Usage::OldBlock, ""),
                Bridge,
                "cidr-overlap-block",
                Blocks,
            ),
            (
                claim("10.10.4.0/24", Usage::NewNode, "x"),
                claim("10.10.4.128/26", Usage::OldBlock, "x"),
                Bridge,
                "cidr-overlap-own-block",
                Risk,
            ),
            (
                claim("10.10.4.0/24", Usage::NewNode, "x"),
                claim("10.10.4.128/26", Usage::OldBlock, "x"),
                Double,
                "cidr-overlap-own-block",
                Blocks,
            ),
            (
                claim("10.10.4.0/24", Usage::NewNode, "x"),
                claim("10.10.4.0/24", Usage::OldBlock, "x"),
                Bridge,
                "cidr-same-on-node",
                Blocks,
            ),
            (
                claim("10.10.4.0/24", Usage::NewNode, "x"),
                claim("10.10.4.0/24", Usage::OldBlock, "x"),
                Strategy::Rotation,
                "cidr-same-on-node",
                Note,
            ),
            (
                claim("10.10.4.0/24", Usage::NewNode, "x"),
                claim("10.10.0.0/16", open, ""),
                Bridge,
                "cidr-overlap-pool",
                Blocks,
            ),
            (
                claim("10.10.4.0/24", Usage::NewNode, "x"),
                claim("10.10.0.0/16", closed, ""),
                Bridge,
                "cidr-overlap-closed-pool",
                Note,
            ),
            (
                claim("10.0.0.0/8", Usage::NewPool, ""),
                claim("10.96.0.0/12", Usage::Service, ""),
                Bridge,
                "cidr-overlap-services",
                Blocks,
            ),
            (
                claim("10.0.0.0/8", Usage::NewPool, ""),
                claim("10.1.2.3/32", Usage::Node, "x"),
                Bridge,
                "cidr-overlap-nodes",
                Blocks,
            ),
        ] {
            let claims = [new, other];
            let overlaps: Vec<_> = clashes(&claims, strategy)
                .iter()
                .map(|clash| (clash.code.as_str(), clash.severity))
                .collect();
            assert_eq!(overlaps, [(code, severity)], "{claims:?} {strategy:?}");
        }
    }

    #[test]
    fn a_block_that_lends_addresses_is_not_of_its_node_alone() {
        let mut block = claim("10.10.4.128/26", Usage::OldBlock, "x");
        block.borrowers = vec!["z".into()];
        let claims = [claim("10.10.4.0/24", Usage::NewNode, "x"), block];
        assert_eq!(clashes(&claims, Strategy::Bridge)[0].code, OverlapCode::Block);
    }
}
