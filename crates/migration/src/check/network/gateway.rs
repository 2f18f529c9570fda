//! Addresses of the new CNI's routers that are in use already.
//!
//! *Source*: antrea-io/antrea: pkg/agent/agent.go (antrea-gw0 has the first address of the node's pod CIDR); flannel-io/flannel: Documentation/backends.md
//! (flannel.1 has the network address, cni0 the first one); Cilium's `CiliumNode`. Antrea's issue 5578 has Calico's pods on such addresses.

use std::net::IpAddr;

use snapshot::model::{Kind, TUNNELS};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::{Routers, subject};
use crate::cni::support::Cni;
use snapshot::Range;

pub(in crate::check) const CHECK: Check = Check {
    name: "gateway",
    rules: &[&GATEWAY_CONFLICT],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::POD),
        Need::Always(Kind::SERVICE),
        Need::From(Cni::Calico, Kind::IPAM_BLOCK),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE),
        Need::To(Cni::Cilium, Kind::CONFIG_MAP),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let routers = scene.to.driver().routers(scene.snapshot);
    if routers.is_empty() {
        return Vec::new();
    }
    let conflicts = address_owners(scene, &routers);
    if conflicts.is_empty() { Vec::new() } else { vec![finding(scene, conflicts)] }
}

/// Who has the address of a router. Pods that the new network attached have addresses of it, but never that of a router.
fn address_owners(scene: &Scene<'_>, routers: &Routers<'_>) -> Vec<(IpAddr, Subject)> {
    let snapshot = scene.snapshot;
    let mut conflicts = Vec::new();
    let mut add = |address: IpAddr, subject: &dyn Fn() -> Subject| {
        if let Some((device, node)) = routers.get(&address) {
            let owner = subject().detail(format!("{address} is that of {device} on {node}"));
            conflicts.push((address, owner));
        }
    };
    for pod in &snapshot.pods {
        pod.network_ips().for_each(|address| add(address, &|| Subject::from_meta(Kind::POD, &pod.metadata)));
    }
    for node in &snapshot.nodes {
        let own = node.addresses("InternalIP").chain(node.addresses("ExternalIP"));
        let tunnels = TUNNELS.iter().filter_map(|key| node.metadata.annotation(key));
        for address in
            own.chain(tunnels.filter(|_| scene.from == Cni::Calico)).filter_map(|text| text.parse().ok())
        {
            add(address, &|| Subject::from_meta(Kind::NODE, &node.metadata));
        }
    }
    for service in &snapshot.services {
        for address in service.spec.cluster_ips.iter().filter_map(|address| address.parse().ok()) {
            add(address, &|| Subject::from_meta(Kind::SERVICE, &service.metadata));
        }
    }
    if scene.from == Cni::Calico {
        for block in snapshot.objects(Kind::IPAM_BLOCK) {
            let Some(Ok((range, _))) = block.text("/spec/cidr").map(Range::read) else { continue };
            let used = block.list("/spec/allocations").iter().enumerate().filter(|(_, used)| !used.is_null());
            for address in used.filter_map(|(index, _)| range.address(index as u128)) {
                add(address, &|| subject(Kind::IPAM_BLOCK, block));
            }
        }
    }
    conflicts
}

const GATEWAY_CONFLICT: Rule = Severity::Blocks.rule(
    "gateway-conflict",
    "A pod, a Service, a node or a tunnel has an address that a router of the new network has or will have (`antrea-gw0`, `cni0`, `cilium_host`).",
    "Two devices answer for one address. The pod is not reachable from the new network, or the node loses its way to all of its new pods.",
    "Reserve the address in the old network, delete the pods that have it, and check again.",
);

fn finding(scene: &Scene<'_>, conflicts: Vec<(IpAddr, Subject)>) -> Finding {
    let to = scene.to;
    let what =
        format!("Pods, Services, nodes or tunnels have addresses that routers of {to} have or will have.");
    let mut steps = vec![format!("Before {to} gives its first pod an address:")];
    let (addresses, subjects): (Vec<IpAddr>, Vec<Subject>) = conflicts.into_iter().unzip();
    let mut addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if scene.from == Cni::Calico {
        let list: String = addresses.iter().map(|address| format!("  - {address}\n")).collect();
        steps.push(format!(
            "\n1. Keep Calico from giving these addresses out again: calicoctl apply -f - with\n```\napiVersion: projectcalico.org/v3\nkind: IPReservation\nmetadata:\n  name: crossfade-routers\nspec:\n  reservedCIDRs:\n{list}```\n2. "
        ));
    }
    let mut pods: Vec<String> = subjects
        .iter()
        .filter(|subject| subject.kind == Kind::POD.name())
        .map(|subject| format!("kubectl -n {} delete pod {}", subject.namespace, subject.name))
        .collect();
    pods.dedup();
    let more = pods.len().saturating_sub(10);
    pods.truncate(10);
    if !pods.is_empty() {
        let rest = if more == 0 { String::new() } else { format!(" and {more} more; -o json lists all") };
        steps.push(format!("Let the pods get other addresses: {}{rest}.\n", pods.join("; ")));
    }
    steps.push("Check again. An address of a node or a Service cannot move: choose another range for the new network instead.".into());
    Finding::new(&GATEWAY_CONFLICT).what(what).fix(steps.join(" ")).with_objects(subjects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::{Value, json};

    fn node(name: &str, range: &str) -> (Kind, Value) {
        object(
            Kind::NODE,
            name,
            json!({"spec": {"podCIDR": range}, "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]}}),
        )
    }

    fn pod(ip: &str) -> (Kind, Value) {
        let status = json!({"phase": "Running", "podIPs": [{"ip": ip}]});
        object(
            Kind::POD,
            "web",
            json!({"metadata": {"namespace": "default"}, "spec": {"nodeName": "b"}, "status": status}),
        )
    }

    fn list_findings(to: Cni, objects: Vec<(Kind, Value)>) -> Vec<String> {
        let findings = Case::new(Cni::Calico, to, objects).findings(&CHECK);
        findings
            .iter()
            .flat_map(|finding| &finding.objects)
            .map(|subject| format!("{subject} {}", subject.detail))
            .collect()
    }

    /// The pods of Antrea's issue 5578 have addresses that end in .1.
    #[test]
    fn a_pod_on_a_routers_address_is_found() {
        let found_at =
            |range: &str, ip: &str| list_findings(Cni::Antrea, vec![node("a", range), pod(ip)]).len();
        assert_eq!(found_at("10.10.72.0/24", "10.10.72.1"), 1);
        assert_eq!(found_at("10.10.72.0/24", "10.10.72.2"), 0);
        assert_eq!(found_at("10.10.20.0/24", "10.10.72.1"), 0);
        assert_eq!(found_at("fd00:72::/64", "fd00:72::1"), 1);
        let findings = list_findings(Cni::Flannel, vec![node("a", "10.10.72.0/24"), pod("10.10.72.0")]);
        assert_eq!(findings, ["Pod/default/web 10.10.72.0 is that of flannel.1 on a"]);
    }

    #[test]
    fn a_tunnel_an_allocation_a_node_and_a_service_are_found() {
        let key = "projectcalico.org/IPv4IPIPTunnelAddr";
        let with_tunnel =
            |address: &str| object(Kind::NODE, "b", json!({"metadata": {"annotations": {key: address}}}));
        let block = |allocations: Value| {
            object(
                Kind::IPAM_BLOCK,
                "x",
                json!({"spec": {"cidr": "10.10.72.0/30", "allocations": allocations}}),
            )
        };
        let service = |ip: &str| {
            object(Kind::SERVICE, "s", json!({"metadata": {"namespace": "x"}, "spec": {"clusterIPs": [ip]}}))
        };
        for (entry, is_found) in [
            (with_tunnel("10.10.72.1"), true),
            (with_tunnel("10.10.72.64"), false),
            (block(json!([null, 0, null, null])), true),
            (block(json!([0, null, null, null])), false),
            (service("10.10.72.1"), true),
            (service("None"), false),
        ] {
            let objects = vec![node("a", "10.10.72.0/24"), entry.clone()];
            assert_eq!(list_findings(Cni::Antrea, objects).len(), usize::from(is_found), "{entry:?}");
        }
        assert_eq!(list_findings(Cni::Antrea, vec![node("a", "192.168.0.0/24")]).len(), 1);
    }

    #[test]
    fn cilium_says_its_routers_itself() {
        let config = object(Kind::CONFIG_MAP, "cilium-config", json!({"data": {}}));
        let spec = json!({"addresses": [{"type": "CiliumInternalIP", "ip": "10.20.0.7"}, {"type": "InternalIP", "ip": "192.168.0.1"}],
            "health": {"ipv4": "10.20.0.9"}});
        let node = object(Kind::CILIUM_NODE, "a", json!({"spec": spec}));
        for (ip, count) in [("10.20.0.7", 1), ("10.20.0.9", 1), ("10.20.0.8", 0)] {
            assert_eq!(
                list_findings(Cni::Cilium, vec![config.clone(), node.clone(), pod(ip)]).len(),
                count,
                "{ip}"
            );
        }
    }
}
