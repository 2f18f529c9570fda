use super::CHECK;
use crate::check::tests::{Case, objects};
use crate::support::{Cni, Strategy};

/// Blocks of Calico on three nodes, and the ranges that Antrea takes from the nodes.
const CLUSTER: &str = "\
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDRs: [10.10.0.0/24]}
---
apiVersion: v1
kind: Node
metadata: {name: b}
spec: {podCIDRs: [10.10.1.0/24]}
---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: default}
spec: {cidr: POOL, blockSize: 26}
---
apiVersion: crd.projectcalico.org/v1
kind: IPAMBlock
metadata: {name: block}
spec: {cidr: BLOCK, affinity: \"host:a\"}
";

fn cluster(pool: &str, block: &str) -> Case {
    Case::of(&CLUSTER.replace("POOL", pool).replace("BLOCK", block)).pair(Cni::Calico, Cni::Antrea)
}

fn apart() -> Case {
    cluster("192.168.0.0/16", "192.168.3.0/26")
}

#[test]
fn what_the_settings_name_is_not_for_pods() {
    for (settings, code) in [
        ("cidrs: {external: [10.10.1.128/25]}", Some("cidr-overlap-external")),
        ("cidrs: {external: [10.10.2.0/24]}", None),
        ("cidrs: {reserved: [10.10.0.1/32]}", Some("cidr-overlap-reserved")),
        ("cidrs: {reserved: [10.9.255.0/24]}", None),
        ("cidrs: {services: [10.0.0.0/8]}", Some("cidr-overlap-services")),
        ("cidrs: {nodes: [10.10.1.0/24]}", Some("cidr-overlap-nodes")),
    ] {
        let case = apart().config(settings);
        assert_eq!(case.codes(&CHECK), code.into_iter().collect::<Vec<_>>(), "{settings}");
    }
    let finding =
        apart().config("cidrs: {external: [10.10.1.128/25]}").finding(&CHECK, "cidr-overlap-external");
    assert_eq!(objects(&finding), ["Setting/cidrs.external: 10.10.1.128/25 overlaps 10.10.1.0/24 of b"]);
}

#[test]
fn a_range_that_no_network_may_have_is_found() {
    let link_local = CLUSTER.replace("10.10.1.0/24", "169.254.1.0/24");
    let link_local = link_local.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
    let case = Case::of(&link_local).pair(Cni::Calico, Cni::Antrea);
    assert_eq!(case.codes(&CHECK), ["cidr-overlap-reserved"]);
    assert!(apart().codes(&CHECK).is_empty());
}

/// Nobody proposes broken connections that nobody has accepted.
#[test]
fn two_halves_are_a_way_only_for_whoever_accepts_them() {
    let case = || cluster("10.10.0.0/16", "10.10.1.64/26");
    let plan = case().finding(&CHECK, "cidr-plan");
    assert!(plan.fix.contains("transition.acceptTwoHalves"), "{}", plan.fix);
    assert!(!case().codes(&CHECK).contains(&"cidr-two-halves"));
    let accepting = case().config("transition: {acceptTwoHalves: \"a window on Sunday\"}");
    let halves = accepting.finding(&CHECK, "cidr-two-halves");
    assert!(halves.what.contains("a window on Sunday"), "{}", halves.what);
    assert!(!accepting.finding(&CHECK, "cidr-plan").fix.contains("acceptTwoHalves"));
    // Where nothing overlaps, there is nothing to accept.
    let idle = apart().config("transition: {acceptTwoHalves: \"a window on Sunday\"}");
    assert!(idle.codes(&CHECK).is_empty());
}

/// The numbers of Antrea's issue 5578: 21 nodes with a /24 each, and three blocks of Calico that lie in another node's.
#[test]
fn the_three_nodes_of_the_issue_break_and_no_other() {
    let node = |at: usize| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: worker{at}}}\nspec: {{podCIDRs: [10.10.{at}.0/24]}}\n---\n"
        )
    };
    let block = |(cidr, node): (&str, usize)| {
        let name = cidr.replace(['.', '/'], "-");
        format!(
            "apiVersion: crd.projectcalico.org/v1\nkind: IPAMBlock\nmetadata: {{name: {name}}}\nspec: {{cidr: {cidr}, affinity: \"host:worker{node}\"}}\n---\n"
        )
    };
    let hit = [("10.10.4.128/26", 3), ("10.10.6.64/26", 11), ("10.10.8.128/26", 5)];
    let free = [("10.10.39.0/26", 1), ("10.10.72.0/26", 2), ("10.10.253.0/26", 12)];
    let pool = "apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: default}\nspec: {cidr: 10.10.0.0/16, disabled: true}\n";
    let yaml: String =
        (0..21).map(node).chain(hit.into_iter().chain(free).map(block)).chain([pool.to_owned()]).collect();
    let case = Case::of(&yaml).pair(Cni::Calico, Cni::Antrea).config("cidrs: {drainAtMostPercent: 25}");
    let found = objects(&case.finding(&CHECK, "cidr-overlap-block"));
    assert_eq!(found.len(), 3, "{found:?}");
    for (cidr, node) in hit {
        assert!(
            found.iter().any(|one| one.contains(&format!("{cidr} on worker{node} "))),
            "{cidr}: {found:?}"
        );
    }
    let plan = case.finding(&CHECK, "cidr-plan");
    assert!(plan.fix.contains("kubectl cordon worker11 worker3 worker5"), "{}", plan.fix);
}

#[test]
fn two_networks_that_take_the_nodes_range_give_the_same_addresses() {
    let case = || apart().pair(Cni::Flannel, Cni::Antrea);
    let finding = case().finding(&CHECK, "cidr-same-on-node");
    assert!(finding.blocks() && finding.fix.contains("--strategy rotation"), "{finding:?}");
    let rotation = case().strategy(Strategy::Rotation).finding(&CHECK, "cidr-same-on-node");
    assert!(!rotation.blocks() && rotation.fix.starts_with("Nothing"), "{rotation:?}");
    let own = case().pair(Cni::Flannel, Cni::Cilium).config("networks: {new: {cidrs: [10.20.0.0/16]}}");
    assert!(!own.codes(&CHECK).contains(&"cidr-same-on-node"));
}
