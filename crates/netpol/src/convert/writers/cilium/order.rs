//! Order, tiers and denials, none of which Cilium has as Calico has them: what one rule denies is denied, whatever else allows it,
//! and everything else that some rule allows is allowed.

use std::collections::BTreeSet;

use snapshot::model::Text;

use crate::convert::disjoint::{are_apart, covers, rules_apart};
use crate::convert::intermediate::{Action, PlainPolicies, PodSelection, Policy, Rule};
use crate::tier::{Direction, End};

/// The tier in which NetworkPolicies of Kubernetes have their place. *Source*: Calico, "Tier".
const DEFAULT: &str = "default";

/// A policy with those of its rules that can be said and that some packet can reach.
#[derive(Debug, Clone)]
pub(super) struct OrderedPolicy<'p> {
    /// The number of its tier.
    pub(super) tier: usize,
    pub(super) policy: &'p Policy,
    pub(super) rules: Vec<&'p Rule>,
}

/// How a rule is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Among those that allow.
    Allow,
    /// Among those that deny.
    Deny,
    /// Not at all: what denies by default does the same.
    Nothing,
}

/// All policies in order.
#[derive(Debug)]
pub(super) struct Order<'p> {
    plain: &'p PlainPolicies,
    policies: Vec<OrderedPolicy<'p>>,
    /// For every policy and every rule of it, whether it lets packets through for good.
    opens: Vec<Vec<bool>>,
    /// The number of the tier with the NetworkPolicies of Kubernetes, and the namespaces that these are of.
    kubernetes: (usize, BTreeSet<&'p Text>),
}

impl<'p> Order<'p> {
    /// The order of these policies, the first one first.
    pub(super) fn new(plain: &'p PlainPolicies, placed: Vec<OrderedPolicy<'p>>) -> Self {
        let tier = plain.tiers.iter().position(|tier| *tier.name == *DEFAULT).unwrap_or(plain.tiers.len());
        let namespaces = plain.kubernetes.iter().map(|(namespace, _)| namespace).collect();
        let mut all = Self { plain, policies: placed, opens: Vec::new(), kubernetes: (tier, namespaces) };
        let opens = |ordered: &OrderedPolicy<'_>, rule: &Rule| match rule.action {
            Action::Allow => true,
            Action::Deny => false,
            Action::Pass => !all.is_continued(ordered.tier, rule.direction, subjects(ordered, rule)),
        };
        all.opens = all
            .policies
            .iter()
            .map(|ordered| ordered.rules.iter().map(|rule| opens(ordered, rule)).collect())
            .collect();
        all
    }

    /// The policies, the first one first.
    pub(super) fn policies(&self) -> &[OrderedPolicy<'p>] {
        &self.policies
    }

    /// Whether a policy denies by default to the pods that it selects.
    pub(super) fn isolates(&self, place: usize, direction: Direction) -> bool {
        let ordered = &self.policies[place];
        let denies =
            |rule: &&Rule| rule.direction == direction && rule.action == Action::Deny && is_whole(rule);
        ordered.rules.iter().any(denies)
            || (self.plain.tiers[ordered.tier].end == End::Deny && !self.is_passed_over(place, direction))
    }

    /// Some policy of the tier passes everything of the same pods, so no packet of theirs ends there.
    fn is_passed_over(&self, place: usize, direction: Direction) -> bool {
        let ordered = &self.policies[place];
        self.policies.iter().zip(&self.opens).filter(|(other, _)| other.tier == ordered.tier).any(
            |(other, opens)| {
                let mut rules = other.rules.iter().zip(opens);
                let passes = rules.any(|(rule, opens)| {
                    rule.direction == direction && rule.action == Action::Pass && !opens && is_whole(rule)
                });
                passes && covers(&other.policy.subjects, &ordered.policy.subjects)
            },
        )
    }

    /// Whether policies after this one's tier may have a say about its pods.
    pub(super) fn is_before_others(&self, place: usize, direction: Direction) -> bool {
        let ordered = &self.policies[place];
        self.is_continued(ordered.tier, direction, &ordered.policy.subjects)
    }

    /// Some policy of a later tier may select one of these pods.
    fn is_continued(&self, tier: usize, direction: Direction, subjects: &[PodSelection]) -> bool {
        let selects = |other: &OrderedPolicy<'_>| {
            other.policy.types.contains(&direction) && !are_apart(subjects, &other.policy.subjects)
        };
        (self.kubernetes.0 > tier && self.has_kubernetes(subjects))
            || self.policies.iter().any(|other| other.tier > tier && selects(other))
    }

    /// Some NetworkPolicy of Kubernetes may select one of these pods.
    fn has_kubernetes(&self, subjects: &[PodSelection]) -> bool {
        let is_of = |selection: &PodSelection| match selection.namespace_names() {
            Some(names) => names.iter().any(|name| self.kubernetes.1.contains(name)),
            None => !self.kubernetes.1.is_empty(),
        };
        subjects.iter().any(is_of)
    }

    /// How a rule is written, and why so if that is not how it was.
    pub(super) fn form(&self, place: usize, number: usize) -> (Form, Option<&'static str>) {
        let rule = self.policies[place].rules[number];
        match rule.action {
            Action::Allow => (Form::Allow, None),
            Action::Deny => self.denied_form(place, number),
            Action::Pass if self.opens[place][number] => (
                Form::Allow,
                Some("no policy of a later tier is about these pods, so what passes is allowed"),
            ),
            Action::Pass if is_whole(rule) => {
                (Form::Nothing, Some("Cilium has no tiers: the policies of this one deny nothing by default"))
            }
            Action::Pass => (
                Form::Nothing,
                Some(
                    "Cilium has no tiers: the packets are not allowed by this policy, and its pods are denied the rest by default",
                ),
            ),
        }
    }

    /// A denial is left to what denies by default if nothing after it allows what it denies. Else it is written, and wins over what allows before it.
    fn denied_form(&self, place: usize, number: usize) -> (Form, Option<&'static str>) {
        let ordered = &self.policies[place];
        let rule = ordered.rules[number];
        let isolates = self.isolates(place, rule.direction);
        if isolates && !self.is_opened(place, number, false) {
            return (
                Form::Nothing,
                Some("Cilium drops whatever no rule allows, and this rule is left to that"),
            );
        }
        if !self.is_opened(place, number, true) {
            return (Form::Deny, None);
        }
        if isolates && is_whole(rule) {
            let why = "Cilium drops whatever no rule allows, and this rule is left to that; a rule after it may allow what it denies";
            return (Form::Nothing, Some(why));
        }
        let why = "a denial, which Cilium enforces before all that is allowed; a rule before it may let through what it denies";
        (Form::Deny, Some(why))
    }

    /// Some rule before or after this one may let through what it is about.
    fn is_opened(&self, place: usize, number: usize, before: bool) -> bool {
        let ordered = &self.policies[place];
        let rule = ordered.rules[number];
        let own = subjects(ordered, rule);
        let (kubernetes, _) = self.kubernetes;
        let is_after =
            kubernetes < ordered.tier || (kubernetes == ordered.tier && ordered.policy.is_after_kubernetes);
        if is_after == before && self.has_kubernetes(own) {
            return true;
        }
        let lets = |index: usize, other: &OrderedPolicy<'_>, number: usize, their: &Rule| {
            // What is passed is not for later rules of its tier.
            let passes = before && their.action == Action::Pass && other.tier == ordered.tier;
            their.direction == rule.direction
                && (self.opens[index][number] || passes)
                && !rules_apart(rule, their, &self.plain.pod_ranges)
                && !are_apart(own, subjects(other, their))
        };
        let is_there = |index: usize, other_number: usize| {
            if before {
                (index, other_number) < (place, number)
            } else {
                (index, other_number) > (place, number)
            }
        };
        self.policies.iter().enumerate().any(|(index, other)| {
            let mut rules = other.rules.iter().enumerate();
            rules.any(|(number, their)| is_there(index, number) && lets(index, other, number, their))
        })
    }
}

/// The rules of a policy that some packet can reach: none after one that is about everything.
pub(super) fn reached_rules<'p>(rules: impl Iterator<Item = &'p Rule>) -> Vec<&'p Rule> {
    let mut closed: Vec<Direction> = Vec::new();
    let mut reached_rules = Vec::new();
    for rule in rules {
        if closed.contains(&rule.direction) {
            continue;
        }
        if is_whole(rule) {
            closed.push(rule.direction);
        }
        reached_rules.push(rule);
    }
    reached_rules
}

/// The pods that a rule is about.
fn subjects<'a>(ordered: &OrderedPolicy<'a>, rule: &'a Rule) -> &'a [PodSelection] {
    rule.subjects.as_deref().unwrap_or(&ordered.policy.subjects)
}

/// A rule about everything that the pods of its policy receive or send.
const fn is_whole(rule: &Rule) -> bool {
    rule.subjects.is_none() && rule.peers.is_none() && rule.traffic.is_none()
}
