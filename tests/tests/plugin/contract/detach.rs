//! DEL and GC: the networks that did ADD are asked, and nothing of another attachment is taken.

pub(crate) mod company;
pub(crate) mod del;
pub(crate) mod del_errors;
pub(crate) mod gc;
pub(crate) mod gc_forwarding;
pub(crate) mod gone;
pub(crate) mod late;
pub(crate) mod leave;
pub(crate) mod retired;
