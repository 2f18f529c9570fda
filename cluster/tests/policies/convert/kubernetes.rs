//! To NetworkPolicies of Kubernetes.

use cluster::policies::convert::kubernetes::write;
use cluster::policies::kubernetes::{self, Blocks};
use cluster::policies::mention::Mentions;
use cluster::policies::tier::{Direction, Enforcement};
use cluster::policies::world::World;
use proptest::prelude::*;
use serde_json::Value;

use super::turned::{Evaluate, Turned, allowing, turned};
use crate::calico::{Written, generators};
use crate::town::town;

/// NetworkPolicies as a CNI enforces them that goes by addresses, beside others that were there before.
pub(super) fn read(objects: &[Value], beside: &[Value]) -> (Mentions, Evaluate) {
    let all: Vec<_> =
        objects.iter().chain(beside).map(|one| kubernetes::read(one).expect("a NetworkPolicy")).collect();
    let mentions = kubernetes::mentions(&all).expect("selectors");
    let blocks = Blocks { pods: true, nodes: true };
    let evaluate = move |world: &World| {
        let of = |direction| vec![kubernetes::tier(&all, world, direction, blocks).expect("selectors")];
        Enforcement { ingress: of(Direction::Ingress), egress: of(Direction::Egress) }
    };
    (mentions, Box::new(evaluate))
}

pub(super) fn converted(old: &Written) -> Turned {
    turned(old, &town(), write, |objects| read(objects, &old.kubernetes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policies_that_only_allow_mean_the_same(written in generators::written()) {
        let turned = converted(&allowing(written));
        prop_assert!(turned.difference().is_none(), "{}", turned.told().unwrap_or_default());
    }
}
