//! The equality of two sets of policies: the comparison by cells against one that asks packet by packet.

use std::collections::HashSet;

use netpol::engines::calico::{enforcement, mentions};
use netpol::tier::{Action, Direction, Enforcement, Rule};
use netpol::traffic::Traffic;
use netpol::verdict::{Difference, Subject, differences_among};
use netpol::world::World;
use netpol::world::parties::Parties;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::calico::{CalicoObjects, generators};
use crate::town::{PROTOCOLS, kinds, town};

/// Of so many pairs of a subject and a peer, one is asked about by itself.
const PAIRS: usize = 193;

/// A pair of which the two sets say different things, found by asking about many packets.
fn find_pair(
    both: [&Enforcement; 2],
    direction: Direction,
    (subject, peer): (usize, usize),
    packets: &[Traffic],
) -> bool {
    let rules = both.map(|enforcement| Subject::new(enforcement, direction, subject));
    packets.iter().any(|traffic| {
        let [before, after] = [&rules[0], &rules[1]].map(|rules| rules.verdict(peer, traffic).allowed);
        before != after
    })
}

/// The same policies for one subject and one peer: all others of them may do everything.
fn of_pair(world: &World, all: &Enforcement, subject: usize, peer: usize) -> Enforcement {
    let alone = |party: usize| {
        let mut alone = Parties::none(world.len());
        alone.add(party);
        alone
    };
    let others = |party: usize, action: Action, subjects: Parties| Rule {
        subjects,
        peers: world.all_parties().without(&alone(party)),
        traffic: world.space.all(),
        action,
        origin: "others".into(),
    };
    let mut cut = all.clone();
    for tiers in [&mut cut.ingress, &mut cut.egress] {
        tiers[0].rules.insert(0, others(peer, Action::Allow, alone(subject)));
        for tier in tiers {
            tier.ends = std::mem::replace(&mut tier.ends, world.no_parties()).and(&alone(subject));
            for rule in &mut tier.rules {
                rule.subjects =
                    std::mem::replace(&mut rule.subjects, world.no_parties()).and(&alone(subject));
            }
        }
    }
    cut
}

/// A difference that is found is one.
fn is_one(world: &World, both: [&Enforcement; 2], difference: &Difference) -> Result<(), TestCaseError> {
    let traffic = world.space.restrict_to_kind(&difference.kind);
    let [before, after] = both.map(|enforcement| {
        Subject::new(enforcement, difference.direction, difference.subject).verdict(difference.peer, &traffic)
    });
    prop_assert_ne!(before.allowed, after.allowed, "{}", difference.words(world));
    prop_assert_eq!((&before, &after), (&difference.before, &difference.after));
    Ok(())
}

/// What all policies, and what all but one of them, mean in a world for all of them: a difference that is found must be one, and where none is
/// found there must be none.
fn compared(written: &CalicoObjects, dropped: usize) -> Result<(), TestCaseError> {
    let mut fewer = written.clone();
    fewer.policies.remove(dropped % written.policies.len());
    let town = town();
    let world = written.read(&town, |input| World::new(&town, &mentions(input).expect("selectors")));
    let world = world.expect("policies");
    let enforcement_of =
        |written: &CalicoObjects| written.read(&town, |input| enforcement(input, &world).expect("tiers"));
    let (before, after) =
        (enforcement_of(written).expect("policies"), enforcement_of(&fewer).expect("policies"));
    // Packets that no network carries are among those that are asked about.
    let all = || [world.space.all(), world.space.all()];
    let differences: Vec<Difference> = differences_among(&world, &before, &after, all()).collect();
    for difference in &differences {
        is_one(&world, [&before, &after], difference)?;
    }
    let seen: HashSet<_> = differences
        .iter()
        .map(|difference| (difference.direction, world.v6().has(difference.subject)))
        .collect();
    let packets: Vec<Traffic> =
        kinds(&world.space, &PROTOCOLS).into_iter().map(|(.., traffic)| traffic).collect();
    let mut turn = dropped;
    for subject in world.pods().numbers() {
        for peer in world.family_of(subject).numbers() {
            turn += 1;
            if !turn.is_multiple_of(PAIRS) || !world.can_meet(subject, peer) {
                continue;
            }
            let cut = [&before, &after].map(|all| of_pair(&world, all, subject, peer));
            let alone = differences_among(&world, &cut[0], &cut[1], all()).next();
            for direction in Direction::ALL {
                let is_asked = find_pair([&before, &after], direction, (subject, peer), &packets);
                prop_assert!(!is_asked || alone.is_some(), "{direction:?} {subject} {peer}");
                prop_assert!(!is_asked || seen.contains(&(direction, world.v6().has(subject))));
            }
            if let Some(difference) = alone {
                prop_assert_eq!((difference.subject, difference.peer), (subject, peer));
                is_one(&world, [&before, &after], &difference)?;
            }
        }
    }
    Ok(())
}

/// Two rules for the same address are about one pod, whatever pods may have the address at other times.
#[test]
fn what_a_pod_sends_to_itself_makes_no_difference() {
    let rule = |from: &[&str], to: &[&str]| json!({"action": "Allow", "source": {"nets": from}, "destination": {"nets": to}});
    let with = |rules: Vec<Value>| CalicoObjects {
        policies: vec![json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkPolicy",
            "metadata": {"name": "default.p"}, "spec": {"selector": "all()", "types": ["Ingress"], "ingress": rules}})],
        ..CalicoObjects::default()
    };
    let town = town();
    let (own, other, free) = ("10.244.1.2/32", "10.244.2.2/32", "10.244.200.200/32");
    for (from, to, is_found) in [
        (&[own][..], &[own][..], false),
        (&[own, other], &[own], true),
        (&[own], &[own, other], true),
        // No pod has it yet; the pods that may have the first address come before.
        (&[own], &[own, free], true),
    ] {
        let (before, after) = (with(vec![rule(from, to)]), with(Vec::new()));
        let world = before.read(&town, |input| World::new(&town, &mentions(input).expect("selectors")));
        let world = world.expect("policies");
        let enforcement_of = |written: &CalicoObjects| {
            written.read(&town, |input| enforcement(input, &world).expect("tiers")).expect("policies")
        };
        let both = [enforcement_of(&before), enforcement_of(&after)];
        let differences =
            differences_among(&world, &both[0], &both[1], [world.space.all(), world.space.all()]);
        let differences: Vec<Difference> = differences.collect();
        assert_eq!(
            !differences.is_empty(),
            is_found,
            "{from:?} {to:?} {:?}",
            differences.first().map(|difference| difference.words(&world))
        );
        for Difference { subject, peer, .. } in &differences {
            let address = |number: &usize| world.party(*number).map(|party| party.address);
            assert_ne!(address(subject), address(peer));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_is_found_where_there_is_one(written in generators::written(), dropped in 0_usize..193) {
        let written = written.possible();
        prop_assume!(!written.policies.is_empty());
        compared(&written, dropped)?;
    }
}
