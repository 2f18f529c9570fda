//! What Crossfade does not remove: what others need, and installations that it does not know.

use snapshot::model::{Kind, Object};

use super::plan::{Inventory, finalized_policies, text};
use crate::check::Scene;
use crate::cni::footprint::Part;
use crate::cni::support::Cni;
use crate::workload::agents;

/// Why nothing is removed, and what helps.
pub(super) struct Refusal {
    pub(super) what: String,
    pub(super) help: String,
}

/// DaemonSets of other networks, beside which Calico only enforces policies.
const OTHERS: [&str; 3] = ["aws-node", "azure-cns", "netd"];
/// Groups of products that have more than Crossfade knows. *Source*: none; names of products.
const PRODUCTS: [&str; 4] =
    ["usage.tigera.io", "isovalent.com", "crd.theia.antrea.io", "applicationlayer.projectcalico.org"];
/// What the Tigera operator sets on kube-proxy, and takes away only while it lives.
///
/// *Source*: tigera/operator: pkg/controller/kubeproxy/controller.go.
const NO_KUBE_PROXY: &str = "operator.tigera.io/disable-kube-proxy";

/// Every reason.
pub(super) fn refusals(scene: &Scene<'_>, inventory: &Inventory) -> Vec<Refusal> {
    let mut all = unknown_agents(scene, inventory);
    all.extend(products(scene));
    all.extend(match scene.from {
        Cni::Calico => calico(scene, inventory),
        Cni::Cilium => cilium(scene),
        Cni::Canal | Cni::Flannel | Cni::Antrea | Cni::AwsVpcCni => Vec::new(),
    });
    all
}

/// Agents that run under names which no published installation has, and those of a CNI that shares names with the old one.
fn unknown_agents(scene: &Scene<'_>, inventory: &Inventory) -> Vec<Refusal> {
    let is_known = |namespace: &str, name: &str| {
        let mut known = inventory.in_part(Part::Agent).map(|(target, _)| target);
        known.any(|target| target.name == name && target.namespace.as_deref() == Some(namespace))
    };
    let renamed = agents(scene, scene.from).into_iter().filter_map(|agent| {
        let (namespace, name) = (agent.daemon_set.namespace(), agent.daemon_set.name());
        (!is_known(namespace, name)).then(|| Refusal {
            what: format!("DaemonSet/{namespace}/{name} runs the agent of {}, and no published installation calls it so", scene.from),
            help: "remove this installation by what made it".into(),
        })
    });
    let family = [Cni::Calico, Cni::Canal, Cni::Flannel];
    let others = family
        .into_iter()
        .filter(|cni| family.contains(&scene.from) && *cni != scene.from && *cni != scene.to);
    let shared = others.flat_map(|cni| agents(scene, cni)).map(|agent| Refusal {
        what: format!(
            "DaemonSet/{}/{} runs the agent of {}, whose objects have names of {}",
            agent.daemon_set.namespace(),
            agent.daemon_set.name(),
            agent.cni,
            scene.from
        ),
        help: format!("name the CNI that the cluster had: --from {}", agent.cni),
    });
    renamed.chain(shared).collect()
}

/// Editions for enterprises.
fn products(scene: &Scene<'_>) -> Vec<Refusal> {
    let is = |definition: &&Object| {
        let group = definition.name().split_once('.').map_or("", |(_, group)| group);
        PRODUCTS.contains(&group)
    };
    let found = scene.snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter().find(is);
    let refusal = |definition: &Object| Refusal {
        what: format!(
            "CustomResourceDefinition/{} is of a product whose objects Crossfade does not know",
            definition.name()
        ),
        help: "remove that product as its vendor says, then call finish again".into(),
    };
    found.map(refusal).into_iter().collect()
}

fn calico(scene: &Scene<'_>, inventory: &Inventory) -> Vec<Refusal> {
    let mut all = Vec::new();
    for (target, object) in inventory.in_part(Part::Managed) {
        match target.kind.as_str() {
            "Installation" => {
                let kind = text(object, "/spec/cni/type");
                if !kind.is_empty() && kind != "Calico" {
                    all.push(policy_only(&format!("{target} has spec.cni.type {kind}")));
                }
            }
            "GatewayAPI" | "Istio" => all.push(Refusal {
                what: format!("{target} is there: its gateways carry traffic of users"),
                help: "move these gateways to another controller and delete the resource first".into(),
            }),
            _ => {}
        }
    }
    let daemon_sets = scene.snapshot.workloads(Kind::DAEMON_SET);
    let other =
        daemon_sets.iter().find(|set| set.namespace() == "kube-system" && OTHERS.contains(&set.name()));
    if let Some(other) = other.filter(|_| scene.to != Cni::AwsVpcCni) {
        all.push(policy_only(&format!("DaemonSet/kube-system/{} gives pods their addresses", other.name())));
    }
    let migrations = "datastoremigrations.migration.projectcalico.org";
    if scene.snapshot.object(Kind::CUSTOM_RESOURCE_DEFINITION, migrations).is_some() {
        all.push(Refusal {
            what: format!("CustomResourceDefinition/{migrations} is there: a migration of Calico's data may be under way"),
            help: "finish that migration as Calico's documentation says, then delete this definition".into(),
        });
    }
    let proxy = daemon_sets.iter().find(|set| set.name() == "kube-proxy");
    if proxy.is_some_and(|set| set.spec.template.spec.node_selector.contains_key(NO_KUBE_PROXY)) {
        all.push(Refusal {
            what: format!("DaemonSet/kube-system/kube-proxy is kept off every node by the selector {NO_KUBE_PROXY}, which Calico's operator set"),
            help: "kubectl patch installation default --type merge -p '{\"spec\":{\"calicoNetwork\":{\"kubeProxyManagement\":\"Disabled\"}}}', and wait until kube-proxy runs".into(),
        });
    }
    all
}

fn policy_only(why: &str) -> Refusal {
    Refusal {
        what: format!("Calico enforces policies here beside another network: {why}"),
        help:
            "name the CNI that gave pods their network: --from CNI; Calico stays until you remove it yourself"
                .into(),
    }
}

/// Ingresses and Gateways that Cilium serves.
fn cilium(scene: &Scene<'_>) -> Vec<Refusal> {
    let served_objects = |kind: Kind, pointer: &'static str| {
        let objects = scene.snapshot.objects(kind).iter();
        objects
            .filter(move |object| object.text(pointer) == Some("cilium"))
            .map(move |object| format!("{kind}/{}/{}", object.namespace(), object.name()))
    };
    let served: Vec<String> = served_objects(Kind::INGRESS, "/spec/ingressClassName")
        .chain(served_objects(Kind::GATEWAY, "/spec/gatewayClassName"))
        .collect();
    let Some(first) = served.first() else { return Vec::new() };
    vec![Refusal {
        what: format!("Cilium serves {} Ingresses and Gateways, such as {first}", served.len()),
        help: "give each of them another class, whose controller serves them before Cilium goes".into(),
    }]
}

/// What stays on purpose.
pub(super) fn stays(scene: &Scene<'_>) -> Option<String> {
    let policies = finalized_policies(scene.snapshot);
    let first = policies.first().filter(|_| scene.from == Cni::AwsVpcCni)?;
    Some(format!(
        "ConfigMap/kube-system/amazon-vpc-cni stays: {} NetworkPolicies such as {first} have the finalizer {}, which only the controller of EKS removes, and only while this ConfigMap switches it on",
        policies.len(),
        super::plan::AWS_FINALIZER
    ))
}
