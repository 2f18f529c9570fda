//! The profiles that count in this process: the built-in ones, with what the node has in their place.
//!
//! A program reads the node's own profiles once, before it decides anything. A process that never does, such as a test or `kubectl crossfade`,
//! has the built-in ones. What counts never changes afterwards, so that two decisions of one process cannot differ.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Profile, built_in};

static IN_FORCE: OnceLock<InForce> = OnceLock::new();

/// The profiles that a node has of its own, by name: each of them, or why its file cannot be used.
pub type OwnProfiles = BTreeMap<String, Result<Profile, String>>;

#[derive(Debug, PartialEq, Eq)]
struct InForce {
    profiles: Vec<Profile>,
    unusable: BTreeMap<String, String>,
}

/// Lets these profiles count from now on: each takes the place of the built-in one of its name. A name whose file cannot be used has no
/// profile, because the built-in one may be wrong on this node. Returns false if something counts already; then nothing changes.
pub fn put_in_force(written: OwnProfiles) -> bool {
    IN_FORCE.set(overlaid(built_in(), written)).is_ok()
}

/// Why the node's own profile of this name cannot be used; `None` if it can, or if there is none.
#[must_use]
pub fn unusable(name: &str) -> Option<&'static str> {
    IN_FORCE.get()?.unusable.get(name).map(String::as_str)
}

/// Why the node's own profiles that cannot be used cannot be used.
pub fn all_unusable() -> impl Iterator<Item = &'static str> {
    IN_FORCE.get().into_iter().flat_map(|counts| counts.unusable.values().map(String::as_str))
}

pub(super) fn profiles() -> &'static [Profile] {
    IN_FORCE.get().map_or(built_in(), |counts| &counts.profiles)
}

fn overlaid(built_in: &[Profile], written: OwnProfiles) -> InForce {
    let mut profiles: BTreeMap<String, Profile> =
        built_in.iter().map(|profile| (profile.name.clone(), profile.clone())).collect();
    let mut unusable = BTreeMap::new();
    for (name, read) in written {
        profiles.remove(&name);
        match read {
            Ok(profile) => drop(profiles.insert(name, profile)),
            Err(why) => drop(unusable.insert(name, why)),
        }
    }
    InForce { profiles: profiles.into_values().collect(), unusable }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn a_profile_of_the_node_replaces_one_is_added_or_leaves_none() {
        let flannel = find("flannel").expect("flannel");
        let own = Profile { conf: vec!["99-mine.conflist".into()], ..flannel.clone() };
        let new = Profile { name: "house".into(), ..flannel.clone() };
        let counts = overlaid(
            built_in(),
            OwnProfiles::from([
                ("flannel".into(), Ok(own.clone())),
                ("house".into(), Ok(new.clone())),
                ("calico".into(), Err("torn".into())),
            ]),
        );
        let named = |name: &str| counts.profiles.iter().find(|profile| profile.name == name);
        assert_eq!((named("flannel"), named("house")), (Some(&own), Some(&new)));
        assert_eq!(named("calico"), None, "what is built in may be wrong on this node");
        assert_eq!(counts.unusable, BTreeMap::from([("calico".into(), "torn".into())]));
        assert_eq!(counts.profiles.len(), built_in().len());
        assert!(counts.profiles.is_sorted_by_key(|profile| &profile.name));
    }
}
