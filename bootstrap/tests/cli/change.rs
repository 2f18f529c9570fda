//! Changes by an operator: installation, policy, attachments, removal.

pub(crate) mod attachments;
pub(crate) mod cleanup;
pub(crate) mod install;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod refusals;
pub(crate) mod uninstall;
