//! The route step on real namespaces: who answers where, from which address, and what is left afterwards.

mod namespaces;

use namespaces::network::{Defaults, Kind, Network, pod};
use namespaces::steps::{after_first, after_owner};
use namespaces::{Space, ample, privileged};
use shim::attachment::route::undo;

/// Both networks attached and the step done, in the order of a real ADD.
fn attach_both(pod: &Space, first: &Network, owner: &Network, owner_gives: Defaults) {
    first.attach(pod, Defaults::Both);
    after_first(&pod.open(), &first.side()).expect("after the first");
    owner.attach(pod, owner_gives);
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
}

/// The pod answers on both addresses of `network`, to hosts of the network and to one that both networks lead to.
fn answers_through(pod: &Space, network: &Network) {
    for (far, outside, address) in [
        (network.far_v4(), "198.51.100.200", network.v4()),
        (network.far_v6(), "2001:db8::200", network.v6()),
    ] {
        network.router.pings(Some(&far), &address);
        network.router.pings(Some(outside), &address);
        pod.pings(Some(&address), outside);
    }
}

/// Without being told a source, the pod reaches the network's hosts from its address in that network. The host has no
/// way back to any other address, so an answer proves the source.
fn reaches_cidrs_of(pod: &Space, network: &Network) {
    for (far, address) in [(network.far_v4(), network.v4()), (network.far_v6(), network.v6())] {
        let way = pod.ip(&format!("route get {far}"));
        assert!(way.contains(&format!("dev {} ", network.ifname)), "{way}");
        assert!(way.contains(&format!("src {address} ")), "{way}");
        pod.pings(None, &far);
    }
}

/// One default per family in main, and it leads to what only `owner` leads to.
fn is_owned_by(pod: &Space, family: &str, owner: &Network) {
    let defaults = pod.defaults(family);
    assert_eq!(defaults.len(), 1, "{defaults:?}");
    assert!(defaults[0].contains(&format!("dev {}", owner.ifname)), "{defaults:?}");
    let outside = if family == "-4" { "198.51.100." } else { "2001:db8::" };
    pod.pings(None, &format!("{outside}{}", owner.number));
}

fn each_answers_through_its_own(first: Kind, owner: Kind, names: [&str; 2]) {
    if !privileged() {
        return;
    }
    let pod = pod();
    let first = Network::new(1, first, names[0]);
    let owner = Network::new(2, owner, names[1]);
    attach_both(&pod, &first, &owner, Defaults::Both);
    for network in [&first, &owner] {
        answers_through(&pod, network);
        reaches_cidrs_of(&pod, network);
    }
    for family in ["-4", "-6"] {
        is_owned_by(&pod, family, &owner);
        assert!(!pod.routes(family, "1001").is_empty());
        assert!(!pod.routes(family, "1002").is_empty());
    }
}

#[test]
fn two_subnets_each_answer_through_their_own_interface() {
    each_answers_through_its_own(Kind::Subnet, Kind::Subnet, ["eth0", "net1"]);
}

#[test]
fn the_primary_may_own_the_default_and_be_attached_last() {
    each_answers_through_its_own(Kind::Subnet, Kind::Subnet, ["net1", "eth0"]);
}

#[test]
fn a_calico_like_network_may_come_first() {
    each_answers_through_its_own(Kind::Calico, Kind::Subnet, ["eth0", "net1"]);
}

#[test]
fn a_calico_like_network_may_own_the_default() {
    each_answers_through_its_own(Kind::Subnet, Kind::Calico, ["eth0", "net1"]);
}

#[test]
fn a_calico_like_primary_may_come_first_or_last_by_name() {
    each_answers_through_its_own(Kind::Calico, Kind::Subnet, ["net1", "eth0"]);
    each_answers_through_its_own(Kind::Subnet, Kind::Calico, ["net1", "eth0"]);
}

#[test]
fn after_the_first_only_its_defaults_and_a_shared_next_hop_have_left_main() {
    if !privileged() {
        return;
    }
    for (kind, left) in [(Kind::Subnet, &["default"][..]), (Kind::Calico, &["default", "169.254.1.1 "][..])] {
        let (pod, first) = (pod(), Network::new(1, kind, "eth0"));
        first.attach(&pod, Defaults::Both);
        let main =
            || -> Vec<_> { ["-4", "-6"].iter().flat_map(|family| pod.routes(family, "main")).collect() };
        let before = main();
        after_first(&pod.open(), &first.side()).expect("after the first");
        let stays = |line: &&String| !left.iter().any(|start| line.starts_with(start));
        let kept: Vec<_> = before.iter().filter(stays).cloned().collect();
        assert_eq!(before.len(), kept.len() + 1 + left.len(), "two defaults: {before:?}");
        assert_eq!(main(), kept);
        answers_through(&pod, &first);
    }
}

#[test]
fn two_networks_may_share_a_next_hop() {
    each_answers_through_its_own(Kind::Calico, Kind::Calico, ["eth0", "net1"]);
    each_answers_through_its_own(Kind::Calico, Kind::Calico, ["net1", "eth0"]);
}

#[test]
fn an_owner_without_defaults_leaves_them_to_the_first() {
    if !privileged() {
        return;
    }
    for kind in [Kind::Subnet, Kind::Calico] {
        let pod = pod();
        let (first, owner) = (Network::new(1, kind, "eth0"), Network::new(2, Kind::Subnet, "net1"));
        attach_both(&pod, &first, &owner, Defaults::None);
        for family in ["-4", "-6"] {
            is_owned_by(&pod, family, &first);
        }
        reaches_cidrs_of(&pod, &first);
        // Its CIDRs are on its wire, for all it told us; an address of the router's own subnet answers there.
        for cidr in &owner.cidrs {
            let family = if cidr.is_ipv4() { "-4" } else { "-6" };
            let line = format!("{cidr} dev net1 ");
            assert!(pod.routes(family, "main").iter().any(|route| route.starts_with(&line)), "{line}");
        }
    }
}

#[test]
fn a_default_that_came_back_in_between_leaves_again() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = (Network::new(1, Kind::Subnet, "eth0"), Network::new(2, Kind::Subnet, "net1"));
    first.attach(&pod, Defaults::Both);
    after_first(&pod.open(), &first.side()).expect("after the first");
    owner.attach(&pod, Defaults::Both);
    // As a router advertisement would, or a plugin that repairs what it made.
    pod.ip("route append default via 10.1.0.1 dev eth0");
    pod.ip("-6 route append default via fd00:1::1 dev eth0 metric 77");
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
    for family in ["-4", "-6"] {
        is_owned_by(&pod, family, &owner);
    }
}

#[test]
fn a_v4_owner_leaves_the_v6_default_to_the_first() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = (Network::new(1, Kind::Calico, "eth0"), Network::new(2, Kind::Subnet, "net1"));
    attach_both(&pod, &first, &owner, Defaults::OnlyV4);
    is_owned_by(&pod, "-4", &owner);
    is_owned_by(&pod, "-6", &first);
    answers_through(&pod, &first);
    reaches_cidrs_of(&pod, &first);
}

#[test]
fn routers_of_the_first_are_heeded_only_where_the_owner_has_no_ipv6_default() {
    if !privileged() {
        return;
    }
    for (owner_gives, heeded) in [(Defaults::Both, "0"), (Defaults::OnlyV4, "1"), (Defaults::None, "1")] {
        let pod = pod();
        let (first, owner) = (Network::new(1, Kind::Calico, "eth0"), Network::new(2, Kind::Subnet, "net1"));
        attach_both(&pod, &first, &owner, owner_gives);
        let flag = |ifname| pod.run(&format!("sysctl -n net.ipv6.conf.{ifname}.accept_ra_defrtr"));
        assert_eq!((flag("eth0").trim(), flag("net1").trim()), (heeded, "1"), "{owner_gives:?}");
    }
}

#[test]
fn metric_mtu_and_advmss_go_along() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = (Network::new(1, Kind::Subnet, "eth0"), Network::new(2, Kind::Subnet, "net1"));
    attach_both(&pod, &first, &owner, Defaults::Both);
    for (family, table, parts) in [
        ("-4", "1001", &["default via 10.1.0.1 dev eth0", "mtu 1400", "advmss 1300"][..]),
        ("-6", "1001", &["default via fd00:1::1 dev eth0", "metric 77", "mtu 1400"][..]),
        ("-4", "main", &["10.1.0.0/16 via 10.1.0.1 dev eth0", "src 10.1.0.2", "mtu 1400"][..]),
        ("-6", "main", &["fd00:1::/32 via fd00:1::1 dev eth0", "src fd00:1::2", "metric 77"][..]),
    ] {
        let routes = pod.routes(family, table);
        let has_parts = routes.iter().any(|route| parts.iter().all(|part| route.contains(part)));
        assert!(has_parts, "{parts:?} in {routes:#?}");
    }
}

#[test]
fn repeating_a_step_changes_nothing() {
    if !privileged() {
        return;
    }
    for kinds in [[Kind::Subnet, Kind::Calico], [Kind::Calico, Kind::Subnet], [Kind::Calico; 2]] {
        for owner_gives in [Defaults::Both, Defaults::OnlyV4, Defaults::None] {
            let pod = pod();
            let (first, owner) = (Network::new(1, kinds[0], "eth0"), Network::new(2, kinds[1], "net1"));
            first.attach(&pod, Defaults::Both);
            after_first(&pod.open(), &first.side()).expect("after the first");
            let once = pod.routing();
            after_first(&pod.open(), &first.side()).expect("after the first, again");
            assert_eq!(pod.routing(), once);
            owner.attach(&pod, owner_gives);
            after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
            let once = pod.routing();
            after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner, again");
            assert_eq!(pod.routing(), once);
        }
    }
}

#[test]
fn undo_restores_what_the_first_network_had() {
    if !privileged() {
        return;
    }
    // Two subnets give defaults of one metric, which IPv6 joins into one multipath route.
    for kinds in
        [[Kind::Subnet, Kind::Calico], [Kind::Calico, Kind::Subnet], [Kind::Subnet; 2], [Kind::Calico; 2]]
    {
        for owner_gives in [Defaults::Both, Defaults::None] {
            let pod = pod();
            let (first, owner) = (Network::new(1, kinds[0], "eth0"), Network::new(2, kinds[1], "net1"));
            first.attach(&pod, Defaults::Both);
            let before = pod.routing();
            after_first(&pod.open(), &first.side()).expect("after the first");
            undo(&pod.open(), "eth0", "net1", ample()).expect("undo of the first half");
            assert_eq!(pod.routing(), before);

            after_first(&pod.open(), &first.side()).expect("after the first");
            owner.attach(&pod, owner_gives);
            after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
            undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
            // The owner is still there, so nothing but undo can have taken its table and rules away.
            let both = pod.routing();
            for ours in ["lookup 1001", "lookup 1002", "proto 101"] {
                assert!(!both.contains(ours), "{ours} in {both}");
            }
            for (family, table) in [("-4", "1001"), ("-6", "1001"), ("-4", "1002"), ("-6", "1002")] {
                assert_eq!(pod.routes(family, table), [""; 0]);
            }
            undo(&pod.open(), "eth0", "net1", ample()).expect("undo, again");
            assert_eq!(pod.routing(), both);
            pod.ip("link delete net1");
            assert_eq!(pod.routing(), before);
        }
    }
}

#[test]
fn undo_works_after_the_owner_has_gone() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = (Network::new(1, Kind::Subnet, "eth0"), Network::new(2, Kind::Calico, "net1"));
    first.attach(&pod, Defaults::Both);
    let before = pod.routing();
    after_first(&pod.open(), &first.side()).expect("after the first");
    owner.attach(&pod, Defaults::Both);
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
    pod.ip("link delete net1");
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    assert_eq!(pod.routing(), before);
}
