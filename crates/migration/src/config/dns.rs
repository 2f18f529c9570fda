//! Settings for the place of the cluster's DNS.

use serde::{Deserialize, Serialize};

use snapshot::model::Labels;

/// The pods that answer DNS queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Dns {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub labels: Labels,
}

impl Default for Dns {
    fn default() -> Self {
        Self { namespace: "kube-system".into(), labels: [("k8s-app".into(), "kube-dns".into())].into() }
    }
}
