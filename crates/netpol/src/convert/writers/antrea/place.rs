//! The place of each rule: before the NetworkPolicies of Kubernetes, or in the baseline tier after them.
//!
//! The rules of the default tier that have their place after NetworkPolicies are the hard part. Antrea ends with a NetworkPolicy for the pods that
//! it selects, so that nothing in the baseline tier allows them anything. A rule that allows can stand before NetworkPolicies instead, for they
//! allow, too, and the order of what allows does not matter; but not if a rule that denies the same packets comes before it. A rule that denies,
//! and is followed by none that allows the same, says what the end of the tier says anyway.

use crate::convert::intermediate::{Action, PlainPolicies, Policy};
use crate::convert::reachable_rules::{
    Entry, Lane, LaterTiers, Place, RefusedRules, TierPolicies, may_be_isolated, settle_tier,
};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::tier::{Direction, End};

/// The rules of a tier of Calico by their places.
#[derive(Debug)]
pub(super) struct TierPlacement<'p> {
    pub(super) tier: TierPolicies<'p>,
    /// Before NetworkPolicies.
    pub(super) early: Vec<Entry<'p>>,
    /// After them.
    pub(super) late: Vec<Entry<'p>>,
    /// The policies of whose pods packets are dropped at the end.
    pub(super) ends: Vec<(Direction, Vec<&'p Policy>)>,
}

/// Places the rules of a tier: the tiers behind it have been placed before.
pub(super) fn place_tier<'p>(
    own: TierPolicies<'p>,
    plain: &'p PlainPolicies,
    behind: &LaterTiers<'p>,
    refused: &mut RefusedRules<'p>,
    report: &mut Report,
) -> TierPlacement<'p> {
    loop {
        let (before, mut notes) = (refused.count(), Report::default());
        let mut placement =
            TierPlacement { tier: own.clone(), early: Vec::new(), late: Vec::new(), ends: Vec::new() };
        for direction in Direction::ALL {
            // What Antrea cannot say is refused already.
            let Lane { entries, ends } =
                settle_tier(&own, direction, behind, |_| Ok(()), refused, &mut notes);
            match own.place {
                Place::Before => placement.early.extend(entries),
                Place::Default => placement.split_entries(&entries, plain, refused, &mut notes),
                Place::After => placement.late.extend(entries),
            }
            for policy in &ends {
                let why = "the last policy of the tier drops what no rule of it decides";
                notes.note(&policy.source, "spec.types", Outcome::Expanded, why);
            }
            placement.ends.push((direction, ends));
        }
        // Without a rule that is refused others may have another place.
        if refused.count() == before {
            report.extend(notes);
            return placement;
        }
    }
}

impl<'p> TierPlacement<'p> {
    /// The rules of the default tier, in one direction.
    fn split_entries(
        &mut self,
        entries: &[Entry<'p>],
        plain: &PlainPolicies,
        refused: &mut RefusedRules<'p>,
        notes: &mut Report,
    ) {
        let mut tangled: Vec<(usize, Entry<'p>)> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            if !entry.policy.is_after_kubernetes {
                self.early.push(*entry);
                continue;
            }
            if entry.action == Action::Deny {
                continue;
            }
            let blocks = |item: &&Entry<'p>| item.denies_late() && !item.is_apart(entry);
            let Some(first) = entries[..index].iter().find(blocks) else {
                let why = "it allows before the NetworkPolicies of Kubernetes what it allowed after them, which makes no difference";
                notes.note(&entry.policy.source, entry.rule.place(), Outcome::Expanded, why);
                self.early.push(*entry);
                continue;
            };
            if may_be_isolated(entry.subjects(), plain) {
                let why = format!(
                    "it allows what is left by {} of {}, both after the NetworkPolicies of Kubernetes, and where one of these selects a pod Antrea asks no policy after it",
                    first.rule.place(),
                    first.policy.source
                );
                refused.add(*entry, Refusal::new("", why));
                continue;
            }
            let why = "it comes after NetworkPolicies of Kubernetes, and none of them can select these pods now: where one does, Antrea asks no policy after it";
            notes.note(&entry.policy.source, entry.rule.place(), Outcome::Snapshot, why);
            tangled.push((index, *entry));
        }
        let is_last_word = self.tier.tier.end == End::Allow;
        for (index, entry) in entries.iter().enumerate() {
            if tangled.iter().any(|(number, _)| *number == index) {
                self.late.push(*entry);
            } else if entry.denies_late() {
                if is_last_word
                    || tangled.iter().any(|(number, candidate)| *number > index && !candidate.is_apart(entry))
                {
                    self.late.push(*entry);
                } else {
                    let why = "the last policy of the tier drops these packets, and no rule after this one allows them";
                    notes.note(&entry.policy.source, entry.rule.place(), Outcome::Expanded, why);
                }
            }
        }
    }
}
