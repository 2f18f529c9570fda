//! ClusterNetworkPolicies of Kubernetes beside NetworkPolicies: what is ordered stands in the Admin tier, which comes before NetworkPolicies.
//!
//! A ClusterNetworkPolicy isolates no pod, and knows senders by their labels alone: that a pod receives nothing from outside of the cluster only a
//! NetworkPolicy can say. So the end of the default tier is one in each namespace for what pods receive, as for NetworkPolicies alone; for what
//! they send it is one, too, where the policy is of a namespace, and else a rule of the Baseline tier, which holds in namespaces to come as well.
//! Tiers before the default one have their end for what pods send in the Admin tier, and none for what they receive; tiers after it have no place.
//! What is written means the same for every packet, also beside NetworkPolicies: what would not is refused here. Outside of that stays the place of
//! a policy whose order is 1000, which goes by names among NetworkPolicies and so may change with a new one.
//!
//! *Source*: kubernetes-sigs/network-policy-api, `apis/v1alpha2`.

mod place;
mod rule;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use self::place::{TierPlacement, place_tier};
use self::rule::{MOST, end, pods, rules};
use crate::convert::intermediate::{PlainPolicies, PodSelection, Policy, Rule};
use crate::convert::objects::ConvertedObjects;
use crate::convert::objects::{Draft, name_drafts};
use crate::convert::reachable_rules::{
    Entry, LaterTiers, Place, RefusedRules, TierPolicies, require_one_place,
};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::convert::writers::kubernetes::isolating;
use crate::tier::{Direction, End};

/// The last priority of a tier; the first one is 0. *Source*: kubernetes-sigs/network-policy-api, `apis/v1alpha2`.
const LAST: u64 = 1000;

/// A policy that is left out, and why.
type SkippedPolicy<'p> = (&'p Policy, Refusal);

/// The policies as ClusterNetworkPolicies and NetworkPolicies.
#[must_use]
pub fn write(plain: &PlainPolicies) -> ConvertedObjects {
    let mut skipped: Vec<SkippedPolicy<'_>> = skipped_policies(plain);
    // Without a policy that is left out others may have another place.
    let (drafts, refused, mut report) = loop {
        let (all, refused, mut notes) = place_tiers(plain, &skipped);
        let mut more = endless(&all);
        let drafts = drafts(plain, &all, &mut notes, &mut more);
        more.extend(crowded_policies(plain, &drafts));
        if more.is_empty() {
            break (drafts, refused, notes);
        }
        skipped.extend(more);
    };
    refused.leave(&mut report);
    for (policy, refusal) in skipped {
        report.leave_policy(&policy.source, refusal);
    }
    ConvertedObjects { objects: name_drafts(drafts, &plain.taken_names), report }
}

/// The policies that have no place in the target, or whose pods it cannot select.
fn skipped_policies(plain: &PlainPolicies) -> Vec<SkippedPolicy<'_>> {
    let mut skipped = Vec::new();
    for own in TierPolicies::from_tiers(&plain.tiers, |_| true) {
        for policy in own.policies {
            let mut subjects = policy.subjects.iter().map(pods);
            let refusal = match own.place {
                Place::After => Some(("spec.tier", "a tier after the default one: only NetworkPolicies of Kubernetes come after the Admin tier and drop what pods receive".to_owned())),
                Place::Default if own.tier.end == End::Allow => {
                    Some(("spec.tier", "a default tier that passes at its end, and NetworkPolicies of Kubernetes drop there".to_owned()))
                }
                Place::Before | Place::Default => subjects.find_map(Result::err).map(|why| ("spec.serviceAccountSelector", why)),
            };
            skipped.extend(refusal.map(|(field, why)| (policy, Refusal::new(field, why))));
        }
    }
    skipped
}

fn place_tiers<'p>(
    plain: &'p PlainPolicies,
    skipped: &[SkippedPolicy<'p>],
) -> (Vec<TierPlacement<'p>>, RefusedRules<'p>, Report) {
    let tiers = TierPolicies::from_tiers(&plain.tiers, |policy| {
        !skipped.iter().any(|(candidate, _)| std::ptr::eq(*candidate, policy))
    });
    let mut refused = RefusedRules::default();
    for policy in tiers.iter().flat_map(|own| own.policies.iter().copied()) {
        for rule in &policy.rules {
            if let Err(refusal) = check_rule(policy, rule) {
                refused.add(Entry { policy, rule, action: rule.action }, refusal);
            }
        }
    }
    let mut notes = Report::default();
    let mut behind = LaterTiers::default();
    let mut all: Vec<TierPlacement<'p>> = Vec::new();
    for own in tiers.iter().rev() {
        let placement = place_tier(own.clone(), plain, &behind, &mut refused, &mut notes);
        behind.add(own, &placement.admin, &placement.ends);
        all.insert(0, placement);
    }
    (all, refused, notes)
}

fn check_rule(policy: &Policy, rule: &Rule) -> Result<(), Refusal> {
    require_one_place(policy, rule)?;
    let own = if rule.direction == Direction::Ingress { "destination" } else { "source" };
    for chosen in rule.subjects.iter().flatten() {
        pods(chosen).map_err(|why| Refusal::new(format!("{own}.serviceAccounts"), why))?;
    }
    Ok(())
}

/// The policies of tiers before the default one that drop what no rule decides of what pods receive.
fn endless<'p>(all: &[TierPlacement<'p>]) -> Vec<SkippedPolicy<'p>> {
    let before = all.iter().filter(|placed| placed.tier.place == Place::Before);
    let ends = before.flat_map(|placed| &placed.ends);
    let received = ends.filter(|(direction, _)| *direction == Direction::Ingress);
    let why = "the end of its tier drops what no rule allows, from outside of the cluster too, and a ClusterNetworkPolicy knows senders by their labels alone";
    received
        .flat_map(|(_, policies)| policies)
        .map(|policy| (*policy, Refusal::new("spec.tier", why)))
        .collect()
}

/// The policies for whose objects no priority is left.
fn crowded_policies<'p>(plain: &'p PlainPolicies, drafts: &[Draft]) -> Vec<SkippedPolicy<'p>> {
    let is_over = |draft: &&Draft| draft.spec["priority"].as_u64().is_some_and(|number| number > LAST);
    let over: BTreeSet<_> = drafts.iter().filter(is_over).map(|draft| &draft.source).collect();
    let all = plain.tiers.iter().flat_map(|tier| &tier.policies);
    let why = || format!("more than {LAST} objects come before, and a tier has no other priorities");
    all.filter(|policy| over.contains(&policy.source))
        .map(|policy| (policy, Refusal::new("spec.order", why())))
        .collect()
}

fn drafts<'p>(
    plain: &PlainPolicies,
    all: &[TierPlacement<'p>],
    report: &mut Report,
    skipped: &mut Vec<SkippedPolicy<'p>>,
) -> Vec<Draft> {
    let mut all_drafts = Vec::new();
    let (mut admin, mut baseline) = (0, 0);
    for placed in all {
        for policy in &placed.tier.policies {
            add_ordered(placed, policy, &mut admin, &mut all_drafts);
            if placed.tier.place != Place::Default {
                continue;
            }
            match isolate(plain, placed, policy, report) {
                Ok(drafts) => all_drafts.extend(drafts),
                Err(refusal) => skipped.push((*policy, refusal)),
            }
        }
        let sent = placed.ends.iter().filter(|(direction, _)| *direction == Direction::Egress);
        for policy in sent.flat_map(|(_, policies)| policies) {
            let (tier, next) = match placed.tier.place {
                Place::Default if policy.namespace.is_some() => continue,
                Place::Default => ("Baseline", &mut baseline),
                Place::Before | Place::After => ("Admin", &mut admin),
            };
            let why = "what pods send and no rule decides is denied by a rule about all peers";
            report.note(&policy.source, "spec.types", Outcome::Expanded, why);
            for chosen in &policy.subjects {
                let spec = spec(tier, next, chosen, &[], &[end()]);
                all_drafts.push(draft(placed, policy, &format!("{}-end", policy.name), &all_drafts, spec));
            }
        }
    }
    all_drafts
}

/// The policy's part of the Admin tier.
fn add_ordered(placed: &TierPlacement<'_>, policy: &Policy, next: &mut usize, drafts: &mut Vec<Draft>) {
    let pod_selections_of = |direction| {
        let own = placed.admin.iter().filter(|entry| std::ptr::eq(entry.policy, policy));
        pieces(own.filter(|entry| entry.rule.direction == direction))
    };
    let [mut received, mut sent] =
        Direction::ALL.map(pod_selections_of).map(|all| all.into_iter().peekable());
    loop {
        let incoming = received.next();
        let other = match &incoming {
            // What is about the same pods can be one object.
            Some((subjects, _)) => sent.next_if(|(pods, _)| std::ptr::eq(*pods, *subjects)),
            None => sent.next(),
        };
        let Some(subjects) = incoming.as_ref().or(other.as_ref()).map(|(pods, _)| *pods) else { return };
        let rules =
            |piece: Option<(&[PodSelection], Vec<Value>)>| piece.map(|(_, rules)| rules).unwrap_or_default();
        let (values, other) = (rules(incoming), rules(other));
        for chosen in subjects {
            let spec = spec("Admin", next, chosen, &values, &other);
            drafts.push(draft(placed, policy, &policy.name, drafts, spec));
        }
    }
}

/// Rules in order, in pieces that are about the same pods and are not too long.
fn pieces<'p>(entries: impl Iterator<Item = &'p Entry<'p>>) -> Vec<(&'p [PodSelection], Vec<Value>)> {
    let mut groups: Vec<(&[PodSelection], Vec<Value>)> = Vec::new();
    for entry in entries {
        // What cannot be said is left out before.
        for rule in rules(entry).unwrap_or_default() {
            match groups.last_mut() {
                Some((pods, rules)) if std::ptr::eq(*pods, entry.subjects()) && rules.len() < MOST => {
                    rules.push(rule)
                }
                _ => groups.push((entry.subjects(), vec![rule])),
            }
        }
    }
    groups
}

/// The policy's NetworkPolicies: they isolate its pods, and allow what does not stand in the Admin tier.
fn isolate(
    plain: &PlainPolicies,
    placed: &TierPlacement<'_>,
    policy: &Policy,
    report: &mut Report,
) -> Result<Vec<Draft>, Refusal> {
    let own = placed.plain.iter().filter(|entry| std::ptr::eq(entry.policy, policy));
    let allowed: Vec<&Rule> = own.map(|entry| entry.rule).collect();
    let isolates = |direction: &Direction| {
        policy.namespace.is_some()
            || *direction == Direction::Ingress
            || allowed.iter().any(|rule| rule.direction == *direction)
    };
    let types: Vec<Direction> = policy.types.iter().copied().filter(isolates).collect();
    if types.is_empty() {
        return Ok(Vec::new());
    }
    isolating(plain, policy, &placed.tier.tier.name, &types, &allowed, report)
}

fn spec(tier: &str, next: &mut usize, subject: &PodSelection, received: &[Value], sent: &[Value]) -> Value {
    let mut spec = Map::new();
    spec.insert("tier".into(), tier.into());
    spec.insert("priority".into(), (*next).into());
    *next += 1;
    // An end that cannot be selected is left out before.
    spec.insert("subject".into(), pods(subject).unwrap_or_default());
    for (key, rules) in [("ingress", received), ("egress", sent)] {
        if !rules.is_empty() {
            spec.insert(key.into(), rules.into());
        }
    }
    Value::Object(spec)
}

fn draft(
    placed: &TierPlacement<'_>,
    policy: &Policy,
    draft_name: &str,
    drafts: &[Draft],
    spec: Value,
) -> Draft {
    const KIND: &str = "ClusterNetworkPolicy";
    let same = drafts.iter().filter(|draft| draft.kind == KIND && draft.source == policy.source);
    let part = same.count();
    Draft {
        api_version: "policy.networking.k8s.io/v1alpha2",
        kind: KIND,
        namespace: None,
        preferred_name: if part == 0 { draft_name.to_owned() } else { format!("{draft_name}-{}", part + 1) },
        tier: placed.tier.tier.name.clone(),
        source: policy.source.clone(),
        part,
        spec,
    }
}
