//! The packets of a proof: what is exchanged, the largest that passes, and what the outcome means.

pub mod decide;
pub mod plan;
pub mod routes;
pub mod size;
