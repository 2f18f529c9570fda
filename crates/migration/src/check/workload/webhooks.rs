//! Admission webhooks without which no pod is created, evicted or bound to a node.
//!
//! *Source*: Kubernetes, "Dynamic Admission Control": `failurePolicy` is `Fail` where it is absent; "Admission Webhook Good Practices" (high availability).

use std::collections::BTreeSet;

use serde_json::Value;
use snapshot::model::{Kind, Pod, Service, Snapshot};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::subject;
use crate::workload::{Owner, is_ready, owner};

pub(in crate::check) const CHECK: Check = Check {
    name: "webhooks",
    rules: &[&WEBHOOK_FEW],
    needs: &[
        Need::Always(Kind::MUTATING_WEBHOOK_CONFIGURATION),
        Need::Always(Kind::VALIDATING_WEBHOOK_CONFIGURATION),
        Need::Always(Kind::SERVICE),
        Need::Always(Kind::POD),
    ],
    run,
};

/// A webhook that fails closed, and the pods behind its Service.
struct Webhook<'a> {
    configuration: Subject,
    service: String,
    pods: Vec<&'a Pod>,
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let webhooks = webhooks(scene);
    let (mut down, mut single) = (Vec::new(), Vec::new());
    let mut owners: BTreeSet<Owner<'_>> = BTreeSet::new();
    for Webhook { configuration, service, pods } in &webhooks {
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let detail = |count: &str| {
            configuration
                .clone()
                .detail(format!("{}: {count} behind Service {service}", configuration.detail))
        };
        match ready {
            0 => down.push(detail("no Ready pod")),
            1 => single.push(detail("1 Ready pod")),
            _ => {}
        }
        if ready < 2 {
            owners.extend(pods.iter().map(|pod| owner(pod)));
        }
    }
    [find_few(Severity::Blocks, down, &owners), find_few(Severity::Risk, single, &owners)]
        .into_iter()
        .flatten()
        .collect()
}

const WEBHOOK_FEW: Rule = Severity::Risk.rule(
    "webhook-few",
    "An admission webhook that fails closed and is asked about pods or nodes is served by fewer than two Ready pods.\n\n\
     It blocks if there is none.",
    "While its pod moves, or does not start on the new network, the API server refuses every request that such a webhook is asked about. Then no evicted pod is created anywhere, and maybe that of the webhook itself.",
    "Let two pods on two nodes serve it: kubectl -n x scale deployment/guard --replicas=2.",
);

fn find_few(severity: Severity, objects: Vec<Subject>, owners: &BTreeSet<Owner<'_>>) -> Option<Finding> {
    let what = if severity == Severity::Blocks {
        "Admission webhooks that fail closed have no Ready pod."
    } else {
        "Admission webhooks that fail closed have one Ready pod."
    };
    let scale = |owner: &Owner<'_>| {
        format!(
            "kubectl -n {} scale {}/{} --replicas=2",
            owner.namespace,
            owner.kind.to_lowercase(),
            owner.name
        )
    };
    let scalable =
        owners.iter().filter(|owner| matches!(owner.kind, "Deployment" | "StatefulSet" | "ReplicaSet"));
    let commands: Vec<String> = scalable.map(scale).collect();
    let fix = if commands.is_empty() {
        let delete =
            |subject: &Subject| format!("kubectl delete {} {}", subject.kind.to_lowercase(), subject.name);
        let deletes: BTreeSet<String> = objects.iter().map(delete).collect();
        let deletes: Vec<String> = deletes.into_iter().collect();
        format!("Let two pods on two nodes serve it. If nothing needs it any more: {}", deletes.join("; "))
    } else {
        format!("Let two pods on two nodes serve it, and wait until both are Ready: {}", commands.join("; "))
    };
    (!objects.is_empty())
        .then(|| Finding::new(&WEBHOOK_FEW).severity(severity).what(what).fix(fix).with_objects(objects))
}

/// The webhooks that fail closed, are asked about pods or nodes, and have a Service in this cluster.
fn webhooks<'a>(scene: &Scene<'a>) -> Vec<Webhook<'a>> {
    let kinds = [Kind::MUTATING_WEBHOOK_CONFIGURATION, Kind::VALIDATING_WEBHOOK_CONFIGURATION];
    let all = kinds
        .into_iter()
        .flat_map(|kind| scene.snapshot.objects(kind).iter().map(move |object| (kind, object)));
    let mut calls = Vec::new();
    for (kind, configuration) in all {
        for webhook in configuration.list("/webhooks") {
            let text = |pointer: &str| webhook.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (namespace, name) =
                (text("/clientConfig/service/namespace"), text("/clientConfig/service/name"));
            if text("/failurePolicy") == "Ignore" || name.is_empty() || !is_about_pods(webhook) {
                continue;
            }
            calls.push(Webhook {
                configuration: subject(kind, configuration).detail(text("/name")),
                service: format!("{namespace}/{name}"),
                pods: pods_behind(scene.snapshot, namespace, name),
            });
        }
    }
    calls
}

/// The pods behind a Service that have not ended.
pub(super) fn pods_behind<'a>(snapshot: &'a Snapshot, namespace: &str, name: &str) -> Vec<&'a Pod> {
    let is_named = |service: &&Service| {
        (service.metadata.namespace.as_ref(), service.metadata.name.as_ref()) == (namespace, name)
    };
    let service = snapshot.services.iter().find(is_named);
    let selector = service.map(|service| &service.spec.selector).filter(|selector| !selector.is_empty());
    let is_behind = |pod: &&Pod| {
        let has = |(key, value): (&_, &_)| pod.metadata.labels.get(key) == Some(value);
        pod.namespace() == namespace && !pod.is_finished() && selector.is_some_and(|all| all.iter().all(has))
    };
    snapshot.pods.iter().filter(is_behind).collect()
}

/// The resources that a move of pods and a start of nodes make requests for.
const RESOURCES: [&str; 11] = [
    "*",
    "*/*",
    "nodes",
    "nodes/*",
    "nodes/status",
    "pods",
    "pods/*",
    "pods/binding",
    "pods/eviction",
    "pods/status",
    "*/status",
];

/// The API server asks about requests that a move of pods makes: pods, their evictions and bindings, and nodes.
fn is_about_pods(webhook: &Value) -> bool {
    let list = |rule: &Value, key: &str| -> Vec<String> {
        let all = rule.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(|object| object.as_str().map(str::to_owned)).collect()
    };
    let rules = webhook.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    rules.iter().any(|rule| {
        let is_core = list(rule, "apiGroups").iter().any(|group| matches!(group.as_str(), "" | "*"));
        // `kubectl exec` and the like are CONNECT.
        let is_change = list(rule, "operations").iter().any(|operation| operation != "CONNECT");
        is_core && is_change && list(rule, "resources").iter().any(|name| RESOURCES.contains(&name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn cluster(webhook: &str, pods: usize, network: &str) -> Case {
        let mut text = format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {{name: guard}}\nwebhooks: [{webhook}]\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: guard, namespace: x}}\nspec: {{clusterIPs: [10.96.0.9], selector: {{app: guard}}}}\n---\n"
        );
        for index in 0..pods {
            text.push_str(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: guard-h-{index}, namespace: x, labels: {{app: guard, pod-template-hash: h}}, ownerReferences: [{{kind: ReplicaSet, name: guard-h, controller: true}}]}}\n\
                 spec: {{nodeName: a, hostNetwork: {network}}}\nstatus: {{phase: Running, conditions: [{{type: Ready, status: \"True\"}}]}}\n---\n"
            ));
        }
        Case::from_yaml(&text)
    }

    const PODS: &str = "{name: guard.x, clientConfig: {service: {name: guard, namespace: x}}, rules: [{apiGroups: [\"\"], resources: [pods], operations: [CREATE]}]}";

    #[test]
    fn a_webhook_that_fails_closed_needs_two_pods() {
        for (webhook, pods, severity) in [
            (PODS.to_owned(), 2, None),
            (PODS.to_owned(), 1, Some(Severity::Risk)),
            (PODS.to_owned(), 0, Some(Severity::Blocks)),
            (PODS.replace("[pods]", "[pods/eviction]"), 1, Some(Severity::Risk)),
            (PODS.replace("[pods]", "[\"*/*\"]").replace("[\"\"]", "[\"*\"]"), 1, Some(Severity::Risk)),
            (PODS.replace("[pods]", "[secrets]"), 1, None),
            (PODS.replace("[pods]", "[pods/exec]").replace("CREATE", "CONNECT"), 1, None),
            (PODS.replace("CREATE", "CONNECT").replace("[pods]", "[\"*/*\"]"), 1, None),
            (PODS.replace("[\"\"]", "[apps]"), 1, None),
            (PODS.replace("rules", "failurePolicy: Ignore, rules"), 0, None),
            (PODS.replace("rules", "failurePolicy: Fail, rules"), 1, Some(Severity::Risk)),
            // Outside the cluster: the migration does not move it.
            (PODS.replace("service: {name: guard, namespace: x}", "url: x"), 0, None),
        ] {
            let findings = cluster(&webhook, pods, "false").findings(&CHECK);
            assert_eq!(findings.first().map(|item| item.severity), severity, "{webhook} {pods}");
        }
        let finding = cluster(PODS, 1, "false").finding(&CHECK, "webhook-few");
        assert_eq!(
            objects(&finding),
            ["ValidatingWebhookConfiguration/guard: guard.x: 1 Ready pod behind Service x/guard"]
        );
        assert!(finding.fix.ends_with("kubectl -n x scale deployment/guard --replicas=2"), "{}", finding.fix);
        let unserved = cluster(PODS, 0, "false").finding(&CHECK, "webhook-few");
        assert!(
            unserved.fix.ends_with("kubectl delete validatingwebhookconfiguration guard"),
            "{}",
            unserved.fix
        );
    }
}
