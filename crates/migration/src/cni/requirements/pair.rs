//! The pairs of CNIs between which a cluster can move, and the ways to do it.

use types::policy::Secondary;
use types::profile::Profiles;

use super::{Requirement, Scope, State};
use crate::check::Scene;
use crate::cni::support::{Cni, Strategy};

/// What is known of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// This project published this migration.
    Published,
    /// Crossfade supports it, and no migration of it was published.
    Declared,
}

/// A CNI to move from, and one to move to.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub from: Cni,
    pub to: Cni,
    /// What is known of it.
    pub evidence: Evidence,
}

const fn pair(from: Cni, to: Cni, evidence: Evidence) -> Pair {
    Pair { from, to, evidence }
}

/// Every supported pair.
pub const PAIRS: &[Pair] = &[
    pair(Cni::Calico, Cni::Cilium, Evidence::Published),
    pair(Cni::Calico, Cni::Antrea, Evidence::Published),
    pair(Cni::Flannel, Cni::Cilium, Evidence::Published),
    pair(Cni::Flannel, Cni::Antrea, Evidence::Published),
    pair(Cni::Flannel, Cni::Calico, Evidence::Published),
    pair(Cni::Canal, Cni::Cilium, Evidence::Published),
    pair(Cni::Canal, Cni::Antrea, Evidence::Declared),
    pair(Cni::Canal, Cni::Calico, Evidence::Declared),
    pair(Cni::AwsVpcCni, Cni::Cilium, Evidence::Published),
    pair(Cni::AwsVpcCni, Cni::Antrea, Evidence::Declared),
    pair(Cni::AwsVpcCni, Cni::Calico, Evidence::Declared),
];

pub(super) const ROWS: &[Requirement] = &[
    Requirement {
        name: "pair",
        what: "Crossfade supports this pair of CNIs.",
        why: "Crossfade knows what each of these CNIs leaves on a node and waits for, and nothing about this way from one to the other.",
        found_by: &[],
        scope: Scope::All,
        needs: &[],
        state: decide_supported,
    },
    Requirement {
        name: "strategy",
        what: "Both CNIs bear the strategy.",
        why: "Between two phases, some pods would have no network, or one that does not work.",
        found_by: &[],
        scope: Scope::All,
        needs: &[],
        state: strategy,
    },
];

fn decide_supported(scene: &Scene<'_>) -> State {
    let known_pair = PAIRS.iter().find(|pair| (pair.from, pair.to) == (scene.from, scene.to));
    match known_pair.map(|pair| pair.evidence) {
        Some(Evidence::Published) => State::met("supported; such migrations are published"),
        Some(Evidence::Declared) => {
            State::met("supported; no such migration is published, so try it on a copy of the cluster first")
        }
        None => {
            let to: Vec<_> =
                PAIRS.iter().filter(|pair| pair.from == scene.from).map(|pair| pair.to.into_str()).collect();
            let evidence = format!("{} to {} is not supported", scene.from, scene.to);
            match to.as_slice() {
                [] => State::not_met(evidence, format!("no migration from {} is supported", scene.from)),
                to => {
                    State::not_met(evidence, format!("from {}, choose --to {}", scene.from, to.join(" or ")))
                }
            }
        }
    }
}

/// During `double`, each CNI is the second network of some pods. The profiles say which CNI bears that.
fn strategy(scene: &Scene<'_>) -> State {
    if scene.network_strategy() != Strategy::Double {
        return State::met("every pod has one network at a time");
    }
    let profiles = Profiles::built_in();
    let refused: Vec<&str> = [scene.from, scene.to]
        .into_iter()
        .filter(|cni| {
            profiles.find(cni.into_str()).is_none_or(|profile| profile.secondary == Secondary::Refused)
        })
        .map(|cni| cni.into_str())
        .collect();
    if refused.is_empty() {
        State::met("both work as the second network of a pod")
    } else {
        State::not_met(
            format!("{}: not tried as the second network of a pod", refused.join(" and ")),
            "use --strategy bridge where both networks reach each other, or --strategy rotation",
        )
    }
}
