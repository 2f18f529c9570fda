//! Properties that hold for any bytes: one function per parser, which panics where it does not.
//!
//! Three callers share them: the stable tests beside this directory, the fuzz targets in `fuzz/` (this very file, by its path), and a
//! person who minimises what those found. None of them tests the JSON library: a check is about what *we* decide from the bytes.

pub mod call;
pub mod conf;
pub mod confdir;
pub mod dice;
pub mod error;
pub mod flows;
pub mod history;
pub mod inventory;
pub mod json;
pub mod policy;
pub mod record;
pub mod result;

/// A check and the name of its fuzz target and corpus.
pub type Check = (&'static str, fn(&[u8]));

/// Every check there is.
pub const ALL: [Check; 11] = [
    ("call", call::check),
    ("conf", conf::check),
    ("confdir", confdir::check),
    ("error", error::check),
    ("flows", flows::check),
    ("history", history::check),
    ("inventory", inventory::check),
    ("json", json::check),
    ("policy", policy::check),
    ("record", record::check),
    ("result", result::check),
];
