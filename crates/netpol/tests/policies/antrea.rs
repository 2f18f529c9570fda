//! Policies of Antrea.

mod examples;
mod generators;
mod reader;

use netpol::engines::antrea::{Input, enforcement, mentions, read_group, read_policy, read_tier};
use netpol::engines::kubernetes;
use netpol::world::World;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::town::{PROTOCOLS, compare, town};

/// Some objects of a cluster with Antrea.
#[derive(Debug, Clone, Default)]
pub(crate) struct AntreaObjects {
    pub(crate) tiers: Vec<Value>,
    pub(crate) policies: Vec<Value>,
    pub(crate) kubernetes: Vec<Value>,
    pub(crate) groups: Vec<Value>,
}

impl AntreaObjects {
    /// Calls something with what the evaluator reads of them.
    ///
    /// # Errors
    /// What the evaluator does not read.
    pub(crate) fn read<T>(&self, then: impl FnOnce(&Input<'_>) -> T) -> Result<T, String> {
        fn each<O>(written: &[Value], read: fn(&Value) -> Result<O, String>) -> Result<Vec<O>, String> {
            written.iter().map(read).collect()
        }
        let (tiers, policies) = (each(&self.tiers, read_tier)?, each(&self.policies, read_policy)?);
        let (kubernetes, groups) =
            (each(&self.kubernetes, kubernetes::read)?, each(&self.groups, read_group)?);
        Ok(then(&Input { tiers: &tiers, policies: &policies, kubernetes: &kubernetes, groups: &groups }))
    }

    /// What the evaluator cannot answer.
    fn refused(&self) -> Option<String> {
        let answer = self.read(|input| {
            let world = World::new(&town(), &mentions(input)?);
            enforcement(input, &world)
        });
        answer.and_then(|answer| Ok(answer?)).err()
    }
}

/// Compares the evaluator with the reader; how many packets.
fn agree(written: &AntreaObjects) -> usize {
    let town = town();
    let compared = written.read(|input| {
        compare(
            &town,
            &mentions(input).expect("selectors"),
            &PROTOCOLS,
            |world| enforcement(input, world).expect("tiers"),
            |packet| reader::allowed(written, &town, packet),
        )
    });
    compared.expect("what the API accepts")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_of_every_packet_what_the_documentation_says(written in generators::written()) {
        prop_assert!(agree(&written) > 300);
    }
}

fn policy(namespace: Option<&str>, spec: Value) -> Value {
    match namespace {
        Some(namespace) => json!({"metadata": {"name": "p", "namespace": namespace}, "spec": spec}),
        None => json!({"metadata": {"name": "p"}, "spec": spec}),
    }
}

/// What would be skipped in silence, or what packets alone do not tell, is an error that names the field.
#[test]
fn what_no_evaluator_can_know_is_an_error() {
    let applied = json!([{"podSelector": {}}]);
    let peer = |peer: Value| json!({"action": "Allow", "to": [peer]});
    let spec = |rule: Value| json!({"priority": 1, "appliedTo": applied, "egress": [rule]});
    for (namespace, spec, words) in [
        (None, spec(json!({"action": "Allow", "l7Protocols": [{"http": {}}]})), "spec.egress[0].l7Protocols"),
        (None, spec(json!({"action": "Allow", "toServices": [{"name": "x"}]})), "spec.egress[0].toServices"),
        (None, spec(json!({"action": "Allow", "from": []})), "spec.egress[0].from"),
        (None, spec(json!({"action": "allow"})), "spec.egress[0].action"),
        (None, spec(json!({"action": "Allow", "appliedTo": applied})), "spec.egress[0].appliedTo"),
        (
            None,
            spec(json!({"action": "Allow", "protocols": [{"igmp": {}}]})),
            "spec.egress[0].protocols[0].igmp",
        ),
        (None, spec(json!({"action": "Allow", "service": "x"})), "service"),
        (None, spec(peer(json!({"fqdn": "*.example.com"}))), "spec.egress[0].to[0].fqdn"),
        (None, spec(peer(json!({"nodeSelector": {}}))), "spec.egress[0].to[0].nodeSelector"),
        (None, spec(peer(json!({"podSelector": {}, "scope": "ClusterSet"}))), "spec.egress[0].to[0].scope"),
        (None, spec(peer(json!({}))), "spec.egress[0].to[0]"),
        (None, spec(peer(json!({"group": "g", "podSelector": {}}))), "spec.egress[0].to[0]"),
        (None, spec(peer(json!({"namespaces": {"match": "All"}}))), "spec.egress[0].to[0].namespaces"),
        (
            Some("shop"),
            spec(peer(json!({"namespaces": {"match": "Self"}}))),
            "spec.egress[0].to[0].namespaces",
        ),
        (
            None,
            json!({"priority": 1, "appliedTo": [{"service": {"name": "x"}}]}),
            "spec.appliedTo[0].service",
        ),
        (
            None,
            json!({"priority": 1, "appliedTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}),
            "spec.appliedTo[0]",
        ),
        (
            Some("shop"),
            json!({"priority": 1, "appliedTo": [{"namespaceSelector": {}}]}),
            "spec.appliedTo[0].namespaceSelector",
        ),
        (None, json!({"priority": 1, "egress": [{"action": "Drop"}]}), "spec.egress[0].appliedTo"),
        (None, json!({"priority": 1, "default": "Drop"}), "default"),
    ] {
        let why = read_policy(&policy(namespace, spec)).expect_err(words);
        assert!(why.contains(words), "{words}: {why}");
    }
}

/// What Antrea decides in no fixed way, or refuses as a whole, has no verdict.
#[test]
fn what_has_no_fixed_order_is_an_error() {
    let drop = |tier: &str, group: Value| {
        policy(
            None,
            json!({"tier": tier, "priority": 5, "appliedTo": [group], "ingress": [{"action": "Drop"}]}),
        )
    };
    let all = json!({"podSelector": {}});
    let blocks = json!({"metadata": {"name": "b"}, "spec": {"ipBlocks": [{"cidr": "10.0.0.0/8"}]}});
    let nested = json!({"metadata": {"name": "n"}, "spec": {"childGroups": ["m"]}});
    let more = json!({"metadata": {"name": "m"}, "spec": {"childGroups": ["b"]}});
    let pass = policy(
        None,
        json!({"tier": "baseline", "priority": 5, "appliedTo": [all], "ingress": [{"action": "Pass"}]}),
    );
    let tier =
        |name: &str, priority: i32| json!({"metadata": {"name": name}, "spec": {"priority": priority}});
    for (tiers, policies, groups, words) in [
        (
            vec![],
            vec![drop("emergency", all.clone()), drop("Emergency", all.clone())],
            vec![],
            "no fixed order",
        ),
        (vec![], vec![drop("mine", all.clone())], vec![], "there is no tier \"mine\""),
        (vec![tier("mine", 250)], vec![], vec![], "expected one below 250"),
        (vec![tier("mine", 50)], vec![], vec![], "that of tier emergency"),
        (vec![], vec![pass], vec![], "Pass in the last tier"),
        (vec![], vec![drop("", json!({"group": "g"}))], vec![], "there is no group \"g\""),
        (vec![], vec![drop("", json!({"group": "b"}))], vec![blocks.clone()], "group \"b\" has addresses"),
        (vec![], vec![drop("", json!({"group": "n"}))], vec![nested, more, blocks], "has groups"),
    ] {
        let written = AntreaObjects { tiers, policies, groups, ..AntreaObjects::default() };
        let why = written.refused().expect(words);
        assert!(why.contains(words), "{words}: {why}");
    }
}
