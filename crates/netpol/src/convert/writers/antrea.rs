//! Policies of Antrea: its tiers have an order, its policies too, and they deny; but a pod that none of them says anything about is open, and its
//! Pass leaves out all tiers before the NetworkPolicies of Kubernetes.
//!
//! A NetworkPolicy of Calico becomes one of Antrea, a GlobalNetworkPolicy a ClusterNetworkPolicy, and a tier a Tier; the end of a tier, where Calico
//! drops what no rule decided, becomes the tier's last policy. What has its place after the NetworkPolicies of Kubernetes stands in the baseline
//! tier. What is written means the same for every packet, also beside NetworkPolicies: what would not is refused here, and a comparison of both
//! sides finds nothing else. Two things stay outside of that. A default tier whose end is written as Pass lets pods out of the isolation by a
//! NetworkPolicy, and in Antrea nothing does. The place of a policy whose order is 1000 among NetworkPolicies goes by names, so it may change with a
//! new one.
//!
//! *Source*: Antrea, "Antrea Network Policy CRDs"; antrea-io/antrea, `pkg/controller/networkpolicy/validate.go`, `build/charts/antrea/crds`. `except`
//! of `ipBlock` is there since 2.2 alone, so ranges are cut instead.

mod place;
mod rule;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use snapshot::model::{Kind, Text};

use self::place::{TierPlacement, place_tier};
use self::rule::{RuleWriter, is_of, targets};
use crate::convert::intermediate::{Action, Peer, PlainPolicies, PodSelection, Policy, Tier};
use crate::convert::objects::ConvertedObjects;
use crate::convert::objects::{Draft, name_drafts};
use crate::convert::reachable_rules::{
    Entry, LaterTiers, Place, RefusedRules, TierPolicies, require_one_place,
};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::gather::Reference;
use crate::tier::Direction;

const API: &str = "crd.antrea.io/v1beta1";
/// The tiers that are always there, whose names no other one can have. *Source*: Antrea, "Static tiers".
const STATIC: [&str; 6] = ["emergency", "securityops", "networkops", "platform", "application", BASELINE];
/// The tier after the NetworkPolicies of Kubernetes.
const BASELINE: &str = "baseline";
/// Priorities of tiers, in the gap before the last static tier. The one at 220 is that of ClusterNetworkPolicy of Kubernetes. *Source*: the same;
/// antrea-io/antrea, `cnpAdminTierPriority`.
const FIRST_TIER: usize = 222;
const TIER_STEP: usize = 2;
/// Tiers of which there may be more than the static ones. *Source*: antrea-io/antrea, `maxSupportedTiers`: 20 with those.
const MOST_TIERS: usize = 14;
/// Policies of one tier, the last two being its end. *Source*: Antrea, "Notes and constraints": 10,000 priorities.
const MOST_POLICIES: usize = 9_998;
/// Rules in the baseline tier. *Source*: the same.
const MOST_LATE: usize = 150;

/// The policies as those of Antrea, with the tiers that they are in.
#[must_use]
pub fn write(plain: &PlainPolicies) -> ConvertedObjects {
    let mut report = Report::default();
    let speaker = RuleWriter::new(&plain.pod_ranges);
    let skipped: Vec<&Policy> =
        plain.tiers.iter().flat_map(|tier| skipped_policies(tier, &mut report)).collect();
    let tiers = TierPolicies::from_tiers(&plain.tiers, |policy| {
        !skipped.iter().any(|candidate| std::ptr::eq(*candidate, policy))
    });
    let mut refused = RefusedRules::default();
    for policy in tiers.iter().flat_map(|own| own.policies.iter().copied()) {
        for rule in &policy.rules {
            let entry = Entry { policy, rule, action: rule.action };
            if let Err(refusal) = check_entry(speaker, &entry) {
                refused.add(entry, refusal);
            }
        }
    }
    let (all, notes) = loop {
        let mut notes = Report::default();
        let mut behind = LaterTiers::default();
        let mut all: Vec<TierPlacement<'_>> = Vec::new();
        for own in tiers.iter().rev() {
            let placement = place_tier(own.clone(), plain, &behind, &mut refused, &mut notes);
            behind.add(own, &placement.early, &placement.ends);
            all.insert(0, placement);
        }
        if !are_too_many(&all, &mut refused) {
            break (all, notes);
        }
    };
    report.extend(notes);
    refused.leave(&mut report);
    ConvertedObjects {
        objects: name_drafts(drafts(speaker, plain, &all, &mut report), &plain.taken_names),
        report,
    }
}

/// The policies of a tier of which Antrea cannot say whom they are about, and those that are too many; they are left out.
fn skipped_policies<'p>(tier: &'p Tier, report: &mut Report) -> Vec<&'p Policy> {
    let why = |policy: &Policy| {
        let mut pods = policy.subjects.iter().map(|chosen| targets(chosen, None));
        pods.find_map(Result::err).map(|why| Refusal::new("spec.serviceAccountSelector", why))
    };
    let mut skipped = Vec::new();
    let mut count = 0;
    for policy in &tier.policies {
        let refusal = why(policy).or_else(|| {
            count += 1;
            let why = || {
                format!("more than {MOST_POLICIES} policies in a tier, and each has a priority of its own")
            };
            (count > MOST_POLICIES).then(|| Refusal::new("spec.tier", why()))
        });
        if let Some(refusal) = refusal {
            report.leave_policy(&policy.source, refusal);
            skipped.push(policy);
        }
    }
    skipped
}

/// Whether Antrea can say a rule at all.
fn check_entry(speaker: RuleWriter, entry: &Entry<'_>) -> Result<(), Refusal> {
    let Entry { policy, rule, .. } = entry;
    require_one_place(policy, rule)?;
    for chosen in rule.subjects.iter().flatten() {
        let own = if rule.direction == Direction::Ingress { "destination" } else { "source" };
        targets(chosen, None).map_err(|why| Refusal::new(format!("{own}.serviceAccounts"), why))?;
    }
    speaker.rule(entry, None).map(drop)
}

/// Refuses what the baseline tier has no place for; the ends of tiers have one.
fn are_too_many<'p>(all: &[TierPlacement<'p>], refused: &mut RefusedRules<'p>) -> bool {
    let (rules, before) = (all.iter().map(|tier| tier.late.len()).sum::<usize>(), refused.count());
    if rules + 2 * all.len() <= MOST_LATE {
        return false;
    }
    for tier in all {
        // A rule of the default tier that denies needs no place once none after it allows.
        let goes = |entry: &&Entry<'p>| tier.tier.place == Place::After || entry.action == Action::Allow;
        for entry in tier.late.iter().filter(goes) {
            let why = format!("more than {MOST_LATE} rules after the NetworkPolicies of Kubernetes");
            refused.add(*entry, Refusal::new("", why));
        }
    }
    refused.count() > before
}

/// A tier of Antrea while it is filled.
struct TierSlots {
    name: Text,
    /// How many policies it has.
    count: usize,
}

impl TierSlots {
    fn next_slot(&mut self) -> usize {
        self.count += 1;
        self.count
    }
}

fn drafts(
    speaker: RuleWriter,
    plain: &PlainPolicies,
    all: &[TierPlacement<'_>],
    report: &mut Report,
) -> Vec<Draft> {
    let mut all_drafts = Vec::new();
    let mut shelves: Vec<TierSlots> = Vec::new();
    let mut baseline = TierSlots { name: BASELINE.into(), count: 0 };
    let names = names(plain, all);
    for (placed, name) in all.iter().zip(names) {
        let has_end = placed.ends.iter().any(|(_, policies)| !policies.is_empty());
        let is_before = placed.tier.place == Place::Before;
        if !placed.early.is_empty() || (is_before && has_end) {
            // One tier of Antrea can have several of Calico, one after the other: nothing ends with it.
            if shelves.len() < MOST_TIERS {
                all_drafts.push(tier(placed.tier.tier, &name, FIRST_TIER + TIER_STEP * shelves.len()));
                shelves.push(TierSlots { name, count: 0 });
            }
            let shelf = shelves.last_mut().expect("a tier");
            policies(speaker, placed, &placed.early, shelf, 0, &mut all_drafts, report);
            if is_before {
                ends(placed, shelf, &mut all_drafts);
            }
        }
        if !is_before {
            policies(speaker, placed, &placed.late, &mut baseline, 1, &mut all_drafts, report);
            ends(placed, &mut baseline, &mut all_drafts);
        }
    }
    all_drafts
}

/// The names of the tiers, none of them that of a static one or of one that is in the cluster: policies name their tier.
fn names(plain: &PlainPolicies, all: &[TierPlacement<'_>]) -> Vec<Text> {
    let is_other = |name: &Text| {
        STATIC.contains(&&**name) || plain.taken_names.contains(&(Kind::ANTREA_TIER, None, name.clone()))
    };
    let mut used_names: BTreeSet<Text> =
        all.iter().map(|placement| placement.tier.tier.name.clone()).collect();
    let mut to_text = |name: &Text| {
        if !is_other(name) {
            return name.clone();
        }
        let mut free = format!("calico-{name}");
        while is_other(&free.as_str().into()) || !used_names.insert(free.as_str().into()) {
            free.insert_str(0, "calico-");
        }
        free.into()
    };
    all.iter().map(|placed| to_text(&placed.tier.tier.name)).collect()
}

fn tier(tier: &Tier, name: &Text, priority: usize) -> Draft {
    Draft {
        api_version: API,
        kind: "Tier",
        namespace: None,
        preferred_name: name.to_string(),
        tier: tier.name.clone(),
        source: tier_reference(tier),
        part: 0,
        spec: json!({"priority": priority, "description": format!("Tier {} of Calico", tier.name)}),
    }
}

/// The tier as the object that something is made of: of tiers, neither identity nor state is known.
fn tier_reference(tier: &Tier) -> Reference {
    Reference {
        kind: Kind::CALICO_TIER,
        namespace: Text::default(),
        name: tier.name.clone(),
        uid: Text::default(),
        generation: 0,
    }
}

/// The policies of these rules, in order.
fn policies(
    speaker: RuleWriter,
    placed: &TierPlacement<'_>,
    entries: &[Entry<'_>],
    shelf: &mut TierSlots,
    part: usize,
    drafts: &mut Vec<Draft>,
    report: &mut Report,
) {
    for policy in &placed.tier.policies {
        let own: Vec<&Entry<'_>> =
            entries.iter().filter(|entry| std::ptr::eq(entry.policy, *policy)).collect();
        if own.is_empty() {
            continue;
        }
        let namespace = policy.namespace.clone().filter(|name| is_of_one(policy, &own, name));
        if policy.namespace.is_some() && namespace.is_none() {
            let why = "a ClusterNetworkPolicy: Antrea's NetworkPolicies select neither service accounts nor namespaces by their labels";
            report.note(&policy.source, "kind", Outcome::Expanded, why);
        }
        let draft_name =
            if part == 0 { policy.name.to_string() } else { format!("{}-{BASELINE}", policy.name) };
        drafts.push(Draft {
            api_version: API,
            kind: if namespace.is_some() { "NetworkPolicy" } else { "ClusterNetworkPolicy" },
            preferred_name: draft_name,
            tier: placed.tier.tier.name.clone(),
            source: policy.source.clone(),
            part,
            spec: spec(speaker, policy, &own, namespace.as_ref(), shelf),
            namespace,
        });
    }
}

/// Whether an object of a namespace can say all of these rules.
fn is_of_one(policy: &Policy, entries: &[&Entry<'_>], namespace: &Text) -> bool {
    let own = entries.iter().flat_map(|entry| entry.subjects());
    let peers = entries.iter().flat_map(|entry| entry.rule.peers.iter().flatten());
    let has_accounts = |peer: &Peer| matches!(peer, Peer::Pods(chosen) if !chosen.accounts.is_empty());
    policy.subjects.iter().chain(own).all(|chosen| is_of(chosen, namespace))
        && !peers.into_iter().any(has_accounts)
}

fn spec(
    speaker: RuleWriter,
    policy: &Policy,
    entries: &[&Entry<'_>],
    namespace: Option<&Text>,
    shelf: &mut TierSlots,
) -> Value {
    let mut spec = Map::new();
    spec.insert("tier".into(), (*shelf.name).into());
    spec.insert("priority".into(), shelf.next_slot().into());
    // Antrea wants it in the policy, or in every rule.
    let is_narrowed = entries.iter().any(|entry| entry.rule.subjects.is_some());
    if !is_narrowed {
        spec.insert("appliedTo".into(), applied_to(&policy.subjects, namespace));
    }
    for direction in Direction::ALL {
        let own = entries.iter().filter(|entry| entry.rule.direction == direction);
        let to_value = |entry: &&Entry<'_>| {
            // It has been written once before.
            let mut rule = speaker.rule(entry, namespace).unwrap_or_default();
            if is_narrowed {
                rule.insert("appliedTo".into(), applied_to(entry.subjects(), namespace));
            }
            Value::Object(rule)
        };
        let rules: Vec<Value> = own.map(to_value).collect();
        if !rules.is_empty() {
            spec.insert(direction.name().to_lowercase(), rules.into());
        }
    }
    Value::Object(spec)
}

fn applied_to(pods: &[PodSelection], namespace: Option<&Text>) -> Value {
    // An end that cannot be expressed is left out before.
    pods.iter().flat_map(|chosen| targets(chosen, namespace).unwrap_or_default()).collect()
}

/// The end of a tier: one policy for each direction that drops everything, for the pods of all of its policies.
fn ends(placed: &TierPlacement<'_>, shelf: &mut TierSlots, drafts: &mut Vec<Draft>) {
    for (part, (direction, policies)) in placed.ends.iter().enumerate() {
        let mut pods: Vec<Value> = Vec::new();
        for chosen in policies.iter().flat_map(|policy| &policy.subjects) {
            for object in targets(chosen, None).unwrap_or_default() {
                if !pods.contains(&object) {
                    pods.push(object);
                }
            }
        }
        if pods.is_empty() {
            continue;
        }
        let way = direction.name().to_lowercase();
        drafts.push(Draft {
            api_version: API,
            kind: "ClusterNetworkPolicy",
            namespace: None,
            preferred_name: format!("{}-end-{way}", placed.tier.tier.name),
            tier: placed.tier.tier.name.clone(),
            source: tier_reference(placed.tier.tier),
            part,
            spec: json!({
                "tier": *shelf.name,
                "priority": shelf.next_slot(),
                "appliedTo": pods,
                way: [{"name": "end", "action": "Drop"}],
            }),
        });
    }
}
