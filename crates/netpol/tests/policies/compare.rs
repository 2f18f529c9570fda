//! Policies in the middle of a migration, when pods of both networks are there.

use netpol::compare::compare;
use netpol::compare::compare_mixed;
use netpol::engines::cilium::Settings;
use netpol::gather::{Engine, Policies};
use netpol::verdict::Difference;
use serde_json::{Value, json};

use crate::town::town;

const CILIUM: Engine = Engine::Cilium(Settings { ranges_match_nodes: false, has_port_ranges: true });

/// A NetworkPolicy by which pods of the shop may receive what these peers send.
fn policy(from: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"podSelector": {}, "ingress": [{"from": from}]},
    })
}

/// The packets of pods on the old network and of those on the new one that are treated in another way, while both are there.
fn mixed_differences(from: Engine, to: Engine, object: &Value) -> [Vec<String>; 2] {
    let (before, after) = (Policies::read(from, [object]), Policies::read(to, [object]));
    let comparison = compare(&town(), &before, &after, true).expect("selectors");
    assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
    let mixed = compare_mixed(&comparison, &before, &after).expect("selectors");
    let words = |differences: &[Difference]| {
        differences.iter().map(|difference| difference.words(&mixed.world)).collect()
    };
    [words(&mixed.old), words(&mixed.new)]
}

#[test]
fn who_goes_by_identity_takes_pods_of_the_other_network_for_the_outside() {
    let by_label = policy(&json!([{"podSelector": {"matchLabels": {"app": "db"}}}]));
    let [old, new] = mixed_differences(Engine::Calico, CILIUM, &by_label);
    assert_eq!(old, [""; 0]);
    let [packet] = &new[..] else { panic!("{new:#?}") };
    assert!(packet.contains("from pod shop/db (10.244.2.2), on the other network"), "{packet}");
    assert!(packet.contains("to   pod shop/"), "{packet}");
    assert!(!packet.lines().any(|line| line.contains("to   ") && line.contains("other network")), "{packet}");
    assert!(
        packet.contains("before allowed by NetworkPolicy shop/p spec.ingress[0], after denied"),
        "{packet}"
    );
    // On the way back it is the old CNI that does not know them.
    let [old, new] = mixed_differences(CILIUM, Engine::Calico, &by_label);
    assert!(old.len() == 1 && new.is_empty(), "{old:#?} {new:#?}");
}

#[test]
fn who_goes_by_addresses_knows_all_pods() {
    let by_label = policy(&json!([{"namespaceSelector": {}}, {"ipBlock": {"cidr": "172.16.0.0/12"}}]));
    assert_eq!(mixed_differences(Engine::Calico, Engine::Antrea, &by_label), [vec![""; 0], vec![]]);
    assert_eq!(mixed_differences(Engine::Antrea, Engine::Calico, &by_label), [vec![""; 0], vec![]]);
}

#[test]
fn a_pod_of_the_other_network_is_in_a_range_of_the_outside() {
    // Cilium lets in by this range what it takes for the outside, and no pod of its own.
    let by_range = json!([{"ipBlock": {"cidr": "10.244.2.0/24"}}]);
    let (before, after) =
        (Policies::read(CILIUM, [&policy(&by_range)]), Policies::read(CILIUM, [&policy(&by_range)]));
    let comparison = compare(&town(), &before, &after, true).expect("selectors");
    let mixed = compare_mixed(&comparison, &before, &after).expect("selectors");
    let packet = mixed.new.first().expect("a packet").words(&mixed.world);
    assert!(packet.contains("(10.244.2.2), on the other network"), "{packet}");
    assert!(packet.contains("after allowed by NetworkPolicy shop/p spec.ingress[0]"), "{packet}");
}
