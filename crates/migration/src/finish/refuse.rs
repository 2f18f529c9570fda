//! Refusals to remove: objects that other programs need, and installations that Crossfade does not know.

use snapshot::model::{Kind, Object};

use super::plan::{FinishPlan, Inventory, text};
use crate::check::Scene;
use crate::cni::footprint::Part;
use crate::cni::support::Cni;
use crate::workload::{START_TAINT_CILIUM, agents, look_alikes};

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

/// What begins the names of Services that Cilium makes for a Gateway, and for an Ingress that has a load balancer of its own.
///
/// *Source*: cilium/cilium: operator/pkg/gateway-api and operator/pkg/model/translation/ingress.
const SERVED: [&str; 2] = ["cilium-gateway-", "cilium-ingress-"];

/// Every reason.
pub(super) fn refusals(scene: &Scene<'_>, inventory: &Inventory, plan: &FinishPlan) -> Vec<Refusal> {
    let mut all = unknown_kinds(scene);
    all.extend(unknown_agents(scene, inventory, plan));
    all.extend(products(scene));
    all.extend(match scene.from {
        Cni::Calico => calico(scene, inventory),
        Cni::Canal => own_definitions(scene).into_iter().collect(),
        Cni::Cilium => cilium(scene, inventory),
        Cni::Flannel | Cni::Antrea | Cni::AwsVpcCni => Vec::new(),
    });
    all
}

/// Kinds that were not read: that none of their objects stands in the way is not known.
fn unknown_kinds(scene: &Scene<'_>) -> Vec<Refusal> {
    let mut kinds = vec![Kind::DAEMON_SET, Kind::CUSTOM_RESOURCE_DEFINITION];
    if scene.from == Cni::Cilium {
        kinds.extend([Kind::INGRESS, Kind::GATEWAY, Kind::SERVICE]);
    }
    let refusal = |kind: Kind| Refusal {
        what: format!("{}: they are not known", kind.resource()),
        help: "read them with the rights in deploy/cluster/rbac-viewer.yaml".into(),
    };
    kinds.into_iter().filter(|kind| !scene.snapshot.knows(*kind)).map(refusal).collect()
}

/// Agents that run under names which no published installation has, or in a namespace that may be a tenant's, and those of a CNI that shares names
/// with the old one. The snapshot is older than the deletions: an agent of the plan is a known one when it is gone, too.
fn unknown_agents(scene: &Scene<'_>, inventory: &Inventory, plan: &FinishPlan) -> Vec<Refusal> {
    let is_known = |namespace: &str, name: &str| {
        let planned = plan.delete.iter().chain(&plan.vanish).map(|pin| &pin.target);
        let mut known = inventory.objects.keys().chain(planned).filter(|target| target.part == Part::Agent);
        known.any(|target| target.name == name && target.namespace.as_deref() == Some(namespace))
    };
    let unnamed = look_alikes(scene, scene.from).filter(|_| scene.config.agents.old.is_empty());
    let unnamed = unnamed.filter(|set| !is_known(set.namespace(), set.name())).map(|set| Refusal {
        what: format!("DaemonSet/{}/{} looks like an agent of {}", set.namespace(), set.name(), scene.from),
        help: "name all DaemonSets that are the old agents in the settings file: agents: {old: [{namespace: .., name: ..}]}".into(),
    });
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
    renamed.chain(unnamed).chain(shared).collect()
}

/// Editions for enterprises.
fn products(scene: &Scene<'_>) -> Vec<Refusal> {
    let is_of_product = |definition: &&Object| {
        let group = definition.name().split_once('.').map_or("", |(_, group)| group);
        PRODUCTS.contains(&group)
    };
    let definition = scene.snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter().find(is_of_product);
    let refusal = |definition: &Object| Refusal {
        what: format!(
            "CustomResourceDefinition/{} is of a product whose objects Crossfade does not know",
            definition.name()
        ),
        help: "remove that product as its vendor says, then call finish again".into(),
    };
    definition.map(refusal).into_iter().collect()
}

/// Calico that keeps its resources in its own API group. They have finalizers which only its controllers clear, and those of tiers wait for their
/// policies.
///
/// *Source*: projectcalico/calico: kube-controllers and libcalico-go at v3.32.1, `TierFinalizer`.
fn own_definitions(scene: &Scene<'_>) -> Option<Refusal> {
    let is_of_calico = |definition: &&Object| {
        definition.name().split_once('.').is_some_and(|(_, group)| group == "projectcalico.org")
    };
    let definition = scene.snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter().find(is_of_calico)?;
    Some(Refusal {
        what: format!("CustomResourceDefinition/{} is there: Calico keeps its resources in the group projectcalico.org, and Crossfade does not know in which order its controllers let them go", definition.name()),
        help: "remove Calico as its documentation says, with policies before tiers and pools while its controllers run; then call finish again for what is left".into(),
    })
}

fn calico(scene: &Scene<'_>, inventory: &Inventory) -> Vec<Refusal> {
    let mut all: Vec<Refusal> = own_definitions(scene).into_iter().collect();
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

/// Ingresses and Gateways that Cilium serves, and what its operator does to Nodes without an agent.
fn cilium(scene: &Scene<'_>, inventory: &Inventory) -> Vec<Refusal> {
    let mut all = Vec::new();
    let served_objects = |kind: Kind, pointer: &'static str| {
        let objects = scene.snapshot.objects(kind).iter();
        objects
            .filter(move |object| object.text(pointer) == Some("cilium"))
            .map(move |object| format!("{kind}/{}/{}", object.namespace(), object.name()))
    };
    // Cilium makes these, whatever the class is called.
    let is_made = |name: &str| SERVED.iter().any(|prefix| name.starts_with(prefix));
    let services = scene.snapshot.services.iter().map(|service| &service.metadata);
    let services = services.filter(|meta| is_made(&meta.name));
    let served: Vec<String> = served_objects(Kind::INGRESS, "/spec/ingressClassName")
        .chain(served_objects(Kind::GATEWAY, "/spec/gatewayClassName"))
        .chain(services.map(|meta| format!("Service/{}/{}", meta.namespace, meta.name)))
        .collect();
    if let Some(first) = served.first() {
        all.push(Refusal {
            what: format!(
                "Cilium serves Ingresses and Gateways: {} of them and of their Services are there, such as {first}",
                served.len()
            ),
            help: "give each of them another class, whose controller serves them before Cilium goes".into(),
        });
    }
    let config = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config");
    let is_tainting = config.and_then(|config| config.data("set-cilium-node-taints")) == Some("true");
    let mut controllers = inventory.in_part(Part::Controller);
    if is_tainting && controllers.any(|(target, _)| target.name == "cilium-operator") {
        all.push(Refusal {
            what: format!("Deployment cilium-operator would put the taint {START_TAINT_CILIUM} on every node as soon as the agents end, and no new pod would start"),
            help: "set-cilium-node-taints: \"false\" in ConfigMap cilium-config (Helm: operator.setNodeTaints=false), then restart the Deployment cilium-operator".into(),
        });
    }
    all
}

/// What stays on purpose.
pub(super) fn stays(inventory: &Inventory) -> Option<String> {
    let mut staying = inventory.objects.iter().filter(|(target, object)| super::plan::stays(target, object));
    let (target, _) = staying.next()?;
    Some(format!(
        "{target} stays: it switches on a controller of EKS, and only that controller removes its finalizers from policies of users"
    ))
}
