//! A refusal by the API server.

use serde::Deserialize;

/// The cause of a 429 that a PodDisruptionBudget is behind. *Source*: Kubernetes, `staging/src/k8s.io/api/policy/v1/types.go`.
const BUDGET: &str = "DisruptionBudget";
/// How much of an answer that is no `Status` is kept.
const WORDS: usize = 200;

/// A refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// In one word: `NotFound`, `Conflict`; empty if the answer is not one of the API server.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The kind of object that it is about: `pods`, `namespaces`.
    pub kind: String,
    /// Causes in one word each.
    pub causes: Vec<String>,
    /// When to ask again, in seconds.
    pub retry_after: Option<u32>,
}

/// `Status` of the API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    kind: String,
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    kind: String,
    retry_after_seconds: u32,
    causes: Option<Vec<Cause>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl Refusal {
    /// Reads an answer by its HTTP status, the seconds of its header `Retry-After` and its body. One that is no `Status` comes from something before the API server, or from its limits of requests.
    #[must_use]
    pub fn read(code: u16, header: Option<u32>, body: &[u8]) -> Self {
        let status = serde_json::from_slice(body).ok().filter(|status: &Status| status.kind == "Status");
        let Some(status) = status else {
            let text = String::from_utf8_lossy(body);
            let message = text.lines().next().unwrap_or_default().chars().take(WORDS).collect();
            return Self { code, message, retry_after: header, ..Self::default() };
        };
        let details = status.details.unwrap_or_default();
        // The API server writes 0 where it has nothing to say.
        let stated = Some(details.retry_after_seconds).filter(|seconds| *seconds > 0);
        Self {
            code,
            reason: status.reason,
            message: status.message,
            kind: details.kind,
            causes: details.causes.unwrap_or_default().into_iter().map(|cause| cause.reason).collect(),
            retry_after: stated.or(header.filter(|seconds| *seconds > 0)),
        }
    }

    /// A PodDisruptionBudget is behind it.
    #[must_use]
    pub fn is_budget(&self) -> bool {
        self.code == 429 && self.has_cause(BUDGET)
    }

    /// It has this cause.
    #[must_use]
    pub fn has_cause(&self, cause: &str) -> bool {
        self.causes.iter().any(|own| own == cause)
    }

    /// The object is not there. An answer of 404 that is not the API server's says nothing about it.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code == 404 && self.reason == "NotFound"
    }

    /// The object was changed since it was read, or an object of this name exists.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        self.code == 409
    }

    /// It may work in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.code, 429 | 500 | 502 | 503 | 504)
    }
}

/// `409 Conflict: the object has been modified`.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let space = if self.reason.is_empty() { "" } else { " " };
        write!(f, "{}{space}{}: {}", self.code, self.reason, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_anything_else_is_quoted() {
        let body = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Cannot evict pod as it would violate the pod's disruption budget.",
            "reason":"TooManyRequests","details":{"causes":[{"reason":"DisruptionBudget","message":"The disruption budget web needs 2 healthy pods"}]},"code":429}"#;
        let refusal = Refusal::read(429, Some(7), body);
        assert!(refusal.is_budget() && refusal.retry_after == Some(7));
        let gone = Refusal::read(404, None, br#"{"kind":"Status","reason":"NotFound","message":"nodes \"b\" not found","details":{"name":"b","kind":"nodes"}}"#);
        assert!(gone.is_not_found());
        assert_eq!(gone.to_string(), "404 NotFound: nodes \"b\" not found");
        let proxy = Refusal::read(404, None, b"<html>\n<h1>not here");
        assert!(!proxy.is_not_found(), "a proxy does not know");
        assert_eq!(proxy.to_string(), "404: <html>");
    }

    #[test]
    fn a_time_of_zero_is_none() {
        let zero = br#"{"kind":"Status","details":{"retryAfterSeconds":0}}"#;
        let ten = br#"{"kind":"Status","details":{"retryAfterSeconds":10}}"#;
        for (header, body, after) in [
            (None, &zero[..], None),
            (None, ten, Some(10)),
            (Some(1), zero, Some(1)),
            (Some(1), ten, Some(10)),
        ] {
            assert_eq!(Refusal::read(429, header, body).retry_after, after);
        }
    }
}
