//! Crossfade's files on a node, and what is known of its networks.

pub mod first_failure;
pub mod hostports;
pub mod inventory;
pub mod layout;
pub mod ledger;
pub mod pass_order;
pub mod policy_file;
pub mod probe;
pub mod ready;
pub mod store;
pub mod version_query;
