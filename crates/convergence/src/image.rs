//! The decisions of a node image: what is baked into it, and what must not be in it.

pub mod bake;
pub mod seal;
