//! Policies as they are kept and brought back: which kinds there are, what of an object is kept, and what to write so that a cluster has it again.
//!
//! [`file`] has the bytes of a backup, [`decide`] compares a backup with a cluster, and [`apply`] does so for policies that this program has made.
//! All of it is pure; `live` gathers the objects and carries the steps out.

pub mod apply;
pub mod compare;
pub mod decide;
pub mod file;
pub mod hidden;
pub mod kinds;
pub mod makers;
pub mod object;
pub mod step;

pub use kinds::{KINDS, Row};
pub use object::Id;
pub use step::{Act, Step};
