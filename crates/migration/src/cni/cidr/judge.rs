//! What each overlap means.

use snapshot::model::Kind;

use super::{Claim, Usage, overlaps};
use crate::check::finding::Severity;
use crate::cni::support::Strategy;

/// An overlap of a range of the new network with another range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clash<'a> {
    /// The range of the new network.
    pub new: &'a Claim,
    /// The other range.
    pub other: &'a Claim,
    /// The code of the finding.
    pub code: &'static str,
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

fn judge(new: &Claim, other: &Claim, strategy: Strategy) -> (&'static str, Severity) {
    let is_own = new.node.is_some() && new.node == other.node && other.borrowers.is_empty();
    let is_of_node = [new, other].iter().all(|claim| claim.source.kind == Kind::NODE.name());
    match other.usage {
        // In a rotation, a node has one network, and the controller manager gives no pod CIDR twice.
        Usage::OldBlock
            if is_own && is_of_node && new.range == other.range && strategy == Strategy::Rotation =>
        {
            ("cidr-same-on-node", Severity::Note)
        }
        // Both CNIs would give the same addresses.
        Usage::OldBlock | Usage::OldAddress if is_own && new.range == other.range => {
            ("cidr-same-on-node", Severity::Blocks)
        }
        // The node delivers to both. With both networks on one node, nobody knows which of them an address is of.
        Usage::OldBlock | Usage::OldAddress if is_own => {
            let severity = if strategy == Strategy::Double { Severity::Blocks } else { Severity::Risk };
            ("cidr-overlap-own-block", severity)
        }
        Usage::OldBlock | Usage::OldAddress => ("cidr-overlap-block", Severity::Blocks),
        Usage::OldPool { is_closed: true } => ("cidr-overlap-closed-pool", Severity::Note),
        Usage::OldPool { is_closed: false } => ("cidr-overlap-pool", Severity::Blocks),
        Usage::Service => ("cidr-overlap-services", Severity::Blocks),
        Usage::Node => ("cidr-overlap-nodes", Severity::Blocks),
        Usage::External => ("cidr-overlap-external", Severity::Blocks),
        Usage::Reserved | Usage::NewPool | Usage::NewNode => ("cidr-overlap-reserved", Severity::Blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Subject;
    use snapshot::Range;

    fn claim(range: &str, used: Usage, node: &str) -> Claim {
        let claim = Claim::new(Range::read(range).expect("a range").0, used, Subject::new(Kind::NODE, node));
        if node.is_empty() { claim } else { claim.on(node) }
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
            let found: Vec<_> =
                clashes(&claims, strategy).iter().map(|clash| (clash.code, clash.severity)).collect();
            assert_eq!(found, [(code, severity)], "{claims:?} {strategy:?}");
        }
    }

    #[test]
    fn a_block_that_lends_addresses_is_not_of_its_node_alone() {
        let mut block = claim("10.10.4.128/26", Usage::OldBlock, "x");
        block.borrowers = vec!["z".into()];
        let claims = [claim("10.10.4.0/24", Usage::NewNode, "x"), block];
        assert_eq!(clashes(&claims, Strategy::Bridge)[0].code, "cidr-overlap-block");
    }
}
