//! Canal: Flannel's network with Calico's policies.

mod footprint;

use netpol::gather::Engine;
use snapshot::model::{Kind, PodSpec, Snapshot};
use types::command::problem::Problem;

use super::cidr::{Claims, Usage};
use super::driver::{Driver, Facts, has_container};
use super::enforcement::Support;
use super::network::{Tunnel, read_mtu, subject};
use super::support::Cni;
use super::{calico, flannel};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::finish::Inventory;

/// Canal.
#[derive(Debug)]
pub struct Canal;

const FACTS: Facts = Facts {
    title: "Canal",
    agent_container: calico::FACTS.agent_container,
    footprint: footprint::FOOTPRINT,
    router_positions: &[(0, "flannel.1")],
    own_policies: calico::FACTS.own_policies,
    policy_kinds: calico::FACTS.policy_kinds,
    features: &[calico::FACTS.features[0], flannel::FACTS.features[0]],
    ..Facts::COMMON
};

impl Driver for Canal {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    // *Source*: the manifest of Calico 3.30.
    fn is_agent(&self, spec: &PodSpec) -> bool {
        has_container(spec, FACTS.agent_container) && has_container(spec, flannel::FACTS.agent_container)
    }

    fn refusals(&self, scene: &Scene<'_>, _inventory: &Inventory) -> Vec<Problem> {
        calico::own_definitions(scene).into_iter().collect()
    }

    fn tunnels(&self, snapshot: &Snapshot) -> Vec<Tunnel> {
        flannel::tunnels(snapshot, Cni::Canal)
    }

    fn move_tunnel(&self, tunnel: &Tunnel, port: u16) -> String {
        Cni::Flannel.driver().move_tunnel(tunnel, port)
    }

    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject) {
        let config = snapshot.config_map("canal-config");
        match config.and_then(|config| Some((read_mtu(config.data("veth_mtu")?)?, config))) {
            Some((set, config)) => (Some(set), subject(Kind::CONFIG_MAP, config)),
            None => flannel::mtu(snapshot, Cni::Canal),
        }
    }

    fn set_mtu(&self, scene: &Scene<'_>, place: &Subject, bytes: u32) -> String {
        calico::set_mtu(scene, place, bytes, "canal-config", "canal")
    }

    fn has_node_cidrs(&self, _snapshot: &Snapshot) -> bool {
        true
    }

    fn add_old_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        flannel::add_old_claims(scene, claims);
    }

    fn add_new_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        claims.add_node_cidrs(scene, Usage::NewNode);
    }

    fn engine(&self, _scene: &Scene<'_>) -> Option<Engine> {
        Some(Engine::Calico)
    }

    fn support(&self, kind: Kind) -> Option<Support> {
        Cni::Calico.driver().support(kind)
    }
}
