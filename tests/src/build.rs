//! The programs and parts that the lab runs: the built programs, the parts of the distribution, packages and images.

pub mod dist;
pub mod image;
pub mod image_build;
pub mod packages;
pub mod preflight;
