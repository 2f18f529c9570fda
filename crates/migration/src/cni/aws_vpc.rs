//! The Amazon VPC CNI: pods have addresses of the cloud's network, one by one.
//!
//! *Source*: aws/amazon-vpc-cni-k8s: README.md.

pub(crate) mod features;
mod footprint;

use netpol::gather::Engine;
use snapshot::model::{Kind, Snapshot};

use super::calico;
use super::cidr::Claims;
use super::driver::{ADDRESSES, Driver, Facts};
use super::network::{Tunnel, agent, default_subject, is_yes, read_mtu, variable};
use super::support::Cni;
use crate::check::Scene;
use crate::check::finding::Subject;

/// The MTU of its pods where nothing sets it.
const MTU: u32 = 9001;

/// Whether its agent for policies is on.
pub(super) fn has_policy_agent(snapshot: &Snapshot) -> bool {
    let argument = "--enable-network-policy=true";
    let node = agent(snapshot, &["aws-node"]);
    let in_args = node.is_some_and(|node| {
        node.spec
            .template
            .spec
            .containers
            .iter()
            .any(|container| container.args.iter().any(|arg| arg.as_ref() == argument))
    });
    let map = snapshot.object(Kind::CONFIG_MAP, "amazon-vpc-cni");
    in_args || map.and_then(|map| map.data("enable-network-policy-controller")).is_some_and(is_yes)
}

/// The Amazon VPC CNI.
#[derive(Debug)]
pub struct AwsVpcCni;

const FACTS: Facts = Facts {
    title: "Amazon VPC CNI",
    // *Source*: the manifest of 1.20.
    agent_container: "aws-node",
    footprint: footprint::FOOTPRINT,
    enforces_policies: false,
    // Calico may enforce policies for it: its agent says so.
    policy_kinds: &[Engine::Calico.kinds(), &[Kind::DAEMON_SET, Kind::CUSTOM_RESOURCE_DEFINITION]],
    features: &[(Cni::AwsVpcCni, features::FEATURES)],
    ..Facts::COMMON
};

impl Driver for AwsVpcCni {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    // No pair leads to it.
    fn move_tunnel(&self, tunnel: &Tunnel, port: u16) -> String {
        Cni::Flannel.driver().move_tunnel(tunnel, port)
    }

    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject) {
        let Some(node) = agent(snapshot, &["aws-node"]) else {
            return (Some(MTU), default_subject(Cni::AwsVpcCni));
        };
        let named = ["POD_MTU", "AWS_VPC_ENI_MTU"].iter().find_map(|name| read_mtu(variable(node, name)?));
        (Some(named.unwrap_or(MTU)), Subject::from_meta(Kind::DAEMON_SET, &node.metadata))
    }

    fn set_mtu(&self, scene: &Scene<'_>, _place: &Subject, bytes: u32) -> String {
        let to = scene.to;
        format!(
            "Run: kubectl -n kube-system set env daemonset/aws-node POD_MTU={bytes}. Or, if only paths to {to} matter, leave it and accept this finding."
        )
    }

    fn has_node_cidrs(&self, _snapshot: &Snapshot) -> bool {
        false
    }

    fn add_old_claims(&self, _scene: &Scene<'_>, _claims: &mut Claims) {}

    fn add_new_claims(&self, _scene: &Scene<'_>, claims: &mut Claims) {
        claims.is_shared = true;
    }

    // Calico may enforce policies for it: its agent says so.
    fn engine(&self, scene: &Scene<'_>) -> Option<Engine> {
        match calico::policy_engine(scene.snapshot, Cni::AwsVpcCni) {
            Some(_) => Some(Engine::Calico),
            None => Some(Engine::Kubernetes(ADDRESSES)),
        }
    }
}
