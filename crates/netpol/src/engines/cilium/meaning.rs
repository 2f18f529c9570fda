//! The tiers of rules that policies of Cilium stand for: what some rule allows and none denies, for the pods to which something is denied by default.

use snapshot::model::Labels;

use super::object::{End as Ends, Kind, Policy, Rule};
use crate::engines::kubernetes::{self, Port, PortNumber, to_port, to_port_by_cluster};
use crate::engines::refusal::Refusal;
use crate::tier::{self, Action, Direction, End, Enforcement, Tier};
use crate::traffic::Traffic;
use crate::world::World;
use crate::world::mention::Mentions;
use crate::world::parties::Parties;

/// How Cilium is set, as far as policies mean something else by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether ranges match nodes, too: `policy-cidr-match-mode: nodes`.
    pub ranges_match_nodes: bool,
    /// Whether it reads ranges of ports: 1.16 is the first release that does.
    pub has_port_ranges: bool,
}

/// What of a cluster with Cilium policies are made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Policies of Cilium.
    pub policies: &'a [Policy],
    pub kubernetes: &'a [kubernetes::Policy],
    /// How Cilium is set.
    pub settings: Settings,
}

/// What all of it mentions.
///
/// # Errors
/// A selector that the API does not have.
pub fn mentions(input: &Input<'_>) -> Result<Mentions, String> {
    let mut all = Mentions::default();
    for policy in input.all_policies()? {
        all.conditions.insert((None, policy.pods.clone()));
        for rule in policy.ingress.rules.iter().chain(&policy.egress.rules) {
            for end in &rule.ends {
                match end {
                    Ends::Labelled(condition) => {
                        all.conditions.insert((None, condition.clone()));
                    }
                    Ends::Block(block) => {
                        all.ranges.extend(block.except.iter().copied().chain([block.range]))
                    }
                    Ends::All | Ends::World(_) | Ends::Cluster | Ends::RemoteNodes => {}
                }
            }
            for kind in rule.kinds.iter().flatten() {
                if let Kind::Port(Port { protocol, port: Some(PortNumber::Name(name)) }) = kind {
                    all.port_names.insert((*protocol, name.clone()));
                }
            }
        }
    }
    Ok(all)
}

/// The policies as Cilium enforces them on pods.
///
/// # Errors
/// A selector that the API does not have, or a range of ports if the release reads none.
pub fn enforcement(input: &Input<'_>, world: &World) -> Result<Enforcement, Refusal> {
    let policies = input.all_policies()?;
    let tiers_of = |direction| Ok::<_, Refusal>(vec![input.tier(&policies, world, direction)?]);
    Ok(Enforcement { ingress: tiers_of(Direction::Ingress)?, egress: tiers_of(Direction::Egress)? })
}

impl Input<'_> {
    /// The policies of both APIs: one engine enforces them.
    fn all_policies(&self) -> Result<Vec<Policy>, String> {
        let mut all = self.policies.to_vec();
        for policy in self.kubernetes {
            all.push(Policy::from_kubernetes(policy)?);
        }
        Ok(all)
    }

    /// Whatever denies comes before whatever allows.
    fn tier(&self, policies: &[Policy], world: &World, direction: Direction) -> Result<Tier, Refusal> {
        let (mut denied, mut allowed) = (Vec::new(), Vec::new());
        let mut ends = world.no_parties();
        for policy in policies {
            let side = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            let subjects = world.select(&policy.pods);
            for rule in &side.rules {
                let whole = tier::Rule {
                    subjects: subjects.clone(),
                    peers: self.peers(rule, world),
                    traffic: Traffic::none(),
                    action: if rule.denies { Action::Deny } else { Action::Allow },
                    origin: format!("{} {}", policy.name, rule.place).into(),
                };
                let rules = self.resolve_ports(rule, &whole, world, direction)?;
                if rule.denies { &mut denied } else { &mut allowed }.extend(rules);
            }
            if side.denies_by_default {
                ends = ends.or(&subjects);
            }
        }
        denied.append(&mut allowed);
        Ok(Tier { rules: denied, ends, end: End::Deny })
    }

    fn peers(&self, rule: &Rule, world: &World) -> Parties {
        let others = || world.nodes().clone().or(world.outside_parties());
        let parties_of = |end: &Ends| match end {
            Ends::All => world.all_parties(),
            // *Source*: cilium/cilium, issue 46949: a selector that asks for no label selects endpoints without labels, which are also nodes and
            // all parties outside.
            Ends::Labelled(condition) if condition.holds(&Labels::new(), None) => {
                world.select(condition).or(&others())
            }
            Ends::Labelled(condition) => world.select(condition),
            Ends::Block(block) => {
                let outer = world.parties_in_range(block.range).without(world.pods());
                let inner =
                    block.except.iter().fold(outer, |all, part| all.without(&world.parties_in_range(*part)));
                if self.settings.ranges_match_nodes { inner } else { inner.without(world.nodes()) }
            }
            Ends::World(None) => world.outside_parties().clone(),
            Ends::World(Some(true)) => world.outside_parties().clone().and(world.v6()),
            Ends::World(Some(false)) => world.outside_parties().clone().without(world.v6()),
            Ends::Cluster => world.pods().clone().or(world.nodes()),
            Ends::RemoteNodes => world.nodes().clone(),
        };
        rule.ends.iter().fold(world.no_parties(), |all, end| all.or(&parties_of(end)))
    }

    fn resolve_ports(
        &self,
        rule: &Rule,
        whole: &tier::Rule,
        world: &World,
        direction: Direction,
    ) -> Result<Vec<tier::Rule>, Refusal> {
        let Some(kinds) = &rule.kinds else {
            return Ok(vec![whole.restrict(direction, None, world.space.all())]);
        };
        let mut rules = Vec::new();
        for kind in kinds {
            match kind {
                Kind::Message(protocol, kind) => {
                    let traffic = world.space.messages(*protocol, Some(*kind), None);
                    rules.push(whole.restrict(direction, None, traffic));
                }
                Kind::Port(Port { port: Some(PortNumber::Range(first, last)), .. })
                    if first != last && !self.settings.has_port_ranges =>
                {
                    let why = "endPort: this release reads no ranges of ports";
                    return Err(Refusal::new(&*whole.origin, why));
                }
                Kind::Port(port) => {
                    let parts = match direction {
                        Direction::Egress => to_port_by_cluster(port, world),
                        Direction::Ingress => to_port(port, None, world),
                    }
                    .into_iter();
                    rules.extend(
                        parts.map(|(pods, traffic)| whole.restrict(direction, pods.as_ref(), traffic)),
                    );
                }
            }
        }
        Ok(rules)
    }
}
