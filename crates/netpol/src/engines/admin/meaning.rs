//! The tiers of rules that policies of administrators stand for.

use snapshot::model::Text;

use super::object::{Peer, Place, Policy, Port, Rule, RuleAction};
use crate::engines::kubernetes::{self, Blocks, to_port, to_port_by_cluster};
use crate::tier::{self, Action, Direction, End, Enforcement, Tier};
use crate::traffic::{SCTP, TCP, Traffic, UDP};
use crate::world::World;
use crate::world::mention::Mentions;
use crate::world::parties::Parties;

/// The protocols of a container's ports.
const OF_CONTAINERS: [u8; 3] = [TCP, UDP, SCTP];

/// All that decides in a cluster with such policies.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The administrators' policies, of both tiers.
    pub policies: &'a [Policy],
    pub kubernetes: &'a [kubernetes::Policy],
    /// What the CNI makes of an `ipBlock` of these.
    pub blocks: Blocks,
}

/// What all of it mentions.
///
/// # Errors
/// A selector that the API does not have.
pub fn mentions(input: &Input<'_>) -> Result<Mentions, String> {
    let mut all = kubernetes::mentions(input.kubernetes)?;
    for policy in input.policies {
        all.conditions.insert((None, policy.pods.clone()));
        for rule in policy.ingress.iter().chain(&policy.egress) {
            for peer in &rule.peers {
                match peer {
                    Peer::Pods(condition) => drop(all.conditions.insert((None, condition.clone()))),
                    Peer::Networks(ranges) => all.ranges.extend(ranges),
                }
            }
            for port in &rule.ports {
                if let Port::Named(name) = port {
                    all.port_names.extend(OF_CONTAINERS.map(|protocol| (protocol, name.clone())));
                }
            }
        }
    }
    Ok(all)
}

/// The policies as a CNI enforces them on pods: Admin, then NetworkPolicies, then Baseline.
///
/// # Errors
/// A selector that the API does not have, or two policies of one tier and priority about one pod: the API leaves open which of them decides.
pub fn enforcement(input: &Input<'_>, world: &World) -> Result<Enforcement, String> {
    let tiers_of = |direction| {
        Ok::<_, String>(vec![
            input.tier(Place::Admin, 0, world, direction)?,
            kubernetes::tier(input.kubernetes, world, direction, input.blocks)?,
            input.tier(Place::Baseline, 2, world, direction)?,
        ])
    };
    Ok(Enforcement { ingress: tiers_of(Direction::Ingress)?, egress: tiers_of(Direction::Egress)? })
}

impl Input<'_> {
    fn tier(&self, place: Place, number: usize, world: &World, direction: Direction) -> Result<Tier, String> {
        let mut policies: Vec<(&Policy, Parties)> = Vec::new();
        for policy in self.policies.iter().filter(|policy| policy.place == place) {
            let subjects = world.select(&policy.pods);
            let same = policies
                .iter()
                .find(|(other, pods)| other.priority == policy.priority && pods.meets(&subjects));
            if let Some((other, _)) = same {
                return Err(format!(
                    "{} {} and {} {}: spec.priority: both have {} and are about the same pods, and the API leaves open which of them decides",
                    other.kind, other.name, policy.kind, policy.name, policy.priority
                ));
            }
            policies.push((policy, subjects));
        }
        policies.sort_by_key(|(policy, _)| policy.priority);
        let mut rules = Vec::new();
        for (policy, subjects) in policies {
            let written = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            for (index, rule) in written.iter().enumerate() {
                let way = direction.name().to_lowercase();
                let origin: Text = format!("{} {} spec.{way}[{index}]", policy.kind, policy.name).into();
                let action = match rule.action {
                    RuleAction::Accept => Action::Allow,
                    RuleAction::Deny => Action::Deny,
                    RuleAction::Pass => Action::GoTo(number + 1),
                };
                let by_cluster = self.blocks.names_of_cluster && direction == Direction::Egress;
                for (receivers, traffic) in traffic(rule, world, by_cluster) {
                    let (mut own, mut peers) = (subjects.clone(), ends(rule, world));
                    if let Some(receivers) = receivers {
                        match direction {
                            Direction::Ingress => own = own.and(&receivers),
                            Direction::Egress => peers = peers.and(&receivers),
                        }
                    }
                    rules.push(tier::Rule { subjects: own, peers, traffic, action, origin: origin.clone() });
                }
            }
        }
        // What no rule of the tier decides goes to the next one.
        Ok(Tier { rules, ends: world.no_parties(), end: End::Deny })
    }
}

fn ends(rule: &Rule, world: &World) -> Parties {
    rule.peers.iter().fold(world.no_parties(), |all, peer| match peer {
        Peer::Pods(condition) => all.or(&world.select(condition)),
        Peer::Networks(ranges) => {
            ranges.iter().fold(all, |all, range| all.or(&world.parties_in_range(*range)))
        }
    })
}

/// The traffic of a rule, with the receivers for whom a port's name stands for it.
fn traffic(rule: &Rule, world: &World, by_cluster: bool) -> Vec<(Option<Parties>, Traffic)> {
    if rule.ports.is_empty() {
        return vec![(None, world.space.all())];
    }
    let parties_of = |port: &Port| match port {
        Port::To(port) => to_port(port, None, world),
        Port::Named(name) => OF_CONTAINERS
            .iter()
            .flat_map(|protocol| {
                let port = kubernetes::PortNumber::Name(name.clone());
                let port = kubernetes::Port { protocol: *protocol, port: Some(port) };
                if by_cluster { to_port_by_cluster(&port, world) } else { to_port(&port, None, world) }
            })
            .collect(),
    };
    rule.ports.iter().flat_map(parties_of).collect()
}
