//! Whether two sets of policies mean the same: the comparison by cells against one that asks packet by packet.

use cluster::policies::calico::{enforcement, mentions};
use cluster::policies::tier::{Direction, Enforcement};
use cluster::policies::verdict::{Subject, difference};
use cluster::policies::world::World;
use proptest::prelude::*;

use crate::calico::{Written, generators};
use crate::town::{PROTOCOLS, kinds, town};

/// A packet of which the two say different things, found by asking them all of many.
fn asked(world: &World, one: &Enforcement, other: &Enforcement) -> Option<String> {
    let kinds = kinds(&world.space, &PROTOCOLS);
    let mut turn = 0;
    for direction in Direction::ALL {
        for subject in world.pods().numbers() {
            let rules = [one, other].map(|of| Subject::new(of, direction, subject));
            for peer in world.family_of(subject).numbers() {
                turn += 1;
                for (_, _, kind, traffic) in kinds.iter().skip(turn % 7).step_by(7) {
                    let [before, after] = [&rules[0], &rules[1]].map(|rules| rules.verdict(peer, traffic));
                    if before.allowed != after.allowed {
                        return Some(format!("{direction:?} {subject} {peer} {kind}: {before}, {after}"));
                    }
                }
            }
        }
    }
    None
}

/// What all policies, and what all but one of them, mean in a world for all of them: the difference that is found must be one, and where none is
/// found there must be none.
fn compared(written: &Written, dropped: usize) -> Result<(), TestCaseError> {
    let mut fewer = written.clone();
    fewer.policies.remove(dropped % written.policies.len());
    let town = town();
    let world = written.read(&town, |input| World::new(&town, &mentions(input).expect("selectors")));
    let world = world.expect("policies");
    let of = |written: &Written| written.read(&town, |input| enforcement(input, &world).expect("tiers"));
    let (before, after) = (of(written).expect("policies"), of(&fewer).expect("policies"));
    let Some(found) = difference(&world, &before, &after) else {
        prop_assert_eq!(asked(&world, &before, &after), None);
        return Ok(());
    };
    let traffic = world.space.only(&found.kind);
    let say = |of| Subject::new(of, found.direction, found.subject).verdict(found.peer, &traffic);
    prop_assert_ne!(found.before.allowed, found.after.allowed, "{}", found.words(&world));
    prop_assert_eq!((say(&before), say(&after)), (found.before.clone(), found.after.clone()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_is_found_if_there_is_one(written in generators::written(), dropped in 0_usize..8) {
        let written = written.possible();
        prop_assume!(!written.policies.is_empty());
        compared(&written, dropped)?;
    }
}
