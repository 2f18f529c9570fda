//! What Crossfade's programs agree on: the shapes of its files, and the words in them.
//!
//! Nothing here reads a file, a clock or a process, and nothing is of one operating system; what is on a node's disk is `shim`'s and
//! `bootstrap`'s to read.
//!
//! Each type says its shape once, by serde, in both directions. The feature `schema` makes JSON Schemas of the same types, and a test
//! holds the files `types/*.schema.json` to them. No program enables that feature.
//!
//! Files that people write are read by [`read::from_slice`], whose errors name the path of a key, what was expected and what was found.
//!
//! That reader is a deserializer of our own, since it is what makes the shim smallest and says what a person needs. The release program
//! `crossfade` has 1624 kB with it, and 1640 kB and one crate more with `serde_path_to_error` over `serde_json`, whose errors do not say
//! what a missing key expects and quote every wrong value. By hand, without serde, it had 1621 kB.

pub mod attachment;
pub mod cidr;
pub mod endpoint;
pub mod exit;
pub mod inventory;
pub mod key;
pub mod label;
pub mod ledger;
pub mod moment;
pub mod names;
pub mod nearest;
pub mod node;
pub mod pod;
pub mod policy;
pub mod problem;
pub mod profile;
pub mod qualified;
pub mod quote;
pub mod raw;
pub mod read;
#[cfg(feature = "schema")]
pub mod schema;
pub mod splice;
pub mod status;
pub mod taint;
mod text;
pub mod version;
mod whole;
