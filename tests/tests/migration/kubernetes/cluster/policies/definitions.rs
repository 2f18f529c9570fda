//! CustomResourceDefinitions as those of CNIs: small, structural, with a field of each shape.

use anyhow::{Context, Result};
use lab::host::deadline::until;
use lab::kubernetes::Client;
use serde_json::{Value, json};

use crate::publisher::WITHIN;

/// Of this case alone.
pub(super) const NAMESPACE: &str = "policies-shop";
/// NetworkPolicies of the namespace.
pub(super) const PLAIN: &str = "/apis/networking.k8s.io/v1/namespaces/policies-shop/networkpolicies";
/// Tiers of Calico.
pub(super) const TIERS: &str = "/apis/crd.projectcalico.org/v1/tiers";
/// Policies of Calico.
pub(super) const GLOBAL: &str = "/apis/crd.projectcalico.org/v1/globalnetworkpolicies";

/// Policies of Calico in the namespace.
pub(super) const NAMESPACED: &str = "/apis/crd.projectcalico.org/v1/namespaces/policies-shop/networkpolicies";

/// Makes the kinds, and waits until the API server serves them.
pub(super) fn define(admin: &Client) -> Result<()> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    admin.create("/api/v1/namespaces", &namespace)?.object()?;
    let number = || json!({ "type": "number" });
    let text = || json!({ "type": "string" });
    let tier = json!({ "order": number() });
    let selector = json!({ "type": "object", "properties": { "selector": text() } });
    let rule = json!({ "type": "object", "properties": { "action": text(), "source": selector } });
    let rules = json!({ "type": "array", "items": rule });
    let policy = json!({ "order": number(), "tier": text(), "ingress": rules });
    let group = json!({ "ipBlocks": { "type": "array", "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } });
    let mut groups = definition("crd.antrea.io", "v1alpha3", "ClusterGroup", "clustergroups", &group);
    groups["spec"]["versions"][0]["deprecated"] = true.into();
    groups["spec"]["versions"][0]["deprecationWarning"] = "use v1beta1, dear".into();
    let calico = |kind: &str, plural: &str, spec: &Value| {
        definition("crd.projectcalico.org", "v1", kind, plural, spec)
    };
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let end = json!({ "ports": { "type": "array", "items": { "x-kubernetes-int-or-string": true } }, "selector": text() });
    let end = json!({ "type": "object", "properties": end });
    let rule =
        json!({ "action": text(), "protocol": text(), "source": end, "destination": end, "http": any });
    let rules = json!({ "type": "array", "items": { "type": "object", "properties": rule } });
    let types = json!({ "type": "array", "items": text() });
    let namespaced = json!({ "tier": text(), "selector": text(), "types": types, "ingress": rules });
    let mut namespaced = calico("NetworkPolicy", "networkpolicies", &namespaced);
    namespaced["spec"]["scope"] = "Namespaced".into();
    for (definition, version) in [
        (calico("Tier", "tiers", &tier), "crd.projectcalico.org/v1"),
        (calico("GlobalNetworkPolicy", "globalnetworkpolicies", &policy), "crd.projectcalico.org/v1"),
        (namespaced, "crd.projectcalico.org/v1"),
        (groups, "crd.antrea.io/v1alpha3"),
    ] {
        admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?.object()?;
        let plural = definition["spec"]["names"]["plural"].as_str().context("a plural")?.to_owned();
        until("the API server serves the kind", WITHIN, || {
            let named = admin.get(&format!("/apis/{version}"))?;
            let is_named = named.body["resources"]
                .as_array()
                .is_some_and(|all| all.iter().any(|resource| resource["name"] == plural.as_str()));
            let is_listed = is_named && admin.get(&format!("/apis/{version}/{plural}"))?.status == 200;
            Ok(is_listed.then_some(()))
        })?;
    }
    Ok(())
}

fn definition(group: &str, version: &str, kind: &str, plural: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": "Cluster",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{ "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object", "properties": spec } },
            } } }],
        },
    })
}
