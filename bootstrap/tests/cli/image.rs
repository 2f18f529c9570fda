//! A node image: baked, tested, sealed, explained.

pub(crate) mod bake;
pub(crate) mod examples;
pub(crate) mod explain;
pub(crate) mod final_image;
pub(crate) mod seal;
pub(crate) mod selftest;
