//! Calico's policies in the form from which those of every target are written.

use std::collections::BTreeSet;
use std::net::IpAddr;

use snapshot::Range;

use super::report::{Omission, Outcome, Refusal, Report};
use crate::compare::Effect;
use crate::convert::intermediate::{Action, Peer, PlainPolicies, PodSelection, Policy, Rule, Tier, place};
use crate::convert::label_selectors::select_pods;
use crate::convert::objects::Name;
use crate::convert::pod_addresses::{WHY, names_pods};
use crate::convert::rule_traffic::traffic;
use crate::convert::writers::address_blocks::blocks;
use crate::engines::calico::{self, Entity, Input, RuleAction};
use crate::expression::Expression;
use crate::gather::Reference;
use crate::tier::Direction;

/// Calico's policies as they are to be converted.
#[derive(Debug, Clone, Copy)]
pub struct CalicoPolicies<'a> {
    /// The policies, and what they go by.
    pub input: Input<'a>,
    /// The object of each policy.
    pub references: &'a [Reference],
    /// The ranges from which pods get their addresses, of the network that they leave and of the one that they enter.
    pub pod_ranges: &'a [Range],
    /// The addresses of the nodes.
    pub node_addresses: &'a [IpAddr],
    /// The names that objects of the cluster have which no conversion made.
    pub taken_names: &'a BTreeSet<Name>,
}

/// The policies without what the report leaves out already. The report gets what became of the fields that have another form now or none.
///
/// # Errors
/// A policy that names a tier which is not there.
pub fn flatten(source: &CalicoPolicies<'_>, report: &mut Report) -> Result<PlainPolicies, String> {
    let input = &source.input;
    let mut plain = PlainPolicies {
        namespaces: input.namespaces.to_vec(),
        kubernetes: input.kubernetes.iter().map(|item| (item.namespace.clone(), item.name.clone())).collect(),
        taken_names: source.taken_names.clone(),
        pod_ranges: source.pod_ranges.to_vec(),
        node_addresses: source.node_addresses.to_vec(),
        ..PlainPolicies::default()
    };
    for tier in calico::sort_tiers(input)? {
        let pairs = input.policies.iter().zip(source.references);
        let mut own: Vec<_> = pairs.filter(|(policy, _)| policy.tier == tier.order.name).collect();
        own.sort_by(|(candidate, _), (other, _)| candidate.order.cmp(&other.order));
        let policies =
            own.into_iter().filter_map(|(policy, reference)| source.policy(policy, reference, report));
        plain.tiers.push(Tier { name: tier.order.name.clone(), end: tier.end, policies: policies.collect() });
    }
    Ok(plain)
}

impl CalicoPolicies<'_> {
    fn policy(&self, policy: &calico::Policy, reference: &Reference, report: &mut Report) -> Option<Policy> {
        if report.omissions.contains(&Omission::Policy(reference.clone())) {
            return None;
        }
        if self.input.is_of_hosts(&policy.pods) {
            let why = "it is enforced on host endpoints as well, and no target has policies that mean the same on nodes";
            report.lose(reference, "spec.selector", why);
        }
        let subjects = match select_pods(&policy.pods) {
            Ok(subjects) => subjects,
            Err(why) => {
                report.leave_policy(reference, Refusal::new("spec.selector", why));
                return None;
            }
        };
        if subjects.is_empty() {
            report.note(
                reference,
                "spec.selector",
                Outcome::Exact,
                "it selects no pod, so nothing is written for it",
            );
            return None;
        }
        if subjects.len() > 1 {
            report.note(
                reference,
                "spec.selector",
                Outcome::Expanded,
                format!("{} alternatives, each with a selector of its own", subjects.len()),
            );
        }
        let mut rules = Vec::new();
        for direction in Direction::ALL {
            let written = policy.rules_in(direction);
            if !policy.types.contains(&direction) {
                for number in 0..written.len() {
                    let why =
                        format!("spec.types does not name {}, so Calico ignores the rule", direction.name());
                    report.note(reference, place(direction, number), Outcome::Exact, why);
                }
                continue;
            }
            for (number, rule) in written.iter().enumerate() {
                if report.omissions.contains(&Omission::Rule(reference.clone(), direction, number)) {
                    continue;
                }
                match self.rule(policy, rule, (direction, number), reference, report) {
                    Ok(lowered) => rules.extend(lowered),
                    Err(refusal) => {
                        report.leave_rule(reference, (direction, number), effect(rule.action), refusal)
                    }
                }
            }
        }
        Some(Policy {
            source: reference.clone(),
            name: policy.name.clone(),
            namespace: policy.namespace.clone(),
            is_after_kubernetes: calico::is_after_kubernetes(policy, &self.input),
            is_among_kubernetes: calico::is_among_kubernetes(policy, &self.input),
            subjects,
            types: policy.types.clone(),
            rules,
        })
    }

    /// The rule; none if it can be about no packet.
    fn rule(
        &self,
        policy: &calico::Policy,
        rule: &calico::Rule,
        (direction, number): (Direction, usize),
        reference: &Reference,
        report: &mut Report,
    ) -> Result<Option<Rule>, Refusal> {
        let action = match rule.action {
            RuleAction::Allow => Action::Allow,
            RuleAction::Deny => Action::Deny,
            RuleAction::Pass => Action::Pass,
            RuleAction::Log => {
                return Err(Refusal::new(
                    "action",
                    "Log: packets would no longer be noted in the logs of nodes",
                ));
            }
        };
        let mut notes = Notes { reference, place: place(direction, number), report };
        let (own, own_name, other, other_name) = match direction {
            Direction::Ingress => (&rule.destination, "destination", &rule.source, "source"),
            Direction::Egress => (&rule.source, "source", &rule.destination, "destination"),
        };
        let subjects = self.subjects(policy, own, own_name)?;
        let peers = self.peers(other, other_name, rule.is_v6, &mut notes)?;
        let traffic = traffic(rule, &mut notes)?;
        let is_empty = subjects.as_ref().is_some_and(Vec::is_empty)
            || peers.as_ref().is_some_and(Vec::is_empty)
            || traffic.as_ref().is_some_and(Vec::is_empty);
        if is_empty {
            notes.add("", Outcome::Exact, "it is about no packet, so nothing is written for it");
            return Ok(None);
        }
        Ok(Some(Rule { direction, number, action, subjects, peers, traffic, skips: false }))
    }

    /// The pods that a rule is about, where its own end says more than the policy.
    fn subjects(
        &self,
        policy: &calico::Policy,
        own: &Entity,
        name: &str,
    ) -> Result<Option<Vec<PodSelection>>, Refusal> {
        for (field, nets) in [("nets", &own.nets), ("notNets", &own.not_nets)] {
            if !nets.is_empty() {
                let why = "an address of the pod that the policy is about, which no target asks for";
                return Err(Refusal::new(format!("{name}.{field}"), why));
            }
        }
        if own.selected.is_none() && own.not_selected.is_none() {
            return Ok(None);
        }
        let sets =
            own.selected.iter().chain(&own.not_selected).flat_map(|selector| self.input.addresses(selector));
        let mut of_pods = sets.filter(|set| self.pod_ranges.iter().any(|pods| pods.overlaps(*set)));
        if of_pods.next().is_some() {
            let why = "it selects network sets or host endpoints with addresses of pods";
            return Err(Refusal::new(format!("{name}.selector"), why));
        }
        let not = own.not_selected.clone().map(Expression::negate);
        let all = [Some(policy.pods.clone()), own.selected.clone(), not];
        select_pods(&Expression::And(all.into_iter().flatten().collect()))
            .map(Some)
            .map_err(|why| Refusal::new(format!("{name}.selector"), why))
    }

    /// The other end. None is everything, and an empty list is nothing.
    fn peers(
        &self,
        end: &Entity,
        name: &str,
        is_v6: Option<bool>,
        notes: &mut Notes<'_>,
    ) -> Result<Option<Vec<Peer>>, Refusal> {
        let has_addresses = !end.nets.is_empty() || !end.not_nets.is_empty();
        match (&end.selected, &end.not_selected) {
            (None, Some(_)) => Err(Refusal::new(
                format!("{name}.notSelector"),
                "it means all other peers, also outside of the cluster, and no target has such a peer",
            )),
            (Some(_), _) if has_addresses => Err(Refusal::new(
                format!("{name}.selector"),
                "a selector and addresses that must both be true, and targets have one of the two in a peer",
            )),
            (Some(selected), not) => {
                self.require_one_family(is_v6)?;
                self.select_peers(selected, not.as_ref(), name, notes).map(Some)
            }
            (None, None) if has_addresses || (is_v6.is_some() && self.require_one_family(is_v6).is_err()) => {
                if !end.not_nets.is_empty() {
                    notes.add(&format!("{name}.notNets"), Outcome::Expanded, "exceptions of ranges");
                }
                if is_v6.is_some() {
                    notes.add("ipVersion", Outcome::Expanded, "ranges of this family alone");
                }
                for (field, ranges) in [("nets", &end.nets), ("notNets", &end.not_nets)] {
                    if ranges.iter().any(|range| names_pods(*range, self.pod_ranges)) {
                        notes.add(&format!("{name}.{field}"), Outcome::Snapshot, WHY);
                    }
                }
                let range_blocks = blocks(&end.nets, &end.not_nets, is_v6);
                Ok(Some(range_blocks.into_iter().map(Peer::Block).collect()))
            }
            (None, None) => Ok(None),
        }
    }

    /// No pod has an address of the other family.
    fn require_one_family(&self, is_v6: Option<bool>) -> Result<(), Refusal> {
        match is_v6 {
            Some(is_v6) if self.pod_ranges.iter().any(|range| range.is_v6() != is_v6) => Err(Refusal::new(
                "ipVersion",
                "pods have addresses of both families, and labels are those of both",
            )),
            _ => Ok(()),
        }
    }

    /// Pods, and every endpoint with an address of a network set or a host endpoint that the selector selects, too.
    fn select_peers(
        &self,
        selected: &Expression,
        not: Option<&Expression>,
        name: &str,
        notes: &mut Notes<'_>,
    ) -> Result<Vec<Peer>, Refusal> {
        let of_sets = self.input.addresses(selected);
        if let Some(not) = not {
            let theirs = self.input.addresses(not);
            if !of_sets.is_empty() || !theirs.is_empty() {
                let why = "network sets or host endpoints are selected, and an address may be in two of them";
                return Err(Refusal::new(format!("{name}.notSelector"), why));
            }
            notes.add(
                &format!("{name}.notSelector"),
                Outcome::Expanded,
                "the opposite condition beside the selector",
            );
        }
        let condition =
            not.map_or_else(|| selected.clone(), |not| selected.clone().and(not.clone().negate()));
        let pods = select_pods(&condition).map_err(|why| Refusal::new(format!("{name}.selector"), why))?;
        if pods.len() > 1 {
            notes.add(
                &format!("{name}.selector"),
                Outcome::Expanded,
                format!("{} alternatives, each a peer of its own", pods.len()),
            );
        }
        if !of_sets.is_empty() {
            let why = format!(
                "it selects network sets or host endpoints: their ranges ({}) are written out, and stay so if the sets or their labels change",
                of_sets.len()
            );
            notes.add(&format!("{name}.selector"), Outcome::Snapshot, why);
        }
        let sets = blocks(&of_sets, &[], None).into_iter().map(Peer::Block);
        Ok(if of_sets.is_empty() {
            pods.into_iter().map(Peer::Pods).collect()
        } else {
            pods.into_iter().map(Peer::Pods).chain(sets).collect()
        })
    }
}

/// What happens without a rule.
const fn effect(action: RuleAction) -> Effect {
    match action {
        RuleAction::Allow => Effect::Narrows,
        RuleAction::Deny => Effect::Widens,
        RuleAction::Pass => Effect::Unknown,
        RuleAction::Log => Effect::Nothing,
    }
}

/// Where notes about one rule go.
pub(super) struct Notes<'r> {
    reference: &'r Reference,
    place: String,
    report: &'r mut Report,
}

impl Notes<'_> {
    /// Adds what became of a field of the rule; an empty one is the rule itself.
    pub(super) fn add(&mut self, field: &str, outcome: Outcome, why: impl Into<String>) {
        let place = &self.place;
        let field = if field.is_empty() { place.clone() } else { format!("{place}.{field}") };
        self.report.note(self.reference, field, outcome, why);
    }
}
