//! The policies that are there, without what a conversion leaves out.

use std::collections::{BTreeSet, HashMap};

use snapshot::model::Text;

use super::report::{Omission, Reference};
use crate::calico::{self, RuleAction};
use crate::gather::{Calico, EnginePolicies, Policies};
use crate::kubernetes;
use crate::tier::Direction;

/// A rule of an object.
pub(super) type RulePlace = (Reference, Direction, usize);

/// Calico's policies, those among them of which only some rules could be read, with their objects.
pub(super) fn of_calico(own: &Calico) -> (Vec<calico::Policy>, Vec<Reference>) {
    let partly = own.partial.iter().map(|partial| (partial.policy.clone(), partial.object.clone()));
    own.policies.iter().map(|(reference, policy)| (policy.clone(), reference.clone())).chain(partly).unzip()
}

/// The policies without what is left out.
pub(super) fn without_omissions(policies: &Policies, left: &BTreeSet<Omission>) -> Policies {
    let mut kept = policies.clone();
    if let EnginePolicies::Calico(own) = &mut kept.engine_policies {
        let (all, references) = of_calico(own);
        own.partial.clear();
        (own.policies.entries, own.policies.references) = kept_calico_policies(all, references, left);
    }
    without_kubernetes(&mut kept, left);
    kept
}

/// Calico's policies without what is left out, with their objects. A rule that is left out decides nothing, and the numbers of the others stay.
#[must_use]
pub fn kept_calico_policies(
    policies: Vec<calico::Policy>,
    objects: Vec<Reference>,
    left: &BTreeSet<Omission>,
) -> (Vec<calico::Policy>, Vec<Reference>) {
    let pairs = policies.into_iter().zip(objects);
    let kept = pairs.filter(|(_, object)| !left.contains(&Omission::Policy(object.clone())));
    let to_policy = |(mut policy, object): (calico::Policy, Reference)| {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if left.contains(&Omission::Rule(object.clone(), direction, number)) {
                    rule.action = RuleAction::Log;
                }
            }
        }
        (policy, object)
    };
    kept.map(to_policy).unzip()
}

/// The same of NetworkPolicies of Kubernetes alone, which are there before and after.
pub(super) fn without_kubernetes(policies: &mut Policies, left: &BTreeSet<Omission>) {
    for (policy, object) in policies.kubernetes.entries.iter_mut().zip(&policies.kubernetes.references) {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if left.contains(&Omission::Rule(object.clone(), direction, number)) {
                    *rule = kubernetes::Rule::about_nobody();
                }
            }
        }
    }
}

/// The rules of all objects by how verdicts name them, and what happens without each.
pub(super) fn origins(policies: &Policies) -> HashMap<Text, RulePlace> {
    let mut all = HashMap::new();
    let mut add = |name: String, object: &Reference, numbers: [usize; 2]| {
        for (direction, count) in Direction::ALL.into_iter().zip(numbers) {
            for number in 0..count {
                let origin = format!("{name} {}", super::plain::place(direction, number));
                all.insert(origin.into(), (object.clone(), direction, number));
            }
        }
    };
    if let EnginePolicies::Calico(own) = &policies.engine_policies {
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
