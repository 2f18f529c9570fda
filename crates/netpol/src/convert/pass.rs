//! Pass to a later tier, for targets whose own Pass leaves out all tiers before the NetworkPolicies of Kubernetes: what the later tiers decide of the
//! packets stands in its place, and then comes the target's Pass.

use std::collections::BTreeSet;

use snapshot::Range;

use super::report::Omission;
use crate::convert::disjoint::are_apart;
use crate::convert::intermediate::{Action, Peer, PlainPolicies, PodSelection, Policy, Rule, Traffic};
use crate::convert::reachable_rules::DEFAULT;
use crate::engines::calico::Message;
use crate::engines::kubernetes::{Block, LabelSelector, PortNumber};
use crate::tier::End;

/// How many rules a Pass may become.
const MOST: usize = 128;

/// The policies with rules in the place of those of these Passes for which there are some; none if there are for none.
pub(super) fn inline(plain: &PlainPolicies, passes: &BTreeSet<Omission>) -> Option<PlainPolicies> {
    let default = plain.tiers.iter().position(|tier| *tier.name == *DEFAULT)?;
    let mut policies = plain.clone();
    let mut is_changed = false;
    for (place, tier) in plain.tiers.iter().enumerate().take(default) {
        for (index, policy) in tier.policies.iter().enumerate() {
            let mut rules = Vec::new();
            for rule in &policy.rules {
                let omission = Omission::Rule(policy.source.clone(), rule.direction, rule.number);
                let is_meant = rule.action == Action::Pass && !rule.skips && passes.contains(&omission);
                let inner = is_meant.then(|| expand(plain, place + 1, default, policy, rule)).flatten();
                is_changed |= inner.is_some();
                rules.extend(inner.unwrap_or_else(|| vec![rule.clone()]));
            }
            policies.tiers[place].policies[index].rules = rules;
        }
    }
    is_changed.then_some(policies)
}

/// What the tiers from this one on decide of the packets of a Pass, and a Pass for the rest; none if it cannot be said.
fn expand(
    plain: &PlainPolicies,
    from: usize,
    default: usize,
    policy: &Policy,
    pass: &Rule,
) -> Option<Vec<Rule>> {
    let subjects = pass.subjects.clone().unwrap_or_else(|| policy.subjects.clone());
    let pass = Rule { subjects: Some(subjects), ..pass.clone() };
    let mut rules = Vec::new();
    decide_pass(plain, from, default, &pass, &mut rules)?;
    (rules.len() <= MOST).then_some(rules)
}

/// The subjects of a rule that stands for itself.
fn subjects(rule: &Rule) -> &[PodSelection] {
    rule.subjects.as_deref().unwrap_or_default()
}

fn decide_pass(
    plain: &PlainPolicies,
    place: usize,
    default: usize,
    pass: &Rule,
    rules: &mut Vec<Rule>,
) -> Option<()> {
    let tier = &plain.tiers[place];
    let is_default = place == default;
    let about = || tier.policies.iter().filter(|policy| policy.types.contains(&pass.direction));
    let mut late: Vec<Rule> = Vec::new();
    for policy in about() {
        for rule in policy.rules_in(pass.direction) {
            let wide = Rule {
                subjects: Some(rule.subjects.clone().unwrap_or_else(|| policy.subjects.clone())),
                ..rule.clone()
            };
            let Some(both) = intersect(plain, &wide, pass)? else { continue };
            match both.action {
                Action::Pass if is_default => return None,
                Action::Pass => decide_pass(plain, place + 1, default, &both, rules)?,
                Action::Deny if is_default && policy.is_among_kubernetes => return None,
                // The end of the tier drops the same, after the NetworkPolicies of Kubernetes.
                Action::Deny if is_default && policy.is_after_kubernetes => late.push(both),
                Action::Allow if late.iter().any(|denial| !are_apart(subjects(denial), subjects(&both))) => {
                    return None;
                }
                Action::Allow | Action::Deny => rules.push(both),
            }
            if rules.len() > MOST {
                return None;
            }
        }
    }
    if is_default {
        rules.push(Rule { skips: true, ..pass.clone() });
        return Some(());
    }
    if tier.end == End::Deny {
        for policy in about() {
            if let Some(all) = intersect_lists(subjects(pass), &policy.subjects, chosen_in_both)? {
                rules.push(Rule { action: Action::Deny, subjects: Some(all), ..pass.clone() });
            }
        }
    }
    decide_pass(plain, place + 1, default, pass, rules)
}

/// The first rule for packets that both are about, in the place of the other; none if there are no such packets.
fn intersect(plain: &PlainPolicies, rule: &Rule, pass: &Rule) -> Option<Option<Rule>> {
    let subjects = intersect_lists(subjects(rule), subjects(pass), chosen_in_both)?;
    let peers = intersect_options(rule.peers.as_ref(), pass.peers.as_ref(), |first, second| {
        peer(first, second, &plain.pod_ranges)
    })?;
    let traffic = intersect_options(rule.traffic.as_ref(), pass.traffic.as_ref(), traffic)?;
    let (Some(subjects), Some(peers), Some(traffic)) = (subjects, peers, traffic) else { return Some(None) };
    let Rule { direction, number, .. } = *pass;
    Some(Some(Rule {
        direction,
        number,
        action: rule.action,
        subjects: Some(subjects),
        peers,
        traffic,
        skips: false,
    }))
}

/// What two lists have in common, where none is everything. The outer answer is none if it cannot be said, the inner one if it is nothing.
fn intersect_options<T: Clone>(
    items: Option<&Vec<T>>,
    other: Option<&Vec<T>>,
    common: impl Fn(&T, &T) -> Option<Option<T>>,
) -> Option<Option<Option<Vec<T>>>> {
    match (items, other) {
        (None, None) => Some(Some(None)),
        (Some(list), None) | (None, Some(list)) => Some(Some(Some(list.clone()))),
        (Some(items), Some(other)) => Some(intersect_lists(items, other, common)?.map(Some)),
    }
}

fn intersect_lists<T>(
    items: &[T],
    other: &[T],
    common: impl Fn(&T, &T) -> Option<Option<T>>,
) -> Option<Option<Vec<T>>> {
    let mut common_items = Vec::new();
    for item in items {
        for other in other {
            common_items.extend(common(item, other)?);
        }
    }
    if common_items.len() > MOST {
        return None;
    }
    Some((!common_items.is_empty()).then_some(common_items))
}

/// The pods that are in both.
fn chosen_in_both(selection: &PodSelection, other: &PodSelection) -> Option<Option<PodSelection>> {
    if are_apart(std::slice::from_ref(selection), std::slice::from_ref(other)) {
        return Some(None);
    }
    let mut intersection = selection.clone();
    intersection.namespace = intersection.namespace.or_else(|| other.namespace.clone());
    add(&mut intersection.namespaces, &other.namespaces);
    add(&mut intersection.pods, &other.pods);
    for account in &other.accounts {
        if !intersection.accounts.contains(account) {
            intersection.accounts.push(account.clone());
        }
    }
    Some(Some(intersection))
}

/// Two selectors of which no pod is apart have no label with two values.
fn add(selector: &mut LabelSelector, more: &LabelSelector) {
    selector.match_labels.extend(more.match_labels.clone());
    for requirement in &more.match_expressions {
        if !selector.match_expressions.contains(requirement) {
            selector.match_expressions.push(requirement.clone());
        }
    }
}

fn peer(peer: &Peer, other: &Peer, pod_ranges: &[Range]) -> Option<Option<Peer>> {
    match (peer, other) {
        (Peer::Pods(selection), Peer::Pods(other)) => Some(chosen_in_both(selection, other)?.map(Peer::Pods)),
        (Peer::Block(item), Peer::Block(other)) => Some(block(item, other).map(Peer::Block)),
        (Peer::Pods(_), Peer::Block(block)) | (Peer::Block(block), Peer::Pods(_)) => {
            let has_pods = pod_ranges.is_empty() || pod_ranges.iter().any(|pods| pods.overlaps(block.range));
            if has_pods { None } else { Some(None) }
        }
    }
}

fn block(block: &Block, other: &Block) -> Option<Block> {
    let (inner, outer) = if block.range.contains(other.range) { (other, block) } else { (block, other) };
    if !outer.range.contains(inner.range) || outer.except.iter().any(|part| part.contains(inner.range)) {
        return None;
    }
    let mut cut_block = inner.clone();
    let more =
        outer.except.iter().filter(|part| inner.range.contains(**part) && !inner.except.contains(part));
    cut_block.except.extend(more);
    Some(cut_block)
}

fn traffic(traffic: &Traffic, other: &Traffic) -> Option<Option<Traffic>> {
    if traffic.protocol != other.protocol {
        return Some(None);
    }
    let to = match (&traffic.to, &other.to) {
        (None, port) | (port, None) => port.clone(),
        (Some(PortNumber::Range(first, last)), Some(PortNumber::Range(begin, end))) => {
            let (first, last) = (*first.max(begin), *last.min(end));
            if first > last {
                return Some(None);
            }
            Some(PortNumber::Range(first, last))
        }
        (Some(PortNumber::Name(name)), Some(PortNumber::Name(other))) if name == other => traffic.to.clone(),
        // What number a name stands for is another matter in each pod.
        (Some(PortNumber::Name(_)), Some(_)) | (Some(_), Some(PortNumber::Name(_))) => return None,
    };
    let from = match (&traffic.from, &other.from) {
        (None, ports) | (ports, None) => ports.clone(),
        (Some(range), Some(other)) => {
            let ports = *range.start().max(other.start())..=*range.end().min(other.end());
            if ports.is_empty() {
                return Some(None);
            }
            Some(ports)
        }
    };
    let message = match (traffic.message, other.message) {
        (None, message) | (message, None) => message,
        (Some(item), Some(other)) => {
            let differ = |number: Option<u8>, other: Option<u8>| {
                number.zip(other).is_some_and(|(number, other)| number != other)
            };
            if differ(item.kind, other.kind) || differ(item.code, other.code) {
                return Some(None);
            }
            Some(Message { kind: item.kind.or(other.kind), code: item.code.or(other.code) })
        }
    };
    Some(Some(Traffic { protocol: traffic.protocol, to, from, message }))
}
