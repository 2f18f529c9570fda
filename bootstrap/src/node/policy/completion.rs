//! The completion of a policy from the profiles of its networks.
//!
//! A policy that names a CNI by its profile need not say how that CNI reports readiness, nor what the shim has to do where that CNI is the
//! second network of a pod. Crossfade writes both into the policy. Only a network without the key `ready` gets probes; `"ready": []` means
//! no probes. Every other byte of the file stays. Crossfade does not write a packaged policy (/usr/lib): the completed copy goes to
//! /run/crossfade, where it takes precedence, and every boot makes it anew.

use convergence::node::policy::completion::{CompletedPolicy, Completion, complete_but};

use std::io;
use std::path::Path;

use shim::host::lock;
use shim::node::layout::{Layout, POLICY_FILE, SETTINGS_DIRS};
use types::policy::Side;
use types::profile::Profiles;

use crate::change::{self, outcome};
use crate::host::root::Root;
use convergence::change::Change;
use convergence::failure::Failure;
use types::command::exit::Exit;

/// Gathers what the policy at `file` lacks; `None` if it is complete. A policy that cannot be read is reported elsewhere.
#[must_use]
pub(crate) fn find(root: &Root, file: &Path, profiles: &Profiles) -> Option<Completion> {
    find_except(root, file, profiles, &[])
}

/// The same without the networks among `held` that would come to wait for a file of `watch`.
#[must_use]
pub(crate) fn find_except(
    root: &Root,
    file: &Path,
    profiles: &Profiles,
    excluded_sides: &[Side],
) -> Option<Completion> {
    let from = shim::host::trust::resolve(file).ok()?;
    let (original, mode) = change::read_with_mode(&from)?;
    let CompletedPolicy { bytes, networks, probed } =
        complete_but(&original, excluded_sides, profiles).ok()??;
    let [_, volatile, packaged] = SETTINGS_DIRS;
    let is_packaged = file.starts_with(root.join(packaged));
    let target = if is_packaged { root.join(volatile).join(POLICY_FILE) } else { from.clone() };
    Some(Completion { path_in_force: file.into(), from, target, original, mode, bytes, networks, probed })
}

/// Carries out [`Completion::change`], unless another process has flipped the policy since.
///
/// # Errors
/// Try later if the policy has changed; else what could not be written, and the next step.
pub(crate) fn apply(
    completion: &Completion,
    root: &Root,
    layout: &Layout,
    change: Change,
) -> Result<outcome::Done, Failure> {
    let done = lock::exclusively(layout, "policy", || {
        if change::read_with_mode(&completion.from).is_none_or(|(bytes, _)| bytes != completion.original) {
            return Ok(None);
        }
        Ok(Some(outcome::apply(root, vec![change])))
    });
    match done {
        Ok(Some(Ok(mut done))) if done.len() == 1 => Ok(done.remove(0)),
        Ok(Some(Err(failure))) => {
            Err(failure
                .fix("add \"ready\" to the policy's networks yourself, or \"ready\": [] to use no probe"))
        }
        Ok(_) => Err(Failure::try_later("the policy changed while its probes were added")
            .with_place(completion.from.display())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(Failure::try_later("another process is flipping the policy")
                .with_place(completion.from.display()))
        }
        Err(error) => Err(Failure::new(Exit::Failed, format!("lock of the policy: {error}"))
            .with_place(completion.from.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packaged_policy_is_completed_in_run_and_any_other_in_its_place() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let policy = br#"{"version":1,"attach":"old","networks":{"old":{"conf":["/o"],"profile":"calico"}}}"#;
        for (from, to) in [
            ("etc/crossfade/policy.json", "etc/crossfade/policy.json"),
            ("run/crossfade/policy.json", "run/crossfade/policy.json"),
            ("usr/lib/crossfade/policy.json", "run/crossfade/policy.json"),
            ("elsewhere/p.json", "elsewhere/p.json"),
        ] {
            let place = dir.path().join(from);
            std::fs::create_dir_all(place.parent().expect("directory")).expect("directory");
            std::fs::write(&place, policy).expect("policy");
            let completion = find(&root, &place, Profiles::built_in()).expect("incomplete");
            assert_eq!(completion.target, dir.path().join(to));
            let moved = completion.change().reason.contains("from");
            assert_eq!(moved, from != to);
        }
    }
}
