//! Policies that an API server keeps to itself.
//!
//! Calico's own API server lists only policies in tiers that the caller may read, and says nothing of the others. What it stores is listed beside that by
//! its own name, so that a backup which misses policies is noticed.
//!
//! *Source*: Calico, `apiserver/pkg/registry/projectcalico/util`, `EnsureTierSelector`.

use std::collections::BTreeSet;

use super::makers::is_mirrored;
use super::object::Id;

/// How Calico writes the tier of a policy without one before its name; releases differ in whether the stored name has it.
const DEFAULT: &str = "default.";

/// Objects that are stored, and that the API server does not show. Both are of one kind.
///
/// Each stored object is shown once, and beside them what mirrors Kubernetes. So where as many are shown as are stored, none is missing, whatever a release
/// makes of their names.
#[must_use]
pub fn find_hidden(shown: &[Id], stored: &[Id]) -> Vec<Id> {
    if shown.iter().filter(|id| !is_mirrored(&id.name)).count() >= stored.len() {
        return Vec::new();
    }
    let bare = |id: &Id| {
        let name = id.name.strip_prefix(DEFAULT).unwrap_or(&id.name);
        (id.namespace.clone(), name.to_owned())
    };
    let shown: BTreeSet<_> = shown.iter().map(bare).collect();
    stored.iter().filter(|id| !shown.contains(&bare(id))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<Id> {
        let id = |name: &&str| {
            let (namespace, name) = name.split_once('/').expect("a namespace");
            Id {
                api_version: "projectcalico.org/v3".into(),
                kind: "NetworkPolicy".into(),
                namespace: Some(namespace.into()),
                name: name.into(),
            }
        };
        names.iter().map(id).collect()
    }

    #[test]
    fn a_policy_of_a_tier_that_is_not_shown_is_found() {
        let shown = ids(&["x/default.a", "x/b", "x/knp.default.k"]);
        assert_eq!(find_hidden(&shown, &ids(&["x/a", "x/default.b"])), []);
        assert_eq!(
            find_hidden(&shown, &ids(&["x/a", "x/b", "x/secure.a"])),
            ids(&["x/secure.a"]),
            "knp is not stored"
        );
        assert_eq!(find_hidden(&shown, &ids(&["x/a", "y/a", "x/secure.a"])), ids(&["y/a", "x/secure.a"]));
        assert_eq!(find_hidden(&shown, &ids(&["x/a.1f", "x/b.2e"])), [], "a release with other names");
    }
}
