//! The types that Crossfade's programs share: the shapes of its files, and the words in them.
//!
//! This crate reads no file, clock or process, and depends on no operating system. `shim` and `bootstrap` read the files of a node.
//!
//! Each type says its shape once, by serde, in both directions. The feature `schema` makes JSON Schemas of the same types, and a test
//! holds the files `types/*.schema.json` to them. No program enables that feature.
//!
//! [`json::read`] reads the files that people write, and the records of attachments. Its errors name the path of a key, what was expected and what was
//! found.
//!
//! The reader is a deserializer of our own, because it makes the shim smallest and says what a person needs. With the policy read by it, the release
//! program `crossfade` had 1624 kB; with `serde_path_to_error` over `serde_json` 1640 kB and one crate more, and those errors do not say what a
//! missing key expects and quote every wrong value; by hand, without serde, 1621 kB. With the records read by it as well, the program has
//! 1593 kB. A record of two networks (2.8 kB) then takes 15 microseconds more to read than by `serde_json`.

#![warn(missing_docs)]

pub mod api;
pub mod attachment;
pub mod cidr;
pub mod command;
pub mod inventory;
pub mod json;
pub mod moment;
pub mod node;
pub mod packets;
pub mod pod;
pub mod policy;
pub mod profile;
pub mod status;
pub mod text;
