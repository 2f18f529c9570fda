//! Webhooks and aggregated APIs that a provider's control plane does not reach on an overlay network.
//!
//! *Source*: Cilium's documentation, "Quick Installation", EKS: a control plane outside the cluster does not reach pods of an overlay; cilium/cilium#21959
//! and #31536, aws/containers-roadmap#2227, kubernetes/autoscaler#6915 (an ignored webhook delays each pod). GKE reaches pods by konnectivity-agent, where
//! it runs.

use std::collections::BTreeSet;

use serde_json::Value;
use snapshot::model::{Kind, Node, Pod};

use super::webhooks::pods_behind;
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::subject;
use crate::cni::support::Cni;
use crate::workload::{GKE_POOL, Owner, owner};

pub(in crate::check) const CHECK: Check = Check {
    name: "reachability",
    rules: &[&API_UNREACHABLE, &WEBHOOK_UNREACHABLE],
    needs: &[
        Need::Always(Kind::MUTATING_WEBHOOK_CONFIGURATION),
        Need::Always(Kind::VALIDATING_WEBHOOK_CONFIGURATION),
        Need::Always(Kind::CUSTOM_RESOURCE_DEFINITION),
        Need::Always(Kind::API_SERVICE),
        Need::Always(Kind::SERVICE),
        Need::Always(Kind::POD),
        Need::Always(Kind::NODE),
        Need::Always(Kind::DEPLOYMENT),
        Need::From(Cni::AwsVpcCni, Kind::CONFIG_MAP),
    ],
    run,
};

const API_UNREACHABLE: Rule = Severity::Blocks.rule(
    "api-unreachable",
    "The control plane of EKS or GKE will not reach the pods of an aggregated API or of a conversion webhook.\n\n\
     It is found where [webhook-unreachable](#webhook-unreachable) is.",
    "The control plane is outside the cluster and has no route to the new network. As soon as these pods have moved, the API server can neither serve nor convert these resources: autoscaling by metrics stops, and no namespace can be deleted any more.",
    r#"Give these pods the network of their node, where their ports are free: kubectl -n kube-system patch deployment metrics-server --type merge -p '{"spec":{"template":{"spec":{"hostNetwork":true,"dnsPolicy":"ClusterFirstWithHostNet"}}}}'. If the control plane runs on nodes of this cluster, accept this finding with a waiver."#,
);

const WEBHOOK_UNREACHABLE: Rule = Severity::Blocks.rule(
    "webhook-unreachable",
    "The control plane of EKS or GKE will not reach the pods of an admission webhook.\n\n\
     For a webhook with the failurePolicy Ignore it is a risk.\n\n\
     It is found on the way from aws-vpc-cni, and on GKE without konnectivity-agent, unless Cilium takes addresses of the VPC.",
    "The control plane is outside the cluster and has no route to the new network. As soon as the pods have moved, the API server refuses every request that the webhook reviews. With the failurePolicy Ignore it waits at each such request until the webhook's timeoutSeconds are over: where the webhook reviews pods, every pod of the cluster starts so much later.",
    "Give these pods the network of their node (hostNetwork: true), where their ports are free.",
);

/// What the API server calls by a Service of this cluster, and whether a request fails where the call does.
struct Callee<'a> {
    rule: &'static Rule,
    severity: Severity,
    subject: Subject,
    pods: Vec<&'a Pod>,
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(provider) = distant_provider(scene) else { return Vec::new() };
    let callees = callees(scene);
    let pairs = [
        (&API_UNREACHABLE, Severity::Blocks),
        (&WEBHOOK_UNREACHABLE, Severity::Blocks),
        (&WEBHOOK_UNREACHABLE, Severity::Risk),
    ];
    pairs
        .into_iter()
        .filter_map(|(rule, severity)| finding(scene, provider, rule, severity, &callees))
        .collect()
}

/// The provider whose control plane reaches pods by the cloud's network alone, if the new network is not that one.
fn distant_provider(scene: &Scene<'_>) -> Option<&'static str> {
    let nodes = &scene.snapshot.nodes;
    let takes_vpc_addresses = scene.to == Cni::Cilium && crate::cni::cidr::gather(scene).is_shared;
    if takes_vpc_addresses || nodes.iter().any(Node::is_control_plane) {
        return None;
    }
    let has_tunnel = || {
        scene
            .snapshot
            .workloads(Kind::DEPLOYMENT)
            .iter()
            .any(|workload| workload.name() == "konnectivity-agent")
    };
    let is_gke = || nodes.iter().any(|node| node.metadata.label(GKE_POOL).is_some());
    if scene.from == Cni::AwsVpcCni { Some("EKS") } else { (is_gke() && !has_tunnel()).then_some("GKE") }
}

fn callees<'a>(scene: &Scene<'a>) -> Vec<Callee<'a>> {
    let mut all = Vec::new();
    let mut add = |rule, severity, subject: Subject, service: Option<&Value>, words: String| {
        let text = |key: &str| service.and_then(|service| service.get(key)?.as_str()).unwrap_or_default();
        let (namespace, name) = (text("namespace"), text("name"));
        // Without a Service, it is outside the cluster, and the migration does not move it.
        if !name.is_empty() {
            let subject = subject.detail(format!("{words}Service {namespace}/{name}"));
            all.push(Callee { rule, severity, subject, pods: pods_behind(scene.snapshot, namespace, name) });
        }
    };
    for kind in [Kind::MUTATING_WEBHOOK_CONFIGURATION, Kind::VALIDATING_WEBHOOK_CONFIGURATION] {
        for configuration in scene.snapshot.objects(kind) {
            for webhook in configuration.list("/webhooks") {
                let is_ignored = webhook["failurePolicy"].as_str() == Some("Ignore");
                let severity = if is_ignored { Severity::Risk } else { Severity::Blocks };
                let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(10);
                let wait = if is_ignored { format!("{seconds} s each, ") } else { String::new() };
                let words = format!("{}: {wait}", webhook["name"].as_str().unwrap_or_default());
                add(
                    &WEBHOOK_UNREACHABLE,
                    severity,
                    subject(kind, configuration),
                    webhook.pointer("/clientConfig/service"),
                    words,
                );
            }
        }
    }
    for (kind, pointer, words) in [
        (Kind::CUSTOM_RESOURCE_DEFINITION, "/spec/conversion/webhook/clientConfig/service", "conversion by "),
        (Kind::API_SERVICE, "/spec/service", ""),
    ] {
        for object in scene.snapshot.objects(kind) {
            add(
                &API_UNREACHABLE,
                Severity::Blocks,
                subject(kind, object),
                object.pointer(pointer),
                words.to_owned(),
            );
        }
    }
    all
}

fn finding(
    scene: &Scene<'_>,
    provider: &str,
    rule: &'static Rule,
    severity: Severity,
    callees: &[Callee<'_>],
) -> Option<Finding> {
    let mut objects = Vec::new();
    let mut owners: BTreeSet<Owner<'_>> = BTreeSet::new();
    for callee in callees.iter().filter(|callee| callee.rule == rule && callee.severity == severity) {
        let moved: Vec<_> = callee.pods.iter().filter(|pod| !pod.spec.host_network).collect();
        if !moved.is_empty() {
            objects.push(callee.subject.clone());
            owners.extend(moved.iter().map(|pod| owner(pod)));
        }
    }
    let (subjects, consequence) = match severity {
        _ if rule == &API_UNREACHABLE => (
            "Aggregated APIs and conversion webhooks are",
            "the API server can neither serve nor convert these resources: autoscaling by metrics stops, and no namespace can be deleted any more",
        ),
        Severity::Blocks => {
            ("Admission webhooks are", "the API server refuses every request that such a webhook reviews")
        }
        Severity::Risk | Severity::Note => (
            "Admission webhooks that may fail are",
            "the API server waits in vain for each of them at every request that it reviews, such as each pod that is created, and then goes on without it",
        ),
    };
    let patch = |owner: &Owner<'_>| {
        format!(
            r#"kubectl -n {} patch {} {} --type merge -p '{{"spec":{{"template":{{"spec":{{"hostNetwork":true,"dnsPolicy":"ClusterFirstWithHostNet"}}}}}}}}'"#,
            owner.namespace,
            owner.kind.to_lowercase(),
            owner.name
        )
    };
    let commands: Vec<String> = owners.iter().map(patch).collect();
    let what = format!("{subjects} served by pods, which {} takes into a network of its own.", scene.to);
    let why = format!(
        "The control plane of {provider} is outside the cluster and has no route to such a network. As soon as these pods have moved, {consequence}."
    );
    let fix = format!(
        "Give these pods the network of their node, where their ports are free: {}. If the control plane runs on nodes of this cluster, accept this finding with a waiver.",
        commands.join("; ")
    );
    let finding = Finding::new(rule).severity(severity).what(what).why(why).fix(fix);
    (!objects.is_empty()).then(|| finding.with_objects(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};
    use crate::cni::support::Cni;

    const ADMISSION: &str = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: guard}\nwebhooks: [{name: guard.x, clientConfig: {service: {name: guard, namespace: x}}, rules: [{apiGroups: [apps], resources: [deployments], operations: [CREATE]}]}]\n---\n";
    const CONVERSION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\nspec: {group: example.com, conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: guard, namespace: x}}}}}\n---\n";
    const AGGREGATED: &str = "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1beta1.metrics.k8s.io}\nspec: {service: {name: guard, namespace: x}, group: metrics.k8s.io}\n---\n";
    const GKE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {cloud.google.com/gke-nodepool: blue}}\n---\n";

    /// What is called, by two pods of a Service.
    fn cluster(callee: &str, host_network: bool) -> String {
        let mut text = format!(
            "{callee}apiVersion: v1\nkind: Service\nmetadata: {{name: guard, namespace: x}}\nspec: {{clusterIPs: [10.96.0.9], selector: {{app: guard}}}}\n---\n"
        );
        for index in 0..2 {
            text.push_str(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: guard-h-{index}, namespace: x, labels: {{app: guard, pod-template-hash: h}}, ownerReferences: [{{kind: ReplicaSet, name: guard-h, controller: true}}]}}\n\
                 spec: {{nodeName: a, hostNetwork: {host_network}}}\nstatus: {{phase: Running, conditions: [{{type: Ready, status: \"True\"}}]}}\n---\n"
            ));
        }
        text
    }

    #[test]
    fn the_control_plane_of_eks_does_not_reach_an_overlay() {
        for (callee, code, detail) in [
            (
                ADMISSION,
                "webhook-unreachable",
                "ValidatingWebhookConfiguration/guard: guard.x: Service x/guard",
            ),
            (
                CONVERSION,
                "api-unreachable",
                "CustomResourceDefinition/things.example.com: conversion by Service x/guard",
            ),
            (AGGREGATED, "api-unreachable", "APIService/v1beta1.metrics.k8s.io: Service x/guard"),
        ] {
            let codes = |text: &str, from, to| Case::from_yaml(text).pair(from, to).codes(&CHECK);
            let text = cluster(callee, false);
            let finding = Case::from_yaml(&text).pair(Cni::AwsVpcCni, Cni::Antrea).finding(&CHECK, code);
            assert_eq!((finding.severity, objects(&finding)), (Severity::Blocks, vec![detail.to_owned()]));
            assert!(
                finding.fix.contains("kubectl -n x patch deployment guard --type merge"),
                "{}",
                finding.fix
            );
            assert_eq!(codes(&cluster(callee, true), Cni::AwsVpcCni, Cni::Antrea), [""; 0], "{code}");
            assert_eq!(codes(&text, Cni::Calico, Cni::Antrea), [""; 0], "{code}");
            let node = "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {node-role.kubernetes.io/control-plane: \"\"}}\n---\n";
            assert_eq!(codes(&[&text, node].concat(), Cni::AwsVpcCni, Cni::Antrea), [""; 0], "{code}");
            let outside = text.replace("service: {name: guard, namespace: x}", "url: x");
            assert_eq!(codes(&outside, Cni::AwsVpcCni, Cni::Antrea), [""; 0], "{code}");
        }
    }

    /// The autoscaler of vertical sizes delays each pod of the cluster.
    #[test]
    fn a_webhook_that_may_fail_delays_what_it_reviews() {
        let ignored = ADMISSION.replace("rules", "failurePolicy: Ignore, timeoutSeconds: 30, rules");
        let finding = Case::from_yaml(&cluster(&ignored, false))
            .pair(Cni::AwsVpcCni, Cni::Cilium)
            .finding(&CHECK, "webhook-unreachable");
        assert_eq!(finding.severity, Severity::Risk);
        assert!(objects(&finding)[0].ends_with("guard.x: 30 s each, Service x/guard"), "{finding:?}");
    }

    #[test]
    fn gke_reaches_pods_by_its_tunnel_where_there_is_one() {
        let tunnel = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: konnectivity-agent, namespace: kube-system}\n---\n";
        for (nodes, is_found) in
            [(GKE.to_owned(), true), ([GKE, tunnel].concat(), false), (String::new(), false)]
        {
            let codes = Case::from_yaml(&[&cluster(AGGREGATED, false), &*nodes].concat()).codes(&CHECK);
            assert_eq!(codes, &["api-unreachable"][..usize::from(is_found)], "{nodes}");
        }
    }
}
