//! The labels and taints that Crossfade adds on kubelet's command line, and kubelet's registration with them.

use convergence::failure::Failure;
use convergence::kubelet::refusals;
use convergence::kubelet::registration::{OwnRegistration, Registration, decide};
use convergence::kubelet::sources::KubeletSources;
use convergence::node::paths::UNFIT;
use types::api::taint::Taint;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Node;

use crate::host::root::Root;
use crate::kubelet::sources;
use crate::systemd::unit::Unit;

/// What Crossfade says: node.json's labels and taints where Crossfade registers them, and always the taint of a node whose gate gave up.
#[must_use]
pub(crate) fn own_registration(root: &Root, node: &Node) -> OwnRegistration {
    let mut registration = OwnRegistration::default();
    if node.kubelet.register {
        registration.labels.clone_from(&node.labels);
        registration.taints.clone_from(&node.taints);
    }
    if root.entry(UNFIT).symlink_metadata().is_ok()
        && !registration.taints.iter().any(|taint| taint.is_same(&Taint::new_unfit()))
    {
        registration.taints.push(Taint::new_unfit());
    }
    registration
}

/// Whether kubelet's command line must be continued: there is something to say, or there will be when the gate gives up.
#[must_use]
pub(crate) fn speaks(root: &Root, node: &Node) -> bool {
    own_registration(root, node) != OwnRegistration::default() || node.gate.give_up_secs.is_some()
}

/// What kubelet would register without Crossfade, and what it registers with Crossfade, for `explain`.
///
/// # Errors
/// As `render`, but for what is missing or broken of kubelet's own.
pub(crate) fn registration(root: &Root, node: &Node) -> Result<(KubeletSources, Registration), Failure> {
    match refusals(node) {
        refused if refused.is_empty() => gather_registration(root, node, &own_registration(root, node)),
        findings => Err(Failure::all(Exit::BadSettings, findings)),
    }
}

/// The same with the labels and taints that Crossfade says.
///
/// # Errors
/// As [`registration`].
pub(crate) fn gather_registration(
    root: &Root,
    node: &Node,
    own: &OwnRegistration,
) -> Result<(KubeletSources, Registration), Failure> {
    let unit = Unit::load(root, &node.kubelet.unit).map_err(|why| Failure::new(Exit::Failed, why))?;
    let unit = unit.ok_or_else(|| Failure::from_problem(Exit::No, absent(&node.kubelet.unit)))?;
    let sources = sources::gather(root, &unit).map_err(|why| Failure::new(Exit::No, why))?;
    let registration = decide(own, &sources);
    Ok((sources, registration))
}

/// What is to be done about a unit of kubelet's that is not there.
#[must_use]
pub(crate) fn absent(unit: &str) -> Problem {
    Problem::new(format!("{unit}: there is no such unit")).with_place("node.json, kubelet.unit").fix(
        "name kubelet's in node.json (kubelet.unit), or where it has none (k3s, Talos, ..) set kubelet.register: false and use \
         crossfade-bootstrap unit render --print PLATFORM",
    )
}
