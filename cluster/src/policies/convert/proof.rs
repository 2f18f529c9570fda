//! Whether what was written means what the policies meant. Pure.

use std::collections::BTreeSet;

use super::report::{Left, Reference};
use crate::policies::calico::{self, RuleAction};
use crate::policies::tier::{Direction, Enforcement};
use crate::policies::verdict::{Difference, differences};
use crate::policies::world::World;

/// Packets of which the two sets say different things, at most so many: none is the proof.
#[must_use]
pub fn counter_examples(
    world: &World,
    before: &Enforcement,
    after: &Enforcement,
    most: usize,
) -> Vec<Difference> {
    differences(world, before, after).take(most).collect()
}

/// The policies without what a conversion leaves out: the ground on which the rest is compared. A rule that is left out decides nothing, and the
/// numbers of the others stay.
#[must_use]
pub fn without(policies: &[calico::Policy], references: &[Reference], left: &[Left]) -> Vec<calico::Policy> {
    let left: BTreeSet<&Left> = left.iter().collect();
    let pairs = policies.iter().zip(references);
    let kept = pairs.filter(|(_, of)| !left.contains(&Left::Policy((*of).clone())));
    let one = |(policy, of): (&calico::Policy, &Reference)| {
        let mut policy = policy.clone();
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if left.contains(&Left::Rule(of.clone(), direction, number)) {
                    rule.action = RuleAction::Log;
                }
            }
        }
        policy
    };
    kept.map(one).collect()
}
