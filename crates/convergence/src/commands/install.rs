//! `install`: the facts, and the changes that install Crossfade under running pods.

pub mod decide;
pub mod facts;
pub mod inventory;
pub mod payload;
pub mod uncached;
pub mod uninstall;
