//! Rows about addresses.

use snapshot::model::Kind;

use super::{Requirement, Scope, State};
use crate::check::finding::Severity;
use crate::check::{CIDR_INVALID, CIDR_UNKNOWN, Scene};
use crate::cni::cidr;

pub(super) const ROWS: &[Requirement] = &[Requirement {
    name: "distinct-ranges",
    what: "The new network's addresses overlap no others.",
    why: "Packets for an address that two networks give go to one of them, and the other pod loses its connections.",
    found_by: &[
        &CIDR_INVALID,
        &cidr::CIDR_OVERLAP_BLOCK,
        &cidr::CIDR_OVERLAP_EXTERNAL,
        &cidr::CIDR_OVERLAP_NODES,
        &cidr::CIDR_OVERLAP_OWN_BLOCK,
        &cidr::CIDR_OVERLAP_POOL,
        &cidr::CIDR_OVERLAP_RESERVED,
        &cidr::CIDR_OVERLAP_SERVICES,
        &cidr::CIDR_SAME_ON_NODE,
        &CIDR_UNKNOWN,
    ],
    scope: Scope::All,
    needs: &[Kind::NODE, Kind::SERVICE, Kind::INGRESS, Kind::GATEWAY],
    state: decide_distinct,
}];

fn decide_distinct(scene: &Scene<'_>) -> State {
    let claims = cidr::gather(scene);
    if claims.is_shared {
        return State::met("both take addresses from the cloud's network, which gives none twice");
    }
    if !claims.unread.is_empty() {
        return State::unknown(
            "a range of pods cannot be read",
            "correct the ranges that check names (cidr-invalid)",
        );
    }
    if !claims.all.iter().any(|claim| claim.usage.is_new()) {
        return State::unknown(
            "nothing says which addresses the new network gives",
            "set networks.new.cidrs in the settings file",
        );
    }
    let clashes = cidr::clashes(&claims.all, scene.network_strategy());
    let blocking = clashes.iter().filter(|clash| clash.severity == Severity::Blocks).count();
    if blocking == 0 {
        State::met("no range overlaps")
    } else {
        let check = format!(
            "kubectl crossfade check --from {} --to {} lists them, with the way out",
            scene.from, scene.to
        );
        State::not_met(format!("{blocking} overlaps"), check)
    }
}
