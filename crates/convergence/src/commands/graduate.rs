//! `graduate`: the facts, and the changes that let Crossfade leave a node.

pub mod decide;
pub mod facts;
