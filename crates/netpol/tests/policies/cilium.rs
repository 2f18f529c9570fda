//! Policies of Cilium.

mod examples;
mod generators;
pub(crate) mod reader;

use netpol::engines::cilium::{Input, Settings, enforcement, mentions, read_policies};
use netpol::engines::kubernetes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::town::{PROTOCOLS, compare, town};

pub(crate) const SETTINGS: Settings = Settings { ranges_match_nodes: false, has_port_ranges: true };

/// Some objects of a cluster with Cilium.
#[derive(Debug, Clone, Default)]
pub(crate) struct CiliumObjects {
    pub(crate) policies: Vec<Value>,
    pub(crate) kubernetes: Vec<Value>,
}

impl CiliumObjects {
    /// Calls something with what the evaluator reads of them.
    ///
    /// # Errors
    /// What the evaluator does not read.
    pub(crate) fn read<T>(
        &self,
        settings: Settings,
        then: impl FnOnce(&Input<'_>) -> T,
    ) -> Result<T, String> {
        let policies = self.policies.iter().map(read_policies).collect::<Result<Vec<_>, _>>()?.concat();
        let kubernetes = self.kubernetes.iter().map(kubernetes::read).collect::<Result<Vec<_>, _>>()?;
        Ok(then(&Input { policies: &policies, kubernetes: &kubernetes, settings }))
    }
}

/// Compares the evaluator with the reader; how many packets.
fn agree(written: &CiliumObjects, settings: Settings) -> usize {
    let town = town();
    let reading = reader::Reading::new(written, &town, settings);
    let compared = written.read(settings, |input| {
        compare(
            &town,
            &mentions(input).expect("selectors"),
            &PROTOCOLS,
            |world| enforcement(input, world).expect("a tier"),
            |packet| reading.allows(packet),
        )
    });
    compared.expect("what the API accepts")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 320, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_of_every_packet_what_the_documentation_says(
        written in generators::written(),
        ranges_match_nodes in any::<bool>(),
    ) {
        let settings = Settings { ranges_match_nodes, ..SETTINGS };
        prop_assert!(agree(&written, settings) > 300);
    }
}

/// What would be skipped in silence, or what packets alone do not tell, is an error that names the field.
#[test]
fn what_no_evaluator_can_know_is_an_error() {
    let rule = |rule: Value| json!({"endpointSelector": {}, "egress": [rule]});
    let port = |port: Value| rule(json!({"toPorts": [{"ports": [port]}]}));
    let peer = |selector: Value| rule(json!({"toEndpoints": [selector]}));
    for (spec, words) in [
        (json!({"ingress": []}), "spec.endpointSelector"),
        (json!({"nodeSelector": {}}), "spec.nodeSelector"),
        (json!({"endpointSelector": {}, "order": 1}), "order"),
        (
            json!({"endpointSelector": {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "office"}}}),
            "spec.endpointSelector",
        ),
        (rule(json!({"toFQDNs": [{"matchName": "example.com"}]})), "toFQDNs"),
        (rule(json!({"toServices": []})), "toServices"),
        (rule(json!({"toGroups": []})), "toGroups"),
        (rule(json!({"toNodes": []})), "toNodes"),
        (rule(json!({"toRequires": []})), "toRequires"),
        (rule(json!({"authentication": {"mode": "required"}})), "authentication"),
        (rule(json!({"fromEndpoints": [{}]})), "spec.egress[0].fromEndpoints"),
        (rule(json!({"toEndpoints": [{}], "toCIDR": ["10.0.0.0/8"]})), "spec.egress[0]: more than one"),
        (rule(json!({"toEntities": ["kube-apiserver"]})), "spec.egress[0].toEntities: kube-apiserver"),
        (rule(json!({"toEntities": ["everyone"]})), "spec.egress[0].toEntities"),
        (rule(json!({"toCIDR": ["10.0.0.0/33"]})), "spec.egress[0].toCIDR"),
        (rule(json!({"toCIDRSet": [{"cidrGroupRef": "x"}]})), "spec.egress[0].toCIDRSet: cidrGroupRef"),
        (rule(json!({"toPorts": [{"ports": []}]})), "spec.egress[0].toPorts[0].ports"),
        (rule(json!({"toPorts": [{"ports": [], "rules": {"http": [{}]}}]})), "rules"),
        (
            rule(json!({"toPorts": [{"ports": [{"port": "80"}]}], "icmps": [{"fields": [{"type": 8}]}]})),
            "spec.egress[0].icmps",
        ),
        (rule(json!({"icmps": [{"fields": [{"type": "Ping"}]}]})), "spec.egress[0].icmps[0].fields: type"),
        (port(json!({"port": "80", "protocol": "ICMP"})), "spec.egress[0].toPorts[0].ports: protocol"),
        (port(json!({"port": "0"})), "spec.egress[0].toPorts[0].ports: port: 0"),
        (port(json!({"port": "81", "endPort": 80})), "spec.egress[0].toPorts[0].ports: endPort"),
        (port(json!({"port": "70000"})), "spec.egress[0].toPorts[0].ports: port"),
        (peer(json!({"matchLabels": {"reserved:host": ""}})), "spec.egress[0].toEndpoints: reserved:host"),
        (peer(json!({"matchLabels": {"io.cilium.k8s.policy.cluster": "x"}})), "io.cilium.k8s.policy.cluster"),
    ] {
        let object = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
        let why = read_policies(&object).expect_err(words);
        assert!(why.contains(words), "{words}: {why}");
    }
}

/// Releases before 1.16 have no ranges of ports.
#[test]
fn a_range_of_ports_needs_a_release_that_reads_it() {
    let spec = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 90}]}]});
    let kubernetes = vec![json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec})];
    let written = CiliumObjects { kubernetes, ..CiliumObjects::default() };
    let answer = |has_port_ranges: bool| {
        let answer = written.read(Settings { has_port_ranges, ..SETTINGS }, |input| {
            let world = netpol::world::World::new(&town(), &mentions(input).expect("selectors"));
            enforcement(input, &world).map(|_| ())
        });
        answer.expect("what the API accepts")
    };
    assert_eq!(answer(true), Ok(()));
    assert!(
        answer(false)
            .expect_err("a range")
            .to_string()
            .contains("NetworkPolicy shop/p spec.ingress[0]: endPort")
    );
}
