//! Clusters as files: fixtures with the findings that they must have, dumps and snapshots.

pub(crate) mod dump;
pub(crate) mod golden;
mod requirements;
pub(crate) mod snapshot;
pub(crate) mod waivers;
