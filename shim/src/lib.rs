//! The contract of Crossfade's files on a node, and the CNI meta-plugin that serves one pod.
//!
//! Every verb is one straight line: parse ([`request`], [`mod@types::policy`], [`conflist`]) -> decide ([`plan`], pure) -> act
//! ([`delegate`], [`route`]) -> record ([`store`]) -> report ([`reply`]). [`serve`] is that line.

#![warn(missing_docs)]

pub mod boot;
pub mod conflist;
pub mod delegate;
pub mod exec;
pub mod file;
pub mod first_failure;
pub mod hostports;
pub mod hostroute;
pub mod inventory;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod local_cleanup;
pub mod lock;
pub mod netns;
pub mod owner;
pub mod pass_order;
pub mod plan;
pub mod pod_interfaces;
pub mod policy_file;
pub mod probe;
pub mod process;
pub mod ready;
pub mod reply;
pub mod request;
pub mod route;
pub mod serve;
pub mod signal;
pub mod store;
pub mod sweep;
pub mod trust;
pub mod version;
pub mod version_query;
