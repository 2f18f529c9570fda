//! The objects of the old CNI that are there, and the removal that the operator approves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use snapshot::model::{Kind, Node, Snapshot};
use types::policy::Phase;

use super::cleaning::CleanupPod;
use crate::backup::file::ClusterId;
use crate::check::Scene;
use crate::cni::footprint::{Part, Target};
use crate::cni::support::Cni;
use crate::config::Finish;
use crate::plan::canon;
use crate::workload::agents;

/// What switches a controller of EKS on in the ConfigMap `amazon-vpc-cni`. Policies of users have finalizers that only this controller removes.
///
/// *Source*: aws/amazon-network-policy-controller-k8s: internal/controllers, pkg/config/configmap_manager.go.
const AWS_CONTROLLER: &str = "/data/enable-network-policy-controller";

/// What is there of the old CNI.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    pub cluster: ClusterId,
    /// The namespaces of the old CNI's agents, or where they were.
    pub namespaces: BTreeSet<String>,
    /// Its objects, as the API server has them, and the configuration in its resources.
    pub objects: BTreeMap<Target, Value>,
    /// What could not be read, in words: whether such objects are there is not known.
    pub unread: Vec<String>,
    /// Names of APIServices that are not available.
    pub unavailable: Vec<String>,
    /// The Nodes, where they were read with these objects; else those of the snapshot count.
    pub nodes: Option<Vec<Node>>,
    /// The pods that clean nodes, by their nodes; none without their DaemonSet.
    pub cleanup: Option<BTreeMap<String, CleanupPod>>,
    /// Crossfade's own rights; none if they were not read.
    pub rights: Option<Rights>,
}

/// The ClusterRoles of `deploy/cluster`.
pub const ROLES: [&str; 7] = [
    "crossfade-finish",
    "crossfade-management",
    "crossfade-operator",
    "crossfade-permit",
    "crossfade-policies-reader",
    "crossfade-policies-writer",
    "crossfade-viewer",
];

/// Crossfade's own rights in the whole cluster, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// ClusterRoles.
    pub roles: Vec<String>,
    /// ClusterRoleBindings that give one of these roles, whatever they are called.
    pub bindings: Vec<String>,
}

impl Rights {
    /// Those among all ClusterRoles and ClusterRoleBindings.
    #[must_use]
    pub fn new(roles: &[Value], bindings: &[Value]) -> Self {
        let named = |objects: &[Value], role: &str| -> Vec<String> {
            let own = objects.iter().filter(|object| ROLES.contains(&text(object, role)));
            own.map(|object| text(object, "/metadata/name").to_owned()).collect()
        };
        Self { roles: named(roles, "/metadata/name"), bindings: named(bindings, "/roleRef/name") }
    }
}

/// One object as it was when a person approved its removal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pin {
    /// The object.
    #[serde(flatten)]
    pub target: Target,
    /// Its identity: an object of the same name that is made later has another one, and is not deleted.
    pub uid: String,
}

/// What is removed, in order. A person approves it by the hash of its canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FinishPlan"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FinishPlan {
    /// Version of this file; 1.
    pub version: u32,
    /// The cluster, by the UID of its namespace kube-system.
    pub cluster: String,
    /// The CNI that goes.
    pub from: Cni,
    /// The CNI that stays.
    pub to: Cni,
    /// Hours between the fence and the first deletion.
    pub soak_hours: u32,
    /// Hours of recorded flows before the new CNI enforces policies; 0 if none were asked for.
    #[serde(default = "observation_hours")]
    pub observation_hours: u32,
    /// What is deleted, in this order.
    pub delete: Vec<Pin>,
    /// What goes with an owner or a definition that is deleted.
    pub vanish: Vec<Pin>,
}

/// How far the end of the migration is, as the cluster keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FinishRecord"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Version of this record; 1.
    pub version: u32,
    /// The cluster, by the UID of its namespace kube-system.
    pub cluster: String,
    /// The CNI that goes.
    pub from: Cni,
    /// The CNI that stays.
    pub to: Cni,
    /// SHA-256 of the approved plan, in hex.
    pub plan: String,
    /// Who approved it.
    pub approved_by: String,
    /// When.
    pub approved_at: String,
    /// SHA-256 of the backup, in hex; none before it was written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<String>,
    /// Since when the old agents are fenced off; none if they are not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fenced_at: Option<String>,
    /// The old agents as they are since then: the UID of each with its generation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub agents: BTreeMap<String, i64>,
    /// The removal has begun: there is no way back from here.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_one_way: bool,
}

impl Record {
    /// The version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// Whether it is of this migration of this cluster. The record of another one says nothing of this one.
    #[must_use]
    pub fn is_of(&self, cluster: &str, from: Cni, to: Cni) -> bool {
        (self.cluster.as_str(), self.from, self.to) == (cluster, from, to)
    }

    /// Whether nodes of a migration that reach this phase would be on the network whose agents are fenced off or gone.
    #[must_use]
    pub fn bars(&self, cluster: &str, from: Cni, to: Cni, phase: Phase) -> bool {
        let is_fenced = self.fenced_at.is_some();
        // After a removal, the same CNI is another installation.
        let is_back = self.is_of(cluster, to, from) && is_fenced && !self.is_one_way;
        is_back || self.is_of(cluster, from, to) && (is_fenced || self.is_one_way) && phase != Phase::New
    }
}

/// Every name that an object of the old CNI may have in this cluster, without those that the snapshot knows to be absent, and those that the new CNI
/// has, too.
#[must_use]
pub fn candidates(scene: &Scene<'_>, namespaces: &BTreeSet<String>) -> BTreeSet<Target> {
    let shared = scene.to.facts().footprint.targets(&namespaces_of(scene, scene.to));
    let shared: BTreeSet<_> = shared.iter().map(Target::key).collect();
    let all = scene.from.facts().footprint.targets(namespaces).into_iter();
    all.filter(|target| !shared.contains(&target.key()) && !is_absent(scene.snapshot, target)).collect()
}

/// The namespaces of a CNI's agents.
#[must_use]
pub fn namespaces_of(scene: &Scene<'_>, cni: Cni) -> BTreeSet<String> {
    agents(scene, cni).iter().map(|agent| agent.daemon_set.namespace().to_owned()).collect()
}

/// Whether an object of the old CNI stays on purpose: the settings that switch on a controller whose finalizers are on policies of users.
pub(super) fn stays(target: &Target, object: &Value) -> bool {
    target.name == "amazon-vpc-cni" && text(object, AWS_CONTROLLER) == "true"
}

/// Whether an object goes with its owners: the API server deletes it once all of them are gone.
fn goes_with_owners(target: &Target, object: &Value, inventory: &Inventory) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let Some(owners) = owners.filter(|owners| !owners.is_empty()) else { return false };
    let goes = |owner: &Value| {
        let group = text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
        let is_owner = |other: &Target| {
            (other.group(), other.kind.as_str(), other.name.as_str())
                == (group, text(owner, "/kind"), text(owner, "/name"))
                && (other.namespace.is_none() || other.namespace == target.namespace)
        };
        inventory.objects.iter().any(|(other, object)| is_owner(other) && !stays(other, object))
    };
    owners.iter().all(goes)
}

/// Whether the snapshot has all objects of the kind, and not this one. It has few ConfigMaps, and says nothing about the others.
fn is_absent(snapshot: &Snapshot, target: &Target) -> bool {
    let kind = Kind::find(&target.api_version, &target.kind);
    let Some(kind) = kind.filter(|kind| snapshot.knows(*kind) && *kind != Kind::CONFIG_MAP) else {
        return false;
    };
    find(snapshot, kind, target).is_none()
}

/// An object of the snapshot, as far as the snapshot has it.
fn find(snapshot: &Snapshot, kind: Kind, target: &Target) -> Option<Value> {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let has_name = |meta: &snapshot::model::Meta| {
        meta.name.as_ref() == target.name && meta.namespace.as_ref() == namespace
    };
    if let Some(workload) = snapshot.workloads(kind).iter().find(|workload| has_name(&workload.metadata)) {
        return serde_json::to_value(workload).ok();
    }
    let meta_of = |meta: &snapshot::model::Meta| serde_json::json!({ "metadata": meta });
    match kind {
        Kind::SERVICE => snapshot
            .services
            .iter()
            .find(|service| has_name(&service.metadata))
            .map(|item| meta_of(&item.metadata)),
        Kind::POD_DISRUPTION_BUDGET => snapshot
            .budgets
            .iter()
            .find(|budget| has_name(&budget.metadata))
            .map(|item| meta_of(&item.metadata)),
        _ => {
            let object = snapshot.objects(kind).iter();
            object
                .filter(|object| object.name() == target.name && object.namespace() == namespace)
                .map(|object| object.value().clone())
                .next()
        }
    }
}

/// What a snapshot says of the old CNI. Kinds that it does not have are not known.
#[must_use]
pub fn inventory(scene: &Scene<'_>) -> Inventory {
    let snapshot = scene.snapshot;
    let mut namespaces = namespaces_of(scene, scene.from);
    if namespaces.is_empty() {
        namespaces.insert("kube-system".to_owned());
    }
    let (mut objects, mut unread) = (BTreeMap::new(), BTreeSet::new());
    for target in candidates(scene, &namespaces) {
        match Kind::find(&target.api_version, &target.kind) {
            Some(kind) if snapshot.knows(kind) => {
                if let Some(object) = find(snapshot, kind, &target) {
                    objects.insert(target, object);
                }
            }
            _ => drop(unread.insert(format!("{}: a snapshot does not have them", target.resource()))),
        }
    }
    let cluster = ClusterId {
        uid: snapshot.cluster.uid.clone().unwrap_or_default(),
        api_server: snapshot.cluster.version.clone().unwrap_or_default(),
    };
    let unread = unread.into_iter().collect();
    Inventory { cluster, namespaces, objects, unread, ..Inventory::default() }
}

impl Inventory {
    /// The objects of a part.
    pub fn in_part(&self, part: Part) -> impl Iterator<Item = (&Target, &Value)> {
        self.objects.iter().filter(move |(target, _)| target.part == part)
    }

    /// The Nodes as they were read last.
    #[must_use]
    pub fn current_nodes<'a>(&'a self, snapshot: &'a Snapshot) -> &'a [Node] {
        self.nodes.as_deref().unwrap_or(&snapshot.nodes)
    }

    /// The UID of each agent, with its generation, which grows with every change of what it should be.
    #[must_use]
    pub fn agents(&self) -> BTreeMap<String, i64> {
        let generation = |object: &Value| object.pointer("/metadata/generation").and_then(Value::as_i64);
        let agent = |object: &Value| {
            (text(object, "/metadata/uid").to_owned(), generation(object).unwrap_or_default())
        };
        self.in_part(Part::Agent).map(|(_, object)| agent(object)).collect()
    }
}

impl FinishPlan {
    /// The version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// What would be removed of what is there.
    #[must_use]
    pub fn new(scene: &Scene<'_>, inventory: &Inventory) -> Self {
        let (mut delete, mut vanish) = (Vec::new(), Vec::new());
        // A map is sorted, and targets are sorted by their part first: that is the order of removal.
        for (target, object) in inventory.objects.iter().filter(|(target, object)| !stays(target, object)) {
            let pin = Pin { target: target.clone(), uid: text(object, "/metadata/uid").to_owned() };
            let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            let goes_with_another = if target.part == Part::Resource {
                finalizers.is_none_or(Vec::is_empty)
            } else {
                goes_with_owners(target, object, inventory)
            };
            if goes_with_another { &mut vanish } else { &mut delete }.push(pin);
        }
        Self {
            version: Self::VERSION,
            cluster: inventory.cluster.uid.clone(),
            from: scene.from,
            to: scene.to,
            soak_hours: scene.config.finish.soak_hours,
            observation_hours: scene.config.finish.observation_hours,
            delete,
            vanish,
        }
    }

    /// The bytes that are hashed and kept.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        canon::bytes(self)
    }

    #[must_use]
    pub fn hash(&self) -> String {
        canon::sha256(&self.bytes())
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// The bytes are no such plan, or the plan does not delete in the order in which this program does.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let plan: Self = serde_json::from_slice(bytes)
            .map_err(|e| format!("this is no plan of finish: {e}; make one: kubectl crossfade finish"))?;
        let parts: Vec<Part> = plan.delete.iter().map(|pin| pin.target.part).collect();
        if plan.version != Self::VERSION
            || !parts.is_sorted()
            || plan.delete.iter().any(|pin| pin.uid.is_empty())
        {
            return Err("another release made this plan of finish; make one: kubectl crossfade finish".into());
        }
        // A plan names what may be deleted: nothing but what the CNI has by this program's own tables.
        let namespaces = plan.delete.iter().filter_map(|pin| pin.target.namespace.clone()).collect();
        let known = plan.from.facts().footprint.targets(&namespaces);
        let is_resource = |target: &Target| {
            target.part == Part::Resource
                && plan
                    .from
                    .facts()
                    .footprint
                    .class(&format!("{}.{}", target.plural, target.group()))
                    .is_some()
        };
        match plan.delete.iter().find(|pin| !known.contains(&pin.target) && !is_resource(&pin.target)) {
            Some(pin) => Err(format!(
                "{} is no object of {}; make a plan anew: kubectl crossfade finish",
                pin.target, plan.from
            )),
            None => Ok(plan),
        }
    }
}

/// What a plan of an earlier release asks for.
fn observation_hours() -> u32 {
    Finish::default().observation_hours
}

/// The text at a pointer; empty if there is none.
pub(crate) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
