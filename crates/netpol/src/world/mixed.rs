//! A world in the middle of a migration: some pods have one network and some the other.

use super::{Party, World};
use crate::world::parties::Parties;

impl World {
    /// The same world with a second one of each pod, which has the other network: it has the same labels, and stands for the pod after its move.
    #[must_use]
    pub fn mix(&self) -> Self {
        let mut parties = self.parties.clone();
        let mut twins = vec![None; self.len()];
        for number in self.pods.numbers() {
            twins[number] = Some(parties.len());
            parties.push(Party { has_other_network: true, ..self.parties[number].clone() });
        }
        let count = parties.len();
        let grown = |set: &Parties| {
            let mut grown = Parties::none(count);
            for number in set.numbers() {
                grown.add(number);
                if let Some(twin) = twins[number] {
                    grown.add(twin);
                }
            }
            grown
        };
        let mut others = Parties::none(count);
        twins.iter().flatten().for_each(|twin| others.add(*twin));
        Self { parties, other_network: others, ..self.with_sets(grown) }
    }

    /// A mixed world as a CNI sees it that knows pods by an identity which it gives to pods of its own network alone: to it the others are outside of
    /// the cluster.
    ///
    /// *Source*: Cilium, "Migrating a cluster to Cilium": policies are to be off until all pods are moved; `pkg/ipcache`: an address without an
    /// identity is `world`.
    #[must_use]
    pub fn to_identity_world(&self) -> Self {
        let mut world = self.with_sets(|set| set.clone().without(&self.other_network));
        world.outside = self.outside.clone().or(&self.other_network);
        world.v6 = self.v6.clone();
        world.other_network = self.other_network.clone();
        world.isolated = self.isolated.clone();
        world
    }

    /// The same parties, with other sets of them.
    fn with_sets(&self, set: impl Fn(&Parties) -> Parties) -> Self {
        let values = |by_name: &std::collections::BTreeMap<_, Parties>| {
            by_name.iter().map(|(value, pods)| (std::clone::Clone::clone(value), set(pods))).collect()
        };
        let ports = |by_port: &std::collections::BTreeMap<u16, Parties>| {
            by_port.iter().map(|(number, pods)| (*number, set(pods))).collect()
        };
        Self {
            space: self.space.clone(),
            parties: self.parties.clone(),
            pods: set(&self.pods),
            nodes: set(&self.nodes),
            outside: set(&self.outside),
            v6: set(&self.v6),
            other_network: set(&self.other_network),
            labels: self.labels.iter().map(|(key, by_name)| (key.clone(), values(by_name))).collect(),
            namespaces: self.namespaces.iter().map(|(name, pods)| (name.clone(), set(pods))).collect(),
            ports: self.ports.iter().map(|(key, by_port)| (key.clone(), ports(by_port))).collect(),
            stands_for: self.stands_for.clone(),
            isolated: set(&self.isolated),
        }
    }
}
