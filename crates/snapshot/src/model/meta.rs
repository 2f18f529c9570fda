//! The metadata of every API object: its name, its labels and its owners.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Text of a snapshot. Many objects share one copy of the same text.
pub type Text = Arc<str>;

/// Labels or annotations.
pub type Labels = BTreeMap<Text, Text>;

/// Annotations that checks read, by how their keys begin. A snapshot keeps no others, since any tool may keep any data in an annotation.
const KEPT: [&str; 28] = [
    "cilium.io/",
    "cluster-autoscaler.kubernetes.io/",
    "cluster.x-k8s.io/",
    "cni.projectcalico.org/",
    "crossfade/",
    "egress.projectcalico.org/",
    "eks.amazonaws.com/",
    "flannel.alpha.coreos.com/",
    "helmcharts.helm.cattle.io/",
    "io.cilium/",
    "ipam.antrea.io/",
    "ipam.cilium.io/",
    "k8s.v1.cni.cncf.io/",
    "karpenter.sh/",
    "kube-router.io/",
    "kubeadm.alpha.kubernetes.io/cri-socket",
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.source",
    "kubernetes.io/egress-bandwidth",
    "kubernetes.io/ingress-bandwidth",
    "machineconfiguration.openshift.io/state",
    "metallb.universe.tf/",
    "network.cilium.io/",
    "node.antrea.io/",
    "projectcalico.org/",
    "service.beta.kubernetes.io/",
    "vpc.amazonaws.com/",
    "weave.works/kured-",
];

/// Whether a snapshot keeps an annotation with this key.
pub(super) fn is_kept(key: &str) -> bool {
    KEPT.iter().any(|prefix| key.starts_with(prefix))
}

/// `metadata` of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name; unique within the kind and the namespace.
    pub name: Text,
    /// The namespace; empty for a kind without one.
    #[serde(skip_serializing_if = "is_empty")]
    pub namespace: Text,
    /// The identity: another object of the same name has another one.
    #[serde(skip_serializing_if = "is_empty")]
    pub uid: Text,
    /// When the API server created the object, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Text>,
    /// When the object was deleted, which then waits for its grace period or its finalizers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Text>,
    /// Counts the changes of `spec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    #[serde(skip_serializing_if = "is_without_labels")]
    pub labels: Arc<Labels>,
    /// The annotations that checks read; a snapshot keeps no others.
    #[serde(skip_serializing_if = "is_without_labels", deserialize_with = "deserialize_labels")]
    pub annotations: Arc<Labels>,
    /// Who owns the object.
    #[serde(skip_serializing_if = "<[_]>::is_empty", deserialize_with = "deserialize_owners")]
    pub owner_references: Arc<[OwnerRef]>,
    /// What must happen before the object disappears.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub finalizers: Arc<[Text]>,
}

/// One owner of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// `apps/v1`.
    pub api_version: Text,
    /// `ReplicaSet`.
    pub kind: Text,
    /// Its name, in the same namespace or in none.
    pub name: Text,
    /// Its identity.
    pub uid: Text,
    /// The one owner that manages the object.
    #[serde(skip_serializing_if = "is_false")]
    pub controller: bool,
}

impl Meta {
    /// The owner that manages the object.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether the API server could have taken its name, its namespace and its labels. Commands that an operator pastes into a shell have them.
    ///
    /// # Errors
    /// What could not be.
    pub fn check_names(&self) -> Result<(), &'static str> {
        if !is_word(&self.name) || !(self.namespace.is_empty() || is_word(&self.namespace)) {
            return Err("metadata: the API server takes no such name or namespace");
        }
        let is_label = |(key, value): (&Text, &Text)| is_key(key) && (value.is_empty() || is_word(value));
        if self.labels.iter().all(is_label) {
            Ok(())
        } else {
            Err("metadata: the API server takes no such label")
        }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(AsRef::as_ref)
    }

    /// The value of an annotation that snapshots keep.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(AsRef::as_ref)
    }
}

/// Whether a text could be the name of an object, or the value of a label: no shell sees more in it than a word, and no command an option.
///
/// *Source*: Kubernetes, "Object Names and IDs" and "Labels and Selectors". Names of roles alone may have a colon; they are taken here, too.
pub(super) fn is_word(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_part)
}

/// Whether a text could be the key of a label or a taint: a name, maybe behind a domain.
pub(super) fn is_key(text: &str) -> bool {
    text.split('/').count() <= 2 && text.split('/').all(is_word)
}

/// Owners that could be. The API server does not look an owner up when an object names one, so that any tenant may name what cannot be; such an object has no owner.
fn deserialize_owners<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[OwnerRef]>, D::Error> {
    let mut all: Vec<OwnerRef> = or_default(deserializer)?;
    let is_group = |version: &str| version.is_empty() || is_key(version);
    all.retain(|owner| is_word(&owner.kind) && is_word(&owner.name) && is_group(&owner.api_version));
    Ok(all.into())
}

pub(super) fn is_empty(text: &Text) -> bool {
    text.as_ref().is_empty()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) const fn is_false(value: &bool) -> bool {
    !*value
}

pub(super) fn is_without_labels(labels: &Arc<Labels>) -> bool {
    labels.is_empty()
}

/// `null` is the same as an absent key: Go writes it for an empty list or map.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn deserialize_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Labels>, D::Error> {
    struct AnnotationsVisitor;
    impl<'de> Visitor<'de> for AnnotationsVisitor {
        type Value = Labels;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut labels = Labels::new();
            while let Some(key) = map.next_key::<String>()? {
                if is_kept(&key) {
                    labels.insert(key.into(), map.next_value()?);
                } else {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
            Ok(labels)
        }

        fn visit_unit<E>(self) -> Result<Labels, E> {
            Ok(Labels::new())
        }
    }
    deserializer.deserialize_any(AnnotationsVisitor).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_that_no_check_reads_are_dropped() {
        let text = r#"{"name":"a","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}",
            "cni.projectcalico.org/ipAddrs":"[]"},"managedFields":[{"manager":"x"}]}"#;
        let meta: Meta = serde_json::from_str(text).expect("metadata");
        assert_eq!(meta.annotation("cni.projectcalico.org/ipAddrs"), Some("[]"));
        assert_eq!(meta.annotations.len(), 1);
        let none: Meta = serde_json::from_str(r#"{"name":"a","annotations":null}"#).expect("metadata");
        assert!(none.annotations.is_empty());
    }

    #[test]
    fn one_owner_manages_an_object() {
        let text = r#"{"name":"a","ownerReferences":[{"kind":"A","name":"x","uid":"1","apiVersion":"v1"},
            {"kind":"B","name":"y","uid":"2","apiVersion":"v1","controller":true}]}"#;
        let meta: Meta = serde_json::from_str(text).expect("metadata");
        assert_eq!(meta.controller().map(|owner| owner.name.as_ref()), Some("y"));
    }
}
