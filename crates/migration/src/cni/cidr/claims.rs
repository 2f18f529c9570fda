//! Collects the ranges of a scene: those of both networks, of Services, of nodes and of everything else that an address may mean.

mod calico;
mod pods;
mod surroundings;
mod target;

pub use calico::gives_addresses;
use snapshot::model::{Kind, Node};

use super::{Claim, Usage};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::network;
use crate::cni::support::Cni;
use snapshot::Range;

/// All ranges of a scene.
#[derive(Debug, Default)]
pub struct Claims {
    /// The ranges.
    pub all: Vec<Claim>,
    /// Objects whose ranges have host bits, or are none, with what they say.
    pub wrong: Vec<Subject>,
    /// Objects whose range of pods, of either network, cannot be read, so that no overlap with it is seen.
    pub unread: Vec<Subject>,
    /// Both CNIs take addresses from the cloud's network, which gives none twice.
    pub is_shared: bool,
}

/// The ranges of a scene.
#[must_use]
pub fn gather(scene: &Scene<'_>) -> Claims {
    let mut claims = Claims::default();
    match scene.from {
        Cni::Calico => {
            calico::add_old_claims(scene, &mut claims);
            if network::calico::is_host_local(scene.snapshot) {
                node_cidrs(scene, Usage::OldBlock, &mut claims);
            }
        }
        Cni::Flannel | Cni::Canal | Cni::Antrea | Cni::Cilium => {
            node_cidrs(scene, Usage::OldBlock, &mut claims)
        }
        // Its pods have addresses of the cloud's network, one by one.
        Cni::AwsVpcCni => {}
    }
    target::add_new_claims(scene, &mut claims);
    flannel(scene, &mut claims);
    surroundings::add_claims(scene, &mut claims);
    for (networks, used) in [
        (&scene.config.networks.old.cidrs, Usage::OldPool { is_closed: false }),
        (&scene.config.networks.new.cidrs, Usage::NewPool),
    ] {
        let setting = if used.is_new() { "networks.new.cidrs" } else { "networks.old.cidrs" };
        claims.all.extend(networks.iter().map(|range| new_claim(*range, used, setting)));
    }
    pods::add_old_claims(scene, &mut claims);
    claims
}

/// The old CNI gives pods addresses of their Node's pod CIDR.
#[must_use]
pub fn has_node_cidrs(scene: &Scene<'_>) -> bool {
    match scene.from {
        Cni::Flannel | Cni::Canal | Cni::Antrea => true,
        Cni::Calico => network::calico::is_host_local(scene.snapshot),
        Cni::Cilium => {
            network::cilium::setting(scene.snapshot, "ipam").is_some_and(|ipam| ipam.value == "kubernetes")
        }
        Cni::AwsVpcCni => false,
    }
}

/// The range of all nodes of Flannel. It is no pool if the new CNI takes the pod CIDR of each Node, too: the controller manager gives none twice.
fn flannel(scene: &Scene<'_>, claims: &mut Claims) {
    let is_shared = |claim: &Claim| claim.usage == Usage::NewNode && claim.source.kind == Kind::NODE.name();
    if !matches!(scene.from, Cni::Flannel | Cni::Canal) || claims.all.iter().any(is_shared) {
        return;
    }
    let Some(flannel) = network::flannel::read(scene.snapshot) else { return };
    for range in flannel.ranges() {
        claims.add(range, Usage::OldPool { is_closed: false }, None, flannel.source.clone());
    }
}

/// A range of the settings file.
fn new_claim(range: ipnetwork::IpNetwork, used: Usage, setting: &str) -> Claim {
    let source = Subject {
        kind: "Setting".into(),
        namespace: String::new(),
        name: setting.into(),
        detail: String::new(),
    };
    Claim::new(Range::from(range), used, source)
}

/// The pod CIDRs of nodes.
fn node_cidrs(scene: &Scene<'_>, used: Usage, claims: &mut Claims) {
    for node in &scene.snapshot.nodes {
        for cidr in node.pod_cidrs() {
            claims.add(cidr, used, Some(node.name()), subject(node));
        }
    }
}

fn subject(node: &Node) -> Subject {
    Subject::from_meta(Kind::NODE, &node.metadata)
}

impl Claims {
    /// Adds a range as an object writes it.
    fn add(&mut self, text: &str, used: Usage, node: Option<&str>, source: Subject) -> Option<&mut Claim> {
        match Range::read(text) {
            Ok((range, is_exact)) => {
                if !is_exact {
                    self.wrong
                        .push(source.clone().detail(format!("{text} has host bits; the range is {range}")));
                }
                let claim = Claim::new(range, used, source);
                self.all.push(match node {
                    Some(node) => claim.with_node(node),
                    None => claim,
                });
                self.all.last_mut()
            }
            Err(why) => {
                let subject = source.detail(format!("{text:?} is no range: {why}"));
                let unread = if used.is_pods() { &mut self.unread } else { &mut self.wrong };
                unread.push(subject);
                None
            }
        }
    }

    fn add_address(&mut self, text: &str, used: Usage, node: Option<&str>, source: Subject) {
        let address = text.split('/').next().unwrap_or(text);
        let length = if address.contains(':') { 128 } else { 32 };
        self.add(&format!("{address}/{length}"), used, node, source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    #[test]
    fn the_range_of_flannel_is_a_pool_unless_both_use_the_pod_cidrs_of_nodes() {
        let conf = json!({"data": {"net-conf.json": "{\"Network\": \"10.244.0.0/16\"}"}});
        let pools = |to: Cni| {
            let node = object(Kind::NODE, "a", json!({"spec": {"podCIDR": "10.244.0.0/24"}}));
            let case = Case::new(
                Cni::Flannel,
                to,
                vec![node, object(Kind::CONFIG_MAP, "kube-flannel-cfg", conf.clone())],
            );
            gather(&case.scene())
                .all
                .iter()
                .filter(|claim| matches!(claim.usage, Usage::OldPool { .. }))
                .count()
        };
        assert_eq!((pools(Cni::Cilium), pools(Cni::Antrea)), (1, 0));
    }
}
