//! Names that no profile has.

use super::{GENERIC, Profiles};
use crate::policy::Policy;
use crate::text::nearest::find_nearest;

impl Profiles {
    /// Why a name is that of no profile, with the one that was probably meant.
    #[must_use]
    pub fn unknown_text(&self, name: &str) -> String {
        let mut names: Vec<&str> = self.all().iter().map(|profile| profile.name.as_str()).collect();
        names.push(GENERIC);
        let meant =
            find_nearest(name, &names).map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
        format!("no CNI is known as {name:?}; {meant}known are {}", names.join(", "))
    }

    /// Refuses a policy that names a profile that does not exist: most likely its name is mistyped, and then nothing that is known of the CNI
    /// would count. Pure.
    ///
    /// # Errors
    /// One line that names the key and what was probably meant.
    pub fn refuse_unknown(&self, policy: &Policy) -> Result<(), String> {
        self.refuse_unusable(policy)?;
        let is_unknown = |name: &str| name != GENERIC && self.find(name).is_none();
        match policy.networks().find(|(_, network)| is_unknown(&network.profile)) {
            Some((side, network)) => {
                Err(format!("networks.{side}.profile: {}", self.unknown_text(&network.profile)))
            }
            None => Ok(()),
        }
    }

    /// Refuses a policy that names a profile of this node whose file cannot be used: nothing that is known of the CNI would count.
    ///
    /// # Errors
    /// One line that names the key and the file.
    pub fn refuse_unusable(&self, policy: &Policy) -> Result<(), String> {
        let bad = policy
            .networks()
            .find_map(|(side, network)| Some((side, self.unusable_reason(&network.profile)?)));
        bad.map_or(Ok(()), |(side, why)| Err(format!("networks.{side}.profile: {why}")))
    }
}
