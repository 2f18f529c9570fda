//! Policies of Calico.

mod examples;
pub(crate) mod generators;
pub(crate) mod reader;
mod rules;
mod selector;

use std::cell::RefCell;
use std::collections::HashSet;

use netpol::engines::calico::{
    Input, enforcement, mentions, read_host_endpoint, read_policy, read_set, read_tier,
};
use netpol::engines::kubernetes;
use netpol::world::Cluster;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::town::{PROTOCOLS, compare, town};
use reader::Everything;

/// Some objects of a cluster with Calico.
#[derive(Debug, Clone, Default)]
pub(crate) struct CalicoObjects {
    pub(crate) tiers: Vec<Value>,
    pub(crate) policies: Vec<Value>,
    pub(crate) kubernetes: Vec<Value>,
    pub(crate) sets: Vec<Value>,
    pub(crate) hosts: Vec<Value>,
}

impl CalicoObjects {
    /// Calls something with what the evaluator reads of them.
    ///
    /// # Errors
    /// What the evaluator does not read.
    pub(crate) fn read<T>(&self, cluster: &Cluster, then: impl FnOnce(&Input<'_>) -> T) -> Result<T, String> {
        fn each<O>(written: &[Value], read: fn(&Value) -> Result<O, String>) -> Result<Vec<O>, String> {
            written.iter().map(read).collect()
        }
        let (tiers, policies) = (each(&self.tiers, read_tier)?, each(&self.policies, read_policy)?);
        let kubernetes = each(&self.kubernetes, kubernetes::read)?;
        let (sets, hosts) = (each(&self.sets, read_set)?, each(&self.hosts, read_host_endpoint)?);
        Ok(then(&Input {
            tiers: &tiers,
            policies: &policies,
            kubernetes: &kubernetes,
            sets: &sets,
            host_endpoints: &hosts,
            namespaces: &cluster.namespaces,
        }))
    }

    /// Without objects of which there is another one of the same kind, namespace and name, and without policies whose tier is not there.
    pub(crate) fn possible(mut self) -> Self {
        for objects in [&mut self.tiers, &mut self.policies, &mut self.kubernetes] {
            let mut seen = HashSet::new();
            objects.retain(|object| {
                let (name, tier) =
                    (object["metadata"]["name"].as_str().expect("a name"), &object["spec"]["tier"]);
                let short = name.split_once('.').map_or(name, |(_, short)| short);
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
                seen.insert((
                    namespace.to_owned(),
                    short.to_owned(),
                    tier.as_str().unwrap_or("default").to_owned(),
                ))
            });
        }
        let tiers = &self.tiers;
        self.policies.retain(|object| {
            let tier = &object["spec"]["tier"];
            tier.is_null()
                || tier == "default"
                || tiers.iter().any(|known| known["metadata"]["name"] == *tier)
        });
        self
    }
}

/// Compares the evaluator with the reader; how many packets.
fn agree(written: &CalicoObjects) -> usize {
    let town = town();
    let all = Everything {
        cluster: &town,
        tiers: &written.tiers,
        policies: &written.policies,
        kubernetes: &written.kubernetes,
        sets: &written.sets,
        hosts: &written.hosts,
        known: RefCell::default(),
    };
    let compared = written.read(&town, |input| {
        compare(
            &town,
            &mentions(input).expect("selectors"),
            &PROTOCOLS,
            |world| enforcement(input, world).expect("tiers"),
            |packet| reader::allowed(&all, packet),
        )
    });
    compared.expect("what the API accepts")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 320, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_of_every_packet_what_the_documentation_says(written in generators::written()) {
        prop_assert!(agree(&written.possible()) > 300);
    }
}

/// What would be skipped in silence, or what packets alone do not tell, is an error that names the field.
#[test]
fn what_no_evaluator_can_know_is_an_error() {
    let rule = |rule: Value| json!({"ingress": [rule]});
    for (spec, words) in [
        (json!({"preDNAT": true}), "preDNAT"),
        (json!({"doNotTrack": true}), "doNotTrack"),
        (json!({"applyOnForward": true}), "applyOnForward"),
        (json!({"selectors": "all()"}), "selectors"),
        (json!({"selector": "role = 'db'"}), "spec.selector"),
        (json!({"namespaceSelector": "has("}), "spec.namespaceSelector"),
        (json!({"serviceAccountSelector": "x"}), "spec.serviceAccountSelector"),
        (json!({"types": ["ingress"]}), "spec.types"),
        (rule(json!({"action": "allow"})), "spec.ingress[0].action"),
        (rule(json!({"action": "Allow", "http": {"methods": ["GET"]}})), "spec.ingress[0].http"),
        (rule(json!({"action": "Allow", "ipVersion": 5})), "spec.ingress[0].ipVersion"),
        (rule(json!({"action": "Allow", "protocol": "IPIP"})), "spec.ingress[0].protocol"),
        (rule(json!({"action": "Allow", "destination": {"ports": [80]}})), "spec.ingress[0].protocol"),
        (rule(json!({"action": "Allow", "icmp": {"type": 8}})), "spec.ingress[0].protocol"),
        (
            rule(json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": ["9:1"]}})),
            "spec.ingress[0].destination.ports",
        ),
        (
            rule(json!({"action": "Allow", "source": {"services": {"name": "dns"}}})),
            "spec.ingress[0].source.services",
        ),
        (
            rule(json!({"action": "Allow", "source": {"nets": ["10.0.0.0/33"]}})),
            "spec.ingress[0].source.nets",
        ),
        (rule(json!({"action": "Allow", "from": []})), "from"),
    ] {
        let why = read_policy(&json!({"metadata": {"name": "p"}, "spec": spec})).expect_err(words);
        assert!(why.contains(words), "{words}: {why}");
    }
}
