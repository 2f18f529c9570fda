//! The route step where something is odd: interfaces missing, addresses not settled, routes of others in the way.

mod namespaces;

use std::sync::atomic::{AtomicBool, Ordering};

use namespaces::network::{Defaults, Kind, Network, pod};
use namespaces::steps::{after_first, after_owner};
use namespaces::{Space, ample, attempt, privileged, wait_until};
use shim::attachment::route::{RouteSide, undo};

fn pair(kind: Kind) -> (Network, Network) {
    (Network::new(1, kind, "eth0"), Network::new(2, Kind::Subnet, "net1"))
}

fn attach(pod: &Space, first: &Network, owner: &Network) {
    first.attach(pod, Defaults::Both);
    after_first(&pod.open(), &first.side()).expect("after the first");
    owner.attach(pod, Defaults::Both);
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
}

#[test]
fn an_ipv6_address_under_duplicate_check_is_no_obstacle() {
    if !privileged() {
        return;
    }
    let pod = pod();
    pod.run("sysctl -qw net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.default.accept_dad=1");
    let (first, owner) = pair(Kind::Subnet);
    // Without a carrier the check does not begin, so the addresses stay tentative for as long as the step needs.
    for network in [&first, &owner] {
        network.plug(&pod);
        network.router.ip("link set gw down");
        let (n, ifname) = (network.number, &network.ifname);
        network.router.ip(&format!("address add fd00:{n}::1/64 dev gw nodad"));
        network.router.ip(&format!("address add 10.{n}.0.1/24 dev gw"));
        pod.ip(&format!("address add 10.{n}.0.2/24 dev {ifname}"));
        pod.ip(&format!("address add fd00:{n}::2/64 dev {ifname}"));
        pod.ip(&format!("route add default via 10.{n}.0.1 dev {ifname}"));
        pod.ip(&format!("-6 route add default via fd00:{n}::1 dev {ifname}"));
        assert!(pod.ip(&format!("-6 address show dev {ifname} tentative")).contains("fd00:"));
        if network.number == 1 {
            after_first(&pod.open(), &first.side()).expect("after the first");
        }
    }
    let refused = attempt(&format!("ip -n {} -6 route add 2001:db8:1::/48 dev eth0 src fd00:1::2", pod.name));
    assert!(
        !refused.status.success(),
        "the kernel takes a tentative source now: the step need not leave it out"
    );
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");

    for network in [&first, &owner] {
        network.router.ip("link set gw up");
        let ifname = &network.ifname;
        wait_until("duplicate check over", || {
            !pod.ip(&format!("-6 address show dev {ifname} tentative")).contains("fd00:")
        });
        network.router.pings(Some(&network.far_v6()), &network.v6());
        network.router.pings(Some("2001:db8::200"), &network.v6());
        pod.pings(None, &network.far_v6());
        pod.pings(None, &network.far_v4());
    }
}

#[test]
fn an_interface_that_is_not_there_is_skipped() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let first = Network::new(1, Kind::Calico, "eth0");
    let absent = RouteSide { ifname: "net1", cidrs: &["10.2.0.0/16".parse().expect("a CIDR")] };
    after_first(&pod.open(), &first.side()).expect("nothing there at all");
    after_owner(&pod.open(), &first.side(), &absent).expect("nothing there at all");
    assert_eq!(pod.routes("-4", "main"), [""; 0]);

    first.attach(&pod, Defaults::Both);
    after_first(&pod.open(), &first.side()).expect("after the first");
    after_owner(&pod.open(), &first.side(), &absent).expect("after an owner without interface");
    for family in ["-4", "-6"] {
        assert_eq!(pod.defaults(family).len(), 1, "{}", pod.routing());
    }
    pod.pings(None, &first.far_v4());
    pod.pings(None, "198.51.100.1");
    pod.pings(None, "2001:db8::1");

    let owner = Network::new(2, Kind::Subnet, "net1");
    let pod = namespaces::network::pod();
    owner.attach(&pod, Defaults::Both);
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after an owner without a first");
    owner.router.pings(Some(&owner.far_v4()), &owner.v4());
    pod.pings(None, "198.51.100.2");
}

/// A mesh marks packets and has rules for them that come after the route step's.
#[test]
fn packets_with_a_mark_follow_the_rules_for_it() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = pair(Kind::Subnet);
    attach(&pod, &first, &owner);
    for (family, default, outside, source) in
        [("-4", "10.2.0.1", "198.51.100.9", "10.1.0.2"), ("-6", "fd00:2::1", "2001:db8::9", "fd00:1::2")]
    {
        pod.ip(&format!("{family} rule add fwmark 0x111/0xfff priority 32764 lookup 133"));
        pod.ip(&format!("{family} route add default via {default} dev net1 table 133"));
        let leaves_by = |mark: &str| pod.ip(&format!("{family} route get {outside} from {source} {mark}"));
        for mark in ["", "mark 0"] {
            assert!(leaves_by(mark).contains("dev eth0"), "{mark:?}: {}", leaves_by(mark));
        }
        assert!(leaves_by("mark 0x111").contains("dev net1 table 133"), "{}", leaves_by("mark 0x111"));
        // A mark without a rule of its own: as without Crossfade, by main.
        assert!(leaves_by("mark 0x2").contains("dev net1"), "{}", leaves_by("mark 0x2"));
    }
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    for family in ["-4", "-6"] {
        assert!(!pod.ip(&format!("{family} rule show")).contains("lookup 100"), "{}", pod.ip("rule show"));
    }
}

#[test]
fn rules_for_any_mark_of_an_earlier_version_go_too() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = pair(Kind::Subnet);
    attach(&pod, &first, &owner);
    for family in ["-4", "-6"] {
        let rules = pod.ip(&format!("{family} rule show"));
        for rule in rules.lines().filter(|rule| rule.contains("lookup 100")) {
            let words: Vec<&str> = rule.split_whitespace().collect();
            let (source, table) = (words[2], words[words.len() - 1]);
            pod.ip(&format!("{family} rule del from {source} priority {table} lookup {table}"));
            pod.ip(&format!("{family} rule add from {source} priority {table} lookup {table}"));
        }
        assert!(!pod.ip(&format!("{family} rule show")).contains("fwmark"));
    }
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    for family in ["-4", "-6"] {
        assert!(!pod.ip(&format!("{family} rule show")).contains("lookup 100"), "{}", pod.ip("rule show"));
    }
}

#[test]
fn what_others_put_there_stays() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = pair(Kind::Subnet);
    first.attach(&pod, Defaults::Both);
    pod.ip("route add 10.55.0.0/16 via 10.1.0.9 dev eth0");
    pod.ip("route add default via 10.1.0.9 dev eth0 table 77");
    pod.ip("rule add from 10.1.0.2 priority 1001 table 77");
    pod.ip("rule add from 10.1.0.0/24 priority 1001 table 1001");
    pod.ip("rule add from 10.1.0.2 priority 900 table 1001");
    pod.ip("rule add from 10.1.0.7 fwmark 0x7 priority 1001 table 1001");
    // A plugin's own route to exactly a CIDR of its network: flannel's does that.
    pod.ip("route add 10.1.0.0/16 via 10.1.0.1 dev eth0");
    let before = (pod.routing(), pod.routes("-4", "77"));
    after_first(&pod.open(), &first.side()).expect("after the first");
    // Theirs did not count as ours.
    let is_ours =
        |line: &str| line.starts_with("1001:\tfrom 10.1.0.2 fwmark ") && line.ends_with(" lookup 1001");
    assert!(pod.ip("rule show").lines().any(|line| is_ours(line.trim_end())), "{}", pod.ip("rule show"));
    owner.attach(&pod, Defaults::Both);
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
    assert!(pod.routes("-4", "main").contains(&"10.1.0.0/16 via 10.1.0.1 dev eth0".to_owned()));
    pod.pings(None, &first.far_v4());
    pod.ip("link delete net1");
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    assert_eq!((pod.routing(), pod.routes("-4", "77")), before);
}

#[test]
fn loopback_may_come_and_go_meanwhile() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = pair(Kind::Subnet);
    attach(&pod, &first, &owner);
    let settled = pod.routing();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flapper = scope.spawn(|| {
            let mut rounds = 0_u32;
            while !done.load(Ordering::Relaxed) {
                pod.ip("link set lo down");
                pod.ip("link set lo up");
                rounds += 1;
            }
            rounds
        });
        let rounds = (0..200).try_for_each(|_| {
            undo(&pod.open(), "eth0", "net1", ample())?;
            after_first(&pod.open(), &first.side())?;
            after_owner(&pod.open(), &first.side(), &owner.side())
        });
        // Before anything can panic: the scope waits for the other thread.
        done.store(true, Ordering::Relaxed);
        rounds.expect("undo and both steps");
        assert!(flapper.join().expect("the flapping thread") > 0);
    });
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&pod.routing()), sorted(&settled));
}

/// Defaults of every form, as `ip` commands.
const UNUSUAL: [(&str, &[&str]); 10] = [
    ("-4", &["route add default nexthop via 10.1.0.1 dev eth0 nexthop via 10.1.0.9 dev eth0"]),
    ("-4", &["nexthop add id 7 via 10.1.0.1 dev eth0", "route add default nhid 7"]),
    ("-4", &["route add default via 10.77.0.1 dev eth0 onlink"]),
    ("-4", &["route add default dev eth0 scope link"]),
    ("-4", &["-4 route add default via inet6 fd00:1::1 dev eth0"]),
    ("-4", &["route add default via 10.1.0.1 dev eth0", "route add default via 10.1.0.9 dev eth0 metric 5"]),
    ("-4", &["route add default via 10.1.0.1 dev eth0", "route append default via 10.1.0.9 dev eth0"]),
    ("-6", &["-6 route add default via fd00:1::1 dev eth0 proto ra expires 1800"]),
    ("-6", &["-6 route add default nexthop via fd00:1::1 dev eth0 nexthop via fd00:1::9 dev eth0"]),
    ("-6", &["nexthop add id 7 via fd00:1::1 dev eth0", "-6 route add default nhid 7"]),
];

#[test]
fn unusual_defaults_are_withheld_and_given_back() {
    if !privileged() {
        return;
    }
    for (family, lines) in UNUSUAL {
        unusual_default(family, lines, true);
        // The kernel forgets nexthop objects together with the carrier.
        if !lines[0].starts_with("nexthop") {
            unusual_default(family, lines, false);
        }
    }
}

fn unusual_default(family: &str, lines: &[&str], carrier: bool) {
    let pod = pod();
    let first = Network::new(1, Kind::Subnet, "eth0");
    first.attach(&pod, Defaults::None);
    for line in lines {
        pod.ip(line);
    }
    if !carrier {
        first.router.ip("link set gw down");
        wait_until("no carrier", || pod.ip("link show dev eth0").contains("NO-CARRIER"));
    }
    let shown = |pod: &Space| {
        // An expiry counts down, and neither it nor the shared object comes back: only where packets go. The kernel
        // looks for a carrier in most forms when they are added, not in all.
        let text = pod.ip(&format!("{family} route show table main"));
        let words = text
            .split_whitespace()
            .filter(|word| !word.ends_with("sec") && !["expires", "linkdown"].contains(word));
        words.collect::<Vec<_>>().join(" ").replace("nhid 7 ", "")
    };
    let before = shown(&pod);
    after_first(&pod.open(), &first.side()).unwrap_or_else(|error| panic!("{lines:?}: {error}"));
    assert_eq!(pod.defaults(family), [""; 0], "{lines:?}");
    assert!(pod.routes(family, "1001").iter().any(|line| line.starts_with("default")), "{lines:?}");
    undo(&pod.open(), "eth0", "net1", ample()).unwrap_or_else(|error| panic!("{lines:?}: {error}"));
    assert_eq!(shown(&pod), before, "{lines:?}");
}

#[test]
fn a_step_that_was_killed_half_way_is_finished_or_undone() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let first = Network::new(1, Kind::Calico, "eth0");
    first.attach(&pod, Defaults::Both);
    let before = pod.routing();
    after_first(&pod.open(), &first.side()).expect("after the first");
    let after = pod.routing();
    // Between the additions and the removals.
    pod.ip("route add 169.254.1.1 dev eth0 scope link");
    pod.ip("route add default via 169.254.1.1 dev eth0");
    pod.ip("-6 route add default via fe80::1 dev eth0");
    after_first(&pod.open(), &first.side()).expect("after the first, again");
    assert_eq!(pod.routing(), after);
    pod.ip("route add 169.254.1.1 dev eth0 scope link");
    pod.ip("route add default via 169.254.1.1 dev eth0");
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    assert_eq!(pod.routing(), before);
    // In the middle of an undo: the default is back, a part of the rest is gone.
    after_first(&pod.open(), &first.side()).expect("after the first");
    pod.ip("route add 169.254.1.1 dev eth0 scope link");
    pod.ip("route add default via 169.254.1.1 dev eth0");
    pod.ip("rule del priority 1001");
    pod.ip("route del 169.254.1.1 dev eth0 table 1001");
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    assert_eq!(pod.routing(), before);
}

#[test]
fn a_refusal_names_the_route_and_removes_nothing() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let first = Network::new(1, Kind::Calico, "eth0");
    first.attach(&pod, Defaults::Both);
    pod.ip("route del 169.254.1.1 dev eth0");
    // So many that the refused one is in a later datagram than the first.
    for n in 1..=70 {
        pod.ip(&format!("route add 10.7.0.{n} dev eth0"));
    }
    let error = after_first(&pod.open(), &first.side()).expect_err("no way to the gateway");
    assert_eq!(
        error.to_string(),
        "add route default via 169.254.1.1 dev eth0 table 1001: Network is unreachable (os error 101)"
    );
    assert_eq!(pod.defaults("-4").len(), 1);
    assert_eq!(pod.defaults("-6").len(), 1);
}

#[test]
fn two_attachments_in_one_pod_do_not_undo_each_other() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = pair(Kind::Subnet);
    attach(&pod, &first, &owner);
    let (other, other_owner) = (Network::new(3, Kind::Subnet, "eth1"), Network::new(4, Kind::Subnet, "net2"));
    other.attach(&pod, Defaults::None);
    after_first(&pod.open(), &other.side()).expect("after the other first");
    other_owner.attach(&pod, Defaults::None);
    after_owner(&pod.open(), &other.side(), &other_owner.side()).expect("after the other owner");
    pod.ip("link delete eth0");
    pod.ip("link delete net1");
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    let rules = pod.ip("rule show") + &pod.ip("-6 rule show");
    for (address, there) in
        [("10.1.0.2", false), ("fd00:2::2", false), ("10.3.0.2", true), ("fd00:4::2", true)]
    {
        assert_eq!(rules.contains(&format!("from {address} ")), there, "{address} in {rules}");
    }
    assert!(pod.routes("-4", "1001").iter().all(|line| line.contains("dev eth1")));
    assert!(pod.routes("-4", "main").iter().any(|line| line.starts_with("10.3.0.0/16 dev eth1")));
}

#[test]
fn every_address_is_served_and_no_link_local_one() {
    if !privileged() {
        return;
    }
    let pod = pod();
    let (first, owner) = pair(Kind::Subnet);
    first.attach(&pod, Defaults::Both);
    let before = pod.routing();
    // More than go into one datagram.
    for n in 10..110 {
        pod.ip(&format!("address add 10.1.0.{n}/24 dev eth0"));
    }
    pod.ip("address add 10.1.9.2 peer 10.1.9.1 dev eth0");
    wait_until("a link-local address", || pod.ip("-6 address show dev eth0").contains("fe80::"));
    after_first(&pod.open(), &first.side()).expect("after the first");
    owner.attach(&pod, Defaults::Both);
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
    let rules = pod.ip("rule show") + &pod.ip("-6 rule show");
    assert_eq!(rules.matches("lookup 1001").count(), 1 + 100 + 1 + 1);
    for (address, there) in [("10.1.9.2", true), ("10.1.9.1", false), ("10.1.0.109", true), ("fe80::", false)]
    {
        assert_eq!(rules.contains(&format!("from {address}")), there, "{address} in {rules}");
    }
    first.router.pings(Some("198.51.100.200"), "10.1.0.77");
    undo(&pod.open(), "eth0", "net1", ample()).expect("undo");
    for n in 10..110 {
        pod.ip(&format!("address del 10.1.0.{n}/24 dev eth0"));
    }
    pod.ip("address del 10.1.9.2 peer 10.1.9.1 dev eth0");
    pod.ip("link delete net1");
    assert_eq!(pod.routing(), before);
}

#[test]
fn a_pod_without_ipv6_is_served_in_ipv4() {
    if !privileged() {
        return;
    }
    let pod = pod();
    pod.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    let (first, owner) = pair(Kind::Subnet);
    for network in [&first, &owner] {
        network.plug(&pod);
        let n = network.number;
        network.router.ip(&format!("address add 10.{n}.0.1/24 dev gw"));
        pod.ip(&format!("address add 10.{n}.0.2/24 dev {}", network.ifname));
        pod.ip(&format!("route add default via 10.{n}.0.1"));
        if n == 1 {
            after_first(&pod.open(), &first.side()).expect("after the first");
        }
    }
    after_owner(&pod.open(), &first.side(), &owner.side()).expect("after the owner");
    first.router.pings(Some("198.51.100.200"), &first.v4());
    owner.router.pings(Some("198.51.100.200"), &owner.v4());
    pod.pings(None, &first.far_v4());
}
