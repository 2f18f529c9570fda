//! Changes carried out: the executor, and what it needs. The changes themselves are data ([`convergence::change`]).

mod executor;
mod files;
pub(crate) mod inventory;
pub(crate) mod journal;
pub(crate) mod outcome;
mod settle;
#[cfg(test)]
pub(crate) mod shape;

pub(crate) use self::executor::{ChangeHandler, Executor};
pub(crate) use self::files::{OPEN_DIR, read_with_mode, remove, write};
pub(crate) use self::settle::settle;
