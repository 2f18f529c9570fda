//! A policy without its phase: how two nodes in different phases are seen to have the same policy, and which pods a policy makes.

use std::collections::BTreeSet;

use super::{Attach, Phase, Policy, SecondaryFailure, Side};
use crate::json::raw::to_raw;

impl Policy {
    /// The bytes of the policy without its phase (`attach` and `both.primary`) and without the probes of its networks, in one spelling: the
    /// order of keys, white space and keys that say no more than their default make no difference. A rule's `attach` belongs to the base.
    ///
    /// Probes are left out because a node's bootstrap completes them from its own profiles, and because they say how to wait and not what
    /// a pod gets.
    #[must_use]
    pub fn base_bytes(&self) -> Vec<u8> {
        let mut base = self.clone();
        (base.attach, base.both.primary) = (Attach::Both, None);
        for network in [&mut base.networks.old, &mut base.networks.new].into_iter().flatten() {
            network.ready = None;
        }
        to_raw(&base).get().as_bytes().to_vec()
    }

    /// The phases under which the policy attaches pods: its own, those of its rules, and those that a pod's annotation may ask for. Under
    /// `secondaryFailure: tolerate`, a pod that should have both may end up with the primary alone.
    #[must_use]
    pub fn mints(&self) -> BTreeSet<Phase> {
        let allowed = self.pod_annotation.iter().flat_map(|ours| ours.allow.iter().copied());
        let attaches =
            [self.attach].into_iter().chain(self.rules.iter().map(|rule| rule.attach)).chain(allowed);
        attaches.flat_map(|attach| self.made_by(attach)).collect()
    }

    fn made_by(&self, attach: Attach) -> Vec<Phase> {
        let primary = self.both.primary();
        match (attach, self.both.secondary_failure) {
            (Attach::One(side), _) => vec![Phase::new(Attach::One(side), side)],
            (Attach::Both, SecondaryFailure::Fail) => vec![Phase::new(Attach::Both, primary)],
            (Attach::Both, SecondaryFailure::Tolerate) => {
                vec![Phase::new(Attach::Both, primary), Phase::new(Attach::One(primary), primary)]
            }
        }
    }
}

impl Phase {
    /// The phase in which a pod gets `attach`, where `primary` is the network that provides the address of its status.
    #[must_use]
    pub const fn new(attach: Attach, primary: Side) -> Self {
        match (attach, primary) {
            (Attach::One(Side::Old), _) => Self::Old,
            (Attach::One(Side::New), _) => Self::New,
            (Attach::Both, Side::Old) => Self::BothOld,
            (Attach::Both, Side::New) => Self::BothNew,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    type Change = fn(&mut Value);

    fn policy(change: impl FnOnce(&mut Value)) -> Policy {
        let mut text = json!({"version":1,"attach":"old","networks":{
            "old":{"conf":["/o"],"cidrs":["10.1.0.0/16"]},"new":{"conf":["/n"],"ready":[{"file":"/r"}]}},
            "rules":[{"namespace":"a","attach":"new"}]});
        change(&mut text);
        Policy::parse(text.to_string().as_bytes()).expect("valid")
    }

    #[test]
    fn the_base_is_all_but_the_phase_and_the_probes() {
        let base = policy(|_| {}).base_bytes();
        let changes: [(&str, bool, Change); 15] = [
            ("attach new", true, |p| p["attach"] = json!("new")),
            ("attach both", true, |p| p["attach"] = json!("both")),
            ("primary", true, |p| p["both"] = json!({"primary": "new"})),
            ("other probes", true, |p| p["networks"]["new"]["ready"] = json!([{"unix": "/s"}])),
            ("no probes", true, |p| p["networks"]["old"]["ready"] = json!([])),
            ("a default that is written", true, |p| p["gc"] = json!({"graceSeconds": 600})),
            ("no rule", false, |p| p["rules"] = json!([])),
            ("what a rule attaches", false, |p| p["rules"][0]["attach"] = json!("both")),
            ("a cidr", false, |p| p["networks"]["old"]["cidrs"] = json!(["10.2.0.0/16"])),
            ("a conf", false, |p| p["networks"]["new"]["conf"] = json!(["/n2"])),
            ("a profile", false, |p| p["networks"]["new"]["profile"] = json!("cilium")),
            ("the route", false, |p| p["both"] = json!({"defaultRoute": "new"})),
            ("an annotation", false, |p| p["podAnnotation"] = json!({"key": "k", "allow": ["both"]})),
            ("a retired network", false, |p| {
                p["retired"] = json!([{"network": "old", "forceAfterSeconds": 1}]);
            }),
            ("a deadline", false, |p| p["deadlines"] = json!({"addSeconds": 30})),
        ];
        for (what, is_same, change) in changes {
            assert_eq!(policy(change).base_bytes() == base, is_same, "{what}");
        }
    }

    #[test]
    fn every_flip_keeps_the_base() {
        let policy = policy(|_| {});
        let text = serde_json::to_vec(&policy).expect("JSON");
        for phase in Phase::ALL {
            let flipped = Policy::flip(&text, phase).expect("flip");
            let back = Policy::flip(&flipped, Phase::Old).expect("flip");
            for bytes in [flipped, back] {
                let base = Policy::parse(&bytes).expect("valid").base_bytes();
                assert_eq!(base, policy.base_bytes(), "{phase}");
            }
        }
    }

    #[test]
    fn a_policy_makes_pods_of_its_phase_its_rules_and_the_allowed_annotation() {
        use Phase::{BothNew, BothOld, New, Old};
        let both_new = json!({"primary": "new"});
        let tolerant = json!({"primary": "new", "secondaryFailure": "tolerate"});
        for (attach, both, rules, allow, expected) in [
            ("old", json!({}), vec![], vec![], vec![Old]),
            ("both", json!({}), vec![], vec![], vec![BothOld]),
            ("both", both_new.clone(), vec![], vec![], vec![BothNew]),
            ("old", json!({}), vec!["new", "both"], vec![], vec![Old, BothOld, New]),
            ("old", both_new.clone(), vec!["both"], vec![], vec![Old, BothNew]),
            ("new", json!({}), vec![], vec!["both", "old"], vec![Old, BothOld, New]),
            ("new", both_new, vec!["new"], vec!["both"], vec![BothNew, New]),
            ("both", tolerant.clone(), vec![], vec![], vec![BothNew, New]),
            ("old", tolerant.clone(), vec![], vec!["both"], vec![Old, BothNew, New]),
            ("old", tolerant, vec![], vec![], vec![Old]),
        ] {
            let rules: Vec<Value> = rules.iter().map(|attach| json!({"attach": attach})).collect();
            let made = policy(|p| {
                (p["attach"], p["both"], p["rules"]) = (json!(attach), both.clone(), json!(rules));
                p["podAnnotation"] = json!({"key": "k", "allow": allow});
            })
            .mints();
            assert_eq!(made, BTreeSet::from_iter(expected), "{attach} {both} {rules:?} {allow:?}");
        }
    }
}
