//! Claims of other CNIs, which keep objects from being removed.

use crate::commands::cleanup::decide::tests::*;

/// Each of the reasons alone, by a change of a node on which nothing stands in the way.
#[test]
fn each_thing_that_needs_the_network_refuses_by_itself() {
    type Change = fn(&mut CleanupFacts);
    let all: [(&str, Change); 13] = [
        ("records cannot be read", |facts| facts.claims.damaged = vec!["/x".into()]),
        ("are on record", |facts| facts.claims.records = vec!["c1 eth0".into()]),
        ("before Crossfade", |facts| facts.claims.inventory = vec!["c1 eth0".into()]),
        ("the policy attaches", |facts| facts.claims.attached = vec!["old".into()]),
        ("has what flannel leaves", |facts| facts.in_use = vec![beside("canal")]),
        ("has what flannel leaves", |facts| facts.in_use = vec![beside("flannel")]),
        ("the conf that the runtime uses", |facts| {
            facts.used_conf = Some("/etc/cni/net.d/10-flannel.conflist".into())
        }),
        ("the agent of flannel runs", |facts| facts.agents = vec!["flanneld (process 7)".into()]),
        ("the agent of flannel answers", |facts| facts.answering = vec!["/x.sock".into()]),
        ("not everything can be read", |facts| facts.kernel.unread = vec!["ipsets: no".into()]),
        ("hold addresses of flannel", |facts| {
            facts.files.leases = vec![crate::commands::cleanup::facts::LeaseFact {
                path: "/var/lib/cni/networks/cbr0".into(),
                network: "cbr0".into(),
                count: 1,
                container_ids: vec!["c1".into()],
                live: vec!["c1".into()],
            }];
        }),
        ("pods live on flannel", |facts| {
            let link = |index, name: &str, kind: &str, master| crate::commands::cleanup::kernel::LinkFact {
                index,
                name: name.into(),
                kind: Some(kind.into()),
                master,
                ..Default::default()
            };
            facts.kernel.links = vec![link(1, "cni0", "bridge", None), link(2, "veth1", "veth", Some(1))];
        }),
        ("", |facts| facts.in_use = vec![beside("cilium")]),
    ];
    for (why, change) in all {
        let mut facts = node("flannel");
        change(&mut facts);
        let refusals = decide(&facts).refusals;
        if why.is_empty() {
            assert!(refusals.is_empty(), "{refusals:?}");
            continue;
        }
        assert!(refusals.len() == 1 && refusals[0].what.contains(why), "{why}: {refusals:?}");
        assert!(!refusals[0].fix.is_empty() && !refusals[0].place.is_empty(), "{refusals:?}");
    }
}

#[test]
fn many_of_a_kind_are_counted() {
    let mut facts = node("flannel");
    facts.claims.records = (0..12).map(|index| format!("c{index} eth0")).collect();
    let refusals = decide(&facts).refusals;
    assert!(refusals[0].what.ends_with("c4 eth0, and 7 more"), "{refusals:?}");
}
