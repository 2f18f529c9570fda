//! What goes wrong with the API server, said once per kind.
//!
//! Nothing of it is fatal, and no secret gets into it: what a library or a plugin says about a credential is not passed on, only
//! where it is and what was expected there.

use std::collections::BTreeSet;

use kube::Error;

/// The kinds that are told apart: each is said once, until the API server answers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// kubelet has no credential yet.
    NoCredential,
    /// The credential cannot be used as it is.
    BadCredential,
    /// The API server does not know us by it (401).
    Unauthorized,
    /// It does, and we may not (403).
    Forbidden,
    /// What was to be made is there already (409).
    Exists,
    /// It has another reason (any other status).
    Refused,
    /// It does not answer, or not as an API server does.
    Unreachable,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no-credential",
            Self::BadCredential => "bad-credential",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Exists => "exists",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    /// In one line, without secrets.
    pub(super) why: String,
}

impl Trouble {
    pub(super) fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// Of a request that did not go well; `what` it was.
    pub(super) fn of(what: &str, error: &Error) -> Self {
        match error {
            Error::Api(status) => {
                let kind = match status.code {
                    401 => Kind::Unauthorized,
                    403 => Kind::Forbidden,
                    409 if status.reason == "AlreadyExists" => Kind::Exists,
                    500.. => Kind::Unreachable,
                    _ => Kind::Refused,
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
                Self::new(Kind::Unreachable, why)
            }
        }
    }

    /// Whether the connection is as good as it was: the API server read the request and said no to it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::Forbidden | Kind::Exists | Kind::Refused)
    }
}

/// Says each kind once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    said: BTreeSet<Kind>,
}

impl Journal {
    /// Something went wrong. Returns whether it was said.
    pub(super) fn went_wrong(&mut self, trouble: &Trouble) -> bool {
        let new = self.said.insert(trouble.kind);
        if new && trouble.kind == Kind::NoCredential {
            tracing::info!(kind = trouble.kind.as_str(), error = trouble.why, "nothing is published yet");
        } else if new {
            tracing::warn!(
                kind = trouble.kind.as_str(),
                error = trouble.why,
                "the Node is not up to date with what this node knows; trying again"
            );
        }
        new
    }

    /// All that was to be published is.
    pub(super) fn went_well(&mut self) {
        if !std::mem::take(&mut self.said).is_empty() {
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
            (Trouble::new(Kind::Unreachable, "x"), Trouble::new(Kind::Forbidden, "may not patch"));
        assert!(journal.went_wrong(&down) && !journal.went_wrong(&down) && journal.went_wrong(&denied));
        journal.went_well();
        assert!(journal.went_wrong(&down));
    }

    #[test]
    fn statuses_are_told_apart() {
        for (code, kind, refusal) in [
            (401, Kind::Unauthorized, false),
            (403, Kind::Forbidden, true),
            (404, Kind::Refused, true),
            (422, Kind::Refused, true),
            (500, Kind::Unreachable, false),
            (503, Kind::Unreachable, false),
        ] {
            let status = Status { code, message: "why".into(), ..Status::default() };
            let trouble = Trouble::of("patch", &Error::Api(Box::new(status)));
            assert_eq!((trouble.kind, trouble.is_refusal()), (kind, refusal), "{code}");
            assert_eq!(trouble.why, format!("patch: why ({code})"));
        }
        for (reason, kind) in [("AlreadyExists", Kind::Exists), ("Conflict", Kind::Refused)] {
            let status = Status { code: 409, reason: reason.into(), ..Status::default() };
            let trouble = Trouble::of("create", &Error::Api(Box::new(status)));
            assert_eq!((trouble.kind, trouble.is_refusal()), (kind, true), "{reason}");
        }
    }
}
