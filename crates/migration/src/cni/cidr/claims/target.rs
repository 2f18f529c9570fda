//! The ranges of the new network.

use snapshot::model::{Kind, Object};

use super::{Claims, calico, node_cidrs};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::cidr::Usage;
use crate::cni::network;
use crate::cni::support::Cni;

/// Adds the ranges from which the new CNI gives addresses.
pub(super) fn add_new_claims(scene: &Scene<'_>, claims: &mut Claims) {
    match scene.to {
        Cni::Antrea | Cni::Flannel | Cni::Canal => node_cidrs(scene, Usage::NewNode, claims),
        Cni::Cilium => cilium(scene, claims),
        Cni::Calico if network::calico::is_host_local(scene.snapshot) => {
            node_cidrs(scene, Usage::NewNode, claims);
        }
        Cni::Calico => {
            for pool in scene.snapshot.objects(Kind::IP_POOL) {
                let source = Subject::new(Kind::IP_POOL, pool.name());
                let used = calico::usage(pool, Usage::NewPool);
                claims.add(pool.text("/spec/cidr").unwrap_or_default(), used, None, source);
            }
            calico::blocks(scene, Usage::NewNode, claims);
        }
        Cni::AwsVpcCni => claims.is_shared = true,
    }
}

/// Cilium takes node CIDRs from its own pools, from Kubernetes, or addresses from the cloud. *Source*: Cilium's documentation, "IP Address Management".
fn cilium(scene: &Scene<'_>, claims: &mut Claims) {
    let config = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config");
    let ipam = config.and_then(|config| config.data("ipam")).unwrap_or("cluster-pool");
    match ipam {
        "kubernetes" => return node_cidrs(scene, Usage::NewNode, claims),
        "eni" | "azure" | "alibabacloud" => {
            claims.is_shared = scene.from == Cni::AwsVpcCni;
            return;
        }
        _ => {}
    }
    // The chart writes ranges of both families, and says beside them which family is on.
    let is_on = |family: &str| {
        config.and_then(|config| config.data(&format!("enable-{family}"))).is_none_or(network::is_yes)
    };
    let families = ["ipv4", "ipv6"].into_iter().filter(|family| is_on(family));
    let lists = families.clone().map(|family| format!("cluster-pool-{family}-cidr"));
    for (config, list) in config.iter().flat_map(|config| lists.clone().map(move |list| (config, list))) {
        let list = list.as_str();
        for cidr in config.data(list).unwrap_or_default().split([' ', ',']).filter(|cidr| !cidr.is_empty()) {
            let source = Subject {
                namespace: config.namespace().into(),
                ..Subject::new(Kind::CONFIG_MAP, config.name())
            };
            claims.add(cidr, Usage::NewPool, None, source);
        }
    }
    for pool in scene.snapshot.objects(Kind::CILIUM_POD_IP_POOL) {
        for cidr in families.clone().flat_map(|family| pool.texts(&format!("/spec/{family}/cidrs"))) {
            claims.add(cidr, Usage::NewPool, None, Subject::new(Kind::CILIUM_POD_IP_POOL, pool.name()));
        }
    }
    for node in scene.snapshot.objects(Kind::CILIUM_NODE) {
        for cidr in node_ranges(node) {
            claims.add(
                &cidr,
                Usage::NewNode,
                Some(node.name()),
                Subject::new(Kind::CILIUM_NODE, node.name()),
            );
        }
    }
}

/// The pod CIDRs of a `CiliumNode`, from whichever pool.
fn node_ranges(node: &Object) -> Vec<String> {
    let plain = node.texts("/spec/ipam/podCIDRs").map(str::to_owned);
    let pools = node.list("/spec/ipam/pools/allocated").iter().flat_map(|pool| {
        let cidrs = pool.get("cidrs").and_then(serde_json::Value::as_array).into_iter().flatten();
        cidrs.filter_map(|cidr| cidr.as_str().map(str::to_owned)).collect::<Vec<_>>()
    });
    plain.chain(pools).collect()
}
