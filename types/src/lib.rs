//! What Crossfade's programs agree on: the shapes of its files, and the words in them.
//!
//! Nothing here reads a file, a clock or a process, and nothing is of one operating system; what is on a node's disk is `shim`'s and
//! `bootstrap`'s to read.

pub mod cidr;
pub mod endpoint;
pub mod exit;
pub mod fields;
pub mod label;
pub mod names;
pub mod node;
pub mod pod;
pub mod policy;
pub mod problem;
pub mod qualified;
pub mod quote;
pub mod raw;
pub mod taint;
