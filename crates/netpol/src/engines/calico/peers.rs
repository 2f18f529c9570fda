//! The peers and ports that each end of a rule matches.

use snapshot::Range;
use snapshot::model::Text;

use super::object::{Entity, Port};
use crate::engines::calico::meaning::Input;
use crate::expression::{Expression, NAMESPACE_NAME};
use crate::traffic::Ports;
use crate::world::World;
use crate::world::parties::Parties;

/// Parties for whom the ports of an end are the same numbers.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) parties: Parties,
    pub(super) ports: Vec<Ports>,
    pub(super) not_ports: Vec<Ports>,
}

impl Input<'_> {
    /// The parties that an end of a rule means, by who they are and by their addresses.
    pub(super) fn resolve(&self, end: &Entity, world: &World) -> Parties {
        let within = |ranges: &[_]| {
            ranges.iter().fold(world.no_parties(), |all, range| all.or(&world.parties_in_range(*range)))
        };
        let mut parties = world.all_parties();
        if let Some(selected) = &end.selected {
            parties = parties.and(&self.matching_parties(selected, world));
        }
        if !end.nets.is_empty() {
            parties = parties.and(&within(&end.nets));
        }
        if let Some(not) = &end.not_selected {
            parties = parties.without(&self.matching_parties(not, world));
        }
        // *Source*: projectcalico/calico, `felix/rules`, `FilterRuleToIPVersion`: a rule that leaves out ranges of one family is for no packet of
        // the other.
        let of_v6 = |is_v6: bool| end.not_nets.iter().any(|range| range.is_v6() == is_v6);
        if of_v6(true) && !of_v6(false) {
            parties = parties.and(world.v6());
        } else if of_v6(false) && !of_v6(true) {
            parties = parties.without(world.v6());
        }
        parties.without(&within(&end.not_nets))
    }

    /// The pods for which a condition is true, and every endpoint with an address of a network set or of a host endpoint for which it is true: Calico
    /// goes by addresses.
    fn matching_parties(&self, condition: &Expression, world: &World) -> Parties {
        let addresses = self.addresses(condition);
        addresses
            .into_iter()
            .fold(world.select(condition), |all, range| all.or(&world.parties_in_range(range)))
    }

    /// A condition is true for some host endpoint.
    pub(crate) fn is_of_hosts(&self, condition: &Expression) -> bool {
        self.host_endpoints.iter().any(|set| condition.holds(&set.labels, None))
    }

    /// The addresses of the network sets and the host endpoints for which a condition is true.
    pub(crate) fn addresses(&self, condition: &Expression) -> Vec<Range> {
        let namespace = |name: &Text| {
            let mut labels = self.namespaces.iter().find(|candidate| candidate.name == *name)?.labels.clone();
            labels.insert(NAMESPACE_NAME.into(), name.clone());
            Some(labels)
        };
        let mut blocks = Vec::new();
        for set in self.sets {
            let labels = set.namespace.as_ref().map(|name| namespace(name).unwrap_or_default());
            if condition.holds(&set.labels, labels.as_ref()) {
                blocks.extend(&set.addresses);
            }
        }
        for endpoint in self.host_endpoints.iter().filter(|group| condition.holds(&group.labels, None)) {
            blocks.extend(endpoint.addresses.iter().map(|address| Range::from_address(*address)));
        }
        blocks
    }
}

/// All parties, in groups for whom the names of ports mean the same. A party without a port of some name has none by it.
pub(super) fn groups(end: &Entity, protocol: Option<u8>, world: &World) -> Vec<Group> {
    let numbers = |ports: &[Port]| {
        let range = |port: &Port| if let Port::Range(range) = port { Some(range.clone()) } else { None };
        ports.iter().filter_map(range).collect()
    };
    let whole = Group {
        parties: world.all_parties(),
        ports: numbers(&end.ports),
        not_ports: numbers(&end.not_ports),
    };
    let named = |ports: &[Port]| -> Vec<Text> {
        let name = |port: &Port| if let Port::Name(name) = port { Some(name.clone()) } else { None };
        ports.iter().filter_map(name).collect()
    };
    let port_names = named(&end.ports).into_iter().map(|name| (name, true));
    let names = port_names.chain(named(&end.not_ports).into_iter().map(|name| (name, false)));
    names.fold(vec![whole], |groups, (name, is_wanted)| {
        groups.into_iter().flat_map(|group| group.split_by_port(&name, is_wanted, protocol, world)).collect()
    })
}

impl Group {
    fn split_by_port(self, name: &Text, is_wanted: bool, protocol: Option<u8>, world: &World) -> Vec<Self> {
        let mut rest = self.parties.clone();
        let mut groups = Vec::new();
        for (number, pods) in
            protocol.into_iter().flat_map(|protocol| world.parties_by_port_name(protocol, name))
        {
            let mut group = Self { parties: self.parties.clone().and(pods), ..self.clone() };
            if is_wanted { &mut group.ports } else { &mut group.not_ports }.push(number..=number);
            rest = rest.without(pods);
            groups.push(group);
        }
        groups.push(Self { parties: rest, ..self });
        groups.retain(|group| !group.parties.is_empty());
        groups
    }
}
