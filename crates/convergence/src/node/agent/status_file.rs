//! status.json on this node: whether a running `watch` wrote it, and its bytes. Its types are [`types::status`].

use types::status::Document;

/// What lies at the place of a status.json.
#[derive(Debug)]
pub enum StatusFile {
    /// There is no status.json.
    Absent,
    /// The `watch` that wrote the file still runs.
    Fresh(Document),
    /// The file is not of a `watch` that runs; the text says why.
    Stale(Document, String),
    /// The file cannot be read; the text says why.
    Unreadable(String),
}

/// The next step on a node that is not ready.
pub const NOT_READY: &str = "look for the reason in docs/watch.md; watch reports again as soon as it changes";
