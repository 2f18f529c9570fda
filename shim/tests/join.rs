//! The route step of a network that joins a running pod, and of one that leaves it, on real namespaces.

mod namespaces;

use namespaces::network::{Defaults, Kind, Network, pod};
use namespaces::steps::{after_first, after_owner};
use namespaces::{Space, ample, privileged};
use shim::attachment::route::{foreign_names, join, leave, pin};

const KINDS: [[Kind; 2]; 4] =
    [[Kind::Subnet; 2], [Kind::Subnet, Kind::Calico], [Kind::Calico, Kind::Subnet], [Kind::Calico; 2]];

/// A pod that runs on the network of `eth0`, and another network that is to join it as `net1`.
fn running(stays: Kind, joins: Kind) -> (Space, Network, Network) {
    let (pod, stays, joins) = (pod(), Network::new(1, stays, "eth0"), Network::new(2, joins, "net1"));
    stays.attach(&pod, Defaults::Both);
    (pod, stays, joins)
}

/// The routes and rules, whose order within a table depends on which network was there first.
fn sorted(pod: &Space) -> Vec<String> {
    let routing = pod.routing();
    let mut lines: Vec<String> = routing.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// The pod reaches the outside by the network that stays.
fn keeps(pod: &Space, stays: &Network) {
    for outside in ["198.51.100.1", "2001:db8::1"] {
        pod.pings(None, outside);
    }
    assert_eq!(stays.number, 1, "the only network that leads there");
}

#[test]
fn a_pod_that_was_joined_has_the_routes_of_one_that_was_attached_to_both() {
    if !privileged() {
        return;
    }
    for [stays, joins] in KINDS {
        let attached = pod();
        let (second, owner) = (Network::new(2, joins, "net1"), Network::new(1, stays, "eth0"));
        second.attach(&attached, Defaults::Both);
        after_first(&attached.open(), &second.side()).expect("after the first");
        owner.attach(&attached, Defaults::Both);
        after_owner(&attached.open(), &second.side(), &owner.side()).expect("after the owner");

        let (pod, stays, joins) = running(stays, joins);
        pin(&pod.open(), "eth0", ample()).expect("pinned");
        joins.attach(&pod, Defaults::Both);
        join(&pod.open(), &joins.side(), &stays.side(), ample()).expect("joined");
        assert_eq!(sorted(&pod), sorted(&attached));
        for table in ["-4 route show table 1000", "-6 route show table 1000"] {
            let left = namespaces::attempt(&format!("ip -n {} {table}", pod.name));
            assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{table}");
        }
    }
}

#[test]
fn the_pod_keeps_its_way_out_whatever_the_plugin_does_to_the_default() {
    if !privileged() {
        return;
    }
    for plugin in ["add", "prepend", "replace"] {
        let (pod, stays, joins) = running(Kind::Subnet, Kind::Subnet);
        let before = pod.routes("-4", "main");
        pin(&pod.open(), "eth0", ample()).expect("pinned");
        keeps(&pod, &stays);
        joins.attach(&pod, Defaults::None);
        pod.ip(&format!("route {plugin} default via 10.2.0.1 dev net1"));
        pod.ip("-6 route append default via fd00:2::1 dev net1 metric 77");
        keeps(&pod, &stays);
        join(&pod.open(), &joins.side(), &stays.side(), ample()).expect("joined");
        keeps(&pod, &stays);
        assert_eq!(pod.defaults("-4"), [before[0].clone()], "{plugin}");
        assert_eq!(pod.defaults("-6").len(), 1, "{plugin}");
        joins.router.pings(Some(&joins.far_v4()), &joins.v4());
    }
}

#[test]
fn from_every_point_of_a_join_the_pod_comes_back_to_what_it_was() {
    if !privileged() {
        return;
    }
    for [stays, joins] in KINDS {
        for point in 0..5 {
            let (pod, stays, joins) = running(stays, joins);
            let before = pod.routing();
            let netns = pod.open();
            if point > 0 {
                pin(&netns, "eth0", ample()).expect("pinned");
                // A second call, after the first one was killed, changes nothing.
                let pinned = pod.routing();
                pin(&netns, "eth0", ample()).expect("pinned again");
                assert_eq!(pod.routing(), pinned);
            }
            if point > 1 {
                joins.attach(&pod, Defaults::Both);
            }
            if point > 2 {
                after_first(&netns, &joins.side()).expect("the first half of the step");
            }
            if point > 3 {
                join(&netns, &joins.side(), &stays.side(), ample()).expect("joined");
            }
            leave(&netns, "net1", "eth0", ample()).expect("undone");
            keeps(&pod, &stays);
            leave(&netns, "net1", "eth0", ample()).expect("undone again");
            if point > 1 {
                pod.ip("link del net1");
            }
            assert_eq!(pod.routing(), before, "point {point}");
        }
    }
}

#[test]
fn what_another_program_has_made_in_the_pod_is_found() {
    if !privileged() {
        return;
    }
    let (pod, ..) = running(Kind::Subnet, Kind::Subnet);
    let foreign = || foreign_names(&pod.open(), &["eth0"], "eth0", ample()).expect("looked");
    assert_eq!(foreign(), [""; 0]);
    pod.ip("rule add fwmark 1 lookup 100 pref 32764");
    assert_eq!(foreign(), ["a rule of priority 32764"]);
    pod.ip("rule del pref 32764");
    pod.ip("link add wg0 type veth peer name wg1");
    assert_eq!(foreign(), [""; 0], "an interface that is down carries nothing");
    pod.ip("link set wg0 up");
    pod.ip("route append default dev wg0 metric 5");
    assert_eq!(foreign(), ["interface wg0", "route default metric 5 dev wg0"]);
}
