//! A strategy that works, and that should not be the first choice.
//!
//! *Source*: docs/policy.md, "Which strategy to choose" and "Host routes"; the CNIs' profiles (`secondary`).

use types::policy::Secondary;
use types::profile::Profiles;

use crate::check::Check;
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::support::{Cni, Strategy};

pub(in crate::check) const CHECK: Check =
    Check { name: "strategy", rules: &[&STRATEGY_HOST_ROUTES], needs: &[], run };

const STRATEGY_HOST_ROUTES: Rule = Severity::Risk.rule(
    "strategy-host-routes",
    "With the strategy `double`, a CNI (Calico) is a pod's second network by routes that Crossfade adds to the nodes.",
    "Its agent routes a pod's main address to its own interface, so Crossfade adds routes to the nodes that come before the agent's. With the strategy bridge it is the only network of every pod that it attaches, and its agent, its policies and its address collection stay right.",
    r#"Use --strategy bridge. If nodes cannot forward between both networks, follow docs/policy.md, "Before Calico is the second network", and accept this finding with a waiver."#,
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let all: Vec<Cni> = [scene.from, scene.to].into_iter().filter(|cni| needs_host_routes(*cni)).collect();
    if scene.network_strategy() != Strategy::Double || all.is_empty() {
        return Vec::new();
    }
    let subject = |cni: Cni| Subject {
        kind: "Strategy".into(),
        namespace: String::new(),
        name: scene.strategy.to_string(),
        detail: format!("with {cni}"),
    };
    let names: Vec<&str> = all.iter().map(|cni| cni.into_str()).collect();
    let what = format!("With the strategy double, {} is the second network of pods.", names.join(" and "));
    vec![Finding::new(&STRATEGY_HOST_ROUTES).what(what).with_objects(all.into_iter().map(subject))]
}

/// Whether the CNI is a pod's second network by routes of the node, by its profile.
pub(in crate::check) fn needs_host_routes(cni: Cni) -> bool {
    Profiles::built_in().find(cni.into_str()).is_some_and(|profile| profile.secondary == Secondary::HostRoute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::Case;

    #[test]
    fn calico_is_a_second_network_by_host_routes() {
        use Strategy::{Bridge, Double, Rotation};
        for (from, to, strategy, is_found) in [
            (Cni::Calico, Cni::Cilium, Double, true),
            (Cni::Flannel, Cni::Calico, Double, true),
            (Cni::Calico, Cni::Cilium, Bridge, false),
            (Cni::Calico, Cni::Cilium, Rotation, false),
            (Cni::Flannel, Cni::Cilium, Double, false),
        ] {
            let case = Case::new(from, to, Vec::new()).strategy(strategy);
            assert_eq!(
                case.codes(&CHECK),
                &["strategy-host-routes"][usize::from(!is_found)..],
                "{from} {to} {strategy}"
            );
        }
        let case = Case::new(Cni::Calico, Cni::Cilium, Vec::new()).strategy(Rotation);
        assert_eq!(case.config("roll: {image: both-new}").codes(&CHECK), ["strategy-host-routes"]);
    }
}
