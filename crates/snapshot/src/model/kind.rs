//! The kinds of API objects that a snapshot holds.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::kinds::{ALL, Row};

/// A kind of API object, such as `Pod`. Kinds that several API groups serve alike, as Calico does, are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(&'static str);

impl Kind {
    pub(super) const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name in manifests, such as `Pod`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    fn row(self) -> &'static Row {
        // Only the table makes kinds, so each has its row.
        ALL.iter().find(|row| row.kind == self).unwrap_or(&ALL[0])
    }

    /// The name in the API's paths, such as `pods`.
    #[must_use]
    pub fn plural_name(self) -> &'static str {
        self.row().plural
    }

    /// The groups and versions that serve this kind, the preferred one first: `[("", "v1")]`.
    #[must_use]
    pub fn served_by(self) -> &'static [(&'static str, &'static str)] {
        self.row().served_by
    }

    /// Objects of this kind are in a namespace.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.row().is_namespaced
    }

    /// A CustomResourceDefinition or an aggregated API serves this kind, so many clusters do not know it.
    #[must_use]
    pub fn is_custom(self) -> bool {
        let (group, _) = self.served_by()[0];
        let is_builtin = !group.contains('.') || group.ends_with(".k8s.io");
        !is_builtin || ["gateway.networking.k8s.io", "policy.networking.k8s.io"].contains(&group)
    }

    /// What an object of this kind says in `kind`. Some names are those of several APIs: of these kinds, all but one have another [`Self::name`].
    #[must_use]
    pub fn api_name(self) -> &'static str {
        match self {
            Self::CALICO_NETWORK_POLICY | Self::ANTREA_NETWORK_POLICY => "NetworkPolicy",
            Self::ANTREA_TIER => "Tier",
            Self::KUBERNETES_CLUSTER_NETWORK_POLICY => "ClusterNetworkPolicy",
            _ => self.0,
        }
    }

    /// What `kubectl get` calls it: `pods`, `ippools.crd.projectcalico.org`.
    #[must_use]
    pub fn resource(self) -> String {
        match self.served_by()[0].0 {
            "" => self.plural_name().to_owned(),
            group => format!("{}.{group}", self.plural_name()),
        }
    }

    /// The kind of an object's `apiVersion` and `kind`; none if no check reads it.
    #[must_use]
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let is_served = |row: &&Row| {
            row.kind.api_name() == kind && row.served_by.iter().any(|(served, _)| *served == group)
        };
        ALL.iter().find(is_served).map(|row| row.kind)
    }

    /// The kind that a person means: `pods`, `Pod`, `ippools.crd.projectcalico.org`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let has_word = |row: &&Row| {
            let kind = row.kind;
            [kind.0, row.plural, &kind.resource()].iter().any(|name| name.eq_ignore_ascii_case(word))
        };
        ALL.iter().find(has_word).map(|row| row.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// One of the names of the table.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Kind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = ALL.iter().map(|row| row.kind.name()).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_word(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("no check reads the kind {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_its_kind() {
        assert_eq!(Kind::find("v1", "Pod"), Some(Kind::POD));
        assert_eq!(Kind::find("crd.projectcalico.org/v1", "IPPool"), Some(Kind::IP_POOL));
        assert_eq!(Kind::find("projectcalico.org/v3", "IPPool"), Some(Kind::IP_POOL));
        assert_eq!(Kind::find("apps/v1", "Pod"), None);
        assert_eq!(Kind::find("v1", "Secret"), None);
        assert_eq!(Kind::find("networking.k8s.io/v1", "NetworkPolicy"), Some(Kind::NETWORK_POLICY));
        assert_eq!(
            Kind::find("crd.projectcalico.org/v1", "NetworkPolicy"),
            Some(Kind::CALICO_NETWORK_POLICY)
        );
        assert_eq!(Kind::find("crd.antrea.io/v1beta1", "NetworkPolicy"), Some(Kind::ANTREA_NETWORK_POLICY));
        assert_eq!(Kind::find("projectcalico.org/v3", "Tier"), Some(Kind::CALICO_TIER));
        assert_eq!(Kind::find("crd.antrea.io/v1beta1", "Tier"), Some(Kind::ANTREA_TIER));
        let cluster = "ClusterNetworkPolicy";
        assert_eq!(Kind::find("crd.antrea.io/v1beta1", cluster), Some(Kind::ANTREA_CLUSTER_NETWORK_POLICY));
        let upstream = Some(Kind::KUBERNETES_CLUSTER_NETWORK_POLICY);
        assert_eq!(Kind::find("policy.networking.k8s.io/v1alpha2", cluster), upstream);
    }

    #[test]
    fn a_person_may_write_a_kind_in_three_ways() {
        for word in ["Pod", "pods", "PODS"] {
            assert_eq!(Kind::from_word(word), Some(Kind::POD), "{word}");
        }
        assert_eq!(Kind::from_word("ippools.crd.projectcalico.org"), Some(Kind::IP_POOL));
        assert_eq!(Kind::from_word("po"), None);
        // Of a word that several APIs have, the first one is meant; the others are named with their group.
        for (word, kind) in [
            ("networkpolicies", Kind::NETWORK_POLICY),
            ("networkpolicies.crd.antrea.io", Kind::ANTREA_NETWORK_POLICY),
            ("tiers", Kind::CALICO_TIER),
            ("tiers.crd.antrea.io", Kind::ANTREA_TIER),
            ("clusternetworkpolicies.crd.antrea.io", Kind::ANTREA_CLUSTER_NETWORK_POLICY),
            ("clusternetworkpolicies", Kind::ANTREA_CLUSTER_NETWORK_POLICY),
            ("ClusterNetworkPolicy", Kind::ANTREA_CLUSTER_NETWORK_POLICY),
            ("clusternetworkpolicies.policy.networking.k8s.io", Kind::KUBERNETES_CLUSTER_NETWORK_POLICY),
        ] {
            assert_eq!(Kind::from_word(word), Some(kind), "{word}");
        }
    }

    #[test]
    fn a_custom_kind_may_be_missing_in_a_cluster() {
        for (kind, is_custom) in [
            (Kind::POD, false),
            (Kind::DAEMON_SET, false),
            (Kind::ENDPOINT_SLICE, false),
            (Kind::IP_POOL, true),
            (Kind::MACHINE, true),
            (Kind::ADMIN_NETWORK_POLICY, true),
            (Kind::GATEWAY, true),
            (Kind::INGRESS, false),
            (Kind::NETWORK_ATTACHMENT_DEFINITION, true),
        ] {
            assert_eq!(kind.is_custom(), is_custom, "{kind}");
        }
    }

    #[test]
    fn names_are_unique_and_secrets_are_not_among_them() {
        for (index, row) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.kind != row.kind), "{}", row.kind);
            assert!(!row.served_by.is_empty() && row.plural != "secrets", "{}", row.kind);
            let (group, version) = row.served_by[0];
            let api_version =
                if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            assert_eq!(
                Kind::find(&api_version, row.kind.api_name()),
                Some(row.kind),
                "no object says what it is"
            );
            assert_eq!(Kind::from_word(row.kind.name()), Some(row.kind), "another kind has this name");
            assert_eq!(
                Kind::from_word(&row.kind.resource()),
                Some(row.kind),
                "another kind has this resource"
            );
        }
    }
}
