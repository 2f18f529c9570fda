//! CHECK, STATUS, readiness, and what is written to the journal.

pub(crate) mod agent;
pub(crate) mod check;
pub(crate) mod journal;
pub(crate) mod readiness;
pub(crate) mod status;
