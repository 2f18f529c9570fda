//! The footprint of each CNI in the API: the objects of its published installations, by exact names, in the order in which they are removed.
//!
//! Near-misses belong to others: a name that is not here is never touched, whatever it looks like. Secrets are named for people only, since Crossfade has no
//! right to read them.
//!
//! *Source*: manifests, charts and operators of each CNI, at the releases that the file of the CNI names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What an object is for a CNI, in the order in which objects are removed.
///
/// What a living controller must do comes before the controller: it clears finalizers and converts objects. Webhooks and aggregated APIs go before the pods
/// behind them: a webhook without them refuses requests, and an aggregated API without them keeps every namespace of the cluster from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// An operator makes other objects of it, and deletes these with it.
    Managed,
    /// Configuration in a resource of the CNI. It goes with its definition, unless it has a finalizer that a controller must clear.
    Resource,
    /// The configuration of a webhook.
    Webhook,
    /// An aggregated API.
    ApiService,
    /// A definition whose objects the controller converts.
    Converted,
    /// A workload whose pods have the pod network.
    PodNetwork,
    /// A controller.
    Controller,
    /// The agent on each node, and what runs beside it.
    Agent,
    /// Settings, Services, budgets and locks.
    Setting,
    /// Rights and accounts.
    Right,
    /// A definition of resources, which go with it.
    Definition,
}

/// A kind of API object, as its paths name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Group and version: `apps/v1`.
    pub version: &'static str,
    /// `DaemonSet`.
    pub kind: &'static str,
    /// `daemonsets`.
    pub plural: &'static str,
}

/// Where objects of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The kind has no namespace.
    Cluster,
    /// In exactly these namespaces.
    In(&'static [&'static str]),
    /// In the namespaces of the CNI's agents: that of a chart's release.
    Agent,
}

/// Objects of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub part: Part,
    /// The kind.
    pub api: Api,
    pub place: Place,
    /// What they are called.
    pub names: &'static [&'static str],
}

/// Who makes the objects of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Users, or users change what the CNI made: a backup has them.
    Configuration,
    /// The CNI, as state.
    State,
}

/// Definitions of one API group.
#[derive(Debug, Clone, Copy)]
pub struct Definitions {
    pub group: &'static str,
    pub class: Class,
    /// The controller converts their objects, so that it must be there when they go.
    pub is_converted: bool,
    /// The plural names.
    pub plurals: &'static [&'static str],
}

/// What a CNI has in the API.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    pub rows: &'static [&'static [Row]],
    pub definitions: &'static [&'static [Definitions]],
    /// Its Secrets, which Crossfade neither reads nor deletes.
    pub secrets: &'static [(Place, &'static [&'static str])],
    /// Namespaces that its installation makes. What else is in them is not known, so that people delete them.
    pub namespaces: &'static [&'static str],
    /// Annotations of Nodes: a prefix, and the names behind it. Those that people set are not among them.
    pub annotations: &'static [(&'static str, &'static [&'static str])],
    /// Reasons with which it writes the condition `NetworkUnavailable`.
    pub reasons: &'static [&'static str],
    /// Taints that its programs set on Nodes whose agent is not ready.
    pub taints: &'static [&'static str],
}

/// One object by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// What it is for its CNI.
    pub part: Part,
    /// Group and version: `apps/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The kind, as paths name it.
    pub plural: String,
    /// The namespace; none if the kind has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

pub(super) const fn api(version: &'static str, kind: &'static str, plural: &'static str) -> Api {
    Api { version, kind, plural }
}

pub(super) const fn row(part: Part, api: Api, place: Place, names: &'static [&'static str]) -> Row {
    Row { part, api, place, names }
}

pub(super) const RBAC: &str = "rbac.authorization.k8s.io/v1";
pub(super) const ADMISSION: &str = "admissionregistration.k8s.io/v1";
pub(super) const DAEMON_SET: Api = api("apps/v1", "DaemonSet", "daemonsets");
pub(super) const DEPLOYMENT: Api = api("apps/v1", "Deployment", "deployments");
pub(super) const SERVICE: Api = api("v1", "Service", "services");
pub(super) const CONFIG_MAP: Api = api("v1", "ConfigMap", "configmaps");
pub(super) const QUOTA: Api = api("v1", "ResourceQuota", "resourcequotas");
pub(super) const ACCOUNT: Api = api("v1", "ServiceAccount", "serviceaccounts");
pub(super) const BUDGET: Api = api("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets");
pub(super) const JOB: Api = api("batch/v1", "Job", "jobs");
pub(super) const CRON_JOB: Api = api("batch/v1", "CronJob", "cronjobs");
pub(super) const LEASE: Api = api("coordination.k8s.io/v1", "Lease", "leases");
pub(super) const ROLE: Api = api(RBAC, "Role", "roles");
pub(super) const ROLE_BINDING: Api = api(RBAC, "RoleBinding", "rolebindings");
pub(super) const CLUSTER_ROLE: Api = api(RBAC, "ClusterRole", "clusterroles");
pub(super) const CLUSTER_ROLE_BINDING: Api = api(RBAC, "ClusterRoleBinding", "clusterrolebindings");
pub(super) const VALIDATING: Api =
    api(ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations");
pub(super) const MUTATING: Api =
    api(ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations");
pub(super) const API_SERVICE: Api = api("apiregistration.k8s.io/v1", "APIService", "apiservices");
pub(super) const NETWORK_POLICY: Api = api("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies");
pub(super) const INGRESS_CLASS: Api = api("networking.k8s.io/v1", "IngressClass", "ingressclasses");
pub(super) const CSI_DRIVER: Api = api("storage.k8s.io/v1", "CSIDriver", "csidrivers");
/// The kind of definitions.
pub const DEFINITION: Api =
    api("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions");

pub(super) const SYSTEM: Place = Place::In(&["kube-system"]);

impl Footprint {
    /// That of a CNI that has nothing there.
    pub(super) const NOTHING: Self = Self {
        rows: &[],
        definitions: &[],
        secrets: &[],
        namespaces: &[],
        annotations: &[],
        reasons: &[],
        taints: &[],
    };

    /// Every name that an object of it may have, where its agents are in these namespaces.
    #[must_use]
    pub fn targets(&self, namespaces: &BTreeSet<String>) -> BTreeSet<Target> {
        let mut all = BTreeSet::new();
        for row in self.rows.iter().copied().flatten() {
            let places: Vec<Option<String>> = match row.place {
                Place::Cluster => vec![None],
                Place::In(exact) => exact.iter().map(|name| Some((*name).to_owned())).collect(),
                Place::Agent => namespaces.iter().cloned().map(Some).collect(),
            };
            for namespace in places {
                let target = |name: &&str| row.api.target(row.part, namespace.clone(), name);
                all.extend(row.names.iter().map(target));
            }
        }
        for group in self.definitions.iter().copied().flatten() {
            let part = if group.is_converted { Part::Converted } else { Part::Definition };
            let name = |plural: &&str| format!("{plural}.{}", group.group);
            all.extend(group.plurals.iter().map(|plural| DEFINITION.target(part, None, &name(plural))));
        }
        all
    }

    /// Who makes the objects of a definition; none if it is not this CNI's.
    #[must_use]
    pub fn class(&self, definition: &str) -> Option<Class> {
        let has_plural = |group: &&Definitions| {
            let plural = definition.strip_suffix(group.group).and_then(|rest| rest.strip_suffix('.'));
            plural.is_some_and(|plural| group.plurals.contains(&plural))
        };
        self.definitions.iter().copied().flatten().find(has_plural).map(|group| group.class)
    }

    /// The commands that delete its Secrets, for people.
    #[must_use]
    pub fn secret_commands(&self, namespaces: &BTreeSet<String>) -> Vec<String> {
        let command = |namespace: &str, names: &[&str]| {
            format!("kubectl -n {namespace} delete secret --ignore-not-found {}", names.join(" "))
        };
        let commands = |(place, names): &(Place, &'static [&'static str])| -> Vec<String> {
            match place {
                Place::Cluster => Vec::new(),
                Place::In(exact) => exact.iter().map(|namespace| command(namespace, names)).collect(),
                Place::Agent => namespaces.iter().map(|namespace| command(namespace, names)).collect(),
            }
        };
        self.secrets.iter().flat_map(commands).collect()
    }

    /// Whether it writes a Node's annotation.
    #[must_use]
    pub fn annotates(&self, key: &str) -> bool {
        self.annotations
            .iter()
            .any(|(prefix, names)| key.strip_prefix(prefix).is_some_and(|name| names.contains(&name)))
    }
}

impl Api {
    /// An object of this kind.
    #[must_use]
    pub fn target(self, part: Part, namespace: Option<String>, name: &str) -> Target {
        Target {
            part,
            api_version: self.version.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            namespace,
            name: name.to_owned(),
        }
    }
}

impl Target {
    /// The API group; empty for the core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// What it is called, whatever it is for its CNI.
    #[must_use]
    pub fn key(&self) -> (&str, &str, Option<&str>, &str) {
        (self.group(), &self.kind, self.namespace.as_deref(), &self.name)
    }

    /// `daemonsets.apps`, as kubectl names the kind.
    #[must_use]
    pub fn resource(&self) -> String {
        match self.group() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

/// `DaemonSet/kube-system/calico-node`; resources of definitions have their group: `IPPool.crd.projectcalico.org/default`.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if matches!(self.part, Part::Resource | Part::Managed) {
            write!(f, ".{}", self.group())?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

#[cfg(test)]
mod tests;
