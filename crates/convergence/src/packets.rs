//! TODO head packets.rs

pub mod decide;
pub mod plan;
pub mod routes;
pub mod size;
