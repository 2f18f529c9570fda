//! The tiers of rules that policies of Antrea stand for.

use snapshot::model::Text;

use super::group::{Group, members};
use super::object::{Peer, Policy, Rule, RuleAction, Target, Tier};
use crate::engines::kubernetes::{self, Blocks, PortNumber, to_port};
use crate::engines::refusal::Refusal;
use crate::expression::{Expression, LabelOwner};
use crate::tier::{self, Action, Direction, End, Enforcement};
use crate::traffic::{ICMP, ICMPV6, Traffic};
use crate::world::World;
use crate::world::mention::Mentions;
use crate::world::parties::Parties;

/// The tiers that are always there, with the older names of some. *Source*: Antrea, "Static tiers".
const STATIC: [(&str, &str, i32); 6] = [
    ("emergency", "Emergency", 50),
    ("securityops", "SecurityOps", 100),
    ("networkops", "NetworkOps", 150),
    ("platform", "Platform", 200),
    ("application", "Application", 250),
    (BASELINE, "Baseline", 253),
];
/// The tier after the NetworkPolicies of Kubernetes.
const BASELINE: &str = "baseline";
/// Custom tiers come before this one. *Source*: Antrea, "Static tiers".
const LAST: i32 = 250;

/// What of a cluster with Antrea policies are made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Tiers; the static ones are there even if they are not written.
    pub tiers: &'a [Tier],
    /// Policies of Antrea.
    pub policies: &'a [Policy],
    pub kubernetes: &'a [kubernetes::Policy],
    /// Groups of namespaces, and ClusterGroups.
    pub groups: &'a [Group],
}

/// What all of it mentions.
///
/// # Errors
/// A selector that the API does not have, or a group that is not there.
pub fn mentions(input: &Input<'_>) -> Result<Mentions, Refusal> {
    let mut all = kubernetes::mentions(input.kubernetes)?;
    for policy in input.policies {
        for rule in policy.ingress.iter().chain(&policy.egress) {
            for end in input.applied_peers(policy, rule)?.into_iter().chain(input.peers(policy, rule)?) {
                match end {
                    Peer::Pods(condition) | Peer::SameNamespace(condition) => {
                        all.conditions.insert((None, condition));
                    }
                    Peer::SameLabels(keys, condition) => {
                        let has = keys.into_iter().map(|key| Expression::Has(LabelOwner::Namespace, key));
                        all.conditions.insert((None, Expression::And(has.chain([condition]).collect())));
                    }
                    Peer::Block(block) => all.ranges.extend(block.except.into_iter().chain([block.range])),
                    Peer::Group(_) => {}
                }
            }
            for port in &rule.ports {
                if let Some(PortNumber::Name(name)) = &port.to.port {
                    all.port_names.insert((port.to.protocol, name.clone()));
                }
                all.sources.extend(port.from.clone());
            }
        }
    }
    Ok(all)
}

/// The policies as Antrea enforces them on pods.
///
/// # Errors
/// A policy that names a tier or a group which is not there, and what Antrea decides in no fixed way: two policies of one priority.
pub fn enforcement(input: &Input<'_>, world: &World) -> Result<Enforcement, Refusal> {
    let tiers = sort_tiers(input)?;
    let tiers_of = |direction| {
        // Pass goes there, from every tier before it.
        let kubernetes_at = tiers.iter().filter(|tier| *tier.name != *BASELINE).count();
        let mut all = Vec::new();
        for tier in tiers.iter().filter(|tier| *tier.name != *BASELINE) {
            all.push(input.tier(&tier.name, kubernetes_at, world, direction)?);
        }
        // Antrea goes by addresses, whichever endpoint has them.
        let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
        all.push(kubernetes::tier(input.kubernetes, world, direction, blocks)?);
        all.push(input.tier(BASELINE, kubernetes_at, world, direction)?);
        Ok::<_, Refusal>(all)
    };
    Ok(Enforcement { ingress: tiers_of(Direction::Ingress)?, egress: tiers_of(Direction::Egress)? })
}

/// The tiers in order.
fn sort_tiers(input: &Input<'_>) -> Result<Vec<Tier>, Refusal> {
    let mut tiers: Vec<Tier> =
        STATIC.iter().map(|(name, _, priority)| Tier { name: (*name).into(), priority: *priority }).collect();
    for tier in input.tiers.iter().filter(|tier| !STATIC.iter().any(|(name, ..)| *tier.name == **name)) {
        if tier.priority >= LAST {
            let why = format!("spec.priority: {}: expected one below {LAST}", tier.priority);
            return Err(Refusal::new(format!("Tier {}", tier.name), why));
        }
        if let Some(other) = tiers.iter().find(|other| other.priority == tier.priority) {
            let why = format!("spec.priority: {} is that of tier {}", tier.priority, other.name);
            return Err(Refusal::new(format!("Tier {}", tier.name), why));
        }
        tiers.push(tier.clone());
    }
    tiers.sort_by_key(|tier| tier.priority);
    let mut sorted_tiers: Vec<(&str, f64, &Policy)> = Vec::new();
    for policy in input.policies {
        let tier = tier_of(policy);
        if !tiers.iter().any(|candidate| *candidate.name == *tier) {
            let why = format!("spec.tier: there is no tier {:?}", policy.tier);
            return Err(Refusal::new(name_policy(policy), why));
        }
        if let Some((.., other)) = sorted_tiers.iter().find(|row| row.0 == tier && row.1 == policy.priority) {
            let why = format!(
                "spec.priority: {} is that of {} in the same tier, and Antrea enforces the two in no fixed order",
                policy.priority,
                name_policy(other)
            );
            return Err(Refusal::new(name_policy(policy), why));
        }
        sorted_tiers.push((tier, policy.priority, policy));
    }
    Ok(tiers)
}

/// The name of the tier that a policy means: of a static tier the older name, too.
fn tier_of(policy: &Policy) -> &str {
    let builtin = STATIC.iter().find(|(_, older, _)| *policy.tier == **older);
    builtin.map_or(&*policy.tier, |(name, ..)| *name)
}

fn name_policy(policy: &Policy) -> String {
    match &policy.namespace {
        Some(namespace) => format!("NetworkPolicy {namespace}/{} of Antrea", policy.name),
        None => format!("ClusterNetworkPolicy {}", policy.name),
    }
}

impl Input<'_> {
    /// One tier: the rules of its policies in order. Nothing ends in it, for Antrea's policies isolate no pod.
    fn tier(
        &self,
        name: &str,
        kubernetes_at: usize,
        world: &World,
        direction: Direction,
    ) -> Result<tier::Tier, Refusal> {
        let mut policies: Vec<&Policy> =
            self.policies.iter().filter(|policy| tier_of(policy) == name).collect();
        policies.sort_by(|candidate, other| candidate.priority.total_cmp(&other.priority));
        let mut rules = Vec::new();
        for policy in policies {
            let own = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            for (place, rule) in own.iter().enumerate() {
                let origin =
                    format!("{} spec.{}[{place}]", name_policy(policy), direction.name().to_lowercase());
                let action = match rule.action {
                    RuleAction::Allow => Action::Allow,
                    RuleAction::Deny => Action::Deny,
                    RuleAction::Pass if name == BASELINE => {
                        let why = "Pass in the last tier, which the API refuses";
                        return Err(Refusal::new(format!("{origin}.action"), why));
                    }
                    RuleAction::Pass => Action::GoTo(kubernetes_at),
                };
                for (subjects, peers) in self.pairs(policy, rule, world)? {
                    let whole = tier::Rule {
                        subjects,
                        peers,
                        traffic: Traffic::none(),
                        action,
                        origin: origin.as_str().into(),
                    };
                    rules.extend(resolve_ports(rule, &whole, world, direction));
                }
            }
        }
        Ok(tier::Tier { rules, ends: world.no_parties(), end: End::Deny })
    }

    /// What a rule is applied to.
    fn applied_peers(&self, policy: &Policy, rule: &Rule) -> Result<Vec<Peer>, Refusal> {
        let mut all = Vec::new();
        for target in &rule.applied {
            match target {
                Target::Pods(condition) => all.push(Peer::Pods(condition.clone())),
                Target::Group(name) => {
                    let parties = self.members(policy, name)?;
                    if parties.iter().any(|member| matches!(member, Peer::Block(_))) {
                        let why = format!("appliedTo: group {name:?} has addresses, and Antrea ignores it");
                        return Err(Refusal::new(name_policy(policy), why));
                    }
                    all.extend(parties);
                }
            }
        }
        Ok(all)
    }

    /// The other ends of a rule, with the members of groups in their place.
    fn peers(&self, policy: &Policy, rule: &Rule) -> Result<Vec<Peer>, Refusal> {
        let mut all = Vec::new();
        for peer in &rule.peers {
            match peer {
                Peer::Group(name) => all.extend(self.members(policy, name)?),
                other @ (Peer::Pods(_) | Peer::SameNamespace(_) | Peer::SameLabels(..) | Peer::Block(_)) => {
                    all.push(other.clone())
                }
            }
        }
        Ok(all)
    }

    fn members(&self, policy: &Policy, name: &Text) -> Result<Vec<Peer>, Refusal> {
        let parties = members(self.groups, policy.namespace.as_ref(), name);
        parties.map_err(|why| Refusal::new(name_policy(policy), why))
    }

    /// Whom a rule is applied to with whom it means at the other end: more than one pair where this depends on the former's namespace.
    fn pairs(&self, policy: &Policy, rule: &Rule, world: &World) -> Result<Vec<(Parties, Parties)>, Refusal> {
        let applied =
            self.applied_peers(policy, rule)?.into_iter().fold(world.no_parties(), |all, end| match end {
                Peer::Pods(condition) => all.or(&world.select(&condition)),
                Peer::SameNamespace(_) | Peer::SameLabels(..) | Peer::Block(_) | Peer::Group(_) => all,
            });
        let peers = self.peers(policy, rule)?;
        if rule.peers.is_empty() {
            return Ok(vec![(applied, world.all_parties())]);
        }
        let mut fixed = world.no_parties();
        let mut pairs = Vec::new();
        for peer in &peers {
            let (groups, condition) = match peer {
                Peer::Pods(condition) => {
                    fixed = fixed.or(&world.select(condition));
                    continue;
                }
                Peer::Block(block) => {
                    let outer = world.parties_in_range(block.range);
                    let inner = block
                        .except
                        .iter()
                        .fold(outer, |all, part| all.without(&world.parties_in_range(*part)));
                    fixed = fixed.or(&inner);
                    continue;
                }
                Peer::Group(_) => continue,
                Peer::SameNamespace(condition) => (world.namespaces().cloned().collect(), condition),
                Peer::SameLabels(keys, condition) => (group_alike(keys, world), condition),
            };
            let selected = world.select(condition);
            for group in groups {
                pairs.push((applied.clone().and(&group), selected.clone().and(&group)));
            }
        }
        pairs.push((applied, fixed));
        pairs.retain(|(applied, peers)| !applied.is_empty() && !peers.is_empty());
        Ok(pairs)
    }
}

/// The pods whose namespaces have all these labels, in groups with the same values.
fn group_alike(keys: &[Text], world: &World) -> Vec<Parties> {
    keys.iter().fold(vec![world.pods().clone()], |groups, key| {
        let split = |group: &Parties| -> Vec<Parties> {
            let parts = world.values(LabelOwner::Namespace, key).map(|pods| group.clone().and(pods));
            parts.filter(|part| !part.is_empty()).collect()
        };
        groups.iter().flat_map(split).collect()
    })
}

/// The rule for its traffic, once for each number that the name of a port stands for.
fn resolve_ports(rule: &Rule, whole: &tier::Rule, world: &World, direction: Direction) -> Vec<tier::Rule> {
    if rule.ports.is_empty() && rule.messages.is_empty() {
        return vec![whole.restrict(direction, None, world.space.all())];
    }
    let ports = rule.ports.iter().flat_map(|port| {
        let sources = port.from.as_ref().map(|from| [from.clone()]);
        to_port(&port.to, sources.as_ref().map(<[_; 1]>::as_slice), world)
    });
    let mut rules: Vec<_> =
        ports.map(|(receivers, traffic)| whole.restrict(direction, receivers.as_ref(), traffic)).collect();
    for message in &rule.messages {
        for protocol in [ICMP, ICMPV6] {
            let traffic = world.space.messages(protocol, message.kind, message.code);
            rules.push(whole.restrict(direction, None, traffic));
        }
    }
    rules
}
