//! The input of a caller: versions, streams, environment, files, and their limits.

pub(crate) mod crio;
pub(crate) mod delegate_input;
pub(crate) mod environment;
pub(crate) mod formats;
pub(crate) mod inventory;
pub(crate) mod limits;
pub(crate) mod streams;
pub(crate) mod trust;
pub(crate) mod versions;
