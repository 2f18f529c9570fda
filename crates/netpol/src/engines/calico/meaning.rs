//! The tiers of rules that policies of Calico stand for.

use snapshot::Range;
use snapshot::model::Text;

use super::object::{Entity, HostEndpoint, NetworkSet, Order, Policy, Port, Rule, RuleAction, Tier};
use super::peers::{Group, groups};
use crate::engines::kubernetes::{self, Blocks};
use crate::engines::refusal::Refusal;
use crate::tier::{self, Action, Direction, End, Enforcement};
use crate::traffic::Traffic;
use crate::world::mention::Mentions;
use crate::world::parties::Parties;
use crate::world::{Namespace, World};

/// The place of NetworkPolicies of Kubernetes in the default tier. *Source*: projectcalico/calico, `libcalico-go/lib/backend/k8s/conversion`.
const KUBERNETES_ORDER: f64 = 1000.0;
/// The place of the default tier, where it is not written. *Source*: Calico, "Tier".
const DEFAULT_ORDER: f64 = 1_000_000.0;
const DEFAULT: &str = "default";
const ALL_PORTS: std::ops::RangeInclusive<u16> = 0..=u16::MAX;

/// All that Calico goes by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// Tiers; the default one is there even if it is not written.
    pub tiers: &'a [Tier],
    /// Policies of Calico.
    pub policies: &'a [Policy],
    pub kubernetes: &'a [kubernetes::Policy],
    pub sets: &'a [NetworkSet],
    /// Host endpoints, as the other end of packets: policies are compared for pods.
    pub host_endpoints: &'a [HostEndpoint],
    /// The namespaces, whose labels network sets have, too.
    pub namespaces: &'a [Namespace],
}

/// What all of it mentions.
///
/// # Errors
/// A selector that the API does not have.
pub fn mentions(input: &Input<'_>) -> Result<Mentions, String> {
    let mut all = kubernetes::mentions(input.kubernetes)?;
    all.ranges.extend(input.sets.iter().flat_map(|set| set.addresses.iter().copied()));
    all.ranges.extend(
        input
            .host_endpoints
            .iter()
            .flat_map(|group| group.addresses.iter().map(|address| Range::from_address(*address))),
    );
    for policy in input.policies {
        all.conditions.insert((policy.namespace.clone(), policy.pods.clone()));
        for rule in policy.ingress.iter().chain(&policy.egress) {
            for end in [&rule.source, &rule.destination] {
                let conditions = end.selected.iter().chain(&end.not_selected);
                all.conditions.extend(conditions.map(|condition| (None, condition.clone())));
                all.ranges.extend(end.nets.iter().chain(&end.not_nets));
                let names = end.ports.iter().chain(&end.not_ports).filter_map(|port| match port {
                    Port::Name(name) => Some((rule.protocol?, name.clone())),
                    Port::Range(_) => None,
                });
                all.port_names.extend(names);
            }
            let sources =
                rule.source.ports.iter().chain(&rule.source.not_ports).filter_map(|port| match port {
                    Port::Range(range) => Some(range.clone()),
                    Port::Name(_) => None,
                });
            all.sources.extend(sources);
        }
    }
    Ok(all)
}

/// The policies as Calico enforces them on pods.
///
/// # Errors
/// A policy that names a tier which is not there, or a selector that the API does not have.
pub fn enforcement(input: &Input<'_>, world: &World) -> Result<Enforcement, Refusal> {
    let tiers = sort_tiers(input)?;
    let tiers_of = |direction| {
        let to_tier = |(place, tier): (usize, &Tier)| input.tier(tier, place, world, direction);
        tiers.iter().enumerate().map(to_tier).collect::<Result<Vec<_>, Refusal>>()
    };
    Ok(Enforcement { ingress: tiers_of(Direction::Ingress)?, egress: tiers_of(Direction::Egress)? })
}

/// A policy's place is behind that of some NetworkPolicy of Kubernetes.
pub(crate) fn is_after_kubernetes(policy: &Policy, input: &Input<'_>) -> bool {
    match policy.order.number {
        None => true,
        Some(number) if number == KUBERNETES_ORDER => {
            input.kubernetes.iter().any(|candidate| kubernetes_order(candidate) < policy.order)
        }
        Some(number) => number > KUBERNETES_ORDER,
    }
}

/// A policy's place is behind that of some NetworkPolicy of Kubernetes and before that of another one.
pub(crate) fn is_among_kubernetes(policy: &Policy, input: &Input<'_>) -> bool {
    let before = |item: &kubernetes::Policy| policy.order < kubernetes_order(item);
    is_after_kubernetes(policy, input) && input.kubernetes.iter().any(before)
}

fn kubernetes_order(policy: &kubernetes::Policy) -> Order {
    let name = format!("{}/knp.default.{}", policy.namespace, policy.name);
    Order { number: Some(KUBERNETES_ORDER), name: name.into() }
}

/// The tiers in order, the default one among them.
///
/// # Errors
/// A policy that names a tier which is not there.
pub(crate) fn sort_tiers(input: &Input<'_>) -> Result<Vec<Tier>, Refusal> {
    let mut tiers = input.tiers.to_vec();
    if !tiers.iter().any(|tier| *tier.order.name == *DEFAULT) {
        let order = Order { number: Some(DEFAULT_ORDER), name: DEFAULT.into() };
        tiers.push(Tier { order, end: End::Deny });
    }
    tiers.sort_by(|item, other| item.order.cmp(&other.order));
    for policy in input.policies {
        if !tiers.iter().any(|tier| tier.order.name == policy.tier) {
            let why = format!("spec.tier: there is no tier {:?}", policy.tier);
            return Err(Refusal::new(name_policy(policy), why));
        }
    }
    Ok(tiers)
}

/// A policy, for people.
pub(crate) fn name_policy(policy: &Policy) -> String {
    match &policy.namespace {
        Some(namespace) => format!("NetworkPolicy {namespace}/{} of Calico", policy.name),
        None => format!("GlobalNetworkPolicy {}", policy.name),
    }
}

impl Input<'_> {
    /// One tier: the rules of its policies in order. Packets of a pod end in it if one of its policies is about them.
    fn tier(
        &self,
        tier: &Tier,
        place: usize,
        world: &World,
        direction: Direction,
    ) -> Result<tier::Tier, Refusal> {
        let mut parts: Vec<(Order, Parties, Vec<tier::Rule>)> = Vec::new();
        let own = self.policies.iter().filter(|policy| policy.tier == tier.order.name);
        for policy in own.filter(|policy| policy.types.contains(&direction)) {
            let subjects = world.select(&policy.pods);
            let rules = self.rules(policy, direction, &subjects, place, world);
            parts.push((policy.order.clone(), subjects, rules));
        }
        if *tier.order.name == *DEFAULT {
            for policy in self.kubernetes {
                // Calico goes by addresses, whichever endpoint has them.
                let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
                let item = kubernetes::tier(std::slice::from_ref(policy), world, direction, blocks)?;
                parts.push((kubernetes_order(policy), item.ends, item.rules));
            }
        }
        parts.sort_by(|row, other| row.0.cmp(&other.0));
        let ends = if tier.end == End::Deny {
            parts.iter().fold(world.no_parties(), |all, (_, subjects, _)| all.or(subjects))
        } else {
            // What the tier lets through goes to the next one.
            world.no_parties()
        };
        let rules = parts.into_iter().flat_map(|(_, _, rules)| rules).collect();
        Ok(tier::Tier { rules, ends, end: End::Deny })
    }

    fn rules(
        &self,
        policy: &Policy,
        direction: Direction,
        subjects: &Parties,
        place: usize,
        world: &World,
    ) -> Vec<tier::Rule> {
        let mut meanings = Vec::new();
        for (number, rule) in policy.rules_in(direction).iter().enumerate() {
            let action = match rule.action {
                RuleAction::Allow => Action::Allow,
                RuleAction::Deny => Action::Deny,
                RuleAction::Pass => Action::GoTo(place + 1),
                RuleAction::Log => continue,
            };
            let origin: Text =
                format!("{} spec.{}[{number}]", name_policy(policy), direction.name().to_lowercase()).into();
            for (senders, receivers, traffic) in self.packets(rule, world) {
                let (own, peers) = match direction {
                    Direction::Ingress => (receivers, senders),
                    Direction::Egress => (senders, receivers),
                };
                let subjects = subjects.clone().and(&own);
                if !subjects.is_empty() && !traffic.is_empty() {
                    meanings.push(tier::Rule { subjects, peers, traffic, action, origin: origin.clone() });
                }
            }
        }
        meanings
    }

    /// The packets that a rule means: senders, receivers and traffic, in parts that have nothing in common.
    fn packets(&self, rule: &Rule, world: &World) -> Vec<(Parties, Parties, Traffic)> {
        let family = |parties: Parties| match rule.is_v6 {
            None => parties,
            Some(true) => parties.and(world.v6()),
            Some(false) => parties.without(world.v6()),
        };
        let senders = family(self.resolve(&rule.source, world));
        let receivers = family(self.resolve(&rule.destination, world));
        let base = messages_and_protocols(rule, world);
        let mut packet_list = Vec::new();
        for from in groups(&rule.source, rule.protocol, world) {
            for to in groups(&rule.destination, rule.protocol, world) {
                let traffic = resolve_ports(rule, &base, &from, &to, world);
                packet_list.push((
                    senders.clone().and(&from.parties),
                    receivers.clone().and(&to.parties),
                    traffic,
                ));
            }
        }
        packet_list
    }
}

fn messages_and_protocols(rule: &Rule, world: &World) -> Traffic {
    let space = &world.space;
    let mut base = rule.protocol.map_or_else(|| space.all(), |protocol| space.protocol(protocol));
    if let Some(not) = rule.not_protocol {
        base = base.without(&space.protocol(not));
    }
    let protocol = rule.protocol.unwrap_or_default();
    if let Some(message) = rule.icmp {
        base = base.and(&space.messages(protocol, message.kind, message.code));
    }
    if let Some(message) = rule.not_icmp {
        base = base.without(&space.messages(protocol, message.kind, message.code));
    }
    base
}

/// The traffic between two groups, for whom the names of ports are numbers.
fn resolve_ports(rule: &Rule, base: &Traffic, from: &Group, to: &Group, world: &World) -> Traffic {
    let protocol = rule.protocol.unwrap_or_default();
    let port_limits = |end: &Entity| (!end.ports.is_empty(), !end.not_ports.is_empty());
    let source = |ports: &[_]| world.space.ports(protocol, &[ALL_PORTS], Some(ports));
    let destination = |ports: &[_]| world.space.ports(protocol, ports, None);
    let mut traffic = base.clone();
    let (has_ports, has_not) = port_limits(&rule.source);
    if has_ports {
        traffic = traffic.and(&source(&from.ports));
    }
    if has_not {
        traffic = traffic.without(&source(&from.not_ports));
    }
    let (has_ports, has_not) = port_limits(&rule.destination);
    if has_ports {
        traffic = traffic.and(&destination(&to.ports));
    }
    if has_not {
        traffic = traffic.without(&destination(&to.not_ports));
    }
    traffic
}
