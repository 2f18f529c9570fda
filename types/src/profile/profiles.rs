//! The profiles that count on a node: the built-in ones, with what the node has in their place and beside them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::{FILES, Profile};

static BUILT_IN: LazyLock<Arc<Profiles>> = LazyLock::new(|| {
    // A unit test reads them all; they are part of the program.
    let read = |text: &&str| serde_json::from_str(text).expect("the profiles that are built in are valid");
    Arc::new(Profiles { profiles: FILES.iter().map(read).collect(), unusable: BTreeMap::new() })
});

/// The profiles that a node has of its own, by name: each of them, or why its file cannot be used.
pub type OwnProfiles = BTreeMap<String, Result<Profile, String>>;

/// The profiles that count on a node. A program reads the node's own once, before it decides anything, so that two decisions of one
/// process cannot differ.
#[derive(Debug, PartialEq, Eq)]
pub struct Profiles {
    /// Sorted by name.
    profiles: Vec<Profile>,
    /// Why a file of the node cannot be used, by the name that has no profile then.
    unusable: BTreeMap<String, String>,
}

impl Profiles {
    /// The profiles that are part of the program.
    #[must_use]
    pub fn built_in() -> &'static Arc<Self> {
        &BUILT_IN
    }

    /// The built-in ones and a node's own, each of which takes the place of the built-in one of its name. A name whose file cannot be used
    /// has no profile, because the built-in one may be wrong on this node.
    #[must_use]
    pub fn with_own(own: OwnProfiles) -> Self {
        let built_in = Self::built_in().all().iter();
        let mut profiles: BTreeMap<String, Profile> =
            built_in.map(|profile| (profile.name.clone(), profile.clone())).collect();
        let mut unusable = BTreeMap::new();
        for (name, read) in own {
            profiles.remove(&name);
            match read {
                Ok(profile) => drop(profiles.insert(name, profile)),
                Err(why) => drop(unusable.insert(name, why)),
            }
        }
        Self { profiles: profiles.into_values().collect(), unusable }
    }

    /// All of them, sorted by name.
    #[must_use]
    pub fn all(&self) -> &[Profile] {
        &self.profiles
    }

    /// The profile of this name; none for [`GENERIC`](super::GENERIC) and for names that are not known.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// The profile of a conf whose plugins have these types, in order.
    #[must_use]
    pub fn detect<S: AsRef<str>>(&self, types: &[S]) -> Option<&Profile> {
        let has = |profile: &Profile| {
            types.iter().any(|name| profile.types.iter().any(|other| other == name.as_ref()))
        };
        self.profiles.iter().find(|profile| has(profile))
    }

    /// The profile that a conf of this file name belongs to, whatever it says.
    #[must_use]
    pub fn find_by_conf(&self, file: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.conf.iter().any(|conf| conf == file))
    }

    /// Whether a file's name says that the agent of any of them took a conf of this name away.
    #[must_use]
    pub fn taken_away(&self, file: &str) -> bool {
        self.profiles.iter().any(|profile| profile.takes(file))
    }

    /// Why the node's own profile of this name cannot be used; `None` if it can, or if there is none.
    #[must_use]
    pub fn unusable_reason(&self, name: &str) -> Option<&str> {
        self.unusable.get(name).map(String::as_str)
    }

    /// Why the node's own profiles that cannot be used cannot be used.
    pub fn all_unusable(&self) -> impl Iterator<Item = &str> {
        self.unusable.values().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_the_node_replaces_one_is_added_or_leaves_none() {
        let flannel = Profiles::built_in().find("flannel").expect("flannel");
        let own = Profile { conf: vec!["99-mine.conflist".into()], ..flannel.clone() };
        let new = Profile { name: "house".into(), ..flannel.clone() };
        let profiles = Profiles::with_own(OwnProfiles::from([
            ("flannel".into(), Ok(own.clone())),
            ("house".into(), Ok(new.clone())),
            ("calico".into(), Err("torn".into())),
        ]));
        assert_eq!((profiles.find("flannel"), profiles.find("house")), (Some(&own), Some(&new)));
        assert_eq!(profiles.find("calico"), None, "what is built in may be wrong on this node");
        assert_eq!(profiles.unusable_reason("calico"), Some("torn"));
        assert_eq!(profiles.all_unusable().collect::<Vec<_>>(), ["torn"]);
        assert_eq!(profiles.all().len(), Profiles::built_in().all().len());
        assert!(profiles.all().is_sorted_by_key(|profile| &profile.name));
    }
}
