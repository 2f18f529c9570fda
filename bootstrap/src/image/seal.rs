//! `seal`: the last step of a golden image's build: it removes or refuses what must not be in one.
//!
//! Gather ([`gather`]) -> decide ([`convergence::image::seal`]) -> apply -> report. The rules are data ([`rules`]); what no rule can tell by a path
//! alone is looked at by a module of its own: settings, confs, Crossfade's own files. What only a person can judge is refused, all of it at
//! once, and then nothing is removed. Running it again changes nothing.

pub(crate) mod allow;
pub(crate) mod conf;
pub(crate) mod credential;
pub(crate) mod finding;
pub(crate) mod gather;
pub(crate) mod judge;
pub(crate) mod login;
pub(crate) mod own_state;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod tree;

use convergence::change::Act;
use convergence::failure::Failure;
use convergence::image::seal::{SealDecision, decide};

use self::report::{SealReport, is_kept};
use crate::change::outcome::{Done, Outcome, apply};
use crate::cli::{Global, Seal};

/// The hint of a run that only checks.
const REMEDY: &str = "crossfade-bootstrap image seal removes what is to be removed, unless something is refused; --allow PATH lets something stay";

/// Removes what may be removed, or refuses; only looks with `--check` and in a dry run.
///
/// # Errors
/// A list of what may stay that cannot be used; the change that failed.
pub(crate) fn seal(global: &Global, args: &Seal) -> Result<SealReport, Failure> {
    let SealDecision { changes, findings, mut notes } = decide(gather::gather(global, args)?);
    let only_looks = args.check || global.dry_run;
    let is_refused = !findings.is_empty();
    let changes: Vec<Done> = if is_refused || only_looks {
        let skipped = |act: &Act| (is_refused && !matches!(act, Act::Keep)).then_some(Outcome::Skipped);
        changes.into_iter().map(|change| Done { outcome: skipped(&change.act), change }).collect()
    } else {
        apply(&gather::open_image(&global.root)?, changes)?
    };
    let is_clean = changes.iter().all(is_kept);
    if args.check && (is_refused || !is_clean) {
        notes.push(REMEDY.into());
    }
    Ok(SealReport {
        sealed: !is_refused && (is_clean || !only_looks),
        dry_run: only_looks,
        findings,
        changes,
        notes,
        is_check: args.check,
    })
}
