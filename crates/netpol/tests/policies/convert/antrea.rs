//! To policies of Antrea.

mod examples;

use netpol::convert::writers::Target;
use netpol::engines::antrea::{Input, enforcement, mentions, read_policy, read_tier};
use netpol::engines::kubernetes;
use netpol::world::World;
use netpol::world::mention::Mentions;
use proptest::prelude::*;
use serde_json::Value;

use super::turned::{ConversionResult, Evaluate, allowing, share, turned};
use crate::calico::{CalicoObjects, generators};
use crate::town::town;

/// Policies of Antrea beside the NetworkPolicies of Kubernetes that were there before.
fn read(objects: &[Value], beside: &[Value]) -> (Mentions, Evaluate) {
    let items_of = |is_tier: bool| objects.iter().filter(move |object| (object["kind"] == "Tier") == is_tier);
    let tiers: Vec<_> = items_of(true).map(|object| read_tier(object).expect("a Tier")).collect();
    let policies: Vec<_> =
        items_of(false).map(|object| read_policy(object).expect("a policy of Antrea")).collect();
    let beside: Vec<_> =
        beside.iter().map(|object| kubernetes::read(object).expect("a NetworkPolicy")).collect();
    let input = Input { tiers: &tiers, policies: &policies, kubernetes: &beside, groups: &[] };
    let mentions = mentions(&input).expect("selectors");
    let evaluate = move |world: &World| {
        let input = Input { tiers: &tiers, policies: &policies, kubernetes: &beside, groups: &[] };
        enforcement(&input, world).expect("tiers and priorities")
    };
    (mentions, Box::new(evaluate))
}

fn converted(old: &CalicoObjects) -> ConversionResult {
    turned(old, &town(), |plain| Target::Antrea.write(plain), |objects| read(objects, &old.kubernetes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policies_that_only_allow_mean_the_same(written in generators::written()) {
        let turned = converted(&allowing(written));
        prop_assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    }

    #[test]
    fn what_is_not_refused_means_the_same(written in generators::written()) {
        let turned = converted(&written.possible());
        prop_assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    }
}

#[test]
fn a_good_part_of_the_rules_is_written() {
    let (reported, all) = share(converted);
    assert!(reported * 4 > all, "{reported} of {all} rules");
}
