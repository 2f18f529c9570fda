//! The policies that are there, without what a conversion leaves out.

use std::collections::{BTreeSet, HashMap};

use snapshot::model::Text;

use super::report::{Left, Reference};
use crate::calico::{self, RuleAction};
use crate::gather::{Calico, Own, Policies};
use crate::kubernetes;
use crate::tier::Direction;

/// A rule of an object.
pub(super) type Place = (Reference, Direction, usize);

/// Calico's policies, those among them of which only some rules could be read, with their objects.
pub(super) fn of_calico(own: &Calico) -> (Vec<calico::Policy>, Vec<Reference>) {
    let partly = own.partly.iter().map(|one| (one.policy.clone(), one.object.clone()));
    own.policies.iter().map(|(of, policy)| (policy.clone(), of.clone())).chain(partly).unzip()
}

/// The policies without what is left out.
pub(super) fn without(policies: &Policies, left: &BTreeSet<Left>) -> Policies {
    let mut kept = policies.clone();
    if let Own::Calico(own) = &mut kept.own {
        let (all, of) = of_calico(own);
        own.partly.clear();
        (own.policies.all, own.policies.of) = kept_of_calico(all, of, left);
    }
    without_kubernetes(&mut kept, left);
    kept
}

/// Calico's policies without what is left out, with their objects. A rule that is left out decides nothing, and the numbers of the others stay.
#[must_use]
pub fn kept_of_calico(
    policies: Vec<calico::Policy>,
    objects: Vec<Reference>,
    left: &BTreeSet<Left>,
) -> (Vec<calico::Policy>, Vec<Reference>) {
    let pairs = policies.into_iter().zip(objects);
    let kept = pairs.filter(|(_, object)| !left.contains(&Left::Policy(object.clone())));
    let one = |(mut policy, object): (calico::Policy, Reference)| {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if left.contains(&Left::Rule(object.clone(), direction, number)) {
                    rule.action = RuleAction::Log;
                }
            }
        }
        (policy, object)
    };
    kept.map(one).unzip()
}

/// The same of NetworkPolicies of Kubernetes alone, which are there before and after.
pub(super) fn without_kubernetes(policies: &mut Policies, left: &BTreeSet<Left>) {
    for (policy, object) in policies.kubernetes.all.iter_mut().zip(&policies.kubernetes.of) {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if left.contains(&Left::Rule(object.clone(), direction, number)) {
                    *rule = kubernetes::Rule::about_nobody();
                }
            }
        }
    }
}

/// The rules of all objects by how verdicts name them, and what happens without each.
pub(super) fn origins(policies: &Policies) -> HashMap<Text, Place> {
    let mut all = HashMap::new();
    let mut add = |name: String, object: &Reference, numbers: [usize; 2]| {
        for (direction, count) in Direction::ALL.into_iter().zip(numbers) {
            for number in 0..count {
                let origin = format!("{name} {}", super::plain::place(direction, number));
                all.insert(origin.into(), (object.clone(), direction, number));
            }
        }
    };
    if let Own::Calico(own) = &policies.own {
        for (object, policy) in own.policies.iter() {
            add(calico::named(policy), object, [policy.ingress.len(), policy.egress.len()]);
        }
    }
    for (object, policy) in policies.kubernetes.iter() {
        let name = format!("NetworkPolicy {}/{}", policy.namespace, policy.name);
        add(name, object, [policy.ingress.len(), policy.egress.len()]);
    }
    all
}
