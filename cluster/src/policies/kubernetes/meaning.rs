//! What NetworkPolicies let through. Pure.

use super::object::{Block, Peer, Policy, Port, PortNumber, Rule};
use super::selector::LabelSelector;
use crate::model::Text;
use crate::policies::expression::{Expression, Of};
use crate::policies::mention::Mentions;
use crate::policies::parties::Parties;
use crate::policies::tier::{self, Action, Direction, End, Tier};
use crate::policies::traffic::Traffic;
use crate::policies::world::World;

/// Whose addresses an `ipBlock` matches beside those outside of the cluster, which the API leaves to the CNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// Those of pods.
    pub pods: bool,
    /// Those of nodes.
    pub nodes: bool,
}

impl Policy {
    fn of(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// The condition on the pods that the policy selects, in its namespace.
    fn selects(&self) -> Result<Expression, String> {
        Ok(Expression::Within(self.namespace.clone()).and(self.pods.expression(Of::Pod)?))
    }
}

/// What some policies mention.
///
/// # Errors
/// A selector that the API does not have.
pub fn mentions(policies: &[Policy]) -> Result<Mentions, String> {
    let mut all = Mentions::default();
    for policy in policies {
        let namespace = Some(policy.namespace.clone());
        all.conditions.insert((namespace.clone(), policy.pods.expression(Of::Pod)?));
        for rule in policy.ingress.iter().chain(&policy.egress) {
            for peer in &rule.peers {
                match peer {
                    Peer::Pods(pods, None) => {
                        all.conditions.insert((namespace.clone(), condition(pods.as_ref(), Of::Pod)?));
                    }
                    Peer::Pods(pods, namespaces) => {
                        let namespaces = condition(namespaces.as_ref(), Of::Namespace)?;
                        all.conditions.insert((None, namespaces.and(condition(pods.as_ref(), Of::Pod)?)));
                    }
                    Peer::Block(block) => {
                        all.ranges.extend(block.except.iter().copied().chain([block.range]))
                    }
                }
            }
            let names = rule.ports.iter().filter_map(|port| match &port.port {
                Some(PortNumber::Name(name)) => Some((port.protocol, name.clone())),
                Some(PortNumber::Range(..)) | None => None,
            });
            all.port_names.extend(names);
        }
    }
    Ok(all)
}

/// The tier that the policies are: the union of what they allow, and nothing else for the pods that one of them selects.
///
/// # Errors
/// A selector that the API does not have.
pub fn tier(
    policies: &[Policy],
    world: &World,
    direction: Direction,
    blocks: Blocks,
) -> Result<Tier, String> {
    let mut all = Tier { rules: Vec::new(), ends: world.nobody(), end: End::Deny };
    for policy in policies.iter().filter(|policy| policy.types.contains(&direction)) {
        let subjects = world.select(&policy.selects()?);
        for (place, rule) in policy.of(direction).iter().enumerate() {
            let origin: Text = format!(
                "NetworkPolicy {}/{} spec.{}[{place}]",
                policy.namespace,
                policy.name,
                direction.name().to_lowercase()
            )
            .into();
            let peers = peers(rule, policy, world, blocks)?;
            all.rules.extend(allowed(rule, &subjects, &peers, world, direction, &origin));
        }
        all.ends = all.ends.or(&subjects);
    }
    Ok(all)
}

fn condition(selector: Option<&LabelSelector>, of: Of) -> Result<Expression, String> {
    selector.map_or(Ok(Expression::Always), |selector| selector.expression(of))
}

fn peers(rule: &Rule, policy: &Policy, world: &World, blocks: Blocks) -> Result<Parties, String> {
    if rule.peers.is_empty() {
        return Ok(world.everybody());
    }
    rule.peers.iter().try_fold(world.nobody(), |all, peer| Ok(all.or(&ends(peer, policy, world, blocks)?)))
}

fn ends(peer: &Peer, policy: &Policy, world: &World, blocks: Blocks) -> Result<Parties, String> {
    match peer {
        Peer::Pods(pods, namespaces) => {
            let within = match namespaces {
                Some(_) => condition(namespaces.as_ref(), Of::Namespace)?,
                None => Expression::Within(policy.namespace.clone()),
            };
            Ok(world.select(&within.and(condition(pods.as_ref(), Of::Pod)?)))
        }
        Peer::Block(Block { range, except }) => {
            let found =
                except.iter().fold(world.within(*range), |all, part| all.without(&world.within(*part)));
            let kept =
                |found: Parties, keep: bool, who: &Parties| if keep { found } else { found.without(who) };
            Ok(kept(kept(found, blocks.pods, world.pods()), blocks.nodes, world.nodes()))
        }
    }
}

/// The rule, once for each number that its ports' names stand for: the receiver's container has the name.
fn allowed(
    rule: &Rule,
    subjects: &Parties,
    peers: &Parties,
    world: &World,
    direction: Direction,
    origin: &Text,
) -> Vec<tier::Rule> {
    let made = |receivers: Option<&Parties>, traffic: Traffic| {
        let (mut subjects, mut peers) = (subjects.clone(), peers.clone());
        if let Some(receivers) = receivers {
            match direction {
                Direction::Ingress => subjects = subjects.and(receivers),
                Direction::Egress => peers = peers.and(receivers),
            }
        }
        tier::Rule { subjects, peers, traffic, action: Action::Allow, origin: origin.clone() }
    };
    if rule.ports.is_empty() {
        return vec![made(None, world.space.all())];
    }
    let of = |port: &Port| match &port.port {
        None => vec![made(None, world.space.protocol(port.protocol))],
        Some(PortNumber::Range(first, last)) => {
            vec![made(None, world.space.ports(port.protocol, &[*first..=*last], None))]
        }
        Some(PortNumber::Name(name)) => {
            let to = |number: u16| world.space.ports(port.protocol, &[number..=number], None);
            world.named(port.protocol, name).map(|(number, pods)| made(Some(pods), to(number))).collect()
        }
    };
    rule.ports.iter().flat_map(of).collect()
}
