//! Leftovers of an earlier image on a node of a final image, gathered before anything is decided.

use std::path::PathBuf;

use shim::node::ledger::Line;

/// What an earlier image left on this node, and whether an attachment still needs it.
#[derive(Debug)]
pub struct Leavings {
    /// Paths of Crossfade's conf in directories that the runtime may read.
    pub confs: Vec<PathBuf>,
    /// The attachments through Crossfade, and the inventory entries, of this boot: `CONTAINER-ID IFNAME`.
    pub living: Result<Vec<String>, String>,
    /// CRI-O replays the confs of sandboxes that it remembers, and one of these confs is Crossfade's.
    pub is_replayed: bool,
    /// A line for everything of an earlier boot that ended without its DEL.
    pub owed: Vec<Line>,
}
