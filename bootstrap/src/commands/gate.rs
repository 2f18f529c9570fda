//! `gate`: holds kubelet back until this node can come up right.
//!
//! The gate checks only what can be true before kubelet runs. Agents need kubelet, so the gate waits for none of them. A try is bounded,
//! and systemd tries again. If node.json says so, the gate gives up after a while and lets kubelet start with a taint, because a
//! node that never registers goes unnoticed.

use std::time::{Duration, Instant};

use shim::host::boot::{self, Moment};
use types::command::problem::Problem;
use types::node::Node;

use crate::change;
use crate::change::outcome::{ChangeReport, apply, finish};
use crate::cli::{Global, print};
use crate::host::root::Root;
use crate::node::settings::mode;
use crate::node::{fitness, switch};
use crate::systemd::continuation;
use convergence::change::{Change, Write};
use convergence::failure::Failure;
use convergence::node::paths::{GATE, UNFIT};

/// Pause between two checks within one try.
const PAUSE: Duration = Duration::from_millis(200);
/// Mode of files that every user on the node may read.
const PUBLIC: u32 = 0o644;

/// Opens, or says why not.
///
/// # Errors
/// Everything that is not as it must be; 78 when a settings file is among it, else 3.
pub(crate) fn gate(global: &Global) -> Result<ChangeReport, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off_switch(&root) {
        return finish(global, clear(&root, "switched off"), vec![off.to_string()]);
    }
    // A node.json that cannot be used holds kubelet back whatever it says; what it says of `gate` tells how long a try may take.
    let mut settings = mode::settings(&root);
    let now = boot::now().map_err(|e| Failure::try_later(format!("read the clock: {e}")))?;
    let first = first_try(&root, &now);
    let mut runtime = None;
    let end = Instant::now() + patience(&settings.node.gate, &first, &now);
    let mut is_reported = false;
    let mut failure = loop {
        let obstacles = fitness::obstacles(global, settings.clone(), &mut runtime);
        if obstacles.findings.is_empty() {
            return finish(global, clear(&root, "this node is fit"), Vec::new());
        }
        if global.dry_run || Instant::now() >= end {
            break obstacles.failure();
        }
        if !std::mem::replace(&mut is_reported, true) {
            print::print_waiting(&obstacles.findings);
        }
        std::thread::sleep(PAUSE);
        settings = mode::settings(&root);
    };
    if global.dry_run {
        return Err(failure);
    }
    let now = boot::now().map_err(|e| Failure::try_later(format!("read the clock: {e}")))?;
    let gives_up = settings.node.gate.give_up_secs.is_some_and(|secs| first.age(&now).has_reached(secs));
    if gives_up && settings.unusable.is_none() {
        match unreported_problem(&root, &settings.node) {
            None => return give_up(&root, &failure),
            Some(problem) => {
                let what = format!(
                    "kubelet is held back beyond gate.giveUpSeconds, for it could not be told of the taint: {}",
                    problem.what
                );
                failure.problems.push(Problem { what, ..problem });
            }
        }
    }
    apply(&root, vec![file(&root, GATE, moment(&first), "when the gate was tried first")])?;
    Err(failure)
}

/// Why kubelet would not register with Crossfade's taint. A kubelet that starts without the taint would look fit.
fn unreported_problem(root: &Root, node: &Node) -> Option<Problem> {
    continuation::check(root, node, &node.kubelet.unit).err()
}

/// When the gate was tried first since this boot, or since it was last open.
fn first_try(root: &Root, now: &Moment) -> Moment {
    let written =
        change::read_with_mode(&root.entry(GATE)).and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok());
    written.filter(|first: &Moment| first.boot_id == now.boot_id).unwrap_or_else(|| now.clone())
}

fn moment(moment: &Moment) -> String {
    // Strings and numbers always serialise.
    serde_json::to_string(moment).unwrap_or_default() + "\n"
}

/// How long this try may take: as long as one may, but not beyond the moment of giving up.
fn patience(settings: &types::node::Gate, first: &Moment, now: &Moment) -> Duration {
    let since = Duration::from_millis(now.boottime_ms.saturating_sub(first.boottime_ms));
    let remaining = settings.give_up_secs.map(|secs| Duration::from_secs(secs).saturating_sub(since));
    remaining.unwrap_or(Duration::MAX).min(Duration::from_secs(settings.try_secs))
}

/// Lets kubelet start with the taint `crossfade/unfit`.
fn give_up(root: &Root, failure: &Failure) -> Result<ChangeReport, Failure> {
    let reasons = failure.lines().join("\n") + "\n";
    let changes =
        vec![file(root, UNFIT, reasons, "the gate gives up: kubelet starts with the taint crossfade/unfit")];
    Ok(ChangeReport::from_done(apply(root, changes)?, failure.lines()))
}

fn file(root: &Root, path: &str, text: String, why: &str) -> Change {
    Change::ensure(
        Write { path: root.entry(path), bytes: text.into_bytes(), mode: PUBLIC, nudge: false },
        why,
    )
}

fn clear(root: &Root, why: &str) -> Vec<Change> {
    let there =
        [UNFIT, GATE].map(|path| root.entry(path)).into_iter().filter(|path| path.symlink_metadata().is_ok());
    there.map(|path| Change::remove(path, false, why)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_is_as_long_as_one_may_be_but_not_beyond_giving_up() {
        let moment = |boottime_ms| Moment { boot_id: "b".into(), boottime_ms, wall_secs: 0 };
        let gate = |try_secs, give_up_secs| types::node::Gate { try_secs, give_up_secs };
        for (gate, first, now, secs) in [
            (gate(60, None), 0, 0, 60),
            (gate(5, None), 0, 1_000_000, 5),
            (gate(60, Some(600)), 0, 0, 60),
            (gate(60, Some(10)), 1000, 1000, 10),
            (gate(60, Some(10)), 1000, 8000, 3),
            (gate(60, Some(10)), 1000, 900_000, 0),
        ] {
            assert_eq!(
                patience(&gate, &moment(first), &moment(now)),
                Duration::from_secs(secs),
                "{gate:?} {first} {now}"
            );
        }
    }

    #[test]
    fn the_first_try_is_that_of_this_boot() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let moment_at = |boot: &str, boottime_ms| Moment { boot_id: boot.into(), boottime_ms, wall_secs: 0 };
        assert_eq!(first_try(&root, &moment_at("b", 7)), moment_at("b", 7));
        std::fs::create_dir_all(dir.path().join("run/crossfade")).expect("run");
        std::fs::write(root.join(GATE), moment(&moment_at("b", 3))).expect("file");
        assert_eq!(first_try(&root, &moment_at("b", 7)), moment_at("b", 3));
        assert_eq!(first_try(&root, &moment_at("c", 1)), moment_at("c", 1), "a file of another boot");
    }
}
