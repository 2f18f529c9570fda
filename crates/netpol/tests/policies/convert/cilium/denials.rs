//! Denials, order and tiers: where the comparison says that both sides mean the same, two readings packet by packet must say so, too.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use netpol::convert::report::Omission;
use netpol::engines::calico::{enforcement, mentions};
use serde_json::{Value, json};
use snapshot::model::Text;

use super::{SETTINGS, converted, read, rules, runner};
use crate::calico::reader::{Everything, allowed};
use crate::calico::{CalicoObjects, generators};
use crate::cilium;
use crate::cilium::reader::Reading;
use crate::convert::turned::reference;
use crate::town::{PROTOCOLS, compare, town};

/// The policies without what is left out, as they are written.
fn without(policies: &[Value], left: &BTreeSet<Omission>) -> Vec<Value> {
    let kept = policies.iter().filter(|object| !left.contains(&Omission::Policy(reference(object))));
    let to_value = |policy: &Value| {
        let (mut policy, reference) = (policy.clone(), reference(policy));
        for omission in left {
            if let Omission::Rule(whose, direction, number) = omission
                && *whose == reference
            {
                policy["spec"][direction.name().to_lowercase()][*number]["action"] = json!("Log");
            }
        }
        policy
    };
    kept.map(to_value).collect()
}

/// How many packets both readings say the same of.
fn agreed(old: &CalicoObjects, objects: &[Value], left: &BTreeSet<Omission>) -> usize {
    let town = town();
    let old = CalicoObjects { policies: without(&old.policies, left), ..old.clone() };
    let all = Everything {
        cluster: &town,
        tiers: &old.tiers,
        policies: &old.policies,
        kubernetes: &old.kubernetes,
        sets: &old.sets,
        hosts: &old.hosts,
        known: RefCell::default(),
    };
    let new = cilium::CiliumObjects { policies: objects.to_vec(), kubernetes: old.kubernetes.clone() };
    let reading = Reading::new(&new, &town, SETTINGS);
    let compared = old.read(&town, |input| {
        let (theirs, _) = read(objects, &old.kubernetes, SETTINGS);
        let mentions = mentions(input).expect("selectors").with(theirs);
        compare(
            &town,
            &mentions,
            &PROTOCOLS,
            |world| enforcement(input, world).expect("tiers"),
            |packet| {
                let before = allowed(&all, packet);
                assert_eq!(before, reading.allows(packet), "{packet:?}\n{objects:#?}");
                before
            },
        )
    });
    compared.expect("what the API accepts")
}

#[test]
fn where_the_comparison_sees_no_difference_there_is_none() {
    let (cases, equal, denials) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let result = runner().run(&generators::written(), |old| {
        let old = old.possible();
        let turned = converted(&old, SETTINGS);
        cases.set(cases.get() + 1);
        if turned.difference().is_none() {
            equal.set(equal.get() + 1);
            let written = rules(&turned.objects, &["ingressDeny", "egressDeny"]);
            denials.set(denials.get() + usize::from(written > 0));
            assert!(agreed(&old, &turned.objects, &turned.report.omissions) > 300);
        }
        Ok(())
    });
    result.expect("readings that agree");
    let (cases, equal, denials) = (cases.get(), equal.get(), denials.get());
    assert!(
        equal * 4 > cases && denials * 20 > cases,
        "{cases} cases, {equal} equal, {denials} with denials"
    );
}

/// The example of a rule that is left out counts as one that decides nothing.
#[test]
fn what_is_left_out_decides_nothing() {
    let policy =
        json!({"metadata": {"name": "p"}, "spec": {"ingress": [{"action": "Allow"}, {"action": "Deny"}]}});
    let left = BTreeSet::from([Omission::Rule(reference(&policy), netpol::tier::Direction::Ingress, 0)]);
    let actions: Vec<Text> = without(std::slice::from_ref(&policy), &left)[0]["spec"]["ingress"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|rule| rule["action"].as_str().expect("an action").into())
        .collect();
    assert_eq!(actions, ["Log".into(), Text::from("Deny")]);
    assert!(
        without(std::slice::from_ref(&policy), &[Omission::Policy(reference(&policy))].into()).is_empty()
    );
}
