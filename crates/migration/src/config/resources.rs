//! Objects that the settings name, and the workloads that the migration depends on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use snapshot::model::Kind;

/// The namespace and the name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Named"))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectRef {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// Whether it is the object of this namespace and name.
    #[must_use]
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

/// Workloads by namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Resources {
    /// Names of DaemonSets, by namespace.
    pub daemon_sets: BTreeMap<String, Vec<String>>,
    /// Names of Deployments, by namespace.
    pub deployments: BTreeMap<String, Vec<String>>,
    /// Names of StatefulSets, by namespace.
    pub stateful_sets: BTreeMap<String, Vec<String>>,
}

impl Resources {
    /// Kind, namespace and name of each.
    #[must_use]
    pub fn all(&self) -> Vec<(Kind, &str, &str)> {
        let parts = [
            (Kind::DAEMON_SET, &self.daemon_sets),
            (Kind::DEPLOYMENT, &self.deployments),
            (Kind::STATEFUL_SET, &self.stateful_sets),
        ];
        let mut all = Vec::new();
        for (kind, by_namespace) in parts {
            for (namespace, names) in by_namespace {
                all.extend(names.iter().map(|name| (kind, namespace.as_str(), name.as_str())));
            }
        }
        all
    }
}
