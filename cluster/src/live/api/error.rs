//! The meaning of a failed request.

use kube::Error;
use types::api::refusal::Refusal;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::live::api::answer::AnswerError;

/// What a failed request means.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::live) enum Meaning {
    /// The API server does not serve this path, or the object is not there.
    NotFound,
    /// The credential has no right; the API server's words.
    Forbidden(String),
    /// The continuation of a list is too old: list again from the start.
    Expired,
    /// It may work in a moment.
    Transient(String),
    /// The answer is longer than what is read; in words, with what helps.
    TooLong(String),
    /// It will not work.
    Failed(String),
}

/// Reads why there is no answer.
pub(in crate::live) fn meaning(why: AnswerError) -> Meaning {
    match why {
        AnswerError::TooLong(why) => Meaning::TooLong(why),
        AnswerError::Lost(e) => match *e {
            Error::Service(_) | Error::HyperError(_) | Error::ReadEvents(_) => Meaning::Transient(chain(&*e)),
            _ => Meaning::Failed(chain(&*e)),
        },
    }
}

/// Reads a refusal of the API server.
pub(in crate::live) fn from_refusal(refusal: &Refusal) -> Meaning {
    let Refusal { code, message, .. } = refusal;
    match code {
        403 => Meaning::Forbidden(message.clone()),
        404 => Meaning::NotFound,
        410 => Meaning::Expired,
        429 | 500 | 502 | 503 | 504 => Meaning::Transient(format!("{code} {message}")),
        401 => Meaning::Failed("the API server does not accept the credential".into()),
        _ => Meaning::Failed(format!("{code} {message}")),
    }
}

/// The exit status and the problem of a request that failed for good.
pub(in crate::live) fn problem(what: &str, meaning: Meaning) -> (Exit, Problem) {
    match meaning {
        Meaning::Transient(why) => (
            Exit::TryLater,
            Problem::new(format!("{what}: {why}")).with_place("the API server").fix(
                "check that kubectl get nodes works with the same flags, then run the same command again",
            ),
        ),
        Meaning::Forbidden(why) => (
            Exit::Failed,
            Problem::new(format!("{what}: {why}"))
                .with_place("the API server")
                .fix("grant the rights of deploy/cluster/rbac-viewer.yaml"),
        ),
        Meaning::Failed(why) => (
            Exit::Failed,
            Problem::new(format!("{what}: {why}"))
                .with_place("the API server")
                .fix("check that kubectl get nodes works with the same flags"),
        ),
        Meaning::TooLong(why) => (
            Exit::Failed,
            Problem::new(format!("{what}: {why}"))
                .with_place("the API server")
                .fix("check that --server is the API server itself, and that what stands before it hands its answers on as they are"),
        ),
        Meaning::NotFound | Meaning::Expired => (
            Exit::Failed,
            Problem::new(format!("{what}: the API server does not have it"))
                .with_place("the API server")
                .fix("check that the server is a Kubernetes API server"),
        ),
    }
}

/// An error with what caused it: the outermost alone often says nothing.
pub(in crate::live) fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
