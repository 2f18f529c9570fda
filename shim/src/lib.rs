//! The contract of Crossfade's files on a node, and the CNI meta-plugin that serves one pod.
//!
//! Every verb is one straight line: parse ([`request`], [`mod@types::policy`], [`conflist`]) -> decide ([`plan`], pure) -> act
//! ([`delegate`], [`route`]) -> record ([`store`]) -> report ([`reply`]). [`serve`] is that line.

pub mod asked;
pub mod attachment;
pub mod boot;
pub mod conflist;
pub mod delegate;
pub mod exec;
pub mod failing;
pub mod file;
pub mod forced;
pub mod hostports;
pub mod hostroute;
pub mod inventory;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod netns;
pub mod owner;
pub mod plan;
pub mod policy_file;
pub mod present;
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
pub mod turns;
pub mod version;
