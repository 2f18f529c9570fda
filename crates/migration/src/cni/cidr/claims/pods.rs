//! Addresses of running pods that no range explains.

use std::collections::HashMap;

use snapshot::model::Kind;
use types::policy::PROBE_NAMESPACE;

use super::Claims;
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::cidr::{Claim, Usage};
use crate::cni::support::Cni;
use snapshot::{Range, merge};

/// The pods of the old network with an address in a range of the new one: fixed addresses, or those of a pool that is gone. Of the Amazon
/// VPC CNI every pod, since it has no ranges of its own.
pub(super) fn add_old_claims(scene: &Scene<'_>, claims: &mut Claims) {
    let of_nodes = ranges_by_node(&claims.all);
    let is_new = Ranges::filter(&claims.all, Usage::is_new);
    let is_old = Ranges::filter(&claims.all, |used| used.is_pods() && !used.is_new());
    let is_all = scene.from == Cni::AwsVpcCni;
    let mut old_claims = Vec::new();
    // Agents that probe are on either network by a rule of their nodes, and go before the old one does.
    for pod in scene.snapshot.pods.iter().filter(|pod| pod.namespace() != PROBE_NAMESPACE) {
        for address in pod.network_ips().map(Range::from_address) {
            let is_stray = is_new.contains(address) && !is_old.contains(address);
            let of_node = of_nodes.get(pod.spec.node_name.as_ref());
            let is_moved = of_node.is_some_and(|all| all.iter().any(|range| range.contains(address)));
            if (is_all || is_stray) && !is_moved {
                let source = Subject::from_meta(Kind::POD, &pod.metadata);
                old_claims
                    .push(Claim::new(address, Usage::OldAddress, source).with_node(&pod.spec.node_name));
            }
        }
    }
    claims.all.extend(old_claims);
}

/// The ranges from which the new CNI gives addresses to pods of a node, those that it borrows included.
fn ranges_by_node(all: &[Claim]) -> HashMap<&str, Vec<Range>> {
    let mut ranges: HashMap<&str, Vec<Range>> = HashMap::new();
    for claim in all.iter().filter(|claim| claim.usage == Usage::NewNode) {
        for node in claim.node.iter().chain(&claim.borrowers) {
            ranges.entry(node.as_ref()).or_default().push(claim.range);
        }
    }
    ranges
}

/// Ranges that are apart, in order.
struct Ranges(Vec<Range>);

impl Ranges {
    fn filter(all: &[Claim], is_meant: impl Fn(Usage) -> bool) -> Self {
        Self(merge(all.iter().filter(|claim| is_meant(claim.usage)).map(|claim| claim.range).collect()))
    }

    fn contains(&self, address: Range) -> bool {
        let key = |range: &Range| (range.is_v6(), range.ends().0);
        let after = self.0.partition_point(|range| key(range) <= key(&address));
        after.checked_sub(1).is_some_and(|index| self.0[index].contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather;
    use super::*;
    use crate::check::tests::Case;

    fn strays(pod: &str, from: Cni) -> Vec<String> {
        let cluster = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\n\
            apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.10.0.0/16}\n---\n\
            apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\ndata: {cluster-pool-ipv4-cidr: 10.20.0.0/16}\n---\n\
            apiVersion: cilium.io/v2\nkind: CiliumNode\nmetadata: {name: a}\nspec: {ipam: {podCIDRs: [10.20.1.0/24]}}\n---\n\
            apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: x}\n";
        let case = Case::from_yaml(&format!("{cluster}{pod}")).pair(from, Cni::Cilium);
        let all = gather(&case.scene()).all;
        let pods = all.into_iter().filter(|claim| claim.usage == Usage::OldAddress);
        pods.map(|claim| claim.range.to_string()).collect()
    }

    #[test]
    fn a_pod_of_the_old_network_with_an_address_of_the_new_one_is_seen() {
        let pod = |node: &str, ip: &str| {
            format!("spec: {{nodeName: {node}}}\nstatus: {{phase: Running, podIPs: [{{ip: {ip}}}]}}\n")
        };
        for (node, ip, from, is_found) in [
            ("a", "10.20.9.9", Cni::Calico, true),
            // The new network's own pod, on the node that has its range and on another.
            ("a", "10.20.1.9", Cni::Calico, false),
            ("b", "10.20.1.9", Cni::Calico, true),
            ("a", "10.10.9.9", Cni::Calico, false),
            ("a", "192.168.0.9", Cni::Calico, false),
            ("a", "192.168.0.9", Cni::AwsVpcCni, true),
            ("a", "10.20.1.9", Cni::AwsVpcCni, false),
        ] {
            let strays = strays(&pod(node, ip), from);
            assert_eq!(
                strays,
                Vec::from_iter(is_found.then(|| format!("{ip}/32"))),
                "{ip} on {node} from {from}"
            );
        }
        let of_agents = Case::from_yaml(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: new-x, namespace: crossfade-probe}}\n{}",
            pod("a", "192.168.0.9")
        ));
        let claims = gather(&of_agents.pair(Cni::AwsVpcCni, Cni::Cilium).scene()).all;
        assert!(claims.iter().all(|claim| claim.usage != Usage::OldAddress), "{claims:?}");
        assert!(
            strays(&pod("a", "10.20.9.9").replace("spec: {", "spec: {hostNetwork: true, "), Cni::Calico)
                .is_empty()
        );
    }
}
