//! The contract of Crossfade's files on a node, and the CNI meta-plugin that serves one pod.

pub mod attachment;
pub mod boot;
pub mod budget;
pub mod conflist;
pub mod delegate;
pub mod exec;
pub mod file;
pub mod forced;
pub mod inventory;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod netns;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod raw;
pub mod reply;
pub mod request;
pub mod route;
pub mod serve;
pub mod store;
pub mod sweep;
pub mod trust;
pub mod version;
