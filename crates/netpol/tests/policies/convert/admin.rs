//! To ClusterNetworkPolicies of Kubernetes.

mod examples;

use netpol::convert::writers::Target;
use netpol::engines::admin::{self, Input, enforcement, mentions};
use netpol::engines::kubernetes::{self, Blocks};
use netpol::world::World;
use netpol::world::mention::Mentions;
use proptest::prelude::*;
use serde_json::Value;

use super::turned::{ConversionResult, Evaluate, allowing, share, turned};
use crate::calico::{CalicoObjects, generators};
use crate::town::town;

/// ClusterNetworkPolicies, and NetworkPolicies beside those that were there before.
fn read(objects: &[Value], beside: &[Value]) -> (Mentions, Evaluate) {
    let items_of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let policies: Vec<_> = items_of("ClusterNetworkPolicy")
        .map(|object| admin::read(object).expect("a ClusterNetworkPolicy"))
        .collect();
    let plain = items_of("NetworkPolicy").chain(beside);
    let plain: Vec<_> = plain.map(|object| kubernetes::read(object).expect("a NetworkPolicy")).collect();
    assert_eq!(policies.len() + plain.len(), objects.len() + beside.len(), "no other kind");
    let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
    let input = Input { policies: &policies, kubernetes: &plain, blocks };
    let mentions = mentions(&input).expect("selectors");
    let evaluate = move |world: &World| {
        let input = Input { policies: &policies, kubernetes: &plain, blocks };
        enforcement(&input, world).expect("priorities")
    };
    (mentions, Box::new(evaluate))
}

fn converted(old: &CalicoObjects) -> ConversionResult {
    turned(old, &town(), |plain| Target::Cluster.write(plain), |objects| read(objects, &old.kubernetes))
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
