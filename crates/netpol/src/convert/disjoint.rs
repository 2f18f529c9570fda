//! Proofs that pods, peers, kinds of traffic or rules have nothing in common.
//!
//! The answers err to one side: what is not known to be apart, or covered, may not be.

use std::collections::BTreeMap;

use snapshot::Range;
use snapshot::model::Text;

use crate::convert::intermediate::{Peer, PodSelection, Rule, Traffic};
use crate::engines::kubernetes::{Block, LabelSelector, PortNumber, Requirement};
use crate::expression::{LabelOwner, NAMESPACE_NAME};

/// No pod is in both.
pub(super) fn are_apart(selections: &[PodSelection], other: &[PodSelection]) -> bool {
    selections.iter().all(|selection| other.iter().all(|other| selection.is_apart(other)))
}

/// Every pod that is in `narrow` is in `all`, too.
pub(super) fn covers(all: &[PodSelection], narrow: &[PodSelection]) -> bool {
    narrow.iter().all(|selection| all.iter().any(|wide| selection.implies(wide)))
}

/// No packet of a pod is one that both rules are about, their subjects left out. Pods have addresses of these ranges, and of any where none is given.
pub(super) fn rules_apart(rule: &Rule, other: &Rule, pod_ranges: &[Range]) -> bool {
    let peers = all_apart(rule.peers.as_deref(), other.peers.as_deref(), |peer, other| {
        peers_apart(peer, other, pod_ranges)
    });
    peers || all_apart(rule.traffic.as_deref(), other.traffic.as_deref(), traffic_apart)
}

/// Each entry of the one list is apart from each of the other; no list is everything.
fn all_apart<T>(items: Option<&[T]>, other: Option<&[T]>, apart: impl Fn(&T, &T) -> bool) -> bool {
    let (Some(items), Some(other)) = (items, other) else { return false };
    items.iter().all(|item| other.iter().all(|other| apart(item, other)))
}

fn peers_apart(peer: &Peer, other: &Peer, pod_ranges: &[Range]) -> bool {
    match (peer, other) {
        (Peer::Pods(selection), Peer::Pods(other)) => selection.is_apart(other),
        (Peer::Block(item), Peer::Block(other)) => {
            has_nothing_of(item, other.range) || has_nothing_of(other, item.range)
        }
        (Peer::Pods(_), Peer::Block(block)) | (Peer::Block(block), Peer::Pods(_)) => {
            !pod_ranges.is_empty() && pod_ranges.iter().all(|range| has_nothing_of(block, *range))
        }
    }
}

/// The block has no address of the range. Exceptions that cover it only together are not seen.
fn has_nothing_of(block: &Block, range: Range) -> bool {
    !block.range.overlaps(range) || block.except.iter().any(|except| except.contains(range))
}

fn traffic_apart(traffic: &Traffic, other: &Traffic) -> bool {
    if traffic.protocol != other.protocol {
        return true;
    }
    let to = match (&traffic.to, &other.to) {
        (Some(PortNumber::Range(first, last)), Some(PortNumber::Range(begin, end))) => {
            last < begin || end < first
        }
        _ => false,
    };
    let from = match (&traffic.from, &other.from) {
        (Some(range), Some(other)) => range.end() < other.start() || other.end() < range.start(),
        _ => false,
    };
    let message = match (&traffic.message, &other.message) {
        (Some(item), Some(other)) => differ(item.kind, other.kind) || differ(item.code, other.code),
        _ => false,
    };
    to || from || message
}

fn differ(number: Option<u8>, other: Option<u8>) -> bool {
    number.zip(other).is_some_and(|(number, other)| number != other)
}

impl PodSelection {
    /// No pod is in both.
    fn is_apart(&self, other: &Self) -> bool {
        let all = [self.requirements(), other.requirements()].concat();
        let mut constraints: BTreeMap<(LabelOwner, &Text), LabelConstraint<'_>> = BTreeMap::new();
        for (owner, requirement) in &all {
            constraints.entry((*owner, &requirement.key)).or_default().add(requirement);
        }
        !constraints.values().all(LabelConstraint::is_possible)
    }

    /// Every pod of this one is one of the other.
    fn implies(&self, other: &Self) -> bool {
        let own = self.requirements();
        other.requirements().iter().all(|(owner, constraint)| {
            own.iter().any(|(whose, requirement)| owner == whose && implies(requirement, constraint))
        })
    }

    /// All that is said, as conditions in one form.
    fn requirements(&self) -> Vec<(LabelOwner, Requirement)> {
        let within =
            self.namespace.iter().map(|name| (LabelOwner::Namespace, equals(&NAMESPACE_NAME.into(), name)));
        let namespaces =
            requirements(&self.namespaces).map(|requirement| (LabelOwner::Namespace, requirement));
        let pods = requirements(&self.pods).map(|requirement| (LabelOwner::Pod, requirement));
        let accounts = self.accounts.iter().map(|requirement| (LabelOwner::Account, requirement.clone()));
        within.chain(namespaces).chain(pods).chain(accounts).collect()
    }
}

fn requirements(selector: &LabelSelector) -> impl Iterator<Item = Requirement> + '_ {
    let labels = selector.match_labels.iter().map(|(key, value)| equals(key, value));
    labels.chain(selector.match_expressions.iter().cloned())
}

fn equals(key: &Text, value: &Text) -> Requirement {
    Requirement { key: key.clone(), operator: "In".into(), values: vec![value.clone()] }
}

/// What selectors require of one label.
#[derive(Default)]
struct LabelConstraint<'r> {
    /// The values of each list of which the label must have one.
    allowed: Vec<&'r [Text]>,
    excluded: Vec<&'r Text>,
    exists: bool,
    is_absent: bool,
}

impl<'r> LabelConstraint<'r> {
    fn add(&mut self, requirement: &'r Requirement) {
        match &*requirement.operator {
            "In" => self.allowed.push(&requirement.values),
            "NotIn" => self.excluded.extend(&requirement.values),
            "Exists" => self.exists = true,
            _ => self.is_absent = true,
        }
    }

    fn is_possible(&self) -> bool {
        let Some((first, rest)) = self.allowed.split_first() else { return !(self.exists && self.is_absent) };
        let fits = |value: &&Text| {
            rest.iter().all(|values| values.contains(value)) && !self.excluded.contains(value)
        };
        !self.is_absent && first.iter().any(|value| fits(&value))
    }
}

/// Where the first is true, the other is.
fn implies(requirement: &Requirement, other: &Requirement) -> bool {
    requirement.key == other.key
        && match (&*requirement.operator, &*other.operator) {
            ("In", "In") => requirement.values.iter().all(|value| other.values.contains(value)),
            ("In", "NotIn") => requirement.values.iter().all(|value| !other.values.contains(value)),
            ("NotIn", "NotIn") => other.values.iter().all(|value| requirement.values.contains(value)),
            ("In" | "Exists", "Exists") | ("DoesNotExist", "DoesNotExist" | "NotIn") => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::label_selectors::select_pods;
    use crate::engines::calico::{Message, parse};
    use crate::engines::kubernetes::Block;
    use crate::expression::Expression;
    use crate::tier::Direction;
    use crate::traffic::{ICMP, TCP, UDP};

    fn pods(text: &str) -> Vec<PodSelection> {
        let (within, selector) =
            text.split_once(": ").map_or((None, text), |(name, rest)| (Some(name), rest));
        let own = parse(selector).expect("a selector");
        let all = within.map_or(own.clone(), |name| Expression::Within(name.into()).and(own));
        select_pods(&all).expect("label selectors")
    }

    #[test]
    fn pods_are_apart_if_their_selectors_contradict_each_other() {
        for (item, other, expected) in [
            ("a == 'b'", "a == 'c'", true),
            ("a == 'b'", "a != 'b'", true),
            ("a in {'b', 'c'}", "a in {'c', 'd'}", false),
            ("a in {'b', 'c'}", "a in {'c', 'd'} && a != 'c'", true),
            ("a in {'b', 'c'}", "a not in {'c', 'b', 'd'}", true),
            ("has(a)", "!has(a)", true),
            ("a == 'b'", "!has(a)", true),
            ("a != 'b'", "!has(a)", false),
            ("a == 'b'", "c == 'd'", false),
            ("a == 'b' || c == 'd'", "a == 'c'", false),
            ("a == 'b' || a == 'd'", "a == 'c'", true),
            ("n: all()", "m: all()", true),
            ("n: all()", "projectcalico.org/namespace == 'm'", true),
            ("n: all()", "all()", false),
            ("projectcalico.org/serviceaccount == 'x'", "projectcalico.org/serviceaccount == 'y'", true),
            ("pcns.a == 'b'", "a == 'c'", false),
        ] {
            assert_eq!(are_apart(&pods(item), &pods(other)), expected, "{item} and {other}");
            assert_eq!(are_apart(&pods(other), &pods(item)), expected, "{other} and {item}");
        }
    }

    #[test]
    fn a_selector_covers_those_that_say_more() {
        for (wide, narrow, expected) in [
            ("all()", "a == 'b'", true),
            ("a == 'b'", "all()", false),
            ("a == 'b'", "a == 'b' && c == 'd'", true),
            ("a in {'b', 'c'}", "a == 'b'", true),
            ("a == 'b'", "a in {'b', 'c'}", false),
            ("a == 'b' || a == 'c'", "a == 'c'", true),
            ("a != 'b'", "a == 'c'", true),
            ("a not in {'b'}", "a not in {'b', 'c'}", true),
            ("a not in {'b', 'c'}", "a not in {'b'}", false),
            ("a != 'b'", "!has(a)", true),
            ("has(a)", "a == 'b'", true),
            ("has(a)", "a != 'b'", false),
            ("n: all()", "n: a == 'b'", true),
            ("n: all()", "m: a == 'b'", false),
            ("projectcalico.org/namespace == 'n'", "n: all()", true),
        ] {
            assert_eq!(covers(&pods(wide), &pods(narrow)), expected, "{wide} covers {narrow}");
        }
    }

    fn rule(peers: Option<Vec<Peer>>, traffic: Option<Vec<Traffic>>) -> Rule {
        let (direction, action) = (Direction::Ingress, crate::convert::intermediate::Action::Allow);
        Rule { direction, number: 0, action, subjects: None, peers, traffic, skips: false }
    }

    #[test]
    fn rules_are_apart_by_their_peers_or_by_their_traffic() {
        let rule_of = |protocol, ports: Option<(u16, u16)>| {
            let to = ports.map(|(first, last)| PortNumber::Range(first, last));
            rule(None, Some(vec![Traffic { protocol, to, from: None, message: None }]))
        };
        let message = |kind: u8| {
            let message = Some(Message { kind: Some(kind), code: None });
            rule(None, Some(vec![Traffic { protocol: ICMP, to: None, from: None, message }]))
        };
        let range = |text: &str| Range::read(text).expect("a range").0;
        let cut = |text: &str, except: &[&str]| {
            let except = except.iter().map(|text| range(text)).collect();
            rule(Some(vec![Peer::Block(Block { range: range(text), except })]), None)
        };
        let block = |text: &str| cut(text, &[]);
        let named = |name: &str| {
            let to = Some(PortNumber::Name(name.into()));
            rule(None, Some(vec![Traffic { protocol: TCP, to, from: None, message: None }]))
        };
        let pods_have = [range("10.244.0.0/16")];
        let peer = |text: &str| rule(Some(pods(text).into_iter().map(Peer::Pods).collect()), None);
        for (rule, other, expected) in [
            (rule_of(TCP, None), rule_of(UDP, None), true),
            (rule_of(TCP, Some((1, 80))), rule_of(TCP, Some((81, 90))), true),
            (rule_of(TCP, Some((1, 80))), rule_of(TCP, Some((80, 90))), false),
            (rule_of(TCP, Some((1, 80))), rule_of(TCP, None), false),
            (rule_of(TCP, None), rule(None, None), false),
            (message(8), message(3), true),
            (message(8), message(8), false),
            (block("10.0.0.0/8"), block("10.1.0.0/16"), false),
            (block("10.0.0.0/8"), block("11.0.0.0/8"), true),
            (block("10.0.0.0/8"), peer("a == 'b'"), false),
            (cut("10.0.0.0/8", &["10.244.0.0/16"]), peer("a == 'b'"), true),
            (cut("10.0.0.0/8", &["10.244.0.0/17"]), peer("a == 'b'"), false),
            (block("172.16.0.0/12"), peer("a == 'b'"), true),
            (block("172.16.0.0/12"), rule(None, None), false),
            (cut("10.0.0.0/8", &["10.1.0.0/16"]), block("10.1.2.0/24"), true),
            (cut("10.0.0.0/8", &["10.1.0.0/17"]), block("10.1.0.0/16"), false),
            (rule_of(TCP, Some((1, 80))), named("web"), false),
            (peer("a == 'c'"), peer("a == 'b'"), true),
        ] {
            assert_eq!(rules_apart(&rule, &other, &pods_have), expected, "{rule:?} {other:?}");
            assert_eq!(rules_apart(&other, &rule, &pods_have), expected, "{other:?} {rule:?}");
        }
        // Where pods are is not known.
        assert!(!rules_apart(&block("172.16.0.0/12"), &peer("a == 'b'"), &[]));
    }
}
