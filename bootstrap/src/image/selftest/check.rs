//! One check and its result.

use serde::Serialize;
use types::command::problem::Problem;

/// What became of a check. A check that failed for several reasons is told once for each.
///
/// *Shape*: `{"id":"unit.enabled","status":"failed","found":"crossfade-boot.service is disabled","fix":"systemctl enable ..."}`;
/// `fix` is there when it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Check {
    /// Which check; it stays the same from version to version.
    pub(super) id: &'static str,
    /// How it ended.
    pub(super) status: Status,
    /// What was found, or why it was not looked for.
    #[serde(rename = "found")]
    pub(super) observation: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// It is as it must be.
    Ok,
    /// It is not, and this machine, or one of this image, would not come up right.
    Failed,
    /// It could not be looked for here, or there is nothing to look for.
    Skipped,
}

impl Status {
    /// As reports spell it.
    #[must_use]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Something that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    what: String,
    fix: String,
}

impl Fault {
    /// Of what was found, and the next thing to do.
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }

    /// Of a problem; `otherwise` is the next thing to do if the problem names none.
    pub(super) fn from_problem(problem: &Problem, otherwise: &str) -> Self {
        if problem.fix.is_empty() {
            Self::new(&problem.what, otherwise)
        } else {
            Self::new(&problem.what, &problem.fix)
        }
    }
}

#[must_use]
pub(super) fn pass(id: &'static str, observation: impl Into<String>) -> Vec<Check> {
    vec![Check { id, status: Status::Ok, observation: observation.into(), fix: None }]
}

/// It cannot be told here, or there is nothing to tell.
#[must_use]
pub(super) fn skip(id: &'static str, why: impl Into<String>) -> Vec<Check> {
    vec![Check { id, status: Status::Skipped, observation: why.into(), fix: None }]
}

/// Every fault on a line of its own; where there is none, all is well.
#[must_use]
pub(super) fn from_faults(id: &'static str, faults: Vec<Fault>, well: impl Into<String>) -> Vec<Check> {
    if faults.is_empty() {
        return pass(id, well);
    }
    let failed =
        |fault: Fault| Check { id, status: Status::Failed, observation: fault.what, fix: Some(fault.fix) };
    faults.into_iter().map(failed).collect()
}
