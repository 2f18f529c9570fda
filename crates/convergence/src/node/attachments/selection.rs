//! The selector `--on PHASE|NAME`: attachments that were made in a phase, or that have a network of this name.

use std::collections::BTreeSet;

use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::{Phase, Policy};

use crate::failure::Failure;
use crate::node::attachments::{Line, attached};

/// Whether an attachment was made in this phase of the policy, or has a network of this name.
#[must_use]
pub fn is_selected(line: &Line, selector: &str, policy: Option<&Policy>) -> bool {
    match Phase::parse(selector) {
        Some(selected_phase) => attached::phase(line, policy) == Some(selected_phase),
        None => line.networks.iter().any(|part| part.name == selector),
    }
}

/// Refuses a word that is neither a phase nor the name of a network that an attachment has.
///
/// # Errors
/// 2, with the words that are known.
pub fn require_known(lines: &[Line], selector: &str) -> Result<(), Failure> {
    let names: BTreeSet<&str> =
        lines.iter().flat_map(|line| &line.networks).map(|part| part.name.as_str()).collect();
    if Phase::parse(selector).is_some() || names.contains(selector) {
        return Ok(());
    }
    let phases = Phase::ALL.map(Phase::as_str).join(", ");
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let fix =
        format!("name one of the phases {phases}, or one of the networks that attachments have: {names}");
    let what =
        Problem::new(format!("--on {selector}: no attachment has a network of this name")).with_place("--on");
    Err(Failure::from_problem(Exit::Usage, what.fix(fix)))
}
