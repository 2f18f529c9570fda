//! ADD: which networks a pod gets, from whom, and what the runtime gets as the result.

pub(crate) mod choice;
pub(crate) mod delegates;
pub(crate) mod ending;
pub(crate) mod join;
pub(crate) mod modes;
pub(crate) mod namespaces;
pub(crate) mod policy;
pub(crate) mod results;
pub(crate) mod rollback;
pub(crate) mod standard;
pub(crate) mod standins;
