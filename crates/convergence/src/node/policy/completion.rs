//! The completion of a policy from the profiles of its networks.
//!
//! A policy that names a CNI by its profile need not say how that CNI reports readiness, nor what the shim has to do where that CNI is the
//! second network of a pod. Crossfade writes both into the policy. Only a network without the key `ready` gets probes; `"ready": []` means
//! no probes. Every other byte of the file stays. Crossfade does not write a packaged policy (/usr/lib): the completed copy goes to
//! /run/crossfade, where it takes precedence, and every boot makes it anew.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use shim::node::layout::PROBED;
use types::json::raw::to_raw;
use types::json::splice::splice;
use types::policy::{Policy, Secondary, Side};
use types::profile::{Profile, Profiles};

use crate::change::{Act, Change, Write};

/// A policy that is to be completed: the file, and what it will hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The path of the policy in force.
    pub path_in_force: PathBuf,
    /// The same path with links resolved.
    pub from: PathBuf,
    /// Its bytes; they must still be these when it is written.
    pub original: Vec<u8>,
    /// The file that is written: the policy's own, or, where that is the package's, one that counts before it.
    pub target: PathBuf,
    /// The mode of the policy's file.
    pub mode: u32,
    /// The bytes of the completed policy.
    pub bytes: Vec<u8>,
    /// The networks that were completed, each with its profile: `new (cilium)`.
    pub networks: Vec<String>,
    /// The networks that get probes.
    pub probed: Vec<String>,
}

impl Completion {
    /// The change that writes the completed policy.
    #[must_use]
    pub fn change(&self) -> Change {
        let path = self.target.clone();
        let shown = path.display().to_string();
        let moved = if path == self.from { String::new() } else { format!("; from {}", self.from.display()) };
        let why = format!("what the profiles know of {}{moved}", self.networks.join(" and "));
        Change::new(
            Act::Write(Write { path, bytes: self.bytes.clone(), mode: self.mode, nudge: false }),
            shown,
            why,
        )
    }

    /// Whether `change` writes this completed policy.
    #[must_use]
    pub fn is_written_by(&self, change: &Change) -> bool {
        matches!(&change.act, Act::Write(write) if write.bytes == self.bytes)
    }
}

/// A policy with what its profiles know in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPolicy {
    /// The bytes of the completed policy.
    pub bytes: Vec<u8>,
    /// The networks that got something, each with its profile: `new (cilium)`.
    pub networks: Vec<String>,
    /// The networks that got probes.
    pub probed: Vec<String>,
}

/// A policy with what its profiles know: how to tell that a network is ready, and what the shim has to do for one that is the second
/// of a pod. None where nothing is missing.
///
/// # Errors
/// It is no valid policy, before or after.
pub fn complete(bytes: &[u8], profiles: &Profiles) -> Result<Option<CompletedPolicy>, String> {
    complete_but(bytes, &[], profiles)
}

/// [`complete`] without the probes of the networks in `held`.
pub fn complete_but(
    bytes: &[u8],
    excluded_sides: &[Side],
    profiles: &Profiles,
) -> Result<Option<CompletedPolicy>, String> {
    fill(bytes, profiles, |side, profile| !(excluded_sides.contains(&side) && profile.needs_watch()))
}

/// A policy in which `secondary` is written of each network whose profile says that it needs host routes; none where it is.
///
/// # Errors
/// As [`complete`].
pub fn with_secondary(bytes: &[u8], profiles: &Profiles) -> Result<Option<CompletedPolicy>, String> {
    fill(bytes, profiles, |_, _| false)
}

/// [`complete`] with the probes of those networks alone for which `may_wait` says so.
fn fill(
    bytes: &[u8],
    profiles: &Profiles,
    may_wait: impl Fn(Side, &Profile) -> bool,
) -> Result<Option<CompletedPolicy>, String> {
    let policy = Policy::parse(bytes)?;
    let mut text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?.to_owned();
    let (mut networks, mut probed) = (Vec::new(), Vec::new());
    for (side, network) in policy.networks() {
        let Some(profile) = profiles.find(&network.profile) else { continue };
        let write = |text: &str, key, value: &RawValue| {
            splice(text, &["networks", side.as_str(), key], value).map_err(|e| e.to_string())
        };
        let name = format!("{side} ({})", profile.name);
        let is_probed = network.ready.is_none() && !profile.probes.is_empty() && may_wait(side, profile);
        let is_routed = network.secondary.is_none() && profile.secondary == Secondary::HostRoute;
        if is_probed {
            let file_of_watch = Path::new(PROBED).join(side.as_str());
            text = write(&text, "ready", &to_raw(&profile.policy_probes(&file_of_watch)))?;
            probed.push(name.clone());
        }
        if is_routed {
            text = write(&text, "secondary", &to_raw(&profile.secondary))?;
        }
        if is_probed || is_routed {
            networks.push(name);
        }
    }
    if networks.is_empty() {
        return Ok(None);
    }
    Policy::parse(text.as_bytes()).map_err(|why| format!("what a profile says is not valid: {why}"))?;
    Ok(Some(CompletedPolicy { bytes: text.into_bytes(), networks, probed }))
}

#[cfg(test)]
mod tests;
