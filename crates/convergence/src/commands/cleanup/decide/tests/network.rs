//! Interfaces, routes and routing rules.

use crate::commands::cleanup::decide::tests::*;
use crate::commands::cleanup::kernel::{AddressFact, LinkFact, RouteFact, RuleFact};

fn link(index: u32, name: &str, kind: &str) -> LinkFact {
    let kind = (!kind.is_empty()).then(|| kind.to_owned());
    LinkFact { index, name: name.into(), kind, up: true, ..LinkFact::default() }
}

fn with_links(profile: &str, links: &[(&str, &str)]) -> CleanupFacts {
    let mut facts = node(profile);
    let links = links.iter().zip(1..).map(|((name, kind), index)| link(index, name, kind));
    facts.kernel.links = links.collect();
    facts
}

fn route(table: u32, protocol: u8, destination: &str, interface: Option<u32>) -> RouteFact {
    let destination = destination.parse().expect("cidr");
    let words = format!("{destination} proto {protocol} table {table}");
    RouteFact { table, protocol, destination, interface, words, body: Vec::new() }
}

fn rule(priority: u32, table: u32) -> RuleFact {
    RuleFact {
        family: 2,
        priority,
        table,
        mark: None,
        from: None,
        from_prefix: 0,
        to: None,
        to_prefix: 0,
        iif: None,
        more: false,
        words: format!("lookup {table} pref {priority}"),
        body: Vec::new(),
    }
}

const NONE: [&str; 0] = [];

#[test]
fn an_interface_goes_by_its_whole_name_and_its_kind() {
    let all = [
        ("lo", ""),
        ("eth0", ""),
        ("cali0123456789a", "veth"),
        ("cali", "veth"),
        ("caliente0", "veth"),
        ("cali0123456789", "veth"),
        ("cali0123456789ab", "veth"),
        ("vxlan.calico", "vxlan"),
        ("vxlan.calico2", "vxlan"),
        ("flannel.1", "vxlan"),
        ("flannel.x", "vxlan"),
        ("flannel.2", "bridge"),
        ("cilium_host", "veth"),
        ("cilium_hosting", "veth"),
        ("lxc52ee32c1d8e0", "veth"),
        ("lxc-mine", "veth"),
        ("lxcbr0", "bridge"),
        ("eni0123456789a", "veth"),
        ("enigma0", "veth"),
        ("antrea-egress0", "dummy"),
        ("kube-ipvs0", "dummy"),
        ("docker0", "bridge"),
    ];
    for (profile, goes) in [
        ("calico", &["cali0123456789a", "vxlan.calico"][..]),
        ("flannel", &["flannel.1"]),
        ("cilium", &["cilium_host", "lxc52ee32c1d8e0"]),
        ("aws-vpc", &["eni0123456789a"]),
        ("antrea", &["antrea-egress0"]),
    ] {
        let mut outcome = outcomes(&with_links(profile, &all));
        outcome.sort();
        assert_eq!(
            outcome,
            goes.iter().map(|name| format!("remove interface {name}")).collect::<Vec<_>>(),
            "{profile}"
        );
    }
    let facts = with_links("flannel", &all);
    assert_eq!(list_retained(&facts), ["interface flannel.2: it is bridge, and flannel's is vxlan"]);
}

#[test]
fn a_pod_s_interface_refuses_everything_while_its_other_end_is_in_a_pod() {
    let mut facts = with_links("calico", &[("cali0123456789a", "veth"), ("vxlan.calico", "vxlan")]);
    facts.kernel.links[0].peer_elsewhere = true;
    let refusals = decide(&facts).refusals;
    assert!(refusals.len() == 1 && refusals[0].what.contains("cali0123456789a"), "{refusals:?}");
    facts.kernel.links[0].peer_elsewhere = false;
    assert!(decide(&facts).refusals.is_empty());
    // Pods of another CNI do not matter here.
    let mut facts = with_links("flannel", &[("cali0123456789a", "veth")]);
    facts.kernel.links[0].peer_elsewhere = true;
    assert!(decide(&facts).refusals.is_empty());
}

#[test]
fn a_bridge_goes_without_ports_and_only_if_no_other_conf_makes_it() {
    let mut facts = with_links("flannel", &[("cni0", "bridge"), ("veth0", "veth")]);
    assert_eq!(outcomes(&facts), ["remove interface cni0"]);
    facts.kernel.links[1].master = Some(1);
    assert!(decide(&facts).refusals[0].what.contains("veth0 at cni0"));
    facts.confs = vec![conf("/etc/cni/net.d/87-podman.conflist", "podman", &["bridge"], &["cni0"])];
    assert!(decide(&facts).refusals.is_empty(), "the ports are the other network's");
    assert_eq!((outcomes(&facts).len(), list_retained(&facts).len()), (0, 1));
    facts.confs[0].bridges = vec!["cni-podman0".into()];
    facts.kernel.links[1].master = None;
    assert_eq!(outcomes(&facts), ["remove interface cni0"]);
}

#[test]
fn tunl0_is_set_down_and_only_with_addresses_of_the_network() {
    let mut facts = with_links("calico", &[("tunl0", "ipip")]);
    let address = AddressFact { address: "192.168.7.0/32".parse().expect("address"), body: vec![1] };
    facts.kernel.links[0].addresses = vec![address];
    assert_eq!(outcomes(&facts), NONE);
    assert!(list_retained(&facts)[0].contains("none of its addresses"));
    facts.cidrs = vec!["192.168.0.0/16".parse().expect("cidr")];
    assert_eq!(outcomes(&facts), ["down interface tunl0"]);
    facts.cidrs = vec!["10.0.0.0/8".parse().expect("cidr")];
    assert_eq!(outcomes(&facts), NONE);
}

#[test]
fn a_switch_of_pods_is_never_removed_and_asks_for_a_reboot() {
    let mut facts = with_links(
        "antrea",
        &[("ovs-system", "openvswitch"), ("web-0-3fa21b", "veth"), ("antrea-gw0", "openvswitch")],
    );
    (facts.kernel.links[1].master, facts.kernel.links[1].peer_elsewhere) = (Some(1), true);
    assert!(decide(&facts).refusals[0].what.contains("web-0-3fa21b at ovs-system"));
    facts.kernel.links.remove(1);
    assert_eq!(outcomes(&facts), ["down interface antrea-gw0"]);
    assert_eq!(decide(&facts).reboot.len(), 1);
    facts.kernel.links.push(link(9, "genev_sys_6081", "geneve"));
    let decision = decide(&facts);
    assert_eq!(
        decision.look.len(),
        1,
        "Open vSwitch names tunnels so for others as well: {:?}",
        decision.look
    );
    assert!(!decision.removals.iter().any(|removal| removal.change.target.contains("genev")));
}

#[test]
fn a_reboot_that_was_necessary_stays_so_in_the_same_boot() {
    let mut facts = node("cilium");
    assert!(decide(&facts).reboot.is_empty());
    let why = facts.profile.leaves.as_ref().expect("leaves").reboot[0].why.clone();
    facts.earlier.reboot = [why.clone()].into();
    assert_eq!(decide(&facts).reboot, [why]);
}

#[test]
fn routes_go_by_what_tells_them_and_not_with_an_interface_that_goes() {
    let mut facts = with_links("calico", &[("eth0", ""), ("tunl0", "ipip"), ("vxlan.calico", "vxlan")]);
    facts.kernel.routes = vec![
        route(254, 16, "0.0.0.0/0", Some(1)),
        route(254, 80, "10.1.2.0/26", Some(1)),
        route(254, 80, "10.1.3.0/26", Some(3)),
        route(254, 80, "0.0.0.0/0", Some(1)),
        route(254, 12, "192.168.5.0/26", Some(2)),
        route(254, 12, "192.168.6.0/26", None),
        route(254, 12, "203.0.113.0/24", Some(1)),
        route(254, 3, "198.51.100.0/24", Some(1)),
        route(255, 80, "10.9.9.9/32", Some(1)),
        route(77, 17, "10.5.0.0/16", Some(1)),
    ];
    assert_eq!(
        outcomes(&facts),
        [
            "remove route 10.1.2.0/26 proto 80 table 254 dev eth0",
            "remove route 192.168.5.0/26 proto 12 table 254 dev tunl0",
            "remove interface vxlan.calico",
        ]
    );
    assert!(list_retained(&facts).iter().any(|line| line.contains("the node's default route")));
    facts.cidrs = vec!["192.168.0.0/16".parse().expect("cidr")];
    let outcome = outcomes(&facts);
    assert!(outcome.iter().any(|line| line.contains("192.168.6.0/26")), "{outcome:?}");
    assert!(!outcome.iter().any(|line| line.contains("203.0.113.0/24")), "another BIRD's: {outcome:?}");
}

#[test]
fn rules_go_by_priority_table_and_mark_and_nothing_more() {
    let mark = |priority, table, mark| RuleFact { mark: Some((mark, 0xf00)), ..rule(priority, table) };
    let more = RuleFact { more: true, ..mark(9, 2004, 0x200) };
    let to = RuleFact { to: Some([10, 0, 0, 1].into()), to_prefix: 32, ..mark(9, 2004, 0x200) };
    let mut facts = node("cilium");
    facts.kernel.rules = vec![
        rule(0, 255),
        mark(9, 2004, 0x200),
        mark(9, 2004, 0x300),
        mark(9, 2005, 0x200),
        mark(10, 2005, 0xa00),
        RuleFact { mark: Some((0x200, 0xff)), ..rule(9, 2004) },
        more,
        to,
        rule(9, 2004),
        rule(100, 100),
        rule(32766, 254),
    ];
    assert_eq!(
        outcomes(&facts),
        ["remove routing rule -4 lookup 2004 pref 9", "remove routing rule -4 lookup 2005 pref 10"]
    );
    let mut facts = node("aws-vpc");
    let to_pod = RuleFact { to: Some([10, 0, 0, 7].into()), to_prefix: 32, ..rule(512, 254) };
    facts.kernel.rules = vec![
        rule(512, 254),
        RuleFact { to_prefix: 24, ..to_pod.clone() },
        RuleFact { table: 100, ..to_pod.clone() },
        to_pod,
        RuleFact { mark: Some((0x80, 0x80)), ..rule(1024, 254) },
        RuleFact { iif: Some("vlan.eth.3".into()), ..rule(10, 103) },
        RuleFact { iif: Some("eth0".into()), ..rule(10, 103) },
        rule(10, 103),
    ];
    assert_eq!(
        outcomes(&facts),
        [
            "remove routing rule -4 lookup 254 pref 512",
            "remove routing rule -4 lookup 254 pref 1024",
            "remove routing rule -4 lookup 103 pref 10",
        ]
    );
}

#[test]
fn the_rule_of_the_node_s_own_addresses_is_put_back_first() {
    let mut facts = node("cilium");
    facts.kernel.rules = vec![rule(100, 255), RuleFact { family: 10, ..rule(100, 255) }, rule(32766, 254)];
    let expected = [
        "restore routing rule -4 from all lookup 255 pref 0",
        "restore routing rule -6 from all lookup 255 pref 0",
        "remove routing rule -4 lookup 255 pref 100",
        "remove routing rule -6 lookup 255 pref 100",
    ];
    assert_eq!(outcomes(&facts), expected);
    // It is back already, because a clean-up was interrupted.
    facts.kernel.rules = vec![rule(0, 255), rule(100, 255)];
    assert_eq!(outcomes(&facts), ["remove routing rule -4 lookup 255 pref 100"]);
    // A CNI in use has moved it as well, and looks there for it.
    let mut facts = node("aws-vpc");
    facts.kernel.rules = vec![rule(20, 255), rule(100, 255)];
    facts.in_use = vec![beside("cilium")];
    assert_eq!(outcomes(&facts), ["remove routing rule -4 lookup 255 pref 20"]);
    // A rule of that priority that looks up more or less than the node's own addresses is another program's.
    facts.kernel.rules = vec![RuleFact { iif: Some("eth1".into()), ..rule(20, 255) }, rule(0, 255)];
    assert_eq!(outcomes(&facts), NONE);
}
