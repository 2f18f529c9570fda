//! The two strategies, the phases of a node, and who reaches whom.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use crate::host::fabric::Network;

/// What a node's policy says about new pods; spelt as `crossfade-bootstrap policy set` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The old network alone.
    Old,
    /// Both, the old one's address is the published one.
    BothOld,
    /// Both, the new one's address is the published one.
    BothNew,
    /// The new network alone.
    New,
}

impl Phase {
    /// As the command line and every report write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Old => "old",
            Phase::BothOld => "both-old",
            Phase::BothNew => "both-new",
            Phase::New => "new",
        }
    }

    /// The networks of a pod made in this phase, the one whose address is published first.
    pub fn networks(self) -> &'static [Network] {
        match self {
            Phase::Old => &[Network::Old],
            Phase::BothOld => &[Network::Old, Network::New],
            Phase::BothNew => &[Network::New, Network::Old],
            Phase::New => &[Network::New],
        }
    }

    /// The network whose address such a pod publishes.
    pub fn primary(self) -> Network {
        self.networks()[0]
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// How a cluster gets from the old network to the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Three passes over the nodes, pods on both networks in between; nothing is forwarded from one to the other.
    Double,
    /// One pass; the nodes forward between the networks.
    Bridge,
}

impl Strategy {
    /// The strategy's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Double => "double",
            Strategy::Bridge => "bridge",
        }
    }

    /// The phases that every node is taken through, each on all nodes before the next.
    pub fn passes(self) -> &'static [Phase] {
        match self {
            Strategy::Double => &[Phase::BothOld, Phase::BothNew, Phase::New],
            Strategy::Bridge => &[Phase::New],
        }
    }

    /// How Crossfade comes to the nodes of this demonstration; either strategy works with either way.
    pub fn arrival(self) -> Arrival {
        match self {
            Strategy::Double => Arrival::Installed,
            Strategy::Bridge => Arrival::Booted,
        }
    }

    /// Whether a pod reaches the published address of another one.
    ///
    /// | client \ server | old | both-old | both-new | new |
    /// |---|---|---|---|---|
    /// | old | yes | yes | bridged | bridged |
    /// | both-old, both-new | yes | yes | yes | yes |
    /// | new | bridged | bridged | yes | yes |
    pub fn reaches(self, client: Phase, server: Phase) -> bool {
        let direct = client.networks().contains(&server.primary());
        direct || self == Strategy::Bridge
    }

    /// Whether a pod reaches another one by the cluster IP of a Service.
    ///
    /// kube-proxy translates it on the client's node. The packet has left the pod by its default route then, which is the primary
    /// network's, and has to be forwarded where the server publishes an address of the other one.
    pub fn reaches_by_service(self, client: Phase, server: Phase) -> bool {
        client.primary() == server.primary() || self == Strategy::Bridge
    }
}

/// How Crossfade comes to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// Under running pods, its conf beside those of the agents: shared mode.
    Installed,
    /// With the node's image, its conf in a directory of its own: private mode.
    Booted,
}

impl Arrival {
    /// In a word or two for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Arrival::Installed => "installed, shared",
            Arrival::Booted => "booted, private",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Phase; 4] = [Phase::Old, Phase::BothOld, Phase::BothNew, Phase::New];

    #[test]
    fn who_reaches_whom_is_the_design_s_table() {
        let bridged = [
            (Phase::Old, Phase::BothNew),
            (Phase::Old, Phase::New),
            (Phase::New, Phase::Old),
            (Phase::New, Phase::BothOld),
        ];
        for client in ALL {
            for server in ALL {
                let direct = !bridged.contains(&(client, server));
                assert_eq!(Strategy::Double.reaches(client, server), direct, "{client} -> {server}");
                assert!(Strategy::Bridge.reaches(client, server), "{client} -> {server}");
            }
        }
    }

    #[test]
    fn a_service_joins_pods_of_one_primary_network_only() {
        let apart = |client: Phase, server: Phase| client.primary() != server.primary();
        for client in ALL {
            for server in ALL {
                let reaches = Strategy::Double.reaches_by_service(client, server);
                assert_eq!(reaches, !apart(client, server), "{client} -> {server}");
                assert!(Strategy::Bridge.reaches_by_service(client, server), "{client} -> {server}");
            }
        }
        assert!(Strategy::Double.reaches(Phase::BothOld, Phase::BothNew));
        assert!(!Strategy::Double.reaches_by_service(Phase::BothOld, Phase::BothNew));
    }

    /// While a pass is under way there are pods of two neighbouring phases, and all of them must reach each other.
    #[test]
    fn at_no_moment_of_a_strategy_are_two_pods_apart() {
        for strategy in [Strategy::Double, Strategy::Bridge] {
            let mut before = Phase::Old;
            for after in strategy.passes().iter().copied() {
                for (client, server) in [(before, after), (after, before), (after, after)] {
                    assert!(strategy.reaches(client, server), "{strategy}: {client} -> {server}");
                }
                before = after;
            }
            assert_eq!(before, Phase::New, "{strategy}");
        }
    }
}
