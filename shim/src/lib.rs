//! The contract of Crossfade's files on a node, and the CNI meta-plugin that serves one pod.
//!
//! Every verb is one straight line: parse ([`call::request`], [`mod@types::policy`], [`attachment::conflist`]) -> decide ([`attachment::plan`], pure) -> act
//! ([`attachment::delegate`], [`attachment::route`]) -> record ([`node::store`]) -> report ([`call::reply`]). [`call::serve`] is that line.

#![warn(missing_docs)]

pub mod attachment;
pub mod call;
pub mod host;
pub mod node;
pub mod sweep;
