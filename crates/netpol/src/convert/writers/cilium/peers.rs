//! The other end of a rule as Cilium has it.

use serde_json::{Value, json};

use super::addresses::{AddressedParties, Share, addressed_parties};
use super::selector::peer;
use crate::convert::intermediate::{Peer, PlainPolicies, PodSelection, Rule};
use crate::convert::objects::ip_block;
use crate::convert::report::{Outcome, Refusal};
use crate::engines::cilium::Settings;
use crate::engines::kubernetes::Block;
use crate::tier::Direction;

/// One way to name the other end, as a field without `from` or `to` and its value. The API has one in a rule.
pub(super) type Way = (&'static str, Value);

/// What became of a field of a rule, where it is not exact or needs something.
pub(super) type Note = (&'static str, Outcome, String);

/// The other end of a rule, in one or more ways of which each needs a rule of its own.
///
/// # Errors
/// What no rule of Cilium says of the cluster.
pub(super) fn ways(
    rule: &Rule,
    plain: &PlainPolicies,
    settings: Settings,
    notes: &mut Vec<Note>,
) -> Result<Vec<Way>, Refusal> {
    let all_entities = || vec![("Entities", json!(["all"]))];
    let Some(peers) = &rule.peers else { return Ok(all_entities()) };
    let end = end(rule.direction);
    let (mut pods, mut blocks) = (Vec::new(), Vec::new());
    for item in peers {
        match item {
            Peer::Pods(chosen) => pods.push(chosen.clone()),
            Peer::Block(block) => blocks.push(block.clone()),
        }
    }
    let meant = addressed_parties(&blocks, plain);
    if meant.is_everything {
        return Ok(all_entities());
    }
    if let Some(why) = unsayable(&blocks, &meant, plain, settings) {
        return Err(Refusal::new(end, why));
    }
    let mut selector_list = Vec::new();
    if meant.pods == Share::All {
        notes.push((
            end,
            Outcome::Expanded,
            "a range with the addresses of all pods: all pods by their labels".into(),
        ));
        pods = vec![PodSelection::default()];
    }
    if !pods.is_empty() {
        let selectors: Result<Vec<Value>, String> = pods.iter().map(peer).collect();
        selector_list.push(("Endpoints", selectors.map_err(|why| Refusal::new(end, why))?.into()));
    }
    let is_outside = |block: &&Block| !plain.pod_ranges.iter().any(|pods| pods.contains(block.range));
    let outside: Vec<Value> = blocks.iter().filter(is_outside).map(ip_block).collect();
    if !outside.is_empty() {
        selector_list.push(("CIDRSet", outside.into()));
    }
    if meant.nodes == Share::All && !settings.ranges_match_nodes {
        let why = "a range with the addresses of all nodes: nodes by who they are, also those to come that are not in the range";
        notes.push((end, Outcome::Snapshot, why.into()));
        selector_list.push(("Entities", json!(["host", "remote-node"])));
    }
    Ok(selector_list)
}

/// The end of a rule that is not the policy's own.
pub(super) const fn end(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "source",
        Direction::Egress => "destination",
    }
}

/// Why blocks cannot be said, if they cannot.
///
/// *Source*: Cilium, "CIDR based": ranges match no pods, and nodes only with `policy-cidr-match-mode: nodes`.
fn unsayable(
    blocks: &[Block],
    meant: &AddressedParties,
    plain: &PlainPolicies,
    settings: Settings,
) -> Option<&'static str> {
    if blocks.is_empty() {
        None
    } else if plain.pod_ranges.is_empty() {
        Some("a range, and the ranges of pods are not known: Cilium judges pods by who they are")
    } else if meant.pods == Share::Part {
        Some(
            "a range with the addresses of some pods: Cilium judges pods by who they are, whatever their addresses",
        )
    } else if meant.nodes == Share::Part && !settings.ranges_match_nodes {
        Some(
            "a range with the addresses of some nodes: Cilium judges nodes by who they are, unless policy-cidr-match-mode has nodes",
        )
    } else {
        None
    }
}
