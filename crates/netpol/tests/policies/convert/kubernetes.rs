//! To NetworkPolicies of Kubernetes.

use netpol::convert::writers::kubernetes::write;
use netpol::engines::kubernetes::{self, Blocks};
use netpol::tier::{Direction, Enforcement};
use netpol::world::World;
use netpol::world::mention::Mentions;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::turned::{ConversionResult, Evaluate, allowing, turned};
use crate::calico::{CalicoObjects, generators};
use crate::town::town;

/// NetworkPolicies as a CNI enforces them that goes by addresses, beside others that were there before.
pub(super) fn read(objects: &[Value], beside: &[Value]) -> (Mentions, Evaluate) {
    let all: Vec<_> = objects
        .iter()
        .chain(beside)
        .map(|object| kubernetes::read(object).expect("a NetworkPolicy"))
        .collect();
    let mentions = kubernetes::mentions(&all).expect("selectors");
    let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
    let evaluate = move |world: &World| {
        let tiers_of = |direction| vec![kubernetes::tier(&all, world, direction, blocks).expect("selectors")];
        Enforcement { ingress: tiers_of(Direction::Ingress), egress: tiers_of(Direction::Egress) }
    };
    (mentions, Box::new(evaluate))
}

pub(super) fn converted(old: &CalicoObjects) -> ConversionResult {
    turned(old, &town(), write, |objects| read(objects, &old.kubernetes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policies_that_only_allow_mean_the_same(written in generators::written()) {
        let turned = converted(&allowing(written));
        prop_assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    }
}

fn global(spec: &Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

/// A network set may have the addresses of pods, and a rule about these pods by the labels of the set is about them.
#[test]
fn sets_with_addresses_of_pods_are_no_subjects() {
    let rule = json!({"action": "Allow", "destination": {"namespaceSelector": "global()"}});
    let set = |net: &str| json!({"metadata": {"name": "set"}, "spec": {"nets": [net]}});
    let turned_of = |net: &str| {
        let policies = vec![global(&json!({"ingress": [rule]}))];
        converted(&CalicoObjects { policies, sets: vec![set(net)], ..CalicoObjects::default() })
    };
    let turned = turned_of("10.244.2.0/24");
    assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    let fields: Vec<&str> = turned.report.entries.iter().map(|entry| entry.field.as_str()).collect();
    assert!(fields.contains(&"spec.ingress[0].destination.selector"), "{fields:?}");
    assert_eq!((turned.report.omissions.len(), turned_of("192.0.2.0/24").report.omissions.len()), (1, 0));
}

/// No pod is outside of all namespaces, also none that does not exist yet.
#[test]
fn a_policy_for_what_is_in_no_namespace_selects_no_pod() {
    let turned = converted(&CalicoObjects {
        policies: vec![global(&json!({"namespaceSelector": "global()"}))],
        ..CalicoObjects::default()
    });
    assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
    assert!(turned.objects.is_empty() && turned.report.omissions.is_empty());
}
