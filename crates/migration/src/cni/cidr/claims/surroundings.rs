//! Ranges of other things than pods: Services, nodes, hosts outside, and reserved addresses.

use serde_json::Value;
use snapshot::model::Kind;

use super::{Claims, new_claim, subject};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::cidr::Usage;

/// Ranges with a meaning of their own. *Source*: the IANA registries of special-purpose addresses.
const RESERVED: [(&str, &str); 7] = [
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local, and the cloud's metadata service"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

pub(super) fn add_claims(scene: &Scene<'_>, claims: &mut Claims) {
    services(scene, claims);
    for service in &scene.snapshot.services {
        for address in service.outside_ips() {
            claims.add_address(
                address,
                Usage::Service,
                None,
                Subject::from_meta(Kind::SERVICE, &service.metadata),
            );
        }
    }
    for ingress in scene.snapshot.objects(Kind::INGRESS) {
        let all = ingress.list("/status/loadBalancer/ingress").iter();
        // One with a name instead has no address.
        for address in all.filter_map(|object| object.get("ip")?.as_str()).filter(|ip| !ip.is_empty()) {
            claims.add_address(
                address,
                Usage::Service,
                None,
                crate::cni::network::subject(Kind::INGRESS, ingress),
            );
        }
    }
    for gateway in scene.snapshot.objects(Kind::GATEWAY) {
        for address in gateway.list("/status/addresses") {
            let text = |key: &str| address.get(key).and_then(Value::as_str);
            // Other types are names, or what an implementation makes of them. An address without a type is one.
            let value = text("value").filter(|_| text("type").is_none_or(|kind| kind == "IPAddress"));
            if let Some(ip) = value {
                claims.add_address(
                    ip,
                    Usage::Service,
                    None,
                    crate::cni::network::subject(Kind::GATEWAY, gateway),
                );
            }
        }
    }
    for node in &scene.snapshot.nodes {
        for address in node.addresses("InternalIP").chain(node.addresses("ExternalIP")) {
            claims.add_address(address, Usage::Node, None, subject(node));
        }
    }
    let settings = &scene.config.cidrs;
    for (ranges, used, name) in [
        (&settings.services, Usage::Service, "cidrs.services"),
        (&settings.nodes, Usage::Node, "cidrs.nodes"),
        (&settings.external, Usage::External, "cidrs.external"),
        (&settings.reserved, Usage::Reserved, "cidrs.reserved"),
    ] {
        claims.all.extend(ranges.iter().map(|range| new_claim(*range, used, name)));
    }
    for (range, name) in RESERVED {
        let source = Subject {
            kind: "Reserved".into(),
            namespace: String::new(),
            name: range.into(),
            detail: name.into(),
        };
        claims.add(range, Usage::Reserved, None, source);
    }
}

/// The ranges of Services: from `ServiceCIDR` objects, else from kubeadm's settings, else the address of each Service.
fn services(scene: &Scene<'_>, claims: &mut Claims) {
    let snapshot = scene.snapshot;
    let before = claims.all.len();
    for object in snapshot.objects(Kind::SERVICE_CIDR) {
        for cidr in object.texts("/spec/cidrs") {
            claims.add(cidr, Usage::Service, None, Subject::new(Kind::SERVICE_CIDR, object.name()));
        }
    }
    if claims.all.len() > before {
        return;
    }
    if let Some(config) = snapshot.object(Kind::CONFIG_MAP, "kubeadm-config") {
        let settings = config.data("ClusterConfiguration").unwrap_or_default();
        let line = settings.lines().find_map(|line| line.trim().strip_prefix("serviceSubnet:"));
        for cidr in line
            .unwrap_or_default()
            .trim()
            .trim_matches(['"', '\''])
            .split(',')
            .filter(|cidr| !cidr.is_empty())
        {
            let source = Subject {
                namespace: config.namespace().into(),
                ..Subject::new(Kind::CONFIG_MAP, config.name())
            };
            claims.add(cidr.trim(), Usage::Service, None, source);
        }
    }
    if claims.all.len() > before {
        return;
    }
    for service in &snapshot.services {
        for address in service.spec.cluster_ips.iter().filter(|address| address.as_ref() != "None") {
            claims.add_address(
                address,
                Usage::Service,
                None,
                Subject::from_meta(Kind::SERVICE, &service.metadata),
            );
        }
    }
}
