//! The meaning of each overlap.

use snapshot::model::Kind;

use super::{Claim, Usage, overlaps};
use crate::check::finding::{Rule, Severity};
use crate::cni::support::Strategy;

const CHOOSE: &str = "Choose a range for the new network that overlaps nothing (networks.new.cidrs), and install the new CNI with it.";

pub(crate) const CIDR_OVERLAP_BLOCK: Rule = Severity::Blocks.rule(
    "cidr-overlap-block",
    "Pod CIDRs of the new network overlap address blocks that the old network uses on other nodes.",
    "Routers and nodes use the route with the longest prefix, so packets for one node's pods go to another node and are lost.",
    "Do what the finding cidr-plan says, then check again.",
);

pub(crate) const CIDR_OVERLAP_CLOSED_POOL: Rule = Severity::Note.rule(
    "cidr-overlap-closed-pool",
    "Ranges of the new network are in pools of the old network that give no more addresses.",
    "This is safe while the pools stay disabled.",
    "Leave spec.disabled of these pools true until the old network is removed.",
);

pub(crate) const CIDR_OVERLAP_EXTERNAL: Rule = Severity::Blocks.rule(
    "cidr-overlap-external",
    "Ranges of the new network cover addresses outside the cluster that pods must reach.\n\n\
     The settings file names them as `cidrs.external`.",
    "Pods no longer reach these addresses: the packets stay in the cluster.",
    CHOOSE,
);

pub(crate) const CIDR_OVERLAP_NODES: Rule = Severity::Blocks.rule(
    "cidr-overlap-nodes",
    "Ranges of the new network cover addresses of nodes.",
    "With a route for pods that covers the nodes, nodes lose each other and the API server. Cilium's default range 10.0.0.0/8 often does this.",
    CHOOSE,
);

pub(crate) const CIDR_OVERLAP_OWN_BLOCK: Rule = Severity::Blocks.rule(
    "cidr-overlap-own-block",
    "Pod CIDRs of the new network overlap address blocks that the old network uses on the same node.\n\n\
     It is a risk where no node has both networks.",
    "The packets reach the right node. While the node has both networks, other nodes cannot tell through which network to send them.",
    "Do what the finding cidr-plan says, or accept the finding with a waiver if no node has both networks.",
);

pub(crate) const CIDR_OVERLAP_POOL: Rule = Severity::Blocks.rule(
    "cidr-overlap-pool",
    "Ranges of the new network overlap pools from which the old network still takes address blocks.",
    "A new block may appear inside a range of the new network at any moment, and then packets for it go to the wrong node.",
    "Do what the finding cidr-plan says.",
);

pub(crate) const CIDR_OVERLAP_RESERVED: Rule = Severity::Blocks.rule(
    "cidr-overlap-reserved",
    "Ranges of the new network cover addresses that have a meaning of their own.\n\n\
     Such addresses are link-local ones, for example, and those of `cidrs.reserved`.",
    "Kernels and clouds treat these addresses differently, so pods with them are not reachable.",
    CHOOSE,
);

pub(crate) const CIDR_OVERLAP_SERVICES: Rule = Severity::Blocks.rule(
    "cidr-overlap-services",
    "Ranges of the new network cover addresses of Services, or those that lead to them.\n\n\
     They are cluster addresses, `externalIPs`, those of load balancers, of Ingresses (`status.loadBalancer`) and of Gateways (`status.addresses`), and Calico's pools for them.",
    "Packets for a Service with the address of a pod, or the other way round, go to the wrong place.",
    CHOOSE,
);

pub(crate) const CIDR_SAME_ON_NODE: Rule = Severity::Blocks.rule(
    "cidr-same-on-node",
    "Both networks give pods addresses from the same range of a node.\n\n\
     In a rotation, where a node has one network only, it is a note.",
    "Each CNI counts its addresses alone, so two pods get the same address.",
    CHOOSE,
);

/// An overlap of a range of the new network with another range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clash<'a> {
    /// The range of the new network.
    pub new: &'a Claim,
    /// The other range.
    pub other: &'a Claim,
    /// The rule of the finding.
    pub rule: &'static Rule,
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
            let (rule, severity) = judged((new, other));
            Clash { new, other, rule, severity }
        })
        .collect()
}

fn judge(new: &Claim, other: &Claim, strategy: Strategy) -> (&'static Rule, Severity) {
    let is_own = new.node.is_some() && new.node == other.node && other.borrowers.is_empty();
    let is_of_node = [new, other].iter().all(|claim| claim.source.kind == Kind::NODE.name());
    match other.usage {
        // In a rotation, a node has one network, and the controller manager gives no pod CIDR twice.
        Usage::OldBlock
            if is_own && is_of_node && new.range == other.range && strategy == Strategy::Rotation =>
        {
            (&CIDR_SAME_ON_NODE, Severity::Note)
        }
        // Both CNIs would give the same addresses.
        Usage::OldBlock | Usage::OldAddress if is_own && new.range == other.range => {
            (&CIDR_SAME_ON_NODE, Severity::Blocks)
        }
        // The node delivers to both. With both networks on one node, it is not known which of them an address is of.
        Usage::OldBlock | Usage::OldAddress if is_own => {
            let severity = if strategy == Strategy::Double { Severity::Blocks } else { Severity::Risk };
            (&CIDR_OVERLAP_OWN_BLOCK, severity)
        }
        Usage::OldBlock | Usage::OldAddress => (&CIDR_OVERLAP_BLOCK, Severity::Blocks),
        Usage::OldPool { is_closed: true } => (&CIDR_OVERLAP_CLOSED_POOL, Severity::Note),
        Usage::OldPool { is_closed: false } => (&CIDR_OVERLAP_POOL, Severity::Blocks),
        Usage::Service => (&CIDR_OVERLAP_SERVICES, Severity::Blocks),
        Usage::Node => (&CIDR_OVERLAP_NODES, Severity::Blocks),
        Usage::External => (&CIDR_OVERLAP_EXTERNAL, Severity::Blocks),
        Usage::Reserved | Usage::NewPool | Usage::NewNode => (&CIDR_OVERLAP_RESERVED, Severity::Blocks),
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
            let overlaps: Vec<_> =
                clashes(&claims, strategy).iter().map(|clash| (clash.rule.code, clash.severity)).collect();
            assert_eq!(overlaps, [(code, severity)], "{claims:?} {strategy:?}");
        }
    }

    #[test]
    fn a_block_that_lends_addresses_is_not_of_its_node_alone() {
        let mut block = claim("10.10.4.128/26", Usage::OldBlock, "x");
        block.borrowers = vec!["z".into()];
        let claims = [claim("10.10.4.0/24", Usage::NewNode, "x"), block];
        assert_eq!(clashes(&claims, Strategy::Bridge)[0].rule, &CIDR_OVERLAP_BLOCK);
    }
}
