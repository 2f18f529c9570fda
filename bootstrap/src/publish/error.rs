//! The errors of the API server, logged once per kind.
//!
//! Nothing of it is fatal, and no secret gets into it: what a library or a plugin says about a credential is not passed on, only
//! where it is and what was expected there.

use std::collections::BTreeSet;

use kube::Error;
use types::command::problem::Problem;

/// The kinds that are told apart: each is said once, until the API server answers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ErrorKind {
    /// kubelet has no credential yet.
    NoCredential,
    /// The credential cannot be used as it is.
    BadCredential,
    /// The API server knows no user by this credential (401).
    Unauthorized,
    /// The API server knows the user, who lacks the right (403).
    Forbidden,
    /// What was to be made is there already (409).
    Exists,
    /// The Node was changed meanwhile (409): it is read again.
    Conflict,
    /// The API server refused for another reason (any other status).
    Refused,
    /// The API server does not answer, or something else answers at its address.
    Unreachable,
}

impl ErrorKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no-credential",
            Self::BadCredential => "bad-credential",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Exists => "exists",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: ErrorKind,
    /// What went wrong and what to do next, without secrets.
    pub(super) why: Problem,
}

impl Trouble {
    pub(super) fn new(kind: ErrorKind, why: impl Into<Problem>) -> Self {
        Self { kind, why: why.into() }
    }

    /// Of a request that did not go well; `what` it was.
    pub(super) fn from_error(what: &str, error: &Error) -> Self {
        match error {
            Error::Api(status) => {
                let kind = match status.code {
                    401 => ErrorKind::Unauthorized,
                    403 => ErrorKind::Forbidden,
                    409 if status.reason == "AlreadyExists" => ErrorKind::Exists,
                    409 => ErrorKind::Conflict,
                    500.. => ErrorKind::Unreachable,
                    _ => ErrorKind::Refused,
                };
                Self::new(kind, format!("{what}: {} ({})", status.message, status.code))
            }
            other => {
                let mut why = format!("{what}: {other}");
                let mut source = std::error::Error::source(other);
                while let Some(cause) = source {
                    let cause_text = cause.to_string();
                    if !why.contains(&cause_text) {
                        why = format!("{why}: {cause_text}");
                    }
                    source = cause.source();
                }
                Self::new(ErrorKind::Unreachable, why)
            }
        }
    }

    /// Whether the connection is as good as it was: the API server read the request and said no to it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.kind, ErrorKind::Forbidden | ErrorKind::Exists | ErrorKind::Refused)
    }
}

/// Says each kind once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    logged: BTreeSet<ErrorKind>,
}

impl Journal {
    /// Something went wrong. Returns whether it was said.
    pub(super) fn went_wrong(&mut self, trouble: &Trouble) -> bool {
        let new = self.logged.insert(trouble.kind);
        if new && trouble.kind == ErrorKind::NoCredential {
            tracing::info!(
                kind = trouble.kind.as_str(),
                error = trouble.why.to_string(),
                "nothing is published yet"
            );
        } else if new {
            tracing::warn!(
                kind = trouble.kind.as_str(),
                error = trouble.why.to_string(),
                "the Node is not up to date with what this node knows; trying again"
            );
        }
        new
    }

    /// All that was to be published is.
    pub(super) fn went_well(&mut self) {
        if !std::mem::take(&mut self.logged).is_empty() {
            tracing::info!("the Node is up to date again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_kind_is_said_once_until_it_went_well() {
        let mut journal = Journal::default();
        let (down, denied) =
            (Trouble::new(ErrorKind::Unreachable, "x"), Trouble::new(ErrorKind::Forbidden, "may not patch"));
        assert!(journal.went_wrong(&down) && !journal.went_wrong(&down) && journal.went_wrong(&denied));
        journal.went_well();
        assert!(journal.went_wrong(&down));
    }

    #[test]
    fn statuses_are_told_apart() {
        for (code, kind, refusal) in [
            (401, ErrorKind::Unauthorized, false),
            (403, ErrorKind::Forbidden, true),
            (404, ErrorKind::Refused, true),
            (422, ErrorKind::Refused, true),
            (500, ErrorKind::Unreachable, false),
            (503, ErrorKind::Unreachable, false),
        ] {
            let status = Status { code, message: "why".into(), ..Status::default() };
            let trouble = Trouble::from_error("patch", &Error::Api(Box::new(status)));
            assert_eq!((trouble.kind, trouble.is_refusal()), (kind, refusal), "{code}");
            assert_eq!(trouble.why.what, format!("patch: why ({code})"));
        }
        for (reason, kind, refusal) in
            [("AlreadyExists", ErrorKind::Exists, true), ("Conflict", ErrorKind::Conflict, false)]
        {
            let status = Status { code: 409, reason: reason.into(), ..Status::default() };
            let trouble = Trouble::from_error("create", &Error::Api(Box::new(status)));
            assert_eq!((trouble.kind, trouble.is_refusal()), (kind, refusal), "{reason}");
        }
    }
}
