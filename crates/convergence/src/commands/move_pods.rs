//! `move-pods`: the facts, the order in which pods are moved, and the loop that moves them.

pub mod apply;
pub mod decide;
pub mod facts;
