//! Decides which host routes and rules to change, from the facts alone. No change means that the node is already as wanted.

use std::net::IpAddr;

use super::host_state::{HostPath, HostRoutes};
use super::{HostRoute, RecordedRoutes, TABLE};
use crate::attachment::route::rtnl::Link;

/// One change of the kernel's routes or rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostRouteChange {
    AddRoute(HostPath),
    AddRule(IpAddr),
    RemoveRoute(HostPath),
    RemoveRule(IpAddr),
}

impl HostRouteChange {
    pub(super) const fn is_addition(self) -> bool {
        matches!(self, Self::AddRoute(_) | Self::AddRule(_))
    }

    /// The change as text: a verb and its object.
    pub(super) fn describe(self, routes: &[&HostRoute]) -> String {
        let verb = if self.is_addition() { "add" } else { "remove" };
        format!("{verb} {}", self.object(routes))
    }

    /// The route or rule in the words of the program `ip`, with the interface's name from `routes`.
    pub(super) fn object(self, routes: &[&HostRoute]) -> String {
        let name = |index| {
            let known_route = routes.iter().find(|route| route.index == index);
            known_route.map_or_else(|| format!("#{index}"), |route| route.interface.clone())
        };
        match self {
            Self::AddRoute(HostPath { address, index, via })
            | Self::RemoveRoute(HostPath { address, index, via }) => {
                let hop = via.map(|hop| format!("via {hop} ")).unwrap_or_default();
                format!("route {address} {hop}dev {} table {TABLE}", name(index))
            }
            Self::AddRule(address) | Self::RemoveRule(address) => format!("rule to {address} lookup {TABLE}"),
        }
    }
}

/// The candidate that is the host's end of the veth pair whose other end is `inside`: each names the other as its peer, by index.
pub(super) fn host_end<'a>(inside: Option<&Link>, candidates: &'a [Link]) -> Option<&'a Link> {
    let inside = inside?;
    candidates
        .iter()
        .find(|candidate| inside.peer() == Some(candidate.index) && candidate.peer() == Some(inside.index))
}

/// The changes that add the missing ones of `routes`. A route comes before its rule, because a rule without a recorded route counts as unused.
pub(super) fn set(routes: &[&HostRoute], facts: &HostRoutes) -> Vec<HostRouteChange> {
    let hops = host_paths(routes);
    let added = hops.iter().filter(|way| !facts.routes.contains(way)).copied().map(HostRouteChange::AddRoute);
    let mut rules: Vec<IpAddr> = hops.iter().map(|way| way.address).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules =
        rules.into_iter().filter(|address| !facts.rules.contains(address)).map(HostRouteChange::AddRule);
    added.chain(rules).collect()
}

/// The changes that remove the existing ones of `routes`. A rule stays while another host route leads to its address.
pub(super) fn remove(routes: &[&HostRoute], facts: &HostRoutes) -> Vec<HostRouteChange> {
    let ours = host_paths(routes);
    let is_left =
        |address: IpAddr| facts.routes.iter().any(|way| way.address == address && !ours.contains(way));
    let is_ours = |address: IpAddr| ours.iter().any(|way| way.address == address);
    let rules = facts.rules.iter().copied().filter(|rule| is_ours(*rule) && !is_left(*rule));
    let there = facts.routes.iter().copied().filter(|way| ours.contains(way));
    rules.map(HostRouteChange::RemoveRule).chain(there.map(HostRouteChange::RemoveRoute)).collect()
}

/// The changes that make the node's host routes those of its records. While a record cannot be read, no route counts as unused.
pub(super) fn converge(recorded: &RecordedRoutes<'_>, facts: &HostRoutes) -> Vec<HostRouteChange> {
    let (targets, recorded_routes) = (host_paths(&recorded.living), host_paths(&recorded.recorded));
    let mut changes = set(&recorded.living, facts);
    if recorded.may_be_more {
        return changes;
    }
    let has = |ways: &[HostPath], address: IpAddr| ways.iter().any(|way| way.address == address);
    let rules = facts.rules.iter().copied().filter(|rule| !has(&recorded_routes, *rule));
    changes.extend(rules.map(HostRouteChange::RemoveRule));
    // A wanted route has already replaced any other route to its address.
    let unused = facts
        .routes
        .iter()
        .copied()
        .filter(|way| !recorded_routes.contains(way) && !has(&targets, way.address));
    changes.extend(unused.map(HostRouteChange::RemoveRoute));
    changes
}

fn host_paths(routes: &[&HostRoute]) -> Vec<HostPath> {
    let way = |route: &&HostRoute| HostPath { address: route.address, index: route.index, via: route.via };
    routes.iter().map(way).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn routes(index: u32, addresses: &[&str]) -> Vec<HostRoute> {
        let way = |text: &&str| {
            let (address, via) =
                text.split_once(" via ").map_or((*text, None), |(to, hop)| (to, Some(ip(hop))));
            HostRoute { address: ip(address), interface: format!("cali{index}"), index, via }
        };
        addresses.iter().map(way).collect()
    }

    fn facts(routes: &[(&str, u32)], rules: &[&str]) -> HostRoutes {
        let way =
            |(address, index): &(&str, u32)| HostPath { address: ip(address), index: *index, via: None };
        HostRoutes {
            routes: routes.iter().map(way).collect(),
            rules: rules.iter().map(|text| ip(text)).collect(),
        }
    }

    fn described(changes: &[HostRouteChange], routes: &[&HostRoute]) -> Vec<String> {
        changes.iter().map(|change| change.describe(routes)).collect()
    }

    #[test]
    fn what_is_missing_is_added_the_route_before_its_rule() {
        let ours = routes(7, &["10.1.0.2", "fd00::2"]);
        let ours: Vec<&HostRoute> = ours.iter().collect();
        let add = |have: &HostRoutes| described(&set(&ours, have), &ours);
        assert_eq!(
            add(&facts(&[], &[])),
            [
                "add route 10.1.0.2 dev cali7 table 1003",
                "add route fd00::2 dev cali7 table 1003",
                "add rule to 10.1.0.2 lookup 1003",
                "add rule to fd00::2 lookup 1003",
            ]
        );
        let half = facts(&[("10.1.0.2", 7)], &["fd00::2"]);
        assert_eq!(
            add(&half),
            ["add route fd00::2 dev cali7 table 1003", "add rule to 10.1.0.2 lookup 1003"]
        );
        let stale = facts(&[("10.1.0.2", 3), ("fd00::2", 7)], &["10.1.0.2", "fd00::2"]);
        assert_eq!(add(&stale), ["add route 10.1.0.2 dev cali7 table 1003"], "it replaces the other");
        assert!(add(&facts(&[("10.1.0.2", 7), ("fd00::2", 7)], &["10.1.0.2", "fd00::2"])).is_empty());
    }

    #[test]
    fn only_ones_own_is_removed_and_a_rule_stays_while_another_interface_has_the_address() {
        let ours = routes(7, &["10.1.0.2"]);
        let ours: Vec<&HostRoute> = ours.iter().collect();
        let gone = |have: &HostRoutes| described(&remove(&ours, have), &ours);
        assert_eq!(
            gone(&facts(&[("10.1.0.2", 7), ("10.1.0.3", 8)], &["10.1.0.2", "10.1.0.3"])),
            ["remove rule to 10.1.0.2 lookup 1003", "remove route 10.1.0.2 dev cali7 table 1003"]
        );
        assert!(gone(&facts(&[("10.1.0.2", 9)], &["10.1.0.2"])).is_empty(), "the next pod has it by now");
        assert_eq!(gone(&facts(&[], &["10.1.0.2"])), ["remove rule to 10.1.0.2 lookup 1003"]);
        assert!(gone(&facts(&[], &[])).is_empty());
    }

    #[test]
    fn routes_of_living_attachments_are_set_those_of_ending_ones_stay_and_unrecorded_ones_go() {
        let (first, other, ending) =
            (routes(7, &["10.1.0.2"]), routes(8, &["10.1.0.3 via 10.1.0.1"]), routes(9, &["10.1.0.4"]));
        let living: Vec<&HostRoute> = first.iter().chain(&other).collect();
        let known = living.iter().copied().chain(&ending).collect();
        let mut recorded = RecordedRoutes { recorded: known, living, may_be_more: false };
        let have = facts(
            &[("10.1.0.2", 7), ("10.1.0.9", 4), ("10.1.0.3", 2), ("10.1.0.4", 9)],
            &["10.1.0.2", "10.1.0.9", "fd00::9"],
        );
        let changes = converge(&recorded, &have);
        assert_eq!(
            described(&changes, &recorded.recorded),
            [
                "add route 10.1.0.3 via 10.1.0.1 dev cali8 table 1003",
                "add rule to 10.1.0.3 lookup 1003",
                "remove rule to 10.1.0.9 lookup 1003",
                "remove rule to fd00::9 lookup 1003",
                "remove route 10.1.0.9 dev #4 table 1003",
            ]
        );
        recorded.may_be_more = true;
        assert_eq!(
            described(&converge(&recorded, &have), &recorded.recorded),
            ["add route 10.1.0.3 via 10.1.0.1 dev cali8 table 1003", "add rule to 10.1.0.3 lookup 1003"],
            "the others may be of a record that cannot be read"
        );
        assert!(converge(&RecordedRoutes::default(), &facts(&[], &[])).is_empty());
    }

    #[test]
    fn the_hosts_end_is_the_one_whose_peer_is_the_pods() {
        let link = |name: &str, index: u32, kind: Option<&str>, link: Option<u32>| Link {
            index,
            name: name.to_owned(),
            up: true,
            mac: Vec::new(),
            kind: kind.map(str::to_owned),
            link,
        };
        let inside = link("net1", 5, Some("veth"), Some(17));
        let ours = link("cali1", 17, Some("veth"), Some(5));
        for (candidates, expected) in [
            (vec![ours.clone()], Some("cali1")),
            (vec![link("cali2", 18, Some("veth"), Some(5)), ours.clone()], Some("cali1")),
            (vec![link("cali1", 17, Some("veth"), Some(6))], None),
            (vec![link("cni0", 17, Some("bridge"), None)], None),
            (vec![], None),
        ] {
            assert_eq!(host_end(Some(&inside), &candidates).map(|end| end.name.as_str()), expected);
        }
        assert!(host_end(None, &[ours]).is_none());
        let same = link("net1", 5, Some("veth"), None);
        let host = link("cali1", 5, Some("veth"), None);
        assert!(host_end(Some(&same), &[host]).is_some(), "both have the number 5");
    }
}
