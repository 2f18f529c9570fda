//! What each command changes on a node or refuses to change: its facts and its decision.

pub mod boot;
pub mod cleanup;
pub mod graduate;
pub mod install;
pub mod move_pods;
pub mod sweep;
