//! What the program must know of a CNI to move a cluster from it or to it.

use netpol::engines::kubernetes::Blocks;
use netpol::gather::Engine;
use snapshot::Range;
use snapshot::model::{Kind, PodSpec, Snapshot};
use types::command::problem::Problem;

use super::cidr::Claims;
use super::enforcement::Support;
use super::footprint::Footprint;
use super::network::{Routers, Tunnel, routers_at};
use super::support::Cni;
use super::values::{RequiredSetting, Values};
use super::{antrea, aws_vpc, calico, canal, cilium, flannel};
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Subject};
use crate::finish::Inventory;
use crate::workload::Version;

/// A feature of an old CNI, and how it shows.
#[derive(Debug)]
pub struct Feature {
    pub(crate) rule: &'static Rule,
    /// The objects that use it; none if no object does.
    pub(crate) find: fn(&Scene<'_>) -> Vec<Subject>,
    /// What is found, where the rule is about several CNIs.
    pub(crate) what: Option<&'static str>,
    /// What to do where the new CNI is one of these, in place of the fix of the rule.
    pub(crate) fixes: &'static [(Cni, &'static str)],
}

impl Feature {
    /// The finding of the objects that use it; none if no object does.
    pub(crate) fn finding(&self, scene: &Scene<'_>) -> Option<Finding> {
        let objects = (self.find)(scene);
        let finding = Finding::new(self.rule);
        let own_fix = self.fixes.iter().find(|(cni, _)| *cni == scene.to);
        let fix = own_fix.map_or(self.rule.fix, |(_, fix)| fix);
        let what = self.what.map_or(finding.what.clone(), Into::into);
        (!objects.is_empty()).then(|| finding.what(what).fix(fix).with_objects(objects))
    }
}

/// What holds of a CNI in every cluster.
#[derive(Debug)]
pub struct Facts {
    /// Its name in a sentence: `Amazon VPC CNI`.
    pub title: &'static str,
    /// The name of the container that is its agent. DaemonSets are often renamed, as in a migration with two DaemonSets of one CNI, but containers are not.
    pub agent_container: &'static str,
    /// The containers of controllers without which its agents do not work.
    pub controllers: &'static [&'static str],
    /// What it has in the API.
    pub footprint: Footprint,
    /// The kinds of objects that must be known before it is removed.
    pub kinds_in_the_way: &'static [Kind],
    /// The name of its Helm chart and of the chart's repository; none if Crossfade knows no value of a chart.
    pub chart: Option<&'static str>,
    /// The settings that it needs as the CNI to move to.
    pub settings: &'static [RequiredSetting],
    /// The workloads that read a setting that is none of these.
    pub readers: &'static [&'static str],
    /// Whether a packet goes through all of its tunnels, one in the other, and not through one of them.
    pub nests_tunnels: bool,
    /// Its interfaces that carry an address of the node, and that Calico does not skip by itself.
    pub interfaces: &'static [&'static str],
    /// The positions of addresses in a node's range that are its routers', and the devices that have them.
    pub router_positions: &'static [(u128, &'static str)],
    /// How many addresses of a node's range are for no pod: the first and the last one, and those of routers.
    pub reserved_addresses: u128,
    /// Whether it enforces every NetworkPolicy for its own pods by default.
    pub enforces_policies: bool,
    /// The kinds of policies of its own.
    pub own_policies: &'static [Kind],
    /// The kinds without which it is unknown what policies mean to it: the policies, what they go by, and what says how it is set.
    pub policy_kinds: &'static [&'static [Kind]],
    /// Its features that a new CNI may lack, by the CNI that has them.
    pub features: &'static [(Cni, &'static [Feature])],
}

impl Facts {
    /// What holds of most CNIs.
    pub const COMMON: Self = Self {
        title: "",
        agent_container: "",
        controllers: &[],
        footprint: Footprint::NOTHING,
        kinds_in_the_way: &[],
        chart: None,
        settings: &[],
        readers: &[],
        nests_tunnels: false,
        interfaces: &[],
        router_positions: &[],
        reserved_addresses: 3,
        enforces_policies: true,
        own_policies: &[],
        policy_kinds: &[Engine::Kubernetes(ADDRESSES).kinds()],
        features: &[],
    };
}

/// The API leaves to the CNI what an `ipBlock` matches; these go by addresses, whatever has them.
pub const ADDRESSES: Blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };

/// A CNI. The file of each has its implementation; a method with a body here says what holds for most.
pub trait Driver: Sync {
    /// What holds of it in every cluster.
    fn facts(&self) -> &'static Facts;

    /// Whether a template is one of its agent.
    fn is_agent(&self, spec: &PodSpec) -> bool {
        has_container(spec, self.facts().agent_container)
    }

    /// What stands in the way of its removal.
    fn refusals(&self, _scene: &Scene<'_>, _inventory: &Inventory) -> Vec<Problem> {
        Vec::new()
    }

    /// Whether what has its settings is in the cluster, where Crossfade knows any.
    fn has_settings(&self, _snapshot: &Snapshot) -> bool {
        true
    }

    /// Every value of a setting, with the object that has it; none if the CNI is not installed.
    fn values(&self, _snapshot: &Snapshot, _setting: &RequiredSetting) -> Vec<(String, Subject)> {
        Vec::new()
    }

    /// Adds the values to install it with that depend on the cluster and the migration.
    fn add_install_values(&self, _scene: &Scene<'_>, _values: &mut Values) {}

    /// The kernels that a release of it needs; none if the release is not known.
    fn kernel(&self, _release: Option<Version>) -> Kernel {
        // Calico's own requirement is older than any kernel that runs kubelet 1.25.
        Kernel::from((3, 10))
    }

    /// Its tunnels: as it is set up, or by its defaults if it is not installed.
    fn tunnels(&self, _snapshot: &Snapshot) -> Vec<Tunnel> {
        Vec::new()
    }

    /// How its tunnel, which clashes with one of the old network, gets this port.
    fn move_tunnel(&self, tunnel: &Tunnel, port: u16) -> String;

    /// The bytes that its WireGuard adds, where `outer` is what the nodes' family adds to the header of IPv4.
    fn wireguard_overhead(&self, _outer: u32) -> u32 {
        // For both families: Cilium's pkg/mtu/mtu.go, Antrea's pkg/agent/config, Flannel's pkg/backend/wireguard/wireguard_network.go.
        80
    }

    /// The MTU that is set for its pods, and where it is or would be set.
    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject);

    /// How its pods get an MTU, which is set in this place.
    fn set_mtu(&self, scene: &Scene<'_>, place: &Subject, bytes: u32) -> String;

    /// Whether it encrypts traffic between nodes.
    fn encrypts(&self, _snapshot: &Snapshot) -> bool {
        false
    }

    /// The addresses of its routers.
    fn routers<'s>(&self, snapshot: &'s Snapshot) -> Routers<'s> {
        routers_at(snapshot, self.facts().router_positions)
    }

    /// Whether it gives pods addresses of their Node's pod CIDR.
    fn has_node_cidrs(&self, snapshot: &Snapshot) -> bool;

    /// What to set so that it gives addresses of a range.
    fn set_range(&self, _range: Range) -> String {
        "its own settings".into()
    }

    /// Adds the ranges from which it gives addresses as the old CNI.
    fn add_old_claims(&self, scene: &Scene<'_>, claims: &mut Claims);

    /// Adds the ranges from which it gives addresses as the new CNI.
    fn add_new_claims(&self, scene: &Scene<'_>, claims: &mut Claims);

    /// What enforces policies for its pods; none if nothing does.
    fn engine(&self, _scene: &Scene<'_>) -> Option<Engine> {
        Some(Engine::Kubernetes(ADDRESSES))
    }

    /// What it must have to enforce policies of administrators of a kind; none if no release of it does.
    fn support(&self, _kind: Kind) -> Option<Support> {
        None
    }

    /// Whether it enforces policies as the new CNI before the end.
    fn is_early(&self, _snapshot: &Snapshot) -> bool {
        true
    }
}

/// The kernels that a CNI needs.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// Older ones are not supported.
    pub(crate) least: Version,
    /// Older ones are supported by some releases only, and nothing says which one is to be installed.
    pub(crate) doubtful: Version,
    /// Builds of Red Hat's 4.18 that are older are supported by some releases, or are not tried.
    pub(crate) red_hat_8: u32,
}

impl From<Version> for Kernel {
    fn from(least: Version) -> Self {
        Self { least, doubtful: least, red_hat_8: 0 }
    }
}

impl Cni {
    /// What holds of it in every cluster.
    #[must_use]
    pub fn facts(self) -> &'static Facts {
        self.driver().facts()
    }

    /// What the program knows of it.
    #[must_use]
    pub fn driver(self) -> &'static dyn Driver {
        match self {
            Self::Calico => &calico::Calico,
            Self::Flannel => &flannel::Flannel,
            Self::Canal => &canal::Canal,
            Self::AwsVpcCni => &aws_vpc::AwsVpcCni,
            Self::Cilium => &cilium::Cilium,
            Self::Antrea => &antrea::Antrea,
        }
    }
}

/// Whether a template has a container of this name.
pub(super) fn has_container(spec: &PodSpec, name: &str) -> bool {
    spec.containers.iter().any(|container| container.name.as_ref() == name)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn each_cni_has_a_title_an_agent_and_objects() {
        for cni in Cni::value_variants() {
            let facts = cni.facts();
            assert!(!facts.title.is_empty() && !facts.agent_container.is_empty(), "{cni}");
            assert!(!facts.footprint.rows.is_empty(), "{cni}");
            assert_eq!(facts.policy_kinds.is_empty(), *cni == Cni::Flannel, "{cni}");
        }
    }
}
