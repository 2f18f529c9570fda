use super::CHECK;
use crate::check::tests::{Case, objects};
use crate::cni::support::{Cni, Strategy};

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
    Case::from_yaml(&CLUSTER.replace("POOL", pool).replace("BLOCK", block)).pair(Cni::Calico, Cni::Antrea)
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
    let case = Case::from_yaml(&link_local).pair(Cni::Calico, Cni::Antrea);
    assert_eq!(case.codes(&CHECK), ["cidr-overlap-reserved"]);
    assert!(apart().codes(&CHECK).is_empty());
}

/// Broken connections that the operator has not accepted are not proposed.
#[test]
fn two_halves_are_a_way_only_once_the_operator_accepts_them() {
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
    let node = |index: usize| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: worker{index}}}\nspec: {{podCIDRs: [10.10.{index}.0/24]}}\n---\n"
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
    let case =
        Case::from_yaml(&yaml).pair(Cni::Calico, Cni::Antrea).config("cidrs: {drainAtMostPercent: 25}");
    let overlaps = objects(&case.finding(&CHECK, "cidr-overlap-block"));
    assert_eq!(overlaps.len(), 3, "{overlaps:?}");
    for (cidr, node) in hit {
        assert!(
            overlaps.iter().any(|item| item.contains(&format!("{cidr} on worker{node} "))),
            "{cidr}: {overlaps:?}"
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
    // Cilium takes the range of the node with one setting alone.
    for (ipam, is_same) in [("kubernetes", true), ("cluster-pool", false)] {
        let cluster = CLUSTER.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
        let config = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{ipam: {ipam}, cluster-pool-ipv4-cidr: 10.20.0.0/16}}\n"
        );
        let case = Case::from_yaml(&format!("{cluster}{config}")).pair(Cni::Flannel, Cni::Cilium);
        assert_eq!(case.codes(&CHECK).contains(&"cidr-same-on-node"), is_same, "{ipam}");
    }
}

#[test]
fn a_pool_of_load_balancers_gives_no_pod_an_address() {
    let with = |uses: &str| {
        let pool = format!(
            "---\napiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {{name: vips}}\nspec: {{cidr: 10.10.1.128/25, allowedUses: {uses}}}\n"
        );
        let cluster = CLUSTER.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
        Case::from_yaml(&format!("{cluster}{pool}")).pair(Cni::Calico, Cni::Antrea)
    };
    let finding = with("[LoadBalancer]").finding(&CHECK, "cidr-overlap-services");
    assert_eq!(objects(&finding), ["IPPool/vips: 10.10.1.128/25 overlaps 10.10.1.0/24 of b"]);
    // Nothing is drained or moved for the addresses of Services.
    assert_eq!(with("[LoadBalancer]").codes(&CHECK), ["cidr-overlap-services"]);
    assert!(with("[Tunnel]").codes(&CHECK).contains(&"cidr-overlap-pool"));
}

#[test]
fn with_host_local_addresses_both_cnis_give_those_of_the_node() {
    let conf = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: calico-config, namespace: kube-system}\ndata: {cni_network_config: '{\"plugins\": [{\"type\": \"calico\", \"ipam\": {\"type\": \"IPAM\", \"subnet\": \"usePodCidr\"}}]}'}\n";
    let cluster = CLUSTER.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
    let with = |ipam: &str| {
        Case::from_yaml(&format!("{cluster}{}", conf.replace("IPAM", ipam))).pair(Cni::Calico, Cni::Antrea)
    };
    let case = with("host-local").strategy(Strategy::Bridge);
    assert!(case.codes(&CHECK).contains(&"cidr-same-on-node"), "{:?}", case.codes(&CHECK));
    // No pool leads out of it.
    let plan = case.finding(&CHECK, "cidr-plan");
    assert!(plan.fix.contains("Move by rotation") && !plan.fix.contains("Move the old pool"), "{}", plan.fix);
    assert!(with("calico-ipam").codes(&CHECK).is_empty());
    let operator = format!(
        "{cluster}---\napiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {{name: default}}\nspec: {{cni: {{ipam: {{type: HostLocal}}}}}}\n"
    );
    let case = Case::from_yaml(&operator).pair(Cni::Calico, Cni::Antrea).strategy(Strategy::Bridge);
    assert!(case.codes(&CHECK).contains(&"cidr-same-on-node"));
    // The same where Calico is the new CNI.
    let to = with("host-local").pair(Cni::Flannel, Cni::Calico).strategy(Strategy::Bridge);
    assert!(to.codes(&CHECK).contains(&"cidr-same-on-node"));
}

#[test]
fn a_range_of_a_family_that_is_off_does_not_count() {
    let with = |is_on: &str| {
        let config = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{cluster-pool-ipv4-cidr: 10.20.0.0/16, cluster-pool-ipv6-cidr: \"fd00::/104\", enable-ipv6: \"{is_on}\"}}\n"
        );
        let cluster = CLUSTER
            .replace("POOL", "\"fd00::/112\"")
            .replace("BLOCK", "\"fd00::40/122\"")
            .replace(", blockSize: 26", "");
        Case::from_yaml(&format!("{cluster}{config}")).codes(&CHECK)
    };
    assert!(with("true").contains(&"cidr-overlap-pool"));
    assert!(with("false").is_empty(), "{:?}", with("false"));
}

#[test]
fn the_second_range_of_flannel_counts_only_with_ipv6() {
    let with = |key: &str| {
        let conf = format!(
            "{{\"Network\": \"10.244.0.0/16\", \"IPv6Network\": \"fd00::/112\"{key}, \"Backend\": {{\"Type\": \"vxlan\"}}}}"
        );
        Case::from_yaml(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kube-flannel-cfg, namespace: kube-flannel}}\ndata: {{net-conf.json: '{conf}'}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{cluster-pool-ipv4-cidr: 10.20.0.0/16, cluster-pool-ipv6-cidr: \"fd00::/104\"}}\n"
        ))
        .pair(Cni::Flannel, Cni::Cilium)
        .codes(&CHECK)
    };
    assert!(with(", \"EnableIPv6\": true").contains(&"cidr-overlap-pool"));
    assert!(with("").is_empty(), "{:?}", with(""));
}

#[test]
fn addresses_that_lead_to_services_are_no_pods() {
    for (service, is_found) in [
        ("spec: {externalIPs: [10.10.1.9]}", true),
        ("spec: {externalIPs: [10.11.1.9]}", false),
        ("spec: {type: LoadBalancer, loadBalancerIP: 10.10.1.9}", true),
        ("spec: {type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [{ip: 10.10.1.9}]}}", true),
        ("spec: {type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [{hostname: lb.example}]}}", false),
    ] {
        let cluster = CLUSTER.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
        let text = format!(
            "{cluster}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: x}}\n{service}\n"
        );
        let codes = Case::from_yaml(&text).pair(Cni::Calico, Cni::Antrea).codes(&CHECK);
        assert_eq!(codes, &["cidr-overlap-services"][usize::from(!is_found)..], "{service}");
    }
}

#[test]
fn addresses_that_lead_to_ingresses_are_no_pods() {
    for (status, is_found) in [
        ("{loadBalancer: {ingress: [{ip: 10.10.1.9}]}}", true),
        ("{loadBalancer: {ingress: [{hostname: lb.example}, {ip: 10.10.1.9}]}}", true),
        ("{loadBalancer: {ingress: [{ip: 10.11.1.9}]}}", false),
        ("{loadBalancer: {ingress: [{hostname: lb.example}]}}", false),
        ("{}", false),
    ] {
        let cluster = CLUSTER.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
        let text = format!(
            "{cluster}---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: x}}\nstatus: {status}\n"
        );
        let case = Case::from_yaml(&text).pair(Cni::Calico, Cni::Antrea);
        assert_eq!(case.codes(&CHECK), &["cidr-overlap-services"][usize::from(!is_found)..], "{status}");
        if is_found {
            let finding = case.finding(&CHECK, "cidr-overlap-services");
            assert_eq!(finding.objects[0].to_string(), "Ingress/x/web");
        }
    }
}

#[test]
fn addresses_of_gateways_are_no_pods() {
    for (status, is_found) in [
        ("{addresses: [{type: IPAddress, value: 10.10.1.9}]}", true),
        ("{addresses: [{value: 10.10.1.9}]}", true),
        ("{addresses: [{type: Hostname, value: lb.example}, {type: IPAddress, value: 10.10.1.9}]}", true),
        ("{addresses: [{type: IPAddress, value: 10.11.1.9}]}", false),
        ("{addresses: [{type: Hostname, value: lb.example}]}", false),
        ("{addresses: [{type: networking.example/name, value: 10.10.1.9}]}", false),
        ("{}", false),
    ] {
        let cluster = CLUSTER.replace("POOL", "192.168.0.0/16").replace("BLOCK", "192.168.3.0/26");
        let text = format!(
            "{cluster}---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: web, namespace: x}}\nstatus: {status}\n"
        );
        let case = Case::from_yaml(&text).pair(Cni::Calico, Cni::Antrea);
        assert_eq!(case.codes(&CHECK), &["cidr-overlap-services"][usize::from(!is_found)..], "{status}");
        if is_found {
            let finding = case.finding(&CHECK, "cidr-overlap-services");
            assert_eq!(finding.objects[0].to_string(), "Gateway/x/web");
        }
    }
}

#[test]
fn a_range_of_pods_that_cannot_be_read_blocks() {
    use crate::check::finding::Severity;
    let severity = |pool: &str| {
        let findings = cluster(pool, "192.168.3.0/26").findings(&CHECK);
        findings
            .iter()
            .find(|candidate| candidate.rule.code == "cidr-invalid")
            .map(|candidate| candidate.severity)
    };
    assert_eq!(severity("192.168.0.0/33"), Some(Severity::Blocks));
    assert_eq!(severity("192.168.0.1/16"), Some(Severity::Risk));
    assert_eq!(severity("192.168.0.0/16"), None);
    let node = CLUSTER
        .replace("10.10.1.0/24", "10.10.1.0")
        .replace("POOL", "192.168.0.0/16")
        .replace("BLOCK", "192.168.3.0/26");
    let finding = Case::from_yaml(&node).pair(Cni::Calico, Cni::Antrea).finding(&CHECK, "cidr-invalid");
    assert_eq!((finding.severity, finding.objects[0].to_string()), (Severity::Blocks, "Node/b".to_owned()));
}
