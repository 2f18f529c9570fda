//! The place of each rule: in the Admin tier, or in a NetworkPolicy of Kubernetes after it.
//!
//! In the default tier, a rule that denies needs a place only if a later one allows some of the same packets, or if it comes before NetworkPolicies
//! that are there: whatever no rule allows is dropped at the end of the tier anyway. If it needs one, this is the Admin tier. A rule that allows has its
//! place before those, there too; if none of them is about its packets, it can be part of a NetworkPolicy as well.

use super::rule::rules;
use crate::convert::intermediate::{Action, PlainPolicies, Policy};
use crate::convert::reachable_rules::{
    Entry, Lane, LaterTiers, Place, RefusedRules, TierPolicies, may_be_isolated, settle_tier,
};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::convert::writers::kubernetes::check_rule;
use crate::tier::Direction;

/// The rules of a tier of Calico by their places.
#[derive(Debug)]
pub(super) struct TierPlacement<'p> {
    pub(super) tier: TierPolicies<'p>,
    pub(super) admin: Vec<Entry<'p>>,
    /// In NetworkPolicies.
    pub(super) plain: Vec<Entry<'p>>,
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
            TierPlacement { tier: own.clone(), admin: Vec::new(), plain: Vec::new(), ends: Vec::new() };
        for direction in Direction::ALL {
            let Lane { entries, ends } =
                settle_tier(&own, direction, behind, |entry| rules(entry).map(drop), refused, &mut notes);
            if own.place == Place::Default {
                placement.split_entries(&entries, plain, refused, &mut notes);
            } else {
                for entry in entries {
                    match rules(&entry) {
                        Ok(_) => placement.admin.push(entry),
                        Err(refusal) => refused.add(entry, refusal),
                    }
                }
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
        let mut denying: Vec<(usize, Entry<'p>)> = Vec::new();
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.action == Action::Deny) {
            let later: Vec<_> = entries[index..]
                .iter()
                .filter(|candidate| candidate.action == Action::Allow && !candidate.is_apart(entry))
                .collect();
            let (result, is_open) = (rules(entry), may_be_isolated(entry.subjects(), plain));
            let mut note =
                |outcome, why: &str| notes.note(&entry.policy.source, entry.rule.place(), outcome, why);
            match result {
                _ if later.is_empty() && entry.policy.is_after_kubernetes => {
                    note(
                        Outcome::Expanded,
                        "what no rule allows is dropped, and no rule after this one allows these packets",
                    );
                }
                Err(_) if later.is_empty() && !is_open => {
                    note(
                        Outcome::Snapshot,
                        "what no rule allows is dropped, and no NetworkPolicy of Kubernetes can select these pods now: one that does could allow these packets",
                    );
                }
                Err(refusal) if !entry.policy.is_after_kubernetes => refused.add(*entry, refusal),
                Ok(_) if !entry.policy.is_after_kubernetes => denying.push((index, *entry)),
                Ok(_) if !is_open => {
                    note(
                        Outcome::Snapshot,
                        "its place is after NetworkPolicies of Kubernetes, and none of them can select these pods now: here it is before them",
                    );
                    denying.push((index, *entry));
                }
                // Without this one, those after it would let through what it drops.
                _ => {
                    for item in later {
                        let why = format!(
                            "it allows what is left by {} of {}, which ClusterNetworkPolicies cannot say at its place after the NetworkPolicies of Kubernetes",
                            entry.rule.place(),
                            entry.policy.source
                        );
                        refused.add(*item, Refusal::new("", why));
                    }
                }
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            if denying.iter().any(|(number, _)| *number == index) {
                self.admin.push(*entry);
            }
            if entry.action != Action::Allow {
                continue;
            }
            let is_first =
                denying.iter().any(|(number, candidate)| *number > index && !candidate.is_apart(entry));
            // A NetworkPolicy has the same pods if the policy is of one namespace, too.
            match (rules(entry), check_rule(entry.rule)) {
                (result, Ok(())) if !is_first && (entry.policy.namespace.is_some() || result.is_err()) => {
                    self.plain.push(*entry);
                }
                (Ok(_), _) => self.admin.push(*entry),
                (Err(refusal), _) => refused.add(*entry, refusal),
            }
        }
    }
}
