//! JSON: how it is read and held to rules, kept as it was written, and changed in one place.

pub mod raw;
pub mod read;
#[cfg(feature = "schema")]
pub mod schema;
pub mod splice;
pub(crate) mod text;
pub mod version;
pub(crate) mod whole_number;
