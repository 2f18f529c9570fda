//! Objects that stay the same and mean something else with the new CNI.

use serde_json::Value;
use snapshot::model::{Kind, Object};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cidr;
use crate::cni::cilium;
use crate::cni::network::{is_yes, subject};
use crate::cni::support::Cni;
use crate::workload::release;
use snapshot::Range;

pub(in crate::check) const CHECK: Check = Check {
    name: "meaning",
    rules: &[
        &MEANING_END_PORT,
        &MEANING_EXTERNAL_LOCAL,
        &MEANING_IP_BLOCK,
        &MEANING_NAMED_PORT,
        &MEANING_SCTP,
    ],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::SERVICE),
        Need::Always(Kind::NETWORK_POLICY),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::CONFIG_MAP),
        Need::With(Cni::Calico, Kind::IP_POOL),
        Need::With(Cni::Calico, Kind::IPAM_BLOCK),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(named_ports(scene));
    findings.extend(external_local(scene));
    if scene.to == Cni::Cilium {
        findings.extend(ip_blocks(scene));
        findings.extend(end_ports(scene));
        findings.extend(sctp(scene));
    }
    findings
}

/// The policies that have something in their rules, each with what it is.
fn having<'s>(scene: &Scene<'s>, find: impl Fn(&'s Object) -> Option<String>) -> Vec<Subject> {
    let all = scene.snapshot.objects(Kind::NETWORK_POLICY).iter();
    all.filter_map(|policy| Some(subject(Kind::NETWORK_POLICY, policy).detail(find(policy)?))).collect()
}

/// The rules of a policy, of both directions, as `(peers, ports)`.
fn rules(policy: &Object) -> impl Iterator<Item = (&[Value], &[Value])> {
    fn list<'v>(rule: &'v Value, key: &str) -> &'v [Value] {
        rule.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    let items_of = |key: &'static str, peers: &'static str| {
        policy.list(key).iter().map(move |rule| (list(rule, peers), list(rule, "ports")))
    };
    items_of("/spec/ingress", "from").chain(items_of("/spec/egress", "to"))
}

fn ports(policy: &Object) -> impl Iterator<Item = &Value> {
    rules(policy).flat_map(|(_, ports)| ports)
}

const MEANING_IP_BLOCK: Rule = Severity::Risk.rule(
    "meaning-ip-block",
    "NetworkPolicies have ipBlocks that cover pods or nodes, and Cilium matches only addresses outside the cluster by an ipBlock.",
    "Once Cilium enforces policies, such a rule no longer allows pods, not even one with 0.0.0.0/0. Traffic from nodes, such as that of ingress controllers with the nodes' network, is refused too.",
    "In each rule, add a peer that selects the pods: {podSelector: {}, namespaceSelector: {}} for all of them, or the labels that are meant. For nodes, set the Helm value policyCIDRMatchMode=nodes. Both mean the same to the old CNI, so do it before the migration.",
);

/// *Source*: Cilium's documentation, "Layer 3 policies", CIDR based; cilium/cilium#9209, #19601; PR 27464 (policy-cidr-match-mode).
fn ip_blocks(scene: &Scene<'_>) -> Option<Finding> {
    let claims = cidr::gather(scene);
    let nodes_match = cilium::setting(scene.snapshot, "policy-cidr-match-mode")
        .is_some_and(|mode| mode.value.contains("nodes"));
    let pods: Vec<Range> = snapshot::merge(
        claims.all.iter().filter(|claim| claim.usage.is_pods()).map(|claim| claim.range).collect(),
    );
    let nodes: Vec<Range> = claims
        .all
        .iter()
        .filter(|claim| claim.usage == cidr::Usage::Node && claim.source.kind == Kind::NODE.name())
        .map(|claim| claim.range)
        .collect();
    let overlaps = |range: Range, all: &[Range]| all.iter().any(|candidate| candidate.overlaps(range));
    let objects = having(scene, |policy| {
        let blocks = rules(policy).flat_map(|(peers, _)| {
            // Beside a peer that selects pods by labels, the rule says which of them are meant.
            let selects =
                peers.iter().any(|peer| peer.get("podSelector").or(peer.get("namespaceSelector")).is_some());
            peers.iter().filter_map(move |peer| Some((peer.pointer("/ipBlock/cidr")?.as_str()?, selects)))
        });
        blocks.filter_map(|(text, selects)| Some((text, selects, Range::read(text).ok()?.0))).find_map(
            |(text, selects, range)| {
                if !selects && overlaps(range, &pods) {
                    Some(format!("{text} covers pods"))
                } else if !nodes_match && overlaps(range, &nodes) {
                    Some(format!("{text} covers nodes"))
                } else {
                    None
                }
            },
        )
    });
    (!objects.is_empty()).then(|| Finding::new(&MEANING_IP_BLOCK).with_objects(objects))
}

const MEANING_END_PORT: Rule = Severity::Risk.rule(
    "meaning-end-port",
    "NetworkPolicies have rules for ranges of ports (endPort).\n\n\
     It is a note where the release of Cilium is not known.",
    "Releases of Cilium before 1.16 read the first port of a range only, so the others are refused once Cilium enforces policies.",
    "Install Cilium 1.16 or later, or write one entry for each port of the range.",
);

/// *Source*: cilium/cilium#32807, released with 1.16.0; #28684: earlier releases accept such rules and ignore `endPort`.
fn end_ports(scene: &Scene<'_>) -> Option<Finding> {
    let severity = match release(scene, Cni::Cilium) {
        Some(release) if release >= (1, 16) => return None,
        Some(_) => Severity::Risk,
        None => Severity::Note,
    };
    let objects = having(scene, |policy| {
        Some(format!("endPort {}", ports(policy).find_map(|port| port.get("endPort"))?))
    });
    (!objects.is_empty()).then(|| Finding::new(&MEANING_END_PORT).severity(severity).with_objects(objects))
}

const MEANING_NAMED_PORT: Rule = Severity::Note.rule(
    "meaning-named-port",
    "NetworkPolicies name ports by their names.",
    "Each CNI finds the number of a name in another way, above all where pods give one name different numbers, and in rules for outgoing traffic. A name that is not found allows nothing.",
    "Try these policies with the new CNI before the migration, or write the numbers instead of the names.",
);

fn named_ports(scene: &Scene<'_>) -> Option<Finding> {
    let objects = having(scene, |policy| {
        Some(format!("port {}", ports(policy).find_map(|port| port.get("port")?.as_str())?))
    });
    (!objects.is_empty()).then(|| Finding::new(&MEANING_NAMED_PORT).with_objects(objects))
}

const MEANING_EXTERNAL_LOCAL: Rule = Severity::Note.rule(
    "meaning-external-local",
    "Services with externalTrafficPolicy Local send outside traffic to pods of the receiving node only.",
    "While a node's pods move, the node has no endpoint and drops what a load balancer still sends to it. A load balancer with slow health checks goes on for up to a minute. Pods that call such an address count as outside if kube-proxy's clusterCIDR does not cover their range.",
    "Take each node out of the load balancer before its pods move (label node.kubernetes.io/exclude-from-external-load-balancers), or set externalTrafficPolicy to Cluster for the time of the migration. See also the finding old-range-settings.",
);

/// *Source*: Kubernetes' documentation, "Create an external load balancer", preserving the client source IP.
fn external_local(scene: &Scene<'_>) -> Option<Finding> {
    let local = scene
        .snapshot
        .services
        .iter()
        .filter(|service| service.spec.external_traffic_policy.as_ref() == "Local");
    let objects: Vec<Subject> =
        local.map(|service| Subject::from_meta(Kind::SERVICE, &service.metadata)).collect();
    (!objects.is_empty()).then(|| Finding::new(&MEANING_EXTERNAL_LOCAL).with_objects(objects))
}

const MEANING_SCTP: Rule = Severity::Risk.rule(
    "meaning-sctp",
    "Services or NetworkPolicies use SCTP, and Cilium's support for it is off.",
    "Without it, Cilium drops SCTP packets of its pods, whatever the policies say.",
    "Install Cilium with the Helm value sctp.enabled=true. Its documentation lists what does not work with SCTP, such as port translation by eBPF.",
);

/// *Source*: Cilium's documentation, "SCTP support".
fn sctp(scene: &Scene<'_>) -> Option<Finding> {
    if cilium::setting(scene.snapshot, "enable-sctp").is_some_and(|setting| is_yes(&setting.value)) {
        return None;
    }
    let is_sctp = |port: &&Value| port.get("protocol").and_then(Value::as_str) == Some("SCTP");
    let mut objects = having(scene, |policy| ports(policy).find(is_sctp).map(|_| "SCTP in a rule".into()));
    let has_sctp = scene
        .snapshot
        .services
        .iter()
        .filter(|service| service.spec.ports.iter().any(|port| port.protocol.as_ref() == "SCTP"));
    objects.extend(
        has_sctp.map(|service| Subject::from_meta(Kind::SERVICE, &service.metadata).detail("SCTP port")),
    );
    (!objects.is_empty()).then(|| Finding::new(&MEANING_SCTP).with_objects(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    fn policy(spec: Value) -> (Kind, Value) {
        object(Kind::NETWORK_POLICY, "n", json!({"metadata": {"namespace": "x"}, "spec": spec}))
    }

    fn cilium(mut data: Value) -> (Kind, Value) {
        data["cluster-pool-ipv4-cidr"] = "10.20.0.0/16".into();
        object(Kind::CONFIG_MAP, "cilium-config", json!({"data": data}))
    }

    fn codes(to: Cni, objects: Vec<(Kind, Value)>) -> Vec<&'static str> {
        Case::new(Cni::Calico, to, objects).codes(&CHECK)
    }

    #[test]
    fn an_address_of_a_pod_or_a_node_is_no_address_to_cilium() {
        let node = object(
            Kind::NODE,
            "a",
            json!({"status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.2"}]}}),
        );
        let block = |cidr: &str| policy(json!({"egress": [{"to": [{"ipBlock": {"cidr": cidr}}]}]}));
        let count_findings =
            |cidr: &str, data: Value| codes(Cni::Cilium, vec![node.clone(), cilium(data), block(cidr)]).len();
        for (cidr, data, count) in [
            ("10.20.3.0/24", json!({}), 1),
            ("0.0.0.0/0", json!({}), 1),
            ("172.18.0.0/16", json!({}), 1),
            ("172.18.0.0/16", json!({"policy-cidr-match-mode": "nodes"}), 0),
            ("203.0.113.0/24", json!({}), 0),
        ] {
            assert_eq!(count_findings(cidr, data.clone()), count, "{cidr} {data}");
        }
        assert_eq!(codes(Cni::Antrea, vec![node.clone(), block("172.18.0.0/16")]), [""; 0]);
    }

    #[test]
    fn a_range_of_ports_needs_a_new_cilium() {
        let agent = |tag: &str| {
            let container =
                json!({"name": "cilium-agent", "image": format!("quay.io/cilium/cilium:{tag}@sha256:0")});
            object(
                Kind::DAEMON_SET,
                "cilium",
                json!({"metadata": {"namespace": "kube-system"},
                    "spec": {"template": {"spec": {"containers": [container]}}}}),
            )
        };
        let rule = |port: Value| policy(json!({"ingress": [{"ports": [port]}]}));
        let range = || rule(json!({"port": 8000, "endPort": 8010}));
        let severity = |objects: Vec<(Kind, Value)>| {
            Case::new(Cni::Calico, Cni::Cilium, objects)
                .findings(&CHECK)
                .first()
                .map(|finding| finding.severity)
        };
        assert_eq!(severity(vec![range(), agent("v1.15.3")]), Some(Severity::Risk));
        assert_eq!(severity(vec![range(), agent("v1.16.0")]), None);
        assert_eq!(severity(vec![range()]), Some(Severity::Note));
        assert_eq!(severity(vec![rule(json!({"port": 8000})), agent("v1.15.3")]), None);
    }

    #[test]
    fn names_of_ports_sctp_and_local_services_are_told() {
        let rule = |port: Value| policy(json!({"ingress": [{"ports": [port]}]}));
        let service =
            |spec: Value| object(Kind::SERVICE, "s", json!({"metadata": {"namespace": "x"}, "spec": spec}));
        for (entry, data, expected) in [
            (rule(json!({"port": "http"})), json!({}), Some("meaning-named-port")),
            (rule(json!({"port": 80})), json!({}), None),
            (rule(json!({"port": 80, "protocol": "SCTP"})), json!({}), Some("meaning-sctp")),
            (rule(json!({"port": 80, "protocol": "SCTP"})), json!({"enable-sctp": "true"}), None),
            (service(json!({"ports": [{"port": 1, "protocol": "SCTP"}]})), json!({}), Some("meaning-sctp")),
            (service(json!({"ports": [{"port": 1, "protocol": "TCP"}]})), json!({}), None),
            (service(json!({"externalTrafficPolicy": "Local"})), json!({}), Some("meaning-external-local")),
            (service(json!({"externalTrafficPolicy": "Cluster"})), json!({}), None),
        ] {
            assert_eq!(
                codes(Cni::Cilium, vec![entry.clone(), cilium(data)]),
                Vec::from_iter(expected),
                "{entry:?}"
            );
        }
    }
}
