//! The labels, addresses and ports that policies tell apart: from them, a world gets the parties that it must have.

use std::collections::BTreeSet;

use snapshot::Range;
use snapshot::model::Text;

use crate::expression::Expression;
use crate::traffic::Ports;

/// Everything by which some policies tell packets apart, but for destination ports and protocols, which a set of traffic holds exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Conditions on pods, each with the namespace in which it is asked; `None` is every namespace.
    pub conditions: BTreeSet<(Option<Text>, Expression)>,
    /// Ranges of addresses.
    pub ranges: Vec<Range>,
    /// Ranges of source ports.
    pub sources: Vec<Ports>,
    /// Ports by their names, each with its protocol's number.
    pub port_names: BTreeSet<(u8, Text)>,
}

/// Most ranges of source ports in one policy. Each of them divides all traffic for the policies of all tenants, and few policies have even one.
const MAX_SOURCES: usize = 128;

/// Whether one policy may have so many ranges of source ports.
///
/// # Errors
/// There are more than one policy may have.
pub fn bounded_sources(ranges: usize) -> Result<(), String> {
    if ranges <= MAX_SOURCES {
        return Ok(());
    }
    Err(format!(
        "rules: {ranges} ranges of source ports; a comparison takes at most {MAX_SOURCES} of one policy"
    ))
}

impl Mentions {
    /// What either of them mentions.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.ranges.extend(other.ranges);
        self.sources.extend(other.sources);
        self.port_names.extend(other.port_names);
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use snapshot::model::Kind;

    use crate::gather::{Engine, Policies};

    #[test]
    fn one_policy_has_few_ranges_of_source_ports() {
        let calico = |ports: u16| {
            let ports: Vec<u16> = (0..ports).map(|port| port * 5 + 1).collect();
            let rule = json!({"action": "Allow", "protocol": "UDP", "source": {"ports": ports}});
            json!({"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
                "metadata": {"name": "p", "namespace": "x"}, "spec": {"selector": "all()", "ingress": [rule]}})
        };
        let antrea = |ports: u16| {
            let port = |port: u16| json!({"protocol": "UDP", "port": 53, "sourcePort": port * 5 + 1});
            let ports: Vec<_> = (0..ports).map(port).collect();
            let rule = json!({"action": "Allow", "from": [{"podSelector": {}}], "ports": ports});
            json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "x"},
                "spec": {"priority": 5, "appliedTo": [{"podSelector": {}}], "ingress": [rule]}})
        };
        for (engine, kind, policy) in [
            (Engine::Calico, Kind::CALICO_NETWORK_POLICY, &calico as &dyn Fn(u16) -> serde_json::Value),
            (Engine::Antrea, Kind::ANTREA_NETWORK_POLICY, &antrea),
        ] {
            assert_eq!(Policies::read(engine, [&policy(100)]).unread, []);
            let unread = Policies::read(engine, [&policy(12_000)]).unread;
            assert_eq!((unread.len(), unread[0].object.kind), (1, kind));
            assert!(unread[0].why.contains("12000 ranges of source ports"), "{}", unread[0].why);
        }
    }
}
