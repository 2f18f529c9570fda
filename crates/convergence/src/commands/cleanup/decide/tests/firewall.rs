//! Chains, rules, tables and sets.

use crate::commands::cleanup::decide::tests::*;
use crate::commands::cleanup::firewall::{BackEnd, Table};
use crate::commands::cleanup::kernel::{NftTableFact, SetFact};
use crate::commands::cleanup::legacy::parse;

/// What kube-proxy and kubelet have in every table, and what a person has added. *Source*: `iptables -S` of a node with kube-proxy 1.30.
const OTHERS: &str = r#"
-N KUBE-FORWARD
-N KUBE-SERVICES
-N DOCKER
-N MINE
-N calico-dhcp
-N my-cali-FORWARD
-N FLANNEL-POSTRTG-OLD
-N NOT-FLANNEL-FWD
-N ACILIUM_FORWARD
-N ANTREA
-N AWS-SNAT-CHAIN-X
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m comment --comment "cali: keep this, it is not Calico's" -j MINE
-A FORWARD -m comment --comment "see cali:wUHhoiAYhphO9Mso" -j ACCEPT
-A FORWARD -m comment --comment "flanneld forward" -j MINE
-A FORWARD -m comment --comment "AWS, primary ENI" -j ACCEPT
-A FORWARD -m comment --comment "cilium-feeder: CILIUM_FORWARD" -j ACCEPT
-A FORWARD -s 10.9.0.0/16 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A MINE -m comment --comment "cali:wUHhoiAYhphO9Mso" -j RETURN
-A my-cali-FORWARD -j RETURN
"#;

const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// A table with others' rules before and after those of a CNI, as `iptables -S` prints them.
fn table(name: &str, rules: &str) -> Table {
    let (before, after) = OTHERS.split_once("-A KUBE-FORWARD").expect("a middle");
    let built_in: String = CHAINS.iter().map(|chain| format!("-P {chain} ACCEPT\n")).collect();
    let (made, rest): (Vec<&str>, Vec<&str>) = format!("{before}\n{rules}\n-A KUBE-FORWARD{after}")
        .leak()
        .lines()
        .partition(|line| line.starts_with("-N"));
    let text = format!("{built_in}{}\n{}", made.join("\n"), rest.join("\n"));
    Table {
        back_end: BackEnd::Legacy("/usr/sbin/iptables-legacy".into()),
        family: 2,
        name: name.into(),
        chains: parse(&text).expect("rules"),
    }
}

fn with(profile: &str, tables: Vec<Table>) -> CleanupFacts {
    let mut facts = node(profile);
    facts.kernel.firewall = tables;
    facts
}

/// *Source*: felix of Calico 3.28 with VXLAN, one pod, iptables -t filter -S.
const CALICO: &str = r#"
-N cali-FORWARD
-N cali-from-wl-dispatch
-N cali-fw-cali0123456789a
-N cali-pri-kns.default
-N cali-wl-to-host
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -m comment --comment "cali:mp77cMpurHhyjLrM" -j MARK --set-xmark 0x10000/0x10000
-A cali-FORWARD -m comment --comment "cali:8ZoYfO5HKXWbB3pk" -i cali+ -j cali-from-wl-dispatch
-A cali-from-wl-dispatch -i cali0123456789a -m comment --comment "cali:G4D1kmZ3pZhmkNLU" -g cali-fw-cali0123456789a
-A cali-from-wl-dispatch -m comment --comment "cali:zTj6P0TIgYvgz-md" -m comment --comment "Unknown interface" -j DROP
-A cali-fw-cali0123456789a -m comment --comment "cali:Jk5wX7UaVOU8yG2o" -j cali-pri-kns.default
"#;

#[test]
fn calico_s_chains_and_rules_go_and_no_other_program_s() {
    let facts = with("calico", vec![table("filter", CALICO)]);
    let table = "of ip filter (legacy)";
    let mut expected: Vec<String> = [
        "FORWARD -m comment --comment cali:wUHhoiAYhphO9Mso -j cali-FORWARD",
        "FORWARD -m comment --comment cali:S93hcgKJrXEqnTfs -m comment --comment 'Policy explicitly accepted packet.' -m mark --mark 0x10000/0x10000 -j ACCEPT",
        "FORWARD -m comment --comment cali:mp77cMpurHhyjLrM -j MARK --set-xmark 0x10000/0x10000",
    ]
    .map(|rule| format!("remove rule {rule} {table}"))
    .to_vec();
    let full = ["cali-FORWARD", "cali-from-wl-dispatch", "cali-fw-cali0123456789a"];
    expected.extend(full.map(|chain| format!("empty chain {chain} {table}")));
    let all = [&full[..], &["cali-pri-kns.default", "cali-wl-to-host"]].concat();
    expected.extend(all.iter().map(|chain| format!("remove chain {chain} {table}")));
    assert_eq!(outcomes(&facts), expected);
    assert_eq!(list_retained(&facts), Vec::<String>::new());
}

/// *Source*: flannel of August 2026, pkg/trafficmngr/iptables/iptables.go, on a node with 10.244.0.0/16.
const FLANNEL: &str = r#"
-N FLANNEL-POSTRTG
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
"#;

#[test]
fn flannel_s_masquerading_goes_in_both_back_ends_and_families() {
    let mut tables = vec![table("nat", FLANNEL), table("nat", FLANNEL)];
    tables[1].back_end = BackEnd::Nft;
    tables[1].family = 10;
    let facts = with("flannel", tables);
    assert_eq!(
        outcomes(&facts),
        [
            "remove rule POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG of ip nat (legacy)",
            "remove rule POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG of ip6 nat (nf_tables)",
            "empty chain FLANNEL-POSTRTG of ip nat (legacy)",
            "empty chain FLANNEL-POSTRTG of ip6 nat (nf_tables)",
            "remove chain FLANNEL-POSTRTG of ip nat (legacy)",
            "remove chain FLANNEL-POSTRTG of ip6 nat (nf_tables)",
        ]
    );
}

#[test]
fn a_chain_in_a_table_where_its_cni_has_none_is_another_program_s() {
    // FLANNEL-POSTRTG is Flannel's in nat alone.
    assert_eq!(outcomes(&with("flannel", vec![table("mangle", FLANNEL)])), Vec::<String>::new());
    for profile in ["antrea", "aws-vpc", "calico", "cilium"] {
        assert_eq!(
            outcomes(&with(profile, vec![table("nat", FLANNEL), table("nat", "")])),
            Vec::<String>::new(),
            "{profile}"
        );
    }
}

#[test]
fn the_chains_of_every_profile_go_with_the_rules_that_lead_there() {
    for (profile, name, rules, count) in [
        (
            "cilium",
            "filter",
            r#"
-N CILIUM_FORWARD
-N OLD_CILIUM_FORWARD
-A FORWARD -m comment --comment "cilium-feeder: CILIUM_FORWARD" -j CILIUM_FORWARD
-A FORWARD -m comment --comment "cilium-feeder: CILIUM_FORWARD" -j OLD_CILIUM_FORWARD
-A CILIUM_FORWARD -o cilium_host -m comment --comment "cilium: any->cluster on cilium_host forward accept" -j ACCEPT
"#,
            5,
        ),
        (
            "antrea",
            "mangle",
            r#"
-N ANTREA-PREROUTING
-A PREROUTING -m comment --comment "Antrea: jump to Antrea prerouting rules" -j ANTREA-PREROUTING
"#,
            2,
        ),
        (
            "aws-vpc",
            "mangle",
            r#"
-A PREROUTING -i eth0 -m comment --comment "AWS, primary ENI" -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -i eni+ -m comment --comment "AWS, primary ENI" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
"#,
            2,
        ),
        (
            "aws-vpc",
            "nat",
            r#"
-N AWS-CONNMARK-CHAIN-0
-N AWS-SNAT-CHAIN-0
-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0
-A PREROUTING -m comment --comment "AWS, CONNMARK" -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80
-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
-A AWS-CONNMARK-CHAIN-0 -m comment --comment "AWS, CONNMARK" -j CONNMARK --set-xmark 0x80/0x80
-A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.0.1.5 --random-fully
"#,
            7,
        ),
    ] {
        let outcome = outcomes(&with(profile, vec![table(name, rules)]));
        assert_eq!(outcome.len(), count, "{profile}: {outcome:#?}");
        for other in
            ["KUBE", "MINE", "DOCKER", "calico-dhcp", "my-cali", "ACILIUM", "CHAIN-X", " -s 10.9.0.0/16"]
        {
            assert!(outcome.iter().all(|line| !line.contains(other)), "{profile} {other}: {outcome:#?}");
        }
    }
}

/// Another program's rule that leads into a chain of the CNI's keeps that chain, and what it leads to; the rest goes.
#[test]
fn a_chain_that_another_program_s_rule_leads_to_stays_with_what_it_leads_to() {
    let rules = format!("{CALICO}-A MINE -i eth1 -j cali-from-wl-dispatch\n");
    let facts = with("calico", vec![table("filter", &rules)]);
    let outcome = outcomes(&facts);
    for stays in ["cali-from-wl-dispatch", "cali-fw-cali0123456789a", "cali-pri-kns.default"] {
        assert!(
            !outcome.iter().any(|line| line.contains(&format!("chain {stays} "))),
            "{stays}: {outcome:#?}"
        );
        assert!(
            list_retained(&facts).iter().any(|line| line.starts_with(&format!("chain {stays} "))),
            "{stays}"
        );
    }
    assert!(
        outcome.iter().any(|line| line == "remove chain cali-FORWARD of ip filter (legacy)"),
        "{outcome:#?}"
    );
    assert!(!outcome.iter().any(|line| line.contains("MINE")), "{outcome:#?}");
    // The same from a built-in chain where the CNI has no jump.
    let rules = FLANNEL.replace("-A POSTROUTING", "-A OUTPUT");
    let facts = with("flannel", vec![table("nat", &rules)]);
    assert_eq!(super::outcomes(&facts), Vec::<String>::new());
    assert!(list_retained(&facts)[0].contains("the chain OUTPUT"), "{:?}", list_retained(&facts));
}

#[test]
fn what_another_cni_in_use_has_as_well_stays() {
    let mut facts = with("calico", vec![table("filter", CALICO)]);
    let mut other = beside("cilium");
    other.leaves = node("calico").profile.leaves.into_iter().collect();
    facts.in_use = vec![other];
    facts.kernel.sets = vec![SetFact { name: "cali40s:x".into(), kind: "hash:net".into() }];
    facts.kernel.nft_tables = vec![NftTableFact { family: 2, name: "calico".into(), handle: 1 }];
    assert_eq!(outcomes(&facts), Vec::<String>::new());
    // Five chains, the three rules that lead there or bear its hash, a set and a table.
    assert_eq!(list_retained(&facts).len(), 10, "{:#?}", list_retained(&facts));
}

#[test]
fn tables_of_nftables_and_sets_go_by_family_and_whole_name() {
    let mut facts = node("calico");
    let table = |family: u8, name: &str| NftTableFact { family, name: name.into(), handle: 7 };
    facts.kernel.nft_tables = vec![
        table(2, "calico"),
        table(10, "calico"),
        table(1, "calico"),
        table(3, "calico-arp"),
        table(2, "calico-mine"),
        table(2, "kube-proxy"),
        table(2, "filter"),
    ];
    let set = |name: &str| SetFact { name: name.into(), kind: "hash:net".into() };
    facts.kernel.sets = [
        "cali40s:abc",
        "cali60masq-ipam-pools",
        "cali",
        "cali50x",
        "calico-blocklist",
        "KUBE-CLUSTER-IP",
        "mine",
    ]
    .map(set)
    .into();
    assert_eq!(
        outcomes(&facts),
        [
            "remove table ip calico of nftables",
            "remove table ip6 calico of nftables",
            "remove table arp calico-arp of nftables",
            "remove ipset cali40s:abc",
            "remove ipset cali60masq-ipam-pools",
        ]
    );
}

/// *Source*: containernetworking/plugins: plugins/meta/portmap.
const PORTS: &str = r#"
-N CNI-HOSTPORT-DNAT
-N CNI-HOSTPORT-SETMARK
-N CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-N CNI-DN-bbbbbbbbbbbbbbbbbbbbb
-N CNI-DN-ccccccccccccccccccccc
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"cbr0\" id: \"gone\"" -m multiport --dports 8080 -j CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"cbr0\" id: \"lives\"" -m multiport --dports 8081 -j CNI-DN-bbbbbbbbbbbbbbbbbbbbb
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"cilium\" id: \"gone\"" -m multiport --dports 8082 -j CNI-DN-ccccccccccccccccccccc
-A CNI-DN-aaaaaaaaaaaaaaaaaaaaa -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.1.9:80
-A CNI-DN-bbbbbbbbbbbbbbbbbbbbb -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.244.1.10:80
"#;

#[test]
fn published_ports_go_only_of_sandboxes_that_are_gone_and_of_the_cni_s_network() {
    let mut facts = with("flannel", vec![table("nat", PORTS)]);
    facts.live = Some(["lives".to_owned()].into());
    let outcome = outcomes(&facts);
    assert_eq!(outcome.len(), 3, "{outcome:#?}");
    assert!(
        outcome[0].starts_with("remove rule CNI-HOSTPORT-DNAT") && outcome[0].contains("gone"),
        "{outcome:#?}"
    );
    assert_eq!(
        outcome[1..],
        [
            "empty chain CNI-DN-aaaaaaaaaaaaaaaaaaaaa of ip nat (legacy)",
            "remove chain CNI-DN-aaaaaaaaaaaaaaaaaaaaa of ip nat (legacy)"
        ]
    );
    // Two sandboxes whose rules lead to one chain keep it while one of them lives.
    let rules = PORTS.replace("CNI-DN-bbbbbbbbbbbbbbbbbbbbb", "CNI-DN-aaaaaaaaaaaaaaaaaaaaa").replacen(
        "-N CNI-DN-aaaaaaaaaaaaaaaaaaaaa\n",
        "",
        1,
    );
    facts.kernel.firewall = vec![table("nat", &rules)];
    assert_eq!(super::outcomes(&facts).len(), 1, "{:#?}", super::outcomes(&facts));
    // The rule is gone already, because a clean-up was interrupted; another chain without a rule may be an ADD's that runs.
    let rules = PORTS.lines().filter(|line| !line.contains("id: "));
    facts.kernel.firewall = vec![table("nat", &rules.collect::<Vec<_>>().join("\n"))];
    assert_eq!(super::outcomes(&facts), Vec::<String>::new());
    facts.earlier.chains = ["CNI-DN-aaaaaaaaaaaaaaaaaaaaa".to_owned()].into();
    assert_eq!(super::outcomes(&facts).len(), 2, "{:#?}", super::outcomes(&facts));
    facts.kernel.firewall = vec![table("nat", PORTS)];
    // It is not known which sandboxes live.
    facts.live = None;
    assert_eq!(super::outcomes(&facts), Vec::<String>::new());
    assert!(list_retained(&facts)[0].contains("the runtime was not asked"), "{:?}", list_retained(&facts));
    let other = with("calico", vec![table("nat", PORTS)]);
    assert_eq!(super::outcomes(&other), Vec::<String>::new());
}
