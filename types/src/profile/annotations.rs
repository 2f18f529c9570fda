//! The annotations that a CNI's plugin writes on the Pod that it attaches.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::text::qualified;

/// Domains whose annotations are not one CNI's, each with all domains below it.
const SHARED: [&str; 4] = ["kubernetes.io", "k8s.io", "cncf.io", "crossfade"];

/// The annotations that a CNI's plugin writes on a Pod at ADD.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodAnnotations {
    /// The annotation whose value is the container id of the sandbox that the plugin attached.
    pub sandbox: String,
    /// The annotation with the address that the plugin gave to the sandbox. An empty value says that a DEL of the plugin has released the address.
    pub address: String,
    /// The annotations that the plugin writes with these two, and that mean nothing without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl PodAnnotations {
    /// The keys of all of them.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        [&self.sandbox, &self.address].into_iter().chain(&self.others).map(String::as_str)
    }

    /// Holds the keys to names that one CNI alone can have, because Crossfade removes these annotations from Pods.
    ///
    /// # Errors
    /// The first key that may not be named, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut keys = BTreeSet::new();
        for key in self.keys() {
            qualified::key(key).map_err(|why| format!("podAnnotations: {key:?}: {why}"))?;
            let Some((domain, _)) = key.split_once('/') else {
                return Err(format!("podAnnotations: {key}: expected the CNI's domain before a `/`"));
            };
            let is_below = |shared: &str| {
                domain.strip_suffix(shared).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            if SHARED.into_iter().any(is_below) {
                return Err(format!("podAnnotations: {key} may be an annotation of others"));
            }
            if !keys.insert(key) {
                return Err(format!("podAnnotations: {key} is named twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_different_keys_of_one_cni_may_be_named() {
        let check = |sandbox: &str, address: &str, other: &str| {
            let others = vec![other.to_owned()];
            PodAnnotations { sandbox: sandbox.into(), address: address.into(), others }.check()
        };
        assert_eq!(check("a.example/id", "a.example/ip", "b.example/ips"), Ok(()));
        assert_eq!(check("notk8s.io/id", "a.example/ip", "a.example/ips"), Ok(()));
        for (key, word) in [
            ("kubernetes.io/config.mirror", "of others"),
            ("kubectl.kubernetes.io/last-applied-configuration", "of others"),
            ("node.k8s.io/x", "of others"),
            ("k8s.v1.cni.cncf.io/networks", "of others"),
            ("crossfade/attach", "of others"),
            ("a.example/id", "twice"),
            ("ips", "domain"),
            ("a.example/", "expected"),
            ("a b/c", "expected"),
        ] {
            let why = check("a.example/id", "a.example/ip", key).expect_err(key);
            assert!(why.contains(word) && why.starts_with("podAnnotations: "), "{why}");
        }
        assert!(check("crossfade/a", "a.example/ip", "a.example/ips").is_err());
        assert!(check("a.example/id", "crossfade/a", "a.example/ips").is_err());
    }
}
