//! The tiers of rules that NetworkPolicies stand for.

use snapshot::model::Text;

use super::object::{Block, Peer, Policy, Port, PortNumber, Rule};
use super::selector::LabelSelector;
use crate::expression::{Expression, LabelOwner};
use crate::tier::{self, Action, Direction, End, Tier};
use crate::traffic::{Ports, Traffic};
use crate::world::World;
use crate::world::mention::Mentions;
use crate::world::parties::Parties;

/// What the API leaves to the CNI, or a CNI does in another way: whose addresses an `ipBlock` matches beside those outside of the cluster, and what a port
/// is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    pub pods: bool,
    pub nodes: bool,
    /// Of what a pod sends, the name of a port is one number in the whole cluster, as Cilium has it, and not one of each receiver.
    pub names_of_cluster: bool,
}

impl Policy {
    fn rules_in(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// The condition on the pods that the policy selects, in its namespace.
    fn selects(&self) -> Result<Expression, String> {
        Ok(Expression::Within(self.namespace.clone()).and(self.pods.expression(LabelOwner::Pod)?))
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
        all.conditions.insert((namespace.clone(), policy.pods.expression(LabelOwner::Pod)?));
        for rule in policy.ingress.iter().chain(&policy.egress) {
            for peer in &rule.peers {
                match peer {
                    Peer::Pods(pods, None) => {
                        all.conditions
                            .insert((namespace.clone(), condition(pods.as_ref(), LabelOwner::Pod)?));
                    }
                    Peer::Pods(pods, namespaces) => {
                        let namespaces = condition(namespaces.as_ref(), LabelOwner::Namespace)?;
                        all.conditions
                            .insert((None, namespaces.and(condition(pods.as_ref(), LabelOwner::Pod)?)));
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
    let mut all = Tier { rules: Vec::new(), ends: world.no_parties(), end: End::Deny };
    for policy in policies.iter().filter(|policy| policy.types.contains(&direction)) {
        let subjects = world.select(&policy.selects()?);
        for (place, rule) in policy.rules_in(direction).iter().enumerate() {
            let origin: Text = format!(
                "NetworkPolicy {}/{} spec.{}[{place}]",
                policy.namespace,
                policy.name,
                direction.name().to_lowercase()
            )
            .into();
            let peers = peers(rule, policy, world, blocks)?;
            let by_cluster = blocks.names_of_cluster && direction == Direction::Egress;
            let whole = tier::Rule {
                subjects: subjects.clone(),
                peers,
                traffic: world.space.all(),
                action: Action::Allow,
                origin,
            };
            all.rules.extend(allowed_parts(rule, &whole, world, direction, by_cluster));
        }
        all.ends = all.ends.or(&subjects);
    }
    Ok(all)
}

fn condition(selector: Option<&LabelSelector>, owner: LabelOwner) -> Result<Expression, String> {
    selector.map_or(Ok(Expression::Always), |selector| selector.expression(owner))
}

fn peers(rule: &Rule, policy: &Policy, world: &World, blocks: Blocks) -> Result<Parties, String> {
    if rule.peers.is_empty() {
        return Ok(world.all_parties());
    }
    rule.peers
        .iter()
        .try_fold(world.no_parties(), |all, peer| Ok(all.or(&ends(peer, policy, world, blocks)?)))
}

fn ends(peer: &Peer, policy: &Policy, world: &World, blocks: Blocks) -> Result<Parties, String> {
    match peer {
        Peer::Pods(pods, namespaces) => {
            let within = match namespaces {
                Some(_) => condition(namespaces.as_ref(), LabelOwner::Namespace)?,
                None => Expression::Within(policy.namespace.clone()),
            };
            Ok(world.select(&within.and(condition(pods.as_ref(), LabelOwner::Pod)?)))
        }
        Peer::Block(Block { range, except }) => {
            let parties = except.iter().fold(world.parties_in_range(*range), |all, part| {
                all.without(&world.parties_in_range(*part))
            });
            let restrict = |parties: Parties, keep: bool, who: &Parties| {
                if keep { parties } else { parties.without(who) }
            };
            Ok(restrict(restrict(parties, blocks.pods, world.pods()), blocks.nodes, world.nodes()))
        }
    }
}

/// The traffic to a port, once for each number that its name stands for, with the receivers whose container has the name; from any source port or
/// from those of some ranges.
pub(crate) fn to_port(
    port: &Port,
    sources: Option<&[Ports]>,
    world: &World,
) -> Vec<(Option<Parties>, Traffic)> {
    let to = |ports: Ports| world.space.ports(port.protocol, &[ports], sources);
    match &port.port {
        None if sources.is_none() => vec![(None, world.space.protocol(port.protocol))],
        None => vec![(None, to(0..=u16::MAX))],
        Some(PortNumber::Range(first, last)) => vec![(None, to(*first..=*last))],
        Some(PortNumber::Name(name)) => {
            let named = world.parties_by_port_name(port.protocol, name);
            named.map(|(number, pods)| (Some(pods.clone()), to(number..=number))).collect()
        }
    }
}

/// The same of what a pod sends, where a port's name is the number that it is in the whole cluster, for every receiver; nothing if it is more than one
/// number. *Source*: cilium/cilium, `Endpoint.GetNamedPort`.
pub(crate) fn to_port_by_cluster(port: &Port, world: &World) -> Vec<(Option<Parties>, Traffic)> {
    let Some(PortNumber::Name(name)) = &port.port else { return to_port(port, None, world) };
    let mut numbers = world.parties_by_port_name(port.protocol, name).map(|(number, _)| number);
    match (numbers.next(), numbers.next()) {
        (Some(number), None) => vec![(None, world.space.ports(port.protocol, &[number..=number], None))],
        _ => Vec::new(),
    }
}

/// The parts of a rule that allows all of its traffic to the ports that it names.
fn allowed_parts(
    rule: &Rule,
    whole: &tier::Rule,
    world: &World,
    direction: Direction,
    by_cluster: bool,
) -> Vec<tier::Rule> {
    if rule.ports.is_empty() {
        return vec![whole.clone()];
    }
    let parts =
        |port: &Port| if by_cluster { to_port_by_cluster(port, world) } else { to_port(port, None, world) };
    let parts = rule.ports.iter().flat_map(parts);
    parts.map(|(receivers, traffic)| whole.restrict(direction, receivers.as_ref(), traffic)).collect()
}
