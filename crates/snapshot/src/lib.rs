//! A cluster as data: its objects ([`model`]), read from bytes and written back. The bytes are those of Crossfade's own snapshot files, of
//! `kubectl get -o json` or `-o yaml`, or of an API server's answers.
//!
//! A kind that no file mentions is *absent*, which is not the same as *empty*: nothing is known about its objects. No Secret is ever read into a
//! snapshot.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod collect;
mod document;
mod header;
mod merged;
pub mod model;
mod prefixed;
mod range;
mod read;
mod write;
mod yaml;

pub use collect::{Collector, UnknownKinds};
pub use document::Page;
pub use header::Header;
pub use merged::merge;
pub use range::Range;
pub use read::{GZIP, read};
pub use write::{write, write_compressed};
