//! One pass of the sweep, with its result for the `watch` that started it.

use shim::node::layout::Layout;

use crate::change::outcome::{ChangeReport, Outcome};
use crate::cli::{Global, Sweep};
use crate::node::attachments::last_pass;
use crate::node::settings::directories::with_flags;
use convergence::failure::Failure;
use convergence::node::attachments::last_pass::Pass;

/// One pass, as [`super::sweep`]; where it was given a number, what it came to is kept.
///
/// # Errors
/// Those of the pass; or its result cannot be written.
pub(crate) fn pass(global: &Global, args: &Sweep) -> Result<ChangeReport, Failure> {
    let node = super::gather(global, args);
    // `watch` passes directories on the command line if they are not the usual ones.
    let layout = node
        .as_ref()
        .map_or_else(|_| with_flags(global, Layout::default()), |node_facts| node_facts.dirs.layout.clone());
    let swept = node.and_then(|node| super::sweep(global, &node, args));
    let Some(turn) = args.turn.filter(|_| !global.dry_run) else {
        return swept;
    };
    last_pass::write(&layout, Pass::Sweep, turn, (reason(&swept), None))?;
    swept
}

/// Why a pass failed. What a delegate said is in the journal of the pass alone.
fn reason(swept: &Result<ChangeReport, Failure>) -> Option<String> {
    let done = match swept {
        Err(failure) => return Some(failure.lines().join("; ")),
        Ok(changed) => &changed.changes,
    };
    let failed: Vec<_> =
        done.iter().filter(|done| matches!(done.outcome, Some(Outcome::Failed(_)))).collect();
    let first = &failed.first()?.change;
    Some(format!(
        "{} of {} changes failed, the first: {} {}",
        failed.len(),
        done.len(),
        first.act.word(),
        first.target
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::outcome::Done;
    use convergence::change::{Act, Change};
    use shim::host::boot::Moment;
    use shim::node::store::Key;

    #[test]
    fn a_reason_names_the_attachment_and_not_what_the_delegate_said() {
        let begun = Moment { boot_id: "b".into(), boottime_ms: 1, wall_secs: 0 };
        let close = |id: &str| {
            Change::new(
                Act::Close(Key::new(id, "eth0"), Box::new(begun.clone())),
                format!("{id} eth0"),
                "not listed",
            )
        };
        let done = |id: &str, outcome| Done { change: close(id), outcome: Some(outcome) };
        let changed = |all| Ok(ChangeReport::from_done(all, Vec::new()));
        assert_eq!(reason(&changed(vec![done("c1", Outcome::Done), done("c2", Outcome::Busy)])), None);
        let failed = Outcome::Failed("network old: token=canary".into());
        let why = reason(&changed(vec![done("c1", Outcome::Done), done("c2", failed)])).expect("failed");
        assert_eq!(why, "1 of 2 changes failed, the first: close c2 eth0");
        let refused = reason(&Err(Failure::try_later("no answer"))).expect("failed");
        assert_eq!(refused, "no answer");
    }
}
