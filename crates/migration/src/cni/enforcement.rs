//! The enforcement of policies by each CNI in each phase of a migration, as data.
//! `plan` reads it: policies that no CNI enforces must be accepted by name.

use serde::Serialize;
use snapshot::model::{Kind, Snapshot};

use crate::check::Scene;
use crate::cni::network::is_yes;
use crate::cni::support::Cni;
use crate::cni::{antrea, aws_vpc, calico, cilium};
use crate::workload::{Version, release};

/// A phase of a node's pods, and the end, when the old CNI is gone and the new one has the settings of the stage `finish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Phase {
    /// Pods have the old network.
    Old,
    /// Pods have both, and their address is that of the old one.
    BothOld,
    /// Pods have both, and their address is that of the new one.
    BothNew,
    /// Pods have the new network.
    New,
    /// The migration is over.
    Finished,
}

/// How far policies hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Holds"))]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// A CNI enforces them.
    Yes,
    /// A CNI enforces them for a part of the traffic.
    Partly,
    /// No CNI enforces them.
    No,
}

/// One kind of policy in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The kind of the policies.
    pub kind: Kind,
    /// How many there are.
    pub policies: usize,
    /// The phase of the pods that they are for.
    pub phase: Phase,
    /// Whether they hold.
    pub holds: Coverage,
    /// The CNI that enforces them, if one does.
    #[serde(rename = "by", skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<Cni>,
    /// Why.
    pub why: &'static str,
}

/// The kinds of policies.
pub const KINDS: [Kind; 10] = [
    Kind::NETWORK_POLICY,
    Kind::ADMIN_NETWORK_POLICY,
    Kind::BASELINE_ADMIN_NETWORK_POLICY,
    Kind::CALICO_NETWORK_POLICY,
    Kind::CALICO_GLOBAL_NETWORK_POLICY,
    Kind::CILIUM_NETWORK_POLICY,
    Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY,
    Kind::ANTREA_NETWORK_POLICY,
    Kind::ANTREA_CLUSTER_NETWORK_POLICY,
    Kind::KUBERNETES_CLUSTER_NETWORK_POLICY,
];

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [Self::Old, Self::BothOld, Self::BothNew, Self::New, Self::Finished];
}

/// Whether a CNI enforces policies of a kind for its own pods.
///
/// *Source*: the documentation of each CNI on network policies; Flannel has none; amazon-vpc-cni-k8s: README, "Network Policies". Which releases enforce
/// policies of administrators is known; where the snapshot does not say the release, the old CNI counts as enforcing them, since they could be lost, and the
/// new one does not.
#[must_use]
pub fn enforces(scene: &Scene<'_>, cni: Cni, kind: Kind) -> bool {
    enforces_if(scene, cni, kind, cni == scene.from)
}

/// The same, where a release that the snapshot does not say counts as enforcing them.
#[must_use]
pub fn may_enforce(scene: &Scene<'_>, cni: Cni, kind: Kind) -> bool {
    enforces_if(scene, cni, kind, true)
}

fn enforces_if(scene: &Scene<'_>, cni: Cni, kind: Kind, without_release: bool) -> bool {
    let has_kind = cni.facts().own_policies.contains(&kind);
    match kind {
        Kind::NETWORK_POLICY => {
            let is_set = || {
                aws_vpc::has_policy_agent(scene.snapshot)
                    || calico::policy_engine(scene.snapshot, cni).is_some()
            };
            cni.facts().enforces_policies || (cni == Cni::AwsVpcCni && is_set())
        }
        Kind::ADMIN_NETWORK_POLICY
        | Kind::BASELINE_ADMIN_NETWORK_POLICY
        | Kind::KUBERNETES_CLUSTER_NETWORK_POLICY => {
            let has_engine = calico::policy_engine(scene.snapshot, cni).is_some();
            let enforcer = if has_engine { Cni::Calico } else { cni };
            enforcer.driver().support(kind).is_some_and(|support| {
                let is_in = release(scene, enforcer).map_or(without_release, |version| support.has(version));
                is_in && support.is_on(scene.snapshot)
            })
        }
        Kind::CALICO_NETWORK_POLICY | Kind::CALICO_GLOBAL_NETWORK_POLICY => {
            has_kind || calico::policy_engine(scene.snapshot, cni).is_some()
        }
        _ => has_kind,
    }
}

/// What a CNI must have to enforce policies of administrators of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Support {
    /// The first release that enforces them.
    pub first: Version,
    /// The first one that does not any more.
    pub end: Option<Version>,
    /// The setting without which it does not.
    pub switch: Option<Switch>,
}

/// A setting that is off by default.
#[derive(Debug, Clone, Copy)]
pub enum Switch {
    /// A feature gate of Antrea's controller.
    AntreaGate(&'static str),
    /// A key of Cilium's ConfigMap.
    CiliumKey(&'static str),
}

impl Support {
    fn has(&self, release: Version) -> bool {
        release >= self.first && self.end.is_none_or(|end| release < end)
    }

    fn is_on(&self, snapshot: &Snapshot) -> bool {
        match self.switch {
            Some(Switch::AntreaGate(gate)) => antrea::has_gate(snapshot, gate),
            Some(Switch::CiliumKey(key)) => {
                cilium::setting(snapshot, key).is_some_and(|set| is_yes(&set.value))
            }
            None => true,
        }
    }
}

/// Whether a CNI enforces ClusterNetworkPolicies of Kubernetes (`policy.networking.k8s.io/v1alpha2`).
///
/// # Errors
/// Why it does not, or why the snapshot does not say that it does.
pub fn cluster_policies(scene: &Scene<'_>, cni: Cni) -> Result<(), String> {
    let Some(support) = cni.driver().support(Kind::KUBERNETES_CLUSTER_NETWORK_POLICY) else {
        let has_own_kind = cni == Cni::AwsVpcCni;
        let own_kind = "its own kind of this name is of the group networking.k8s.aws, and it reads no other";
        return Err(if has_own_kind { own_kind } else { "it enforces no policies" }.into());
    };
    let first = support.first;
    match release(scene, cni) {
        Some(version) if support.has(version) => {}
        Some((major, minor)) => {
            return Err(format!(
                "its release {major}.{minor} is too old: {}.{} is the first one",
                first.0, first.1
            ));
        }
        None => {
            return Err(format!(
                "it does from release {}.{} on, and the snapshot has no agent of it whose image names a release",
                first.0, first.1
            ));
        }
    }
    match support.switch {
        _ if support.is_on(scene.snapshot) => Ok(()),
        Some(Switch::AntreaGate(gate)) => {
            Err(format!("the feature gate {gate} is off in antrea-controller.conf"))
        }
        Some(Switch::CiliumKey(key)) => Err(format!("{key} is not true in the ConfigMap cilium-config")),
        None => Ok(()),
    }
}

/// Every kind of policy that the cluster has, and `NetworkPolicy` in any case, in every phase.
#[must_use]
pub fn lines(scene: &Scene<'_>) -> Vec<Line> {
    let count = |kind: &Kind| scene.snapshot.objects(*kind).len();
    let kinds = KINDS.into_iter().filter(|kind| *kind == Kind::NETWORK_POLICY || count(kind) > 0);
    kinds.flat_map(|kind| Phase::ALL.map(|phase| line(scene, kind, phase, count(&kind)))).collect()
}

fn line(scene: &Scene<'_>, kind: Kind, phase: Phase, policies: usize) -> Line {
    let old = enforces(scene, scene.from, kind);
    let new = enforces(scene, scene.to, kind);
    let is_early = new && scene.to.driver().is_early(scene.snapshot);
    let (holds, enforcer, why) = match phase {
        Phase::Old if old => (Coverage::Yes, Some(scene.from), "the old CNI enforces them"),
        Phase::Old => (Coverage::No, None, "the old CNI does not know this kind"),
        Phase::BothOld if old => (
            Coverage::Partly,
            Some(scene.from),
            "the old CNI filters its own interface of a pod; what comes through the second one passes",
        ),
        Phase::BothNew if is_early => (
            Coverage::Partly,
            Some(scene.to),
            "the new CNI filters its own interface of a pod; the old one knows other pods by addresses that they no longer use",
        ),
        Phase::BothNew if old => (
            Coverage::Partly,
            Some(scene.from),
            "the old CNI filters its own interface of a pod, and knows other pods by addresses that they no longer use; what comes through the new one passes",
        ),
        Phase::BothOld | Phase::BothNew => {
            (Coverage::No, None, "neither CNI enforces them for pods with both networks")
        }
        Phase::New if is_early => (Coverage::Yes, Some(scene.to), "the new CNI enforces them"),
        Phase::New if new => (
            Coverage::No,
            None,
            "the new CNI enforces policies at the end only, since it takes pods of the old network for the outside world",
        ),
        Phase::Finished if new => (Coverage::Yes, Some(scene.to), "the new CNI enforces them"),
        Phase::New | Phase::Finished => (Coverage::No, None, "the new CNI does not know this kind"),
    };
    Line { kind, policies, phase, holds, enforcer, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    /// How policies of a kind hold in the five phases.
    fn coverage(case: &Case, kind: Kind) -> Vec<Coverage> {
        lines(&case.scene()).into_iter().filter(|line| line.kind == kind).map(|line| line.holds).collect()
    }

    /// Calico as the policy engine of Amazon's network.
    #[test]
    fn amazons_policies_may_be_those_of_calico() {
        let agent = |backend: &str| {
            let container = json!({"name": "calico-node", "env": [{"name": "CALICO_NETWORKING_BACKEND", "value": backend}]});
            object(
                Kind::DAEMON_SET,
                "calico-node",
                json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
            )
        };
        let policy = || object(Kind::CALICO_GLOBAL_NETWORK_POLICY, "g", json!({"spec": {}}));
        let holds = |backend: &str| {
            let case = Case::new(Cni::AwsVpcCni, Cni::Cilium, vec![agent(backend), policy()]);
            let first = |kind| coverage(&case, kind)[0];
            [first(Kind::NETWORK_POLICY), first(Kind::CALICO_GLOBAL_NETWORK_POLICY)]
        };
        assert_eq!(holds("none"), [Coverage::Yes; 2]);
        assert_eq!(holds("bird"), [Coverage::No; 2]);
    }

    #[test]
    fn each_phase_has_who_enforces() {
        use Cni::{Antrea, Calico, Cilium, Flannel};
        use Coverage::{No, Partly, Yes};
        let kinds = [
            Kind::CALICO_GLOBAL_NETWORK_POLICY,
            Kind::ANTREA_NETWORK_POLICY,
            Kind::KUBERNETES_CLUSTER_NETWORK_POLICY,
        ];
        let own = || kinds.map(|kind| object(kind, "g", json!({"spec": {}}))).to_vec();
        let plain = Kind::NETWORK_POLICY;
        let calicos = Kind::CALICO_GLOBAL_NETWORK_POLICY;
        for (from, to, kind, expected) in [
            (Calico, Cilium, plain, [Yes, Partly, Partly, No, Yes]),
            (Calico, Cilium, calicos, [Yes, Partly, Partly, No, No]),
            (Calico, Antrea, plain, [Yes, Partly, Partly, Yes, Yes]),
            (Calico, Antrea, calicos, [Yes, Partly, Partly, No, No]),
            (Flannel, Cilium, plain, [No, No, No, No, Yes]),
            (Flannel, Calico, plain, [No, No, Partly, Yes, Yes]),
            (Flannel, Calico, calicos, [No, No, Partly, Yes, Yes]),
            (Calico, Antrea, Kind::ANTREA_NETWORK_POLICY, [No, No, Partly, Yes, Yes]),
            // The release of both is unknown, and what may hold today must not be lost in silence.
            (Calico, Cilium, Kind::KUBERNETES_CLUSTER_NETWORK_POLICY, [Yes, Partly, Partly, No, No]),
            (Flannel, Cilium, Kind::KUBERNETES_CLUSTER_NETWORK_POLICY, [No; 5]),
        ] {
            assert_eq!(coverage(&Case::new(from, to, own()), kind), expected, "{from} {to} {kind}");
        }
    }

    #[test]
    fn cluster_network_policies_hold_only_where_a_release_and_a_setting_say_so() {
        use Cni::{Antrea, Calico, Cilium, Flannel};
        let agent = |cni: Cni, tag: &str| {
            let name = cni.facts().agent_container;
            let containers = json!([{"name": name, "image": format!("registry/{name}:{tag}")}]);
            object(
                Kind::DAEMON_SET,
                name,
                json!({"metadata": {"namespace": "kube-system"}, "spec": {"template": {"spec": {"containers": containers}}}}),
            )
        };
        let cilium = |value: &str| {
            let data = json!({"data": {"enable-k8s-cluster-network-policy": value}});
            object(Kind::CONFIG_MAP, "cilium-config", data)
        };
        let antrea = |gates: &str| {
            let data =
                json!({"antrea-agent.conf": "", "antrea-controller.conf": format!("featureGates: {gates}")});
            object(Kind::CONFIG_MAP, "antrea-config", json!({ "data": data }))
        };
        for (cni, objects, why) in [
            (Cilium, vec![], Some("no agent")),
            (Cilium, vec![agent(Cilium, "v1.19.4"), cilium("true")], Some("1.19 is too old: 1.20")),
            (Cilium, vec![agent(Cilium, "v1.20.1")], Some("is not true")),
            (Cilium, vec![agent(Cilium, "v1.20.1"), cilium("false")], Some("is not true")),
            (Cilium, vec![agent(Cilium, "v1.20.1"), cilium("true")], None),
            (Antrea, vec![agent(Antrea, "v2.6.0"), antrea("{ClusterNetworkPolicy: true}")], Some("2.6")),
            (Antrea, vec![agent(Antrea, "v2.7.0"), antrea("{}")], Some("feature gate")),
            (Antrea, vec![agent(Antrea, "v2.7.0"), antrea("{ClusterNetworkPolicy: true}")], None),
            (Calico, vec![agent(Calico, "v3.31.2")], Some("3.31")),
            (Calico, vec![agent(Calico, "v3.32.0")], None),
            (Cni::AwsVpcCni, vec![agent(Cni::AwsVpcCni, "v1.21.1")], Some("networking.k8s.aws")),
            (Flannel, vec![agent(Flannel, "v0.27.0")], Some("no policies")),
        ] {
            let case = Case::new(Cni::Calico, cni, objects);
            let enforced = cluster_policies(&case.scene(), cni);
            assert_eq!(enforced.is_ok(), why.is_none(), "{cni}: {enforced:?}");
            assert!(why.is_none_or(|why| enforced.is_err_and(|enforced| enforced.contains(why))), "{cni}");
            assert_eq!(enforces(&case.scene(), cni, Kind::KUBERNETES_CLUSTER_NETWORK_POLICY), why.is_none());
        }
    }

    /// The agent of a CNI.
    fn agent_of(cni: Cni, tag: &str) -> (Kind, serde_json::Value) {
        let name = cni.facts().agent_container;
        let containers = json!([{"name": name, "image": format!("registry/{name}:{tag}"),
            "env": [{"name": "CALICO_NETWORKING_BACKEND", "value": "none"}]}]);
        object(
            Kind::DAEMON_SET,
            name,
            json!({"metadata": {"namespace": "kube-system"}, "spec": {"template": {"spec": {"containers": containers}}}}),
        )
    }

    #[test]
    fn admin_network_policies_hold_only_in_the_releases_that_enforce_them() {
        use Cni::{Antrea, AwsVpcCni, Calico, Canal, Cilium, Flannel};
        let gates = |gates: &str| {
            let data =
                json!({"antrea-agent.conf": "", "antrea-controller.conf": format!("featureGates: {gates}")});
            object(Kind::CONFIG_MAP, "antrea-config", json!({ "data": data }))
        };
        let gate = || gates("{AdminNetworkPolicy: true}");
        for (from, to, objects, expected) in [
            (Flannel, Calico, vec![agent_of(Calico, "v3.28.4")], [false, false]),
            (Flannel, Calico, vec![agent_of(Calico, "v3.29.0")], [true, false]),
            (Flannel, Calico, vec![agent_of(Calico, "v3.30.0")], [true, true]),
            (Flannel, Calico, vec![agent_of(Calico, "v3.31.5")], [true, true]),
            // ClusterNetworkPolicy has come in their place.
            (Flannel, Calico, vec![agent_of(Calico, "v3.32.0")], [false, false]),
            (Flannel, Antrea, vec![agent_of(Antrea, "v1.12.0"), gate()], [false, false]),
            (Flannel, Antrea, vec![agent_of(Antrea, "v1.13.0"), gate()], [true, true]),
            (Flannel, Antrea, vec![agent_of(Antrea, "v2.4.0"), gates("{}")], [false, false]),
            (Flannel, Cilium, vec![agent_of(Cilium, "v1.20.1")], [false, false]),
            (Flannel, AwsVpcCni, vec![agent_of(AwsVpcCni, "v1.21.1")], [false, false]),
        ] {
            let case = Case::new(from, to, objects);
            let enforced = [Kind::ADMIN_NETWORK_POLICY, Kind::BASELINE_ADMIN_NETWORK_POLICY]
                .map(|kind| enforces(&case.scene(), to, kind));
            assert_eq!(enforced, expected, "{to} {:?}", release(&case.scene(), to));
        }
        // Where the release is unknown, what may hold today counts, and what is to come does not.
        let first = Kind::ADMIN_NETWORK_POLICY;
        for (from, to) in [(Calico, Cilium), (Canal, Cilium), (Flannel, Calico)] {
            let case = Case::new(from, to, vec![]);
            assert_eq!(
                [enforces(&case.scene(), from, first), enforces(&case.scene(), to, first)],
                [from != Flannel, false]
            );
        }
        // What may begin to hold is looked for among recorded flows.
        for (to, objects, expected) in [
            (Calico, vec![], true),
            (Calico, vec![agent_of(Calico, "v3.28.4")], false),
            (Antrea, vec![gate()], true),
            (Antrea, vec![], false),
            (Cilium, vec![], false),
        ] {
            let case = Case::new(Flannel, to, objects);
            assert_eq!(may_enforce(&case.scene(), to, first), expected, "{to}");
        }
        // Calico as the policy engine of Amazon's network.
        for (tag, expected) in [("v3.28.4", false), ("v3.30.0", true), ("latest", true)] {
            let case = Case::new(AwsVpcCni, Cilium, vec![agent_of(Calico, tag)]);
            assert_eq!(enforces(&case.scene(), AwsVpcCni, first), expected, "{tag}");
        }
    }

    #[test]
    fn aws_enforces_only_where_it_is_on() {
        let map = |value: &str| {
            object(
                Kind::CONFIG_MAP,
                "amazon-vpc-cni",
                json!({"data": {"enable-network-policy-controller": value}}),
            )
        };
        let first = |value: &str| {
            coverage(&Case::new(Cni::AwsVpcCni, Cni::Cilium, vec![map(value)]), Kind::NETWORK_POLICY)[0]
        };
        assert_eq!((first("true"), first("false")), (Coverage::Yes, Coverage::No));
    }
}
