//! To policies of Cilium.

mod denials;
mod examples;

use std::cell::Cell;

use netpol::convert::writers::cilium::write;
use netpol::engines::cilium::{Input, Settings, enforcement, mentions, read_policies};
use netpol::engines::kubernetes;
use netpol::world::World;
use netpol::world::mention::Mentions;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::turned::allowing;
use super::turned::{ConversionResult, Evaluate, turned};
use crate::calico::{CalicoObjects, generators};
use crate::cilium::SETTINGS;
use crate::range::list;
use crate::town::town;

/// Policies as Cilium enforces them, beside NetworkPolicies that were there before.
fn read(objects: &[Value], beside: &[Value], settings: Settings) -> (Mentions, Evaluate) {
    let all = objects.iter().flat_map(|object| read_policies(object).expect("a policy of Cilium"));
    let (policies, kubernetes): (Vec<_>, Vec<_>) = (
        all.collect(),
        beside.iter().map(|object| kubernetes::read(object).expect("a NetworkPolicy")).collect(),
    );
    let input = Input { policies: &policies, kubernetes: &kubernetes, settings };
    let mentions = mentions(&input).expect("selectors");
    let evaluate = move |world: &World| {
        let input = Input { policies: &policies, kubernetes: &kubernetes, settings };
        enforcement(&input, world).expect("what this release reads")
    };
    (mentions, Box::new(evaluate))
}

fn converted(old: &CalicoObjects, settings: Settings) -> ConversionResult {
    turned(old, &town(), |plain| write(plain, settings), |objects| read(objects, &old.kubernetes, settings))
}

/// As many cases as the environment asks for: 256 if it does not.
fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })
}

/// The rules of some policies.
fn rules<'a>(policies: &'a [Value], fields: &[&str]) -> usize {
    let specs = |object: &'a Value| list(&object["specs"]).iter().chain(object.get("spec"));
    let count_of = |spec: &Value| -> usize {
        fields
            .iter()
            .map(|field| {
                list(&spec[*field])
                    .iter()
                    .filter(|rule| rule.as_object().is_some_and(|rule| !rule.is_empty()))
                    .count()
            })
            .sum()
    };
    policies.iter().flat_map(specs).map(count_of).sum()
}

/// Without ports by their names in what pods send: to Cilium they are numbers of the whole cluster.
fn without_names(mut written: CalicoObjects) -> CalicoObjects {
    for policy in &mut written.policies {
        for rule in policy["spec"]["egress"].as_array_mut().into_iter().flatten() {
            let Some(Value::Array(ports)) = rule.pointer_mut("/destination/ports") else { continue };
            ports.retain(|port| port != "http" && port != "dns");
            // An empty list is that of a rule which says nothing of ports.
        }
    }
    written
}

#[test]
fn policies_that_only_allow_mean_the_same() {
    let (generated, written) = (Cell::new(0), Cell::new(0));
    let result = runner().run(&generators::written(), |old| {
        let mut old = without_names(allowing(old));
        // Cilium reads a NetworkPolicy in another way than Calico, whatever stands beside it.
        old.kubernetes.clear();
        let turned = converted(&old, SETTINGS);
        generated.set(generated.get() + rules(&old.policies, &["ingress", "egress"]));
        written.set(written.get() + rules(&turned.objects, &["ingress", "egress"]));
        prop_assert!(turned.difference().is_none(), "{}", turned.explanation().unwrap_or_default());
        Ok(())
    });
    result.expect("policies that mean the same");
    assert!(
        written.get() * 3 > generated.get(),
        "{} rules of {} were written",
        written.get(),
        generated.get()
    );
}
