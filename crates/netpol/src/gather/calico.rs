//! The objects that Calico enforces or refers to.

use serde_json::Value;
use snapshot::model::Kind;

use super::cluster::namespace;
use super::engine::{CALICO, STAGED};
use super::objects::Objects;
use super::reference::{Reference, UnreadObject};
use crate::engines::calico::{self, HostEndpoint, Input, NetworkSet, Policy, RefusedRule, Tier};
use crate::engines::kubernetes;
use crate::gather::catalog::Catalog;
use crate::world::{Namespace, World};

/// All of Calico's that decides, beside the NetworkPolicies of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calico {
    /// Tiers; the default one is there even if it is not written.
    pub tiers: Catalog<Tier>,
    /// Policies that were read as a whole.
    pub policies: Catalog<Policy>,
    /// Policies of which some rules were read. Each of them is among the unread objects, too.
    pub partial: Vec<PartialPolicy>,
    /// Network sets of namespaces and of the cluster.
    pub sets: Catalog<NetworkSet>,
    pub host_endpoints: Catalog<HostEndpoint>,
    pub namespaces: Vec<Namespace>,
    /// Policies that are staged: Calico enforces none of them.
    pub staged: Vec<Reference>,
}

/// A policy of which some rules are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialPolicy {
    pub object: Reference,
    /// The policy with the rules that were read, in their order.
    pub policy: Policy,
    pub refused: Vec<RefusedRule>,
}

impl Calico {
    pub(super) fn gather(objects: &Objects<'_>, empty_world: &World, unread: &mut Vec<UnreadObject>) -> Self {
        let tiers = objects.read(&[Kind::CALICO_TIER], unread, calico::read_tier);
        let sets = [Kind::CALICO_NETWORK_SET, Kind::CALICO_GLOBAL_NETWORK_SET];
        let mut policies = Self {
            sets: objects.read(&sets, unread, calico::read_set),
            host_endpoints: objects.read(&[Kind::HOST_ENDPOINT], unread, host_endpoint),
            namespaces: objects
                .all(&[Kind::NAMESPACE])
                .map(|api_object| namespace(&api_object.value))
                .collect(),
            staged: objects.all(&STAGED).map(|api_object| api_object.reference.clone()).collect(),
            ..Self::default()
        };
        for policy_object in objects.all(&CALICO) {
            let object = policy_object.reference.clone();
            match calico::read_rules(&policy_object.value) {
                Ok((policy, refused)) if refused.is_empty() => policies.policies.add(object, policy),
                Ok((policy, refused)) => {
                    let all: Vec<String> = refused.iter().map(ToString::to_string).collect();
                    unread.push(object.clone().into_unread(all.join("; ")));
                    policies.partial.push(PartialPolicy { object, policy, refused });
                }
                Err(why) => unread.push(object.into_unread(why)),
            }
        }
        policies.policies = policies.policies.retain_valid(unread, |candidate| {
            let input = Input {
                tiers: &tiers.entries,
                policies: std::slice::from_ref(candidate),
                ..Input::default()
            };
            calico::enforcement(&input, empty_world).map(drop)
        });
        Self { tiers, ..policies }
    }

    /// As the evaluator takes it.
    pub(crate) fn input<'a>(&'a self, kubernetes: &'a [kubernetes::Policy]) -> Input<'a> {
        Input {
            tiers: &self.tiers.entries,
            policies: &self.policies.entries,
            kubernetes,
            sets: &self.sets.entries,
            host_endpoints: &self.host_endpoints.entries,
            namespaces: &self.namespaces,
        }
    }
}

/// The evaluator goes by the addresses and labels of a host endpoint.
fn host_endpoint(object: &Value) -> Result<HostEndpoint, String> {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    if ports.is_some_and(|ports| !ports.is_empty()) {
        return Err("spec.ports: names of ports of a host endpoint, which no evaluator reads".into());
    }
    calico::read_host_endpoint(object)
}
