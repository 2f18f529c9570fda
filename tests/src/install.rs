//! Crossfade on a node: put there by hand, by its package, by its DaemonSet; and the operator who works with it.

pub mod crossfade;
pub mod daemonset;
pub mod package;
pub mod person;
