//! Tables of facts and the changes they lead to, both as text.

mod text;

use text::{cidrs, facts, link};

use super::*;
use crate::attachment::route::describe;

/// The changes in the words an error would use.
fn words(facts: &PodRoutes, changes: &[RouteChange]) -> Vec<String> {
    changes.iter().map(|change| describe(change, facts)).collect()
}

fn first_words(facts: &PodRoutes) -> Vec<String> {
    words(facts, &changes_after_first(facts, &RouteSide { ifname: "eth0", cidrs: &[] }))
}

fn owner_words(facts: &PodRoutes, first: &[&str], owner: &[&str]) -> Vec<String> {
    let (first, owner) = (cidrs(first), cidrs(owner));
    let first = RouteSide { ifname: "eth0", cidrs: &first };
    let owner = RouteSide { ifname: "net1", cidrs: &owner };
    words(facts, &changes_after_owner(facts, &first, &owner))
}

fn undo_words(facts: &PodRoutes) -> Vec<String> {
    words(facts, &undo(facts, "eth0", "net1"))
}

#[test]
fn the_first_gets_a_table_and_rules_and_loses_its_default() {
    let facts = facts(
        &["lo 127.0.0.1", "eth0 10.1.0.2", "eth0 10.1.0.3", "eth0 fd01::2", "net1 10.2.0.2"],
        &[
            "default via 10.1.0.1 dev eth0",
            "10.1.0.0/24 dev eth0",
            "default6 via fe80::1 dev eth0 metric 1024",
            "10.2.0.0/24 dev net1",
        ],
        &[],
    );
    let expected = [
        "add route 10.1.0.0/24 dev eth0 table 1001",
        "add route default via 10.1.0.1 dev eth0 table 1001",
        "add route default (IPv6) via fe80::1 metric 1024 dev eth0 table 1001",
        "add rule from 10.1.0.2 to table 1001",
        "add rule from 10.1.0.3 to table 1001",
        "add rule from fd01::2 to table 1001",
        "remove route default via 10.1.0.1 dev eth0",
        "remove route default (IPv6) via fe80::1 metric 1024 dev eth0",
    ];
    assert_eq!(first_words(&facts), expected);
}

#[test]
fn every_default_of_the_first_leaves_main_but_only_what_is_its_own() {
    let facts = facts(
        &[],
        &[
            "default via 10.1.0.1 dev eth0",
            "default via 10.1.0.9 dev eth0 metric 50",
            "default via 10.2.0.1 dev net1 metric 60",
            "default metric 70 dev eth0 dev net1",
            "default6 unreachable dev eth0",
            "default via 10.1.0.1 dev eth0 table 1001",
            "default via 10.1.0.9 metric 50 dev eth0 table 1001",
            "default6 unreachable dev eth0 table 1001",
        ],
        &[],
    );
    let expected = [
        "remove route default via 10.1.0.1 dev eth0",
        "remove route default via 10.1.0.9 metric 50 dev eth0",
    ];
    assert_eq!(first_words(&facts), expected);
}

#[test]
fn ipv6_siblings_are_told_apart_where_they_part() {
    let facts = facts(&[], &["default6 metric 7 dev eth0 dev net1", "fd05::/64 dev eth0 dev eth0"], &[]);
    let expected = [
        "add route default (IPv6) metric 7 dev eth0 table 1001",
        "add route fd05::/64 over 2 next hops table 1001",
        "remove route default (IPv6) metric 7 dev eth0",
    ];
    assert_eq!(first_words(&facts), expected);
}

#[test]
fn nothing_is_done_to_an_interface_that_is_not_there_or_down() {
    let mut facts = facts(&["eth0 10.1.0.2"], &["default via 10.1.0.1 dev eth0"], &[]);
    facts.links[1].up = false;
    assert_eq!(first_words(&facts), [""; 0]);
    facts.links.remove(1);
    assert_eq!(first_words(&facts), [""; 0]);
    assert_eq!(owner_words(&facts, &["10.1.0.0/16"], &[]), [""; 0]);
}

/// Calico's next hop and AWS's: the owner's plugin must not find it in main, what leads through it must.
#[test]
fn a_next_hop_that_both_networks_may_use_is_away_for_the_owners_add() {
    let addresses = ["eth0 10.1.0.2", "net1 10.2.0.2"];
    let first = ["169.254.1.1/32 dev eth0", "169.254.1.0/24 dev eth0", "default via 169.254.1.1 dev eth0"];
    let expected = [
        "add route 169.254.1.1/32 dev eth0 table 1001",
        "add route 169.254.1.0/24 dev eth0 table 1001",
        "add route default via 169.254.1.1 dev eth0 table 1001",
        "add rule from 10.1.0.2 to table 1001",
        "remove route default via 169.254.1.1 dev eth0",
        "remove route 169.254.1.1/32 dev eth0",
    ];
    assert_eq!(first_words(&facts(&addresses, &first, &[])), expected);

    let copied = ["169.254.1.1/32 dev eth0 table 1001", "default via 169.254.1.1 dev eth0 table 1001"];
    let alike = ["169.254.1.1/32 dev net1", "default via 169.254.1.1 dev net1"];
    let attached = facts(&addresses, &[copied, alike].concat(), &["10.1.0.2 1001"]);
    let expected = [
        "add route 169.254.1.1/32 dev net1 table 1002",
        "add route default via 169.254.1.1 dev net1 table 1002",
        "add rule from 10.2.0.2 to table 1002",
        "add route 169.254.1.1/32 dev eth0",
        "add route 10.2.0.0/16 via 169.254.1.1 dev net1 src 10.2.0.2",
        "add route 10.1.0.0/16 via 169.254.1.1 dev eth0 src 10.1.0.2",
    ];
    assert_eq!(owner_words(&attached, &["10.1.0.0/16"], &["10.2.0.0/16"]), expected);
    let undone = undo_words(&attached);
    assert_eq!(
        undone[..2],
        ["add route 169.254.1.1/32 dev eth0", "add route default via 169.254.1.1 dev eth0"]
    );
}

/// State after the first's step, both families, and the owner's ADD.
fn both_attached(extra: &[&str]) -> PodRoutes {
    let routes = [
        "10.1.0.0/24 dev eth0",
        "default via 10.1.0.1 dev eth0 table 1001",
        "10.1.0.0/24 dev eth0 table 1001",
        "default6 via fe80::1 dev eth0 table 1001",
        "10.2.0.0/24 dev net1",
    ];
    facts(
        &["eth0 10.1.0.2", "eth0 fd01::2", "net1 10.2.0.2", "net1 fd02::2"],
        &[&routes, extra].concat(),
        &["10.1.0.2 1001", "fd01::2 1001"],
    )
}

#[test]
fn the_owner_gets_its_table_and_each_network_its_cidrs() {
    let facts = both_attached(&["default via 10.2.0.1 dev net1", "default6 via fe80::2 dev net1"]);
    let expected = [
        "add route 10.2.0.0/24 dev net1 table 1002",
        "add route default via 10.2.0.1 dev net1 table 1002",
        "add route default (IPv6) via fe80::2 dev net1 table 1002",
        "add rule from 10.2.0.2 to table 1002",
        "add rule from fd02::2 to table 1002",
        "add route 10.2.0.0/16 via 10.2.0.1 dev net1 src 10.2.0.2",
        "add route fd02::/32 via fe80::2 dev net1 src fd02::2",
        "add route 10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2",
        "add route fd01::/32 via fe80::1 dev eth0 src fd01::2",
    ];
    assert_eq!(owner_words(&facts, &["10.1.0.0/16", "fd01::/32"], &["10.2.0.0/16", "fd02::/32"]), expected);
}

#[test]
fn per_family_a_default_stays_with_the_network_that_has_one() {
    for (extra, expected) in [
        (
            &[][..],
            &["add route default via 10.1.0.1 dev eth0", "add route default (IPv6) via fe80::1 dev eth0"][..],
        ),
        (&["default via 10.2.0.1 dev net1"], &["add route default (IPv6) via fe80::1 dev eth0"]),
        (&["default6 via fe80::2 dev net1"], &["add route default via 10.1.0.1 dev eth0"]),
        (&["default via 10.2.0.1 dev net1", "default6 via fe80::2 dev net1"], &[]),
        (
            // A default route that another process put back into the main table meanwhile, a router advertisement for instance.
            &[
                "default via 10.2.0.1 dev net1",
                "default via 10.1.0.1 dev eth0",
                "default6 via fe80::1 dev eth0",
            ],
            &["remove route default via 10.1.0.1 dev eth0"],
        ),
    ] {
        let facts = both_attached(extra);
        let mut changes = owner_words(&facts, &[], &[]);
        changes.retain(|change| change.contains("default") && !change.contains("1002"));
        assert_eq!(changes, expected, "{extra:?}");
    }
}

#[test]
fn without_the_owners_interface_the_first_has_its_defaults_back() {
    let mut facts = both_attached(&[]);
    facts.links.retain(|link| link.name != "net1");
    let expected = [
        "add route 10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2",
        "add route default via 10.1.0.1 dev eth0",
        "add route default (IPv6) via fe80::1 dev eth0",
    ];
    assert_eq!(owner_words(&facts, &["10.1.0.0/16"], &["10.2.0.0/16"]), expected);
}

#[test]
fn without_the_firsts_interface_the_owner_gets_its_share() {
    let facts = PodRoutes {
        links: vec![link(3, "net1")],
        ..facts(&["net1 10.2.0.2"], &["default via 10.2.0.1 dev net1"], &[])
    };
    let expected = [
        "add route default via 10.2.0.1 dev net1 table 1002",
        "add rule from 10.2.0.2 to table 1002",
        "add route 10.2.0.0/16 via 10.2.0.1 dev net1 src 10.2.0.2",
    ];
    assert_eq!(owner_words(&facts, &["10.1.0.0/16"], &["10.2.0.0/16"]), expected);
}

/// The CIDR routes of the first alone, for given addresses and routes.
fn cidr_words(addresses: &[&str], routes: &[&str], list: &[&str]) -> Vec<String> {
    let facts = facts(addresses, routes, &[]);
    let index = facts.index("eth0").expect("eth0");
    words(&facts, &cidr_routes(&facts, &cidrs(list), index, &mut Vec::new()))
}

#[test]
fn a_cidr_goes_by_the_default_else_on_the_wire() {
    let gateway = "default via 10.1.0.1 dev eth0 table 1001";
    for (addresses, routes, list, expected) in [
        (
            &["eth0 10.1.0.2"][..],
            &[gateway][..],
            "10.1.0.0/16",
            "10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2",
        ),
        (&["eth0 10.1.0.2"], &[gateway], "10.1.7.7/16", "10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2"),
        (&["eth0 10.1.0.2"], &[], "10.1.0.0/16", "10.1.0.0/16 dev eth0 src 10.1.0.2"),
        (&["eth0 fd01::2"], &[], "fd01::/32", "fd01::/32 dev eth0 src fd01::2"),
        // Several defaults: the one that would be taken.
        (
            &["eth0 10.1.0.2"],
            &["default via 10.1.0.8 dev eth0 metric 9", gateway],
            "10.1.0.0/16",
            "10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2",
        ),
        // Several addresses: inside the CIDR, then the default's own, then the first; never a deprecated one if avoidable.
        (&["eth0 10.9.0.2", "eth0 10.1.0.2"], &[], "10.1.0.0/16", "10.1.0.0/16 dev eth0 src 10.1.0.2"),
        (
            &["eth0 10.9.0.2", "eth0 10.8.0.2"],
            &["default via 10.1.0.1 src 10.8.0.2 dev eth0"],
            "10.1.0.0/16",
            "10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.8.0.2",
        ),
        (&["eth0 10.9.0.2", "eth0 10.8.0.2"], &[], "10.1.0.0/16", "10.1.0.0/16 dev eth0 src 10.9.0.2"),
        (&["eth0 fd01::2 deprecated", "eth0 fd01::3"], &[], "fd01::/32", "fd01::/32 dev eth0 src fd01::3"),
        // One whose duplicate check runs is left to the kernel, and no other is taken in its place.
        (&["eth0 fd09::2", "eth0 fd01::2 tentative"], &[], "fd01::/32", "fd01::/32 dev eth0"),
    ] {
        assert_eq!(cidr_words(addresses, routes, &[list]), [format!("add route {expected}")]);
    }
}

#[test]
fn a_cidr_is_left_out_where_it_is_led_to_already_or_cannot_be() {
    for (addresses, routes, list) in [
        (&["eth0 10.1.0.2"][..], &["10.1.0.0/16 via 10.1.0.1 dev eth0"][..], &["10.1.0.0/16"][..]),
        (&["eth0 10.1.0.2"], &["10.1.0.0/16 via 10.1.0.1 dev eth0 ours"], &["10.1.0.0/16"]),
        (&["eth0 10.1.0.2"], &["10.1.0.0/16 via 10.2.0.1 dev net1"], &["10.1.0.0/16"]),
        (&["eth0 10.1.0.2"], &[], &["fd01::/32"]),
        (&["eth0 10.1.0.2"], &[], &["0.0.0.0/0", "::/0"]),
        (&[], &[], &["10.1.0.0/16"]),
    ] {
        assert_eq!(cidr_words(addresses, routes, list), [""; 0], "{list:?}");
    }
}

#[test]
fn a_cidr_of_both_networks_goes_to_the_owner_and_only_once() {
    let facts = both_attached(&["default via 10.2.0.1 dev net1"]);
    let mut changes = owner_words(&facts, &["10.0.0.0/8"], &["10.0.0.0/8", "10.3.0.0/8"]);
    changes.retain(|change| change.contains("10.0.0.0/8"));
    assert_eq!(changes, ["add route 10.0.0.0/8 via 10.2.0.1 dev net1 src 10.2.0.2"]);
}

#[test]
fn our_own_cidr_routes_are_not_copied() {
    let facts = both_attached(&["10.1.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2 ours"]);
    let changes = owner_words(&facts, &["10.1.0.0/16"], &[]);
    assert!(changes.iter().all(|change| !change.contains("10.1.0.0/16")), "{changes:?}");
}

#[test]
fn undo_gives_the_default_back_before_it_takes_ours_away() {
    let facts = both_attached(&[
        "default via 10.2.0.1 dev net1",
        "default via 10.2.0.1 dev net1 table 1002",
        "10.1.0.0/16 via 10.1.0.1 dev eth0 ours",
        "10.7.0.0/16 via 10.1.0.1 dev eth0",
        "10.2.0.0/16 via 10.2.0.1 dev net1 ours",
    ]);
    let expected = [
        "add route default via 10.1.0.1 dev eth0",
        "add route default (IPv6) via fe80::1 dev eth0",
        "remove rule from 10.1.0.2 to table 1001",
        "remove rule from fd01::2 to table 1001",
        "remove route default via 10.1.0.1 dev eth0 table 1001",
        "remove route 10.1.0.0/24 dev eth0 table 1001",
        "remove route default (IPv6) via fe80::1 dev eth0 table 1001",
        "remove route 10.1.0.0/16 via 10.1.0.1 dev eth0",
        "remove route default via 10.2.0.1 dev net1 table 1002",
        "remove route 10.2.0.0/16 via 10.2.0.1 dev net1",
    ];
    assert_eq!(undo_words(&facts), expected);
}

#[test]
fn undo_clears_rules_of_addresses_that_are_gone_but_not_another_attachments() {
    let facts = facts(
        &["net2 10.3.0.2"],
        &["default via 10.3.0.1 dev net2 table 1001", "10.3.0.0/16 via 10.3.0.1 dev net2 ours"],
        &["10.1.0.2 1001", "10.2.0.2 1002", "10.3.0.2 1001"],
    );
    let expected = ["remove rule from 10.1.0.2 to table 1001", "remove rule from 10.2.0.2 to table 1002"];
    assert_eq!(undo_words(&facts), expected);
}

#[test]
fn what_is_done_is_not_done_again() {
    let done = both_attached(&["default via 10.1.0.1 dev eth0", "default6 via fe80::1 dev eth0"]);
    let nothing = facts(&["eth0 10.1.0.2"], &["default via 10.1.0.1 dev eth0"], &[]);
    assert_eq!(undo_words(&nothing), [""; 0]);
    let changes = undo_words(&done);
    assert!(changes.iter().all(|change| change.starts_with("remove")), "{changes:?}");
}
