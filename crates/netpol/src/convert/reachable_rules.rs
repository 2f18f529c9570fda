//! The rules of a tier that decide something, in order, and the equivalent of Pass in a target that has no such action between tiers.

use snapshot::model::{Labels, Text};

use super::report::{Omission, Outcome, Refusal, Report};
use crate::compare::Effect;
use crate::convert::disjoint::{are_apart, covers, rules_apart};
use crate::convert::intermediate::{Action, PlainPolicies, PodSelection, Policy, Rule, Tier};
use crate::tier::{Direction, End};
use crate::world::Namespace;

/// The tier of policies that name none, in which the NetworkPolicies of Kubernetes have their place. *Source*: Calico, "Tier".
pub(super) const DEFAULT: &str = "default";

/// Where a tier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the NetworkPolicies of Kubernetes.
    Before,
    /// It has them among its policies.
    Default,
    After,
}

/// A tier with the policies of which the target can say whom they are about.
#[derive(Debug, Clone)]
pub(super) struct TierPolicies<'p> {
    pub(super) tier: &'p Tier,
    pub(super) place: Place,
    pub(super) policies: Vec<&'p Policy>,
}

/// A rule that decides something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry<'p> {
    pub(super) policy: &'p Policy,
    pub(super) rule: &'p Rule,
    /// What it does in the target; Pass is the target's, which skips all tiers before the NetworkPolicies of Kubernetes.
    pub(super) action: Action,
}

/// What a tier decides in a direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane<'p> {
    /// Its rules, the first one first.
    pub(super) entries: Vec<Entry<'p>>,
    /// The policies of whose pods packets are dropped at the end.
    pub(super) ends: Vec<&'p Policy>,
}

/// What the tiers behind a tier are about.
#[derive(Debug, Default)]
pub(super) struct LaterTiers<'p> {
    /// The pods of policies in any of them.
    pub(super) all: Vec<(Direction, &'p [PodSelection])>,
    /// The pods of what the target has before the NetworkPolicies of Kubernetes.
    skipped: Vec<(Direction, Vec<PodSelection>)>,
}

/// The rules that are left out, and why.
#[derive(Debug, Default)]
pub(super) struct RefusedRules<'p>(Vec<(Entry<'p>, Refusal)>);

impl<'p> TierPolicies<'p> {
    /// The tiers, each with the policies that are not left out.
    pub(super) fn from_tiers(tiers: &'p [Tier], is_kept: impl Fn(&Policy) -> bool) -> Vec<Self> {
        let default = tiers.iter().position(|tier| *tier.name == *DEFAULT).unwrap_or(tiers.len());
        let to_tier_policies = |(number, tier): (usize, &'p Tier)| Self {
            tier,
            place: match number.cmp(&default) {
                std::cmp::Ordering::Less => Place::Before,
                std::cmp::Ordering::Equal => Place::Default,
                std::cmp::Ordering::Greater => Place::After,
            },
            policies: tier.policies.iter().filter(|policy| is_kept(policy)).collect(),
        };
        tiers.iter().enumerate().map(to_tier_policies).collect()
    }

    /// The policies that are about a direction.
    fn policies_in(&self, direction: Direction) -> impl Iterator<Item = &'p Policy> + '_ {
        self.policies.iter().copied().filter(move |policy| policy.types.contains(&direction))
    }
}

impl<'p> Entry<'p> {
    /// The pods that the rule is about.
    pub(super) fn subjects(&self) -> &'p [PodSelection] {
        self.rule.subjects.as_deref().unwrap_or(&self.policy.subjects)
    }

    /// Whether no packet is one that both rules are about.
    pub(super) fn is_apart(&self, other: &Self) -> bool {
        are_apart(self.subjects(), other.subjects()) || rules_apart(self.rule, other.rule, &[])
    }

    /// It denies, and its place is after the NetworkPolicies of Kubernetes.
    pub(super) fn denies_late(&self) -> bool {
        self.action == Action::Deny && self.policy.is_after_kubernetes
    }

    /// It is about all packets of its pods.
    fn is_about_everything(&self) -> bool {
        self.rule.peers.is_none() && self.rule.traffic.is_none()
    }

    fn is_same_rule(&self, other: &Self) -> bool {
        std::ptr::eq(self.rule, other.rule)
    }
}

/// Refuses a rule that denies at a place between NetworkPolicies of Kubernetes: no target can stand there.
///
/// # Errors
/// The rule is one.
pub(super) fn require_one_place(policy: &Policy, rule: &Rule) -> Result<(), Refusal> {
    if policy.is_among_kubernetes && rule.action == Action::Deny {
        let why = "a policy that denies after some NetworkPolicies of Kubernetes and before others";
        return Err(Refusal::new("action", why));
    }
    Ok(())
}

impl<'p> RefusedRules<'p> {
    pub(super) fn add(&mut self, entry: Entry<'p>, refusal: Refusal) {
        if !self.has(&entry) {
            self.0.push((entry, refusal));
        }
    }

    /// Whether the written rule that the entry is of is left out. Rules that stand in the place of a Pass are of one written rule: without one of
    /// them, the others would say something else than the policies without the Pass.
    fn has(&self, entry: &Entry<'_>) -> bool {
        let is_of_same = |(candidate, _): &(Entry<'_>, Refusal)| {
            std::ptr::eq(candidate.policy, entry.policy) && candidate.rule.position() == entry.rule.position()
        };
        self.0.iter().any(is_of_same)
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Leaves the rules out of a report.
    pub(super) fn leave(self, report: &mut Report) {
        for (Entry { policy, rule, .. }, refusal) in self.0 {
            if rule.action == Action::Pass && !rule.skips {
                let (direction, number) = rule.position();
                report.passes.insert(Omission::Rule(policy.source.clone(), direction, number));
            }
            let is_end = |end: &Rule| end.skips && end.position() == rule.position();
            if policy.rules.iter().any(is_end) {
                let why = format!(
                    "what later tiers decide of these packets cannot all be said in its place: {}",
                    refusal.why
                );
                report.leave_rule(
                    &policy.source,
                    rule.position(),
                    Effect::Unknown,
                    Refusal::new("action", why),
                );
            } else {
                report.leave_out(policy, rule, refusal);
            }
        }
    }
}

impl<'p> LaterTiers<'p> {
    /// Adds a tier: the ones behind it are there already. `first` are its rules that the target has before the NetworkPolicies of Kubernetes, and `ends`
    /// are the policies of whose pods packets are dropped at its end.
    pub(super) fn add(
        &mut self,
        own: &TierPolicies<'p>,
        first: &[Entry<'p>],
        ends: &[(Direction, Vec<&'p Policy>)],
    ) {
        for direction in Direction::ALL {
            self.all.extend(own.policies_in(direction).map(|policy| (direction, &*policy.subjects)));
        }
        self.skipped.extend(first.iter().map(|entry| (entry.rule.direction, entry.subjects().to_vec())));
        if own.place == Place::Before {
            let pods = |(direction, policies): &(Direction, Vec<&'p Policy>)| {
                let direction = *direction;
                policies.iter().map(move |policy| (direction, policy.subjects.clone())).collect::<Vec<_>>()
            };
            self.skipped.extend(ends.iter().flat_map(pods));
        }
    }

    fn has(&self, entry: &Entry<'_>) -> bool {
        let meets = |(direction, pods): &(Direction, &[PodSelection])| {
            *direction == entry.rule.direction && !are_apart(pods, entry.subjects())
        };
        self.all.iter().any(meets)
    }

    fn skips(&self, entry: &Entry<'_>) -> bool {
        let meets = |(direction, pods): &(Direction, Vec<PodSelection>)| {
            *direction == entry.rule.direction && !are_apart(pods, entry.subjects())
        };
        self.skipped.iter().any(meets)
    }
}

/// What a tier decides in a direction, without the rules that are refused. A rule that the target cannot say for its tier is refused here; then
/// what is found is not the last word, and the caller asks again. `says` is whether the target can say a rule where it stands.
pub(super) fn settle_tier<'p>(
    own: &TierPolicies<'p>,
    direction: Direction,
    behind: &LaterTiers<'p>,
    check: impl Fn(&Entry<'p>) -> Result<(), Refusal>,
    refused: &mut RefusedRules<'p>,
    notes: &mut Report,
) -> Lane<'p> {
    let mut entries: Vec<Entry<'p>> = Vec::new();
    for policy in own.policies_in(direction) {
        for rule in policy.rules_in(direction) {
            let entry = Entry { policy, rule, action: rule.action };
            if refused.has(&entry) {
                continue;
            }
            let hides =
                |item: &&Entry<'p>| item.is_about_everything() && covers(item.subjects(), entry.subjects());
            if let Some(first) = entries.iter().find(hides) {
                let why = format!(
                    "{} of {} is about all of these packets before it, so nothing is written for it",
                    first.rule.place(),
                    first.policy.source
                );
                notes.note(&policy.source, rule.place(), Outcome::Exact, why);
                continue;
            }
            entries.push(entry);
        }
    }
    // What the target's own Pass can say stays.
    let (stays, may_go): (Vec<_>, Vec<_>) = match own.place {
        Place::Before => {
            let passing = entries.iter().filter(|candidate| candidate.action == Action::Pass).copied();
            passing.partition(|candidate| {
                (candidate.rule.skips || !behind.skips(candidate)) && check(candidate).is_ok()
            })
        }
        // These are let through, or refused.
        Place::Default | Place::After => (Vec::new(), Vec::new()),
    };
    let ends = |without: &[Entry<'p>]| -> Vec<&'p Policy> {
        let passers: Vec<_> =
            stays.iter().chain(without).filter(|candidate| candidate.is_about_everything()).collect();
        let passes =
            |policy: &Policy| passers.iter().any(|candidate| covers(candidate.subjects(), &policy.subjects));
        let is_left = own.tier.end == End::Deny;
        own.policies_in(direction).filter(|policy| is_left && !passes(policy)).collect()
    };
    let omitted = select_omitted(&entries, may_go, ends);
    let mut lane = Lane { entries: Vec::new(), ends: ends(&omitted) };
    for entry in entries {
        let field = || format!("{}.action", entry.rule.place());
        if entry.action != Action::Pass {
            lane.entries.push(entry);
        } else if omitted.iter().any(|candidate| candidate.is_same_rule(&entry)) {
            let why = "nothing else in its tier decides of these packets, so the next tier does without it";
            notes.note(&entry.policy.source, field(), Outcome::Expanded, why);
        } else if own.place != Place::Before && !behind.has(&entry) {
            let why = "no later tier is about these pods, so what passes is let through";
            notes.note(&entry.policy.source, field(), Outcome::Expanded, why);
            lane.entries.push(Entry { action: Action::Allow, ..entry });
        } else if stays.iter().any(|candidate| candidate.is_same_rule(&entry)) {
            if entry.rule.skips {
                let why = "what later tiers decide of these packets is decided here, since the target's own Pass leaves those tiers out";
                notes.note(&entry.policy.source, field(), Outcome::Expanded, why);
            }
            lane.entries.push(entry);
        } else {
            let why = "Pass to a tier that has policies about the same pods: the target's own Pass leaves out all tiers before the NetworkPolicies of Kubernetes";
            refused.add(entry, check(&entry).err().unwrap_or_else(|| Refusal::new("action", why)));
        }
    }
    lane
}

/// The rules among `passing` without which everything stays as it is: no later rule of the tier and no end of it is about their packets.
fn select_omitted<'p>(
    entries: &[Entry<'p>],
    mut passing: Vec<Entry<'p>>,
    ends: impl Fn(&[Entry<'p>]) -> Vec<&'p Policy>,
) -> Vec<Entry<'p>> {
    loop {
        let ending = ends(&passing);
        let is_omitted = |entry: &Entry<'p>| passing.iter().any(|candidate| candidate.is_same_rule(entry));
        let fits = |entry: &Entry<'p>| {
            let mut later = entries.iter().skip_while(|item| !item.is_same_rule(entry)).skip(1);
            later.all(|candidate| is_omitted(candidate) || candidate.is_apart(entry))
                && ending.iter().all(|policy| are_apart(&policy.subjects, entry.subjects()))
        };
        let candidates: Vec<_> = passing.iter().filter(|candidate| fits(candidate)).copied().collect();
        if candidates.len() == passing.len() {
            return candidates;
        }
        passing = candidates;
    }
}

/// Some NetworkPolicy that is there may select one of these pods.
pub(super) fn may_be_isolated(pods: &[PodSelection], plain: &PlainPolicies) -> bool {
    let namespace = |name: &Text| {
        let own_namespace = plain.namespaces.iter().find(|candidate| candidate.name == *name).cloned();
        own_namespace.unwrap_or_else(|| Namespace { name: name.clone(), labels: Labels::new() })
    };
    let mut names = plain.kubernetes.iter().map(|(name, _)| name);
    names.any(|name| pods.iter().any(|selection| selection.may_be_in(&namespace(name))))
}
