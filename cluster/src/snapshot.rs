//! Snapshots from files and back: Crossfade's own snapshot files, and what `kubectl get -o json` or `-o yaml` wrote.
//!
//! A kind that no file mentions is *absent*, which is not the same as *empty*: nothing is known about its objects. No Secret is ever read into a
//! snapshot.

mod collect;
mod document;
mod gather;
mod header;
mod prefixed;
mod read;
mod write;
mod yaml;

pub use collect::{Collector, UnknownKinds};
pub use document::Page;
pub use gather::{gather, gather_all};
pub use header::Header;
pub use write::{write, write_compressed};
