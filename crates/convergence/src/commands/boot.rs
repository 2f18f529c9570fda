//! `boot`: the facts, and the changes that prepare a boot.

pub mod decide;
pub mod decision;
pub mod facts;
pub mod final_image;
