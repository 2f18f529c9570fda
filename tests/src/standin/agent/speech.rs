//! The JSON lines between the library and one agent: first the spec, then one order and one answer at a time.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Answer, Conf};

/// Orders for an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(super) enum Action {
    /// Answer the health socket so.
    Unix { answer: Answer },
    /// Answer the health page so.
    Http { answer: Answer },
    /// Answer the health service over gRPC so.
    Grpc { answer: Answer },
    /// Name the requests for the health page.
    Asked,
    /// Write this conf.
    Write(Conf),
    /// Write the second half of the torn conf.
    Finish,
    /// Take this directory; none: leave it alone.
    Exclusive { directory: Option<PathBuf> },
    /// Name the files that were renamed away.
    Taken,
    /// Unlink and end.
    Leave {
        /// Whether the confs are unlinked too.
        remove_conf: bool,
    },
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// It waits at its gate.
    Waiting,
    /// It is up: everything in its spec is done.
    Up,
    /// The order is carried out.
    Done,
    /// The order, or the spec, cannot be carried out.
    Refused { error: String },
    /// The requests so far.
    Asked {
        /// Heads of requests, oldest first.
        requests: Vec<String>,
    },
    /// The files taken so far.
    Taken {
        /// Former paths, oldest first.
        files: Vec<PathBuf>,
    },
}
